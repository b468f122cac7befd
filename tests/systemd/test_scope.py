"""Names, slices and properties of scopes: pure; the escaping is checked against systemd's own program."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conf import parse_domain
from engine.errors import ConfigError
from engine.systemd.limits import NO_LIMITS, DeviceLimit, Limits, parse_limits
from engine.systemd.scope import (
    AUTOSTART_SERVICE,
    GUESTS_SERVICE,
    SHUTDOWN_TARGET,
    ScopeRequest,
    UnitOrder,
    escape,
    machine_names,
    order_units,
    render_order,
    scope_properties,
    scope_unit,
    scope_units,
    slice_unit,
    transient_properties,
    valid_machine_name,
)

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
names = st.text(st.characters(blacklist_characters="/\n\0", blacklist_categories=["Cs"]), min_size=1, max_size=90)
# what an argument of a program can hold
words = st.text(st.characters(blacklist_characters="\0\n", blacklist_categories=["Cs"]), min_size=1, max_size=40)

needs_escape = pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="systemd-escape is not installed")


@needs_escape
@settings(max_examples=25, deadline=None)
@given(st.lists(words, min_size=1, max_size=20, unique=True))
def test_escape_agrees_with_systemd(texts: list[str]) -> None:
    done = subprocess.run(["systemd-escape", "--", *texts], capture_output=True, check=True)
    assert done.stdout.decode().rstrip("\n").split(" ") == [escape(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("qemu-web", r"qemu\x2dweb"),
        (".hidden", r"\x2ehidden"),
        ("a.b:c_d", "a.b:c_d"),
        ("a/b", "a-b"),
        ("a\\b c", r"a\x5cb\x20c"),
        ("é", r"\xc3\xa9"),
        ("", ""),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@given(names, st.uuids())
def test_machine_names_are_valid_and_follow_from_the_definition(name: str, uuid: object) -> None:
    first, second = machine_names("qemu:///system", name, str(uuid))
    assert valid_machine_name(first)
    assert valid_machine_name(second)
    assert (first, second) == machine_names("qemu:///system", name, str(uuid))
    assert len(f"machine-{escape(first)}.scope") <= 255


@given(names, names)
def test_two_domains_never_share_a_machine_name(one: str, other: str) -> None:
    if one == other:
        return
    first = machine_names("qemu:///system", one, UUID)
    second = machine_names("qemu:///system", other, "00000000-0000-0000-0000-000000000001")
    assert first[0] != second[0]


def test_machine_name_keeps_a_good_name_and_marks_a_changed_one() -> None:
    assert machine_names("qemu:///system", "web", UUID)[0] == "qemu-web"
    assert machine_names("qemu+unix:///system", "web.example", UUID)[0] == "qemu-web.example"
    first, second = machine_names("qemu:///system", "my web_1", UUID)
    assert first == second
    assert first.startswith("qemu-my-web-1-")
    assert machine_names("qemu:///system", "x" * 80, UUID)[0].startswith("qemu-xxx")
    # the same XML on two connections: the second name tells them apart
    assert machine_names("qemu:///system", "web", UUID)[1] != machine_names("qemu:///session", "web", UUID)[1]


def test_scope_units_name_both_candidates() -> None:
    first, second = scope_units("qemu:///system", "web", UUID)
    assert first == r"machine-qemu\x2dweb.scope"
    assert second.startswith(r"machine-qemu\x2dweb\x2d")
    assert len(scope_units("qemu:///system", "my web", UUID)) == 1


@pytest.mark.parametrize("name", ["-a", "a-", "a..b", ".a", "a.", "a_b", "a b", "", "x" * 65, "a.-b"])
def test_invalid_machine_names(name: str) -> None:
    assert not valid_machine_name(name)


@pytest.mark.parametrize(
    ("partition", "unit"),
    [
        ("", "machine.slice"),
        ("/", "machine.slice"),
        ("/machine", "machine.slice"),
        ("/machine/production", "machine-production.slice"),
        ("/machine/pre-prod/a b", r"machine-pre\x2dprod-a\x20b.slice"),
        ("production", "machine-production.slice"),
        ("/virtual//guests/", "virtual-guests.slice"),
    ],
)
def test_slice(partition: str, unit: str) -> None:
    assert slice_unit(partition) == unit


def request(**fields: object) -> ScopeRequest:
    facts: dict[str, object] = {"domain": "web", "uuid": UUID, "connection": "qemu:///system", "leader": 4711}
    return ScopeRequest(**{**facts, **fields})  # type: ignore[arg-type]


def test_properties_hold_the_order() -> None:
    unit = scope_unit("qemu-web")
    asked = request(
        after=("machine-qemu\\x2ddb.scope", unit, GUESTS_SERVICE, AUTOSTART_SERVICE, "machine-qemu\\x2ddb.scope"),
        engine_unit="app.service",
        partition="/machine/production",
        stop_timeout=62.5,
        limits=Limits(memory_max=1 << 30, cpu_weight=200),
    )
    given_ = {prop.name: prop.value for prop in scope_properties(asked, unit)}
    assert given_ == {
        "Description": "Virtual machine web (qemu:///system)",
        "Slice": "machine-production.slice",
        # neither itself, nor the guests service it may be started by
        "After": ["app.service", "machine-qemu\\x2ddb.scope"],
        "Before": [SHUTDOWN_TARGET],
        "TimeoutStopUSec": 62_500_000,
        "MemoryMax": 1 << 30,
        "CPUWeight": 200,
    }
    required = {prop.name for prop in scope_properties(asked, unit) if not prop.optional}
    assert required == {"After", "Before", "TimeoutStopUSec"}
    direct = {prop.name: prop.value for prop in transient_properties(asked, unit)}
    assert direct["PIDs"] == [4711]
    assert direct["Delegate"] is True
    assert direct["CollectMode"] == "inactive-or-failed"
    assert direct.items() >= given_.items()


def test_no_timeout_leaves_systemds_own() -> None:
    assert "TimeoutStopUSec" not in {prop.name for prop in scope_properties(request(), "machine-x.scope")}
    assert order_units(request(engine_unit=GUESTS_SERVICE), "machine-x.scope") == ()


def test_render_order() -> None:
    text = render_order(UnitOrder(after=("a.scope", "b\\x2dc.scope"), stop_timeout=61.2))
    assert text.splitlines()[1:] == [
        "[Unit]",
        f"Before={SHUTDOWN_TARGET}",
        "After=a.scope",
        "After=b\\x2dc.scope",
        "[Scope]",
        "TimeoutStopSec=62",
    ]
    assert "[Scope]" not in render_order(UnitOrder())


# ---------------------------------------------------------------------------- limits


def limits(tuning: str, vcpus: int = 2) -> Limits:
    return parse_limits(
        parse_domain(f"<domain type='kvm'><name>web</name><uuid>{UUID}</uuid><vcpu>{vcpus}</vcpu>{tuning}</domain>")
    )


def test_limits() -> None:
    assert limits("") is NO_LIMITS
    assert NO_LIMITS.properties() == []
    found = limits(
        """<cputune><shares>2048</shares><period>50000</period><quota>25000</quota>
             <emulator_quota>10000</emulator_quota></cputune>
           <memtune><hard_limit unit='GiB'>1</hard_limit><soft_limit unit='M'>512</soft_limit>
             <swap_hard_limit unit='G'>2</swap_hard_limit><min_guarantee>65536</min_guarantee></memtune>
           <blkiotune><weight>800</weight>
             <device><path>/dev/sda</path><weight>500</weight><read_bytes_sec>1000</read_bytes_sec></device>
             <device><path>/dev/sdb</path><write_iops_sec>20</write_iops_sec></device></blkiotune>"""
    )
    assert found == Limits(
        cpu_weight=2048,
        cpu_quota=2 * 500_000 + 100_000,  # half a CPU for each of two, and a tenth
        memory_max=1 << 30,
        memory_high=512 << 20,
        memory_low=64 << 20,
        swap_max=1 << 30,
        io_weight=800,
        devices=(
            DeviceLimit(path="/dev/sda", weight=500, read_bytes_sec=1000),
            DeviceLimit(path="/dev/sdb", write_iops_sec=20),
        ),
    )
    assert found.properties() == [
        ("CPUWeight", "t", 2048),
        ("CPUQuotaPerSecUSec", "t", 1_100_000),
        ("MemoryMax", "t", 1 << 30),
        ("MemoryHigh", "t", 512 << 20),
        ("MemoryLow", "t", 64 << 20),
        ("IOWeight", "t", 800),
        ("MemorySwapMax", "t", 1 << 30),
        ("IODeviceWeight", "a(st)", [("/dev/sda", 500)]),
        ("IOReadBandwidthMax", "a(st)", [("/dev/sda", 1000)]),
        ("IOWriteIOPSMax", "a(st)", [("/dev/sdb", 20)]),
    ]


def test_global_quota_goes_first_and_a_negative_one_is_none() -> None:
    assert limits("<cputune><global_quota>150000</global_quota><quota>1000</quota></cputune>").cpu_quota == 1_500_000
    assert limits("<cputune><quota>-1</quota></cputune>").cpu_quota == 0
    assert limits("<cputune><global_quota>-1</global_quota></cputune>").cpu_quota == 0
    assert limits("<cputune><shares>262144</shares></cputune>").cpu_weight == 10_000


@pytest.mark.parametrize(
    "tuning",
    [
        "<cputune><shares>many</shares></cputune>",
        "<cputune><shares>-1</shares></cputune>",
        "<memtune><hard_limit unit='parsec'>1</hard_limit></memtune>",
        "<memtune><soft_limit>1.5</soft_limit></memtune>",
        "<blkiotune><device><weight>100</weight></device></blkiotune>",
        "<blkiotune><weight>٣</weight></blkiotune>",
    ],
)
def test_bad_limits_are_named_with_their_line(tuning: str) -> None:
    with pytest.raises(ConfigError) as caught:
        limits(tuning)
    assert caught.value.line == 1


@given(st.integers(-(1 << 62), 1 << 62), st.integers(0, 1 << 62))
def test_no_number_overflows_a_property(quota: int, shares: int) -> None:
    tuning = f"<cputune><shares>{shares}</shares><quota>{quota}</quota></cputune>"
    for _, _, value in limits(tuning, vcpus=65535).properties():
        assert 0 < value < 1 << 64
