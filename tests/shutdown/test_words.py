"""What is shown never holds what a terminal would obey or XML can't hold."""

from __future__ import annotations

import re

from lxml import etree

from engine.conf.order import Gate
from engine.shutdown.plan import Plan, PlanStep
from engine.shutdown.words import gate_name, printable


def test_a_pattern_is_shown_printable() -> None:
    gate = Gate(kind="serial", pattern="\x1b\\[0m ü")
    assert gate_name(gate) == "serial /\\x1b\\[0m ü/"
    assert printable("a\u202eb\ud800") == "a\\u202eb\\ud800"


def test_a_chart_is_xml_whatever_is_in_the_plan() -> None:
    hostile = "\x1b\x00\x07\ufffe<&'\""
    gate = Gate(kind="serial", pattern=hostile, timeout=60.0)
    step = PlanStep(key="a", name="a", connection=hostile, wave=1, begin=0.0, seconds=60.0, gates=(gate,), note=hostile)
    svg = Plan(direction="up", steps=(step,), critical_path=("a",), seconds=60.0).to_svg()
    etree.fromstring(svg.encode())
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", svg)
