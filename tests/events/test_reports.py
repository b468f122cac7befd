"""Every report has its event and its words."""

from __future__ import annotations

import pytest

from engine.events.reports import describe
from engine.events.types import DomainStopped, LifecycleEvent
from engine.lifecycle import Report


@pytest.mark.parametrize("report", Report)
def test_every_report_has_an_event_that_documents_its_usual_detail(report: Report) -> None:
    event_type, detail, _ = describe(report)
    assert issubclass(event_type, LifecycleEvent)
    assert f"``{detail}``" in (event_type.__doc__ or "")


def test_the_drivers_own_words_win() -> None:
    assert describe(Report.STOPPED, "crashed") == (DomainStopped, "crashed", "crashed")
    assert describe(Report.STOPPED, "crashed", "panicked") == (DomainStopped, "crashed", "panicked")
    assert describe(Report.STOPPED, "in a way unheard of") == (DomainStopped, "in a way unheard of", "unknown")
