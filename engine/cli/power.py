"""``start``, ``shutdown``, ``reboot``, ``reset``, ``suspend``, ``resume``, ``destroy``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

import click

from engine.cli import arguments, output
from engine.cli.session import each, with_engine

if TYPE_CHECKING:
    from engine.cli.session import AnyDomain, AnyEngine

__all__ = ["destroy", "reboot", "reset", "resume", "shutdown", "start", "suspend"]

_mode = click.option(
    "--mode",
    type=click.Choice(["acpi", "agent"]),
    help="How to ask the guest: by its power button, or through its agent.  [default: whatever works]",
)
_timeout = click.option(
    "--timeout",
    type=arguments.seconds,
    metavar="SECONDS",
    help="Wait no longer than that; failing then.  Implies --wait.",
)
Mode = Literal["acpi", "agent"] | None


async def _within(timeout: float | None, wait: Callable[[], Awaitable[None]], so_far: str) -> None:
    """Raises CommandTimeout, with how it is ``so_far``."""
    import anyio

    from engine.errors import CommandTimeout

    with anyio.move_on_after(timeout):
        return await wait()
    raise CommandTimeout(so_far, timeout or 0.0)


@click.command()
@arguments.domains
@click.option("--paused", is_flag=True, help="Leave the CPUs stopped; 'resume' lets them run.")
@click.option("--force-boot", is_flag=True, help="Discard a managed save and boot afresh.")
@click.option("--wait", is_flag=True, help="Return only when they are ready.")
@_timeout
@arguments.as_json
@with_engine
async def start(
    engine: AnyEngine,
    names: tuple[str, ...],
    paused: bool,
    force_boot: bool,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Start domains.

    From their managed save where there is one. Only the ones named, in no order: 'up' starts what they need as
    well, in order. Returns when they run, unless told to wait until they are ready.
    """

    async def one(domain: AnyDomain) -> None:
        await domain.start(paused=paused, force_boot=force_boot)
        output.say(f"Domain '{domain.name}' started")
        if wait or timeout is not None:
            await _within(timeout, domain.wait_ready, f"domain '{domain.name}' runs and is not ready")
            output.say(f"Domain '{domain.name}' is ready")

    await each(engine, names, one, as_json=as_json)


@click.command()
@arguments.domains
@_mode
@click.option("--wait", is_flag=True, help="Return only when they are off.")
@_timeout
@arguments.as_json
@with_engine
async def shutdown(
    engine: AnyEngine, names: tuple[str, ...], mode: Mode, wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Ask domains to power off.

    Returns when they are asked, unless told to wait. Only the ones named, in no order: 'down' stops in order.
    """

    async def one(domain: AnyDomain) -> None:
        await domain.shutdown(method=mode or "default")
        output.say(f"Domain '{domain.name}' is being shutdown")
        if wait or timeout is not None:
            still = f"domain '{domain.name}' is asked to power off and still {domain.state}"
            await _within(timeout, domain.wait_stopped, still)
            output.say(f"Domain '{domain.name}' is off ({domain.reason})")

    await each(engine, names, one, as_json=as_json)


@click.command()
@arguments.domains
@_mode
@arguments.as_json
@with_engine
async def reboot(engine: AnyEngine, names: tuple[str, ...], mode: Mode, as_json: bool) -> None:
    """Ask domains to reboot."""

    async def one(domain: AnyDomain) -> None:
        await domain.reboot(method=mode or "default")
        output.say(f"Domain '{domain.name}' is being rebooted")

    await each(engine, names, one, as_json=as_json)


@click.command()
@arguments.domains
@arguments.as_json
@with_engine
async def reset(engine: AnyEngine, names: tuple[str, ...], as_json: bool) -> None:
    """Press the reset button of domains."""

    async def one(domain: AnyDomain) -> None:
        await domain.reset()
        output.say(f"Domain '{domain.name}' was reset")

    await each(engine, names, one, as_json=as_json)


@click.command()
@arguments.domains
@arguments.as_json
@with_engine
async def suspend(engine: AnyEngine, names: tuple[str, ...], as_json: bool) -> None:
    """Stop the CPUs of domains; 'resume' lets them run again."""

    async def one(domain: AnyDomain) -> None:
        await domain.suspend()
        output.say(f"Domain '{domain.name}' suspended")

    await each(engine, names, one, as_json=as_json)


@click.command()
@arguments.domains
@arguments.as_json
@with_engine
async def resume(engine: AnyEngine, names: tuple[str, ...], as_json: bool) -> None:
    """Let the CPUs of suspended domains run."""

    async def one(domain: AnyDomain) -> None:
        await domain.resume()
        output.say(f"Domain '{domain.name}' resumed")

    await each(engine, names, one, as_json=as_json)


@click.command()
@arguments.domains
@arguments.as_json
@with_engine
async def destroy(engine: AnyEngine, names: tuple[str, ...], as_json: bool) -> None:
    """Pull the plug of domains, at once. What they had not written is lost."""

    async def one(domain: AnyDomain) -> None:
        await domain.destroy()
        output.say(f"Domain '{domain.name}' destroyed")

    await each(engine, names, one, as_json=as_json)
