"""What hypervisors and hosts can do."""

from __future__ import annotations

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.domain_capabilities import CustomMode, DomainCapabilitiesDocument, HostModelMode

MODES = (
    "<mode name='host-passthrough' supported='yes'/><mode name='maximum' supported='yes'/>"
    "<mode name='host-model' supported='no'/><mode name='custom' supported='no'/>"
)


def capabilities(inside: str) -> str:
    return f"<domainCapabilities><path>/q</path><domain>kvm</domain><arch>x86_64</arch>{inside}</domainCapabilities>"


def wrong(text: str) -> list[str]:
    return [str(problem) for problem in validate(text)]


def test_each_cpu_mode_is_there_once() -> None:
    read = parse(capabilities(f"<cpu>{MODES}</cpu>"))
    assert isinstance(read, DomainCapabilitiesDocument)
    assert read.cpu is not None
    assert [type(mode) for mode in read.cpu.modes[2:]] == [HostModelMode, CustomMode]
    assert parse(format(read)) == read
    lacking = MODES.replace("maximum", "host-passthrough")
    assert wrong(capabilities(f"<cpu>{lacking}</cpu>")) == [
        "/domainCapabilities/cpu: the <mode> host-passthrough may be there only once",
        "/domainCapabilities/cpu: it lacks the <mode> maximum",
    ]


def test_a_no_counts_as_said() -> None:
    sgx = "<features><sgx supported='yes'><flc>no</flc><sgx1>no</sgx1><sgx2>no</sgx2>{}</sgx></features>"
    assert not wrong(capabilities(sgx.format("<section_size unit='KiB'>1</section_size>")))
    assert wrong(capabilities(sgx.format(""))) == [
        "/domainCapabilities/features/sgx: <flc> and <sgx1> and <sgx2> need <section_size>"
    ]


def test_a_host() -> None:
    cpu = "<cpu id='0' socket_id='0' die_id='0' core_id='0' siblings='0-1'/>"
    text = (
        "<capabilities><host><cpu><arch>x86_64</arch></cpu><topology><cells num='1'><cell id='0'>"
        f"<cpus num='1'>{cpu}</cpus></cell></cells></topology></host></capabilities>"
    )
    assert parse(format(parse(text))) == parse(text)
    assert wrong(text.replace(" die_id='0'", "")) == [
        "/capabilities/host/topology/cells/cell/cpus/cpu: 'socket_id' and 'core_id' and 'siblings' need 'die_id'"
    ]
