"""The pins are whole: every package that the project asks for, one release of each, hashes, and no address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
RUNTIME = PROJECT["project"]["dependencies"]
ASKED = {
    "build": PROJECT["build-system"]["requires"],
    "runtime": RUNTIME,
    "test": RUNTIME + EXTRAS["test"],
    "check": RUNTIME + EXTRAS["test"] + EXTRAS["check"],
}
LINE = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9a-z.]+)(?: ; [^\\]+)?(?P<hashes>( --hash=sha256:[0-9a-f]{64})+)"
)


def pins(name: str) -> dict[str, str]:
    """The release of each package in a file; a line that is not a pin with hashes fails here."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace(" \\\n   ", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    assert len(found) == len(lines), [line for line in lines if not LINE.fullmatch(line)]
    return {match["name"]: match["version"] for match in found}


@pytest.mark.parametrize("name", ASKED)
def test_what_the_project_asks_for_is_pinned(name: str) -> None:
    pinned = pins(name)
    for asked in map(Requirement, ASKED[name]):
        assert asked.specifier.contains(pinned[canonicalize_name(asked.name)]), f"{asked}: run `make pins`"


def test_the_files_agree() -> None:
    releases: dict[str, set[str]] = {}
    for name in ASKED:
        for package, version in pins(name).items():
            releases.setdefault(package, set()).add(version)
    assert {package: found for package, found in releases.items() if len(found) > 1} == {}
