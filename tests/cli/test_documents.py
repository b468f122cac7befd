"""``validate``, ``diff``, ``schema``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

GOOD = "<secret ephemeral='no'>\n  <usage type='volume'><volume>/a</volume></usage>\n</secret>\n"
BAD = "<secret ephemeral='ja' privat='no'>\n  <usage type='volum'/>\n</secret>\n"
PROGRAM = (sys.executable, "-c", "from engine.cli.main import run; run()")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    (folder / "deep").mkdir(parents=True)
    (folder / "good.xml").write_text(GOOD)
    (folder / "deep" / "bad.xml").write_text(BAD)
    (folder / "deep" / "notes.txt").write_text("no XML")
    return folder


def test_a_valid_document_is_passed_in_silence(virengine, folder):
    result = virengine("validate", str(folder / "good.xml"))
    assert (result.stdout, result.stderr) == ("", "")


def test_all_that_is_wrong_is_one_line_each_with_its_place(virengine, folder):
    bad = folder / "deep" / "bad.xml"
    assert virengine("validate", str(folder), code=1).stdout.splitlines() == [
        f"{bad}:1: /secret/@ephemeral: 'ja' is none of yes, no",
        f"{bad}:1: /secret/@privat: unknown attribute 'privat' (did you mean 'private'?)",
        f"{bad}:2: /secret/usage/@type: 'volum' is none of volume, iscsi, ceph, tls, vtpm (did you mean 'volume'?)",
    ]


def test_validate_reads_standard_input(virengine):
    assert virengine("validate", "-", input=GOOD.encode()).stdout == ""
    assert virengine("validate", "-", input=b"<secret>", code=1).stdout.startswith("-:1: /: not well-formed XML")


def test_validate_goes_on_after_what_can_not_be_read(virengine, folder):
    result = virengine("validate", "/nowhere.xml", str(folder / "deep" / "bad.xml"), code=1)
    lines = result.stdout.splitlines()
    assert lines[0] == "/nowhere.xml:1: /: no such file or directory"
    assert len(lines) == 4


def test_validate_for_programs(virengine, folder):
    told = json.loads(virengine("validate", "--json", str(folder), code=1).stdout)
    assert told[1] == {
        "file": str(folder / "deep" / "bad.xml"),
        "line": 1,
        "xpath": "/secret/@privat",
        "reason": "unknown attribute 'privat' (did you mean 'private'?)",
        "value": "privat",
        "allowed": ["ephemeral", "private"],
        "severity": "error",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<nothing/>", "<nothing> is no kind of document that is known"),
        ("<secrets/>", "(did you mean 'secret'?)"),
        ("<!DOCTYPE x [<!ENTITY y 'z'>]><secret/>", "a document type declaration is not allowed"),
    ],
)
def test_validate_refuses_what_is_no_document(virengine, tmp_path, text, reason):
    (tmp_path / "x.xml").write_text(text)
    assert reason in virengine("validate", str(tmp_path / "x.xml"), code=1).stdout


def test_diff_tells_in_words_and_by_its_exit_code(virengine, folder):
    other = folder / "other.xml"
    other.write_text(GOOD.replace("'no'", "'yes'").replace("/a", "/b"))
    result = virengine("diff", str(folder / "good.xml"), str(other), code=1)
    assert result.stdout.splitlines() == [
        "/secret/@ephemeral: 'no' became 'yes'",
        "/secret/usage/volume: '/a' became '/b'",
    ]
    [first, _] = json.loads(virengine("diff", "--json", str(folder / "good.xml"), str(other), code=1).stdout)
    assert first == {"xpath": "/secret/@ephemeral", "kind": "changed", "of": "value", "before": "no", "after": "yes"}


def test_diff_of_the_same_in_another_layout_is_nothing(virengine, folder):
    other = folder / "other.xml"
    other.write_text('<secret ephemeral="no"><!-- x --><usage type="volume"> <volume>/a</volume></usage></secret>')
    assert virengine("diff", str(folder / "good.xml"), str(other)).stdout == ""


MINIMAL = "<domain type='test'><name>{}</name><memory>1</memory><os><type>hvm</type></os>{}</domain>"
ORDER = "<metadata><o:order xmlns:o='urn:virengine:order:1'><o:requiers domain='db'/></o:order></metadata>"


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("a", ORDER, "unknown element (did you mean 'requires'?)"),
        ("..", "", "is not a name"),
        ("a\u200b", "", "may not hold line ends or other unprintable characters"),
        ("a", "<vcpu current='3'>2</vcpu>", "there can't be 3 CPUs of 2"),
    ],
)
def test_validate_warns_of_what_define_refuses(virengine, tmp_path, name, more, reason):
    (tmp_path / "x.xml").write_text(MINIMAL.format(name, more))
    told = virengine("validate", str(tmp_path / "x.xml")).stdout
    assert "warning: " in told
    assert reason in told
    assert virengine("validate", "--strict", str(tmp_path / "x.xml"), code=1).stdout == told
    assert reason in virengine("define", str(tmp_path / "x.xml"), code=1).stderr


def test_a_folder_without_documents_is_told_of(virengine, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "there is no file here that ends in .xml" in virengine("validate", str(tmp_path / "empty")).stderr
    assert virengine("validate", "", code=1).stdout == ":1: /: no such file or directory\n"


def test_names_of_files_that_are_no_text(virengine, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.xml")
    Path(path).write_text(BAD)
    [first, *_] = json.loads(virengine("validate", "--json", path, code=1).stdout)
    assert first["file"] == f"{tmp_path}/\ufffd.xml"


def test_documents_are_written_in_utf_8(tmp_path):
    path = tmp_path / "x.xml"
    path.write_text(MINIMAL.format("w\u00e9b", ""))
    command = [*PROGRAM, "complete", str(path)]
    ended = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE, check=True)
    assert "<name>w\u00e9b</name>" in ended.stdout.decode()


def test_standard_input_that_is_closed():
    command = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM, "validate", "-"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "-:1: /: it is closed\n", "")


def test_diff_of_what_a_guest_would_see(virengine, tmp_path):
    one, other, third = (tmp_path / name for name in ("one.xml", "other.xml", "third.xml"))
    one.write_text(MINIMAL.format("a", ""))
    other.write_text(MINIMAL.format("a", "<description>else</description>"))
    third.write_text(MINIMAL.format("a", "<features><acpi/></features>"))
    assert virengine("diff", "--abi", str(one), str(other)).stdout == ""
    assert virengine("diff", "--abi", str(one), str(third), code=1).stdout == (
        "/domain/features: <features><acpi/></features> was added\n"
    )
    (tmp_path / "secret.xml").write_text(GOOD)
    secret = str(tmp_path / "secret.xml")
    assert "<secret> is no guest" in virengine("diff", "--abi", secret, secret, code=2).stderr


def test_diff_of_what_can_not_be_compared(virengine, folder):
    broken = folder / "broken.xml"
    broken.write_text("<network>")
    for other, reason in ((broken, "not well-formed"), (folder / "none.xml", "no such file")):
        result = virengine("diff", str(folder / "good.xml"), str(other), code=2)
        assert reason in result.stderr
        assert result.stdout == ""


def test_of_a_folder_nothing_that_is_named_so_is_passed_over(virengine, folder):
    (folder / "BAD.XML").write_text(BAD)
    (folder / "dangling.xml").symlink_to("/nowhere")
    told = virengine("validate", str(folder), code=1).stdout
    assert f"{folder}/BAD.XML:1: " in told
    assert f"{folder}/dangling.xml:1: /: no such file or directory" in told


def test_schema_prints_what_editors_take(virengine):
    schema = etree.XMLSchema(etree.fromstring(virengine("schema", "secret").stdout.encode()))
    assert schema.validate(etree.fromstring(GOOD))
    assert not schema.validate(etree.fromstring(BAD))


@pytest.mark.parametrize(("name", "root"), [("storagepool", "pool"), ("nodedev", "device"), ("nwfilter", "filter")])
def test_kinds_have_libvirts_names_too(virengine, tmp_path, name, root):
    assert f'<xs:element name="{root}"' in virengine("schema", name).stdout
    (tmp_path / "x.xml").write_text(f"<{name}/>")
    assert f"(did you mean '{root}'?)" in virengine("validate", str(tmp_path / "x.xml"), code=1).stdout


def test_schema_of_what_is_none(virengine):
    assert "did you mean 'secret'" in virengine("schema", "secrets", code=2).stderr


DOMAIN = """<domain type='qemu'>
  <name>web</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
  </devices>
</domain>
"""
VMX = """config.version = "8"
virtualHW.version = "4"
displayName = "web"
guestOS = "other-64"
memsize = "64"
weird.key = "1"
"""


def test_complete_adds_what_libvirt_adds(virengine):
    first, second = (virengine("complete", "--seed", "7", "-", input=DOMAIN.encode()).stdout for _ in range(2))
    assert first == second
    root = etree.fromstring(first)
    assert root.find("devices/disk/address").get("type") == "pci"
    assert root.find("devices/interface/mac").get("address").startswith("52:54:00:")
    assert root.findtext("uuid")
    assert root.find("devices/controller[@model='pcie-root']") is not None
    assert root.find("memory").get("unit") == "KiB"
    assert virengine("validate", "-", input=first.encode()).stdout == ""
    assert virengine("complete", "--seed", "7", "-", input=first.encode()).stdout == first


def test_what_a_conversion_can_not_carry_over_is_told(virengine, tmp_path):
    file = tmp_path / "web.vmx"
    file.write_text(VMX)
    result = virengine("domxml-from-native", "vmware-vmx", str(file))
    assert f"virengine: warning: {file}:6: weird.key: " in result.stderr
    assert etree.fromstring(result.stdout).findtext("name") == "web"
    assert (
        'displayName = "web"' in virengine("domxml-to-native", "vmware-vmx", "-", input=result.stdout.encode()).stdout
    )


def test_files_of_a_vmx_are_in_its_own_folder(virengine, tmp_path):
    text = VMX + 'scsi0.present = "TRUE"\nscsi0:0.present = "TRUE"\nscsi0:0.fileName = "a.vmdk"\n'
    (tmp_path / "web.vmx").write_text(text)
    read = virengine("domxml-from-native", "vmware-vmx", str(tmp_path / "web.vmx"))
    assert etree.fromstring(read.stdout).find("devices/disk/source").get("file") == f"{tmp_path}/a.vmdk"
    assert virengine("validate", "-", input=read.stdout.encode()).stdout == ""
    written = virengine("domxml-to-native", "vmware-vmx", "-", input=read.stdout.encode())
    assert f'scsi0:0.fileName = "{tmp_path}/a.vmdk"' in written.stdout

    unknown = virengine("domxml-from-native", "vmware-vmx", "-", input=text.encode())
    line = text.count("\n")
    assert f"-:{line}: scsi0:0.fileName: a domain with this can't be defined: 'a.vmdk' is not an" in unknown.stderr


def test_the_command_line_of_qemu_is_shown(virengine):
    lines = virengine("domxml-to-native", "qemu-argv", "-", input=DOMAIN.encode()).stdout.splitlines()
    assert lines[0].startswith("qemu-system-x86_64")
    assert any(line.startswith("-machine") and "q35" in line for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1])


@pytest.mark.parametrize(
    ("command", "format", "text", "reason"),
    [
        ("domxml-from-native", "vmware", VMX, "'vmware' is no format for this"),
        ("domxml-from-native", "vmware-vmx", "no key", "standard input:1: "),
        ("domxml-to-native", "lxc-tools", DOMAIN, "'lxc-tools' is no format for this"),
        ("domxml-to-native", "xen-xl", "<network><name>n</name></network>", "expected <domain>, found <network>"),
        ("domxml-to-native", "xen-xl", DOMAIN, "type 'qemu'"),
        ("domxml-to-native", "qemu-argv", DOMAIN.replace("virtio'/></d", "usb'/></d"), "standard input:5: "),
    ],
)
def test_what_can_not_be_converted_is_refused_in_a_sentence(virengine, command, format, text, reason):
    result = virengine(command, format, "-", input=text.encode(), code=1)
    assert reason in result.stderr
    assert result.stdout == ""
