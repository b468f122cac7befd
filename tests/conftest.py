"""What every test may use: both backends, and real guests and hosts where this machine can have them.

A test marked ``qemu``, ``linux_guest``, ``systemd`` or ``interop`` is skipped, with the reason, where what it needs
can't be had; with ``CI=true`` in the environment such a skip is a failure, because a check that did not run has shown
nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from functools import cache

import pytest
from interop import corpus
from support import browser, guests, hostbox

CI = os.environ.get("CI") == "true"


def _no_qemu() -> str | None:
    if shutil.which("qemu-system-x86_64") is None:
        return "no qemu-system-x86_64 here: apt-get install qemu-system-x86"
    return guests.boot_sector_unavailable()


@cache  # it is fetched or not, and not tried again for each test
def _no_corpus() -> str | None:
    try:
        corpus.corpus()
    except corpus.CorpusUnavailable as exc:
        return str(exc)
    return None


REAL: dict[str, Callable[[], str | None]] = {
    "qemu": _no_qemu,
    "linux_guest": guests.linux_guest_unavailable,
    "systemd": hostbox.unavailable,
    "interop": _no_corpus,
    "browser": browser.browser_unavailable,
}
"""The marks of tests that need something real, each with what says why it can't be had (None: it can)."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, unavailable in REAL.items():
        if item.get_closest_marker(mark) and (reason := unavailable()):
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail") and any(map(item.get_closest_marker, REAL)):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true takes for a failure: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself would hide which tests it holds."""
    report = yield
    if CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped itself, which CI=true takes for a failure: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
