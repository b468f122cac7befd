"""``/metrics`` as Prometheus reads it: held against its own parsers."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from support.served import Served

from engine.events.types import ScopeFailed
from engine.server.exposition import Family, Histogram, Sample, expose

pytestmark = pytest.mark.anyio

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


async def figures(server: Served) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = await server.http.get("/metrics", headers={"accept": OPENMETRICS})
    assert answer.headers["content-type"] == f"{OPENMETRICS}; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_openmetrics(answer.text)
        for sample in family.samples
    }


async def test_what_goes_on_is_counted(server: Served) -> None:
    await server.define("web")
    for _ in range(2):
        await server.http.post("/v1/domains/web/start")  # the second one fails
    await server.http.get("/v1/domains/nobody")
    domain = server.engine.domain("web")
    domain.publish(ScopeFailed, reason="no systemd")
    async with server.engine.subscribe(bound=1) as slow:
        for _ in range(3):
            domain.publish(ScopeFailed, reason="no systemd")
        await anext(slow)
    uri = ("connection", "test:///default")
    with anyio.fail_after(5):
        while (found := await figures(server)).get(("virengine_scope_failures_total", ())) != 4:
            await anyio.lowlevel.checkpoint()
    assert found["virengine_domains", (uri, ("state", "running"))] == 2
    started = (("command", "start"), uri)
    assert found["virengine_command_duration_seconds_count", started] == 2
    assert found["virengine_command_failures_total", (*started, ("error", "InvalidState"))] == 1
    route = ("route", "/v1/domains/{domain}")
    assert found["virengine_requests_total", (("method", "GET"), route, ("status", "404"))] == 1
    assert found["virengine_events_total", (("type", "org.virengine.domain.started"),)] == 1
    assert found["virengine_event_gaps_total", ()] == 1
    assert found["virengine_events_dropped_total", ()] == 2
    assert found["virengine_connections_open", ()] >= 1
    assert found["virengine_event_lag_seconds_count", ()] >= 5
    assert not [name for name, labels in found if "web" in dict(labels).values()]


async def test_the_older_format_is_for_whoever_does_not_know_the_newer(server: Served) -> None:
    await server.http.post("/v1/domains/test/destroy")
    answer = await server.http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families: dict[str, Any] = {family.name: family for family in parse_text(answer.text)}
    assert families["virengine_requests"].type == "counter"
    assert families["virengine_command_duration_seconds"].type == "histogram"
    assert "# EOF" not in answer.text


def test_names_are_escaped() -> None:
    name = 'a"b\\c\nd'
    for accept, parse in ((OPENMETRICS, parse_openmetrics), ("", parse_text)):
        text, _ = expose([Family("x", "gauge", "X.", [Sample(1, {"connection": name})])], accept)
        [family] = parse(text.decode())
        assert family.samples[0].labels == {"connection": name}


def test_a_histogram_counts_what_is_on_the_edge_below_it() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.1, 0.5, 7.0):
        histogram.observe(value)
    found = [(sample.suffix, sample.labels.get("le"), sample.value) for sample in histogram.samples({})]
    assert found == [
        ("_bucket", "0.1", 1),
        ("_bucket", "1.0", 2),
        ("_bucket", "+Inf", 3),
        ("_count", None, 3),
        ("_sum", None, 7.6),
    ]
