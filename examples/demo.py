#!/usr/bin/env python3
"""Five guests, in order, up and down: a database, two applications that need it, a load balancer in front, and a batch
job that stands alone. `make demo` runs this; `examples/demo.py test` runs it without QEMU, in memory.

The guests are real where there is QEMU: each boots a disk, says "ready" on its serial port and takes its time to power
off. What to look for: everybody starts the moment those it waits for are ready, and stops the moment those that depend
on it are gone. Nobody waits longer.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterable
from pathlib import Path

import anyio
from guest import write_image

from engine import DomainEvent, DomainReady, DomainStarted, DomainStopped, Engine, EngineError, Event, PlanFinished

# name, what it is ordered after, seconds it takes to power off
STACK = [
    ("db", '<order:tag name="data"/>', 1.0),
    ("app1", '<order:requires domain="db"/>', 2.0),
    ("app2", '<order:requires domain="db"/>', 1.0),
    ("lb", '<order:after domain="app1"/><order:after domain="app2"/>', 1.0),
    ("batch", "", 3.0),
]

QEMU = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{folder}/{name}.img'/><target dev='vda' bus='virtio'/>
    </disk>
    <serial type='file'><source path='{folder}/{name}.serial'/></serial>
  </devices>
  <metadata>
    <order:order xmlns:order='urn:virengine:order:1'>
      {edges}
      <order:ready gate='serial' pattern='ready' timeout='15'/>
      <order:stop><order:try method='acpi' timeout='10' repeat='2'/></order:stop>
    </order:order>
  </metadata>
</domain>"""

IN_MEMORY = """
<domain type='test'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <metadata>
    <guest xmlns='urn:virengine:test:1' boot='0.3' shutdown='{takes}'/>
    <order:order xmlns:order='urn:virengine:order:1'>
      {edges}
      <order:ready gate='agent' timeout='15'/>
      <order:stop><order:try method='acpi' timeout='10'/></order:stop>
    </order:order>
  </metadata>
</domain>"""


async def show(events: AsyncIterable[Event], began: float) -> None:
    """Print the events that matter here, as they come, until the stack is down."""
    async for event in events:
        if isinstance(event, DomainEvent):
            what = "ready" if isinstance(event, DomainReady) else getattr(event, "detail", "")
            print(f"  {event.time - began:5.2f} s  {event.domain:<6} {type(event).__name__} {what}")
        elif isinstance(event, PlanFinished) and event.direction == "down":
            return


async def demo(uri: str, template: str, folder: Path, picture: Path) -> bool:
    """Bring the stack up and down again; whether all went well."""
    async with (
        Engine(uri) as engine,  # no state_dir: all in memory, and nothing is left behind
        engine.subscribe(DomainStarted, DomainReady, DomainStopped, PlanFinished) as events,
    ):
        for name, edges, takes in STACK:
            write_image(folder / f"{name}.img", takes=takes)
            await engine.define(template.format(name=name, edges=edges, folder=folder, takes=takes))
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(show, events, time.time())
                return await up_and_down(engine, picture)
        finally:
            with anyio.CancelScope(shield=True):  # after Ctrl-C, or a mishap: a demo leaves nothing running
                for domain in engine.domains():
                    if domain.active:
                        await domain.destroy()
    return False


async def up_and_down(engine: Engine, picture: Path) -> bool:
    """The demonstration itself."""
    print("\n== up")
    up = await engine.up()
    print(f"\n{up}")

    plan = engine.plan("down")
    await anyio.Path(picture).write_text(plan.to_svg(), "utf-8")
    print(f"\n== plan\n\n{plan}\n\ndrawn in {picture}")

    print("\n== down")
    down = await engine.down()
    print(f"\n{down}")
    return up.ok and down.ok


def main() -> None:
    """Run it, on real guests where that is possible."""
    parser = argparse.ArgumentParser(description="Five guests, in order, up and down.")
    parser.add_argument("driver", nargs="?", choices=["qemu", "test"], help="qemu where it is installed, else test")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--svg", type=Path, default=Path("plan.svg"), help="where the picture of the plan goes")
    options = parser.parse_args()
    driver = options.driver
    if driver is None:
        driver = "qemu" if shutil.which("qemu-system-x86_64") else "test"
        if driver == "test":
            print("No QEMU here (apt-get install qemu-system-x86 brings it): the same with guests in memory.")
    result: int | str = 1
    try:
        with tempfile.TemporaryDirectory(prefix="virengine-demo-") as name:
            folder = Path(name)
            if driver == "qemu":
                uri, template = "qemu:///session", QEMU
            else:
                (folder / "node.xml").write_text("<node/>")  # a host without any guests yet
                uri, template = f"test://{folder}/node.xml", IN_MEMORY
            if anyio.run(demo, uri, template, folder, options.svg, backend=options.backend):
                result = 0
    except* (EngineError, OSError) as group:
        result = f"demo: {group.exceptions[0]}"
    except* KeyboardInterrupt:
        result = 130
    sys.exit(result)


if __name__ == "__main__":
    main()
