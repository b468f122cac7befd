"""``<order:order>`` in a domain's metadata."""

from __future__ import annotations

import pytest

from engine.conf import Edge, Gate, Order, StopStep, parse_domain
from engine.errors import ConfigError

DOCUMENT = """<domain type='test'><name>web</name><metadata>
<order:order xmlns:order="urn:virengine:order:1">
{}
</order:order></metadata></domain>"""


def read(body: str) -> Order:
    return parse_domain(DOCUMENT.format(body), source="web.xml").order


def test_all_that_can_be_declared_is_read() -> None:
    order = read(
        """<!-- as the manual has it -->
<order:requires domain="db"/>  <order:after domain="cache" when="stop"/>
<order:ready gate="agent" timeout="60"/>
<order:ready gate="http" url="http://10.0.0.1/" status="204" on-timeout="go-on"/>
<order:stop on-failure="go-on">
  <order:try method="agent" timeout="20"/>
  <order:try method="acpi" timeout="60" repeat="10"/>
  <order:try method="save" timeout="120"/>
</order:stop>
<order:sleep method="save"/>
<order:tag name="front"/>"""
    )
    assert order == Order(
        edges=(
            Edge(domain="db", kind="requires", line=4),
            Edge(domain="cache", kind="after", when="stop", line=4),
        ),
        gates=(
            Gate(kind="agent", timeout=60, line=5),
            Gate(kind="http", url="http://10.0.0.1/", status=204, on_timeout="go-on", line=6),
        ),
        ladder=(
            StopStep(method="agent", timeout=20, line=8),
            StopStep(method="acpi", timeout=60, repeat=10, line=9),
            StopStep(method="save", timeout=120, line=10),
        ),
        tags=("front",),
        on_stop_failure="go-on",
        sleep="save",
    )


def test_without_metadata_nothing_is_declared() -> None:
    assert parse_domain("<domain type='test'><name>web</name><metadata/></domain>").order == Order()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<order:require domain='db'/>", "<order:require>: unknown element (did you mean 'requires'?)"),
        ("<order:requires/>", "<requires> lacks its attribute 'domain'"),
        ("<order:requires domain='db' wen='stop'/>", "unknown attribute 'wen' (did you mean 'when'?)"),
        ("<order:after domain='db' when='never'/>", "when='never' is not one of both, start, stop"),
        ("<order:ready gate='tcp' host='h'/>", "<ready> lacks its attribute 'port'"),
        ("<order:ready gate='tcp' host='h' port='70000'/>", "port='70000' is not a number from 1 to 65535"),
        ("<order:ready gate='http' url='gopher://x'/>", "is not an http:// or https:// address"),
        ("<order:ready gate='tcp' host='h' port='²'/>", "port='²' is not a number from 1 to 65535"),
        ("<order:ready gate='tcp' host='a..ü' port='1'/>", "'a..ü' is neither the name nor the address of a host"),
        ("<order:ready gate='tcp' host='a b' port='1'/>", "'a b' is neither"),
        ("<order:ready gate='http' url='http://h:99999/'/>", "url: not an address: Port out of range"),
        ("<order:ready gate='http' url='http://h:x/'/>", "url: not an address: Port could not be cast"),
        ("<order:ready gate='http' url='http://h:0/'/>", "its port is 0"),
        ("<order:ready gate='http' url='http:///x'/>", "it names no host"),
        ("<order:ready gate='http' url='http://[::1/'/>", "url: not an address: Invalid IPv6 URL"),
        ("<order:ready gate='http' url='http://.h/'/>", "'.h' is neither"),
        ("<order:ready gate='serial' pattern='('/>", "is not a regular expression"),
        ("<order:ready gate='serial' pattern='a{1,99999999999}'/>", "is not a regular expression"),
        (f"<order:ready gate='serial' pattern='{'(' * 3000}{')' * 3000}'/>", "is not a regular expression: nested too"),
        ("<order:ready gate='delay'/>", "<ready> lacks its attribute 'seconds'"),
        ("<order:ready gate='agent' timeout='soon'/>", "timeout='soon' is not a number of seconds"),
        ("<order:ready gate='agent' timeout='-1'/>", "timeout='-1' is not a number of seconds"),
        ("<order:ready gate='agent' timeout='nan'/>", "timeout='nan' is not a number of seconds"),
        ("<order:stop><order:try method='shout'/></order:stop>", "method='shout' is not one of"),
        ("<order:stop><order:do method='acpi'/></order:stop>", "unknown element, expected <order:try>"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(body: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(body)
    assert reason in caught.value.reason
    assert caught.value.line == 3
