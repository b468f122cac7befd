"""Runs every benchmark and writes what came of it: ``python -m benchmarks [NAME...]``, behind ``make bench``.

Each ``bench_*.py`` has ``run()``, which gives rows: what, us, peer, floor, ratio, must. A figure is a number, a
sentence that says why there is no number, or None where there is nothing to measure. ``results.json`` holds them all,
and the table in README.md is made of it; of those that are not run again the old ones stay. A figure that misses its
target is shown as such; no test depends on one.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from engine.util.files import write_atomic

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def main(names: list[str]) -> None:
    paths = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    if unknown := sorted(set(names) - set(paths)):
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(paths)}")
    results = HERE / "results.json"
    known: dict[str, Any] = json.loads(results.read_text()) if results.exists() and names else {}
    for name in names or paths:
        print(f"== {name}", flush=True)
        known[name] = importlib.import_module(f"benchmarks.{paths[name].stem}").run()
        for row in known[name]:
            print("  " + "  ".join(cells(row)), flush=True)
    write_atomic(results, (json.dumps(known, indent=1) + "\n").encode(), mode=0o644)
    readme = HERE / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_atomic(readme, f"{before}{BEGIN}\n{table(known)}{END}{after}".encode(), mode=0o644)


def table(known: dict[str, Any]) -> str:
    lines = [
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}.\n",
        "| what | us | peer | floor | ratio | must |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += ["| " + " | ".join(cells(row)) + " |" for rows in known.values() for row in rows]
    return "\n".join(lines) + "\n"


def cells(row: dict[str, Any]) -> list[str]:
    figures = [figure(row.get(name), row.get("unit", "")) for name in ("us", "peer", "floor")]
    ratio = f"{row['ratio']:.2f}" if row.get("ratio") is not None else "-"
    return [str(row["what"]), *figures, ratio, str(row["must"])]


def figure(value: float | str | None, unit: str) -> str:
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{number(value)} {unit}".rstrip()


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main(sys.argv[1:])
