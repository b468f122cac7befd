"""Filters of guests' traffic."""

from __future__ import annotations

import pytest

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.network_common import FilterRef
from engine.conf.kinds.nwfilter import ArpMatch, NwfilterDocument, RarpMatch, Rule, TcpMatch
from engine.conf.kinds.nwfilter_binding import NwfilterBindingDocument


def rule(inside: str) -> str:
    return f"<filter name='f'><rule action='drop' direction='in'>{inside}</rule></filter>"


def told(text: str) -> list[tuple[str, str]]:
    return [(problem.xpath, problem.reason) for problem in validate(text)]


def test_entries_are_kept_in_order() -> None:
    read = parse(
        "<filter name='f' chain='ipv4-x' priority='-700'><rule action='drop' direction='out'/>"
        "<filterref filter='g'><parameter name='IP' value='10.0.0.1'/></filterref>"
        "<rule action='accept' direction='inout' priority='500'><tcp dstportstart='$PORTS[@1]' srcportstart='0x16'/>"
        "</rule></filter>"
    )
    assert isinstance(read, NwfilterDocument)
    assert [type(entry) for entry in read.entries] == [Rule, FilterRef, Rule]
    last = read.entries[2]
    assert isinstance(last, Rule)
    (match,) = last.matches
    assert isinstance(match, TcpMatch) and (match.dstportstart, match.srcportstart) == ("$PORTS[@1]", 22)
    assert 'srcportstart="0x16"' in format(read) and parse(format(read)) == read


def test_protocols_of_one_form_are_kept_apart() -> None:
    for tag, shape in (("arp", ArpMatch), ("rarp", RarpMatch)):
        read = parse(rule(f"<{tag} opcode='Reply' hwtype='1'/>"))
        assert isinstance(read, NwfilterDocument) and isinstance(read.entries[0], Rule)
        assert type(read.entries[0].matches[0]) is shape
        assert f'<{tag} hwtype="1" opcode="Reply"/>' in format(read)


@pytest.mark.parametrize(
    ("inside", "where", "reason"),
    [
        ("<tcp/><udp/>", "/filter/rule", "a rule is for the packets of only one protocol"),
        ("<tcp ipset='x'/>", "/filter/rule/tcp", "'ipset' needs 'ipsetflags'"),
        ("<udp flags='SYN/SYN'/>", "/filter/rule/udp/@flags", "unknown attribute 'flags'"),
        (
            "<ip srcipmask='33'/>",
            "/filter/rule/ip/@srcipmask",
            "'33' is not a whole number from 0 to 32, or a mask, or a variable such as $NAME",
        ),
        ("<tcp-ipv6 state='NEW'/>", "/filter/rule/tcp-ipv6/@state", "unknown attribute 'state'"),
    ],
)
def test_rules_are_refused(inside: str, where: str, reason: str) -> None:
    ((at, why),) = told(rule(inside))
    assert at == where and why.startswith(reason)


def test_bindings() -> None:
    text = (
        "<filterbinding><owner><name>web</name><uuid>3e3fce45-4f53-4fa7-bb32-11f34168b82b</uuid></owner>"
        "<portdev name='vnet0'/><mac address='52:54:00:12:34:56'/><filterref filter='clean-traffic'/></filterbinding>"
    )
    read = parse(text)
    assert isinstance(read, NwfilterBindingDocument) and parse(format(read)) == read
    assert told(text.replace("<portdev name='vnet0'/>", "")) == [("/filterbinding", "it lacks its element <portdev>")]
