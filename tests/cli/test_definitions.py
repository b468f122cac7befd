"""``define``, ``undefine``, ``autostart``, ``dumpxml``."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_define_says_what_and_from_where(virengine):
    path = virengine.document("web")
    assert virengine("define", path).stdout == f"Domain 'web' defined from {path}\n"
    assert "<name>web</name>" in virengine("dumpxml", "web").stdout
    [domain] = virengine.json("list")
    assert domain["name"] == "web"
    assert domain["state"] == "shut off"


def test_define_tells_all_that_is_wrong_and_takes_it_if_it_is_told_to(virengine):
    path = virengine.folder / "bad.xml"
    path.write_text(
        "<domain type='test'>\n<name>web</name><memory>1024</memory>\n<clok/><clock offset='utk'/></domain>\n"
    )
    said = virengine("define", str(path), code=1).stderr
    words = "'utk' is none of utc, localtime, timezone, variable, absolute (did you mean 'utc'?)"
    assert said == (
        f"virengine: error: {path}:3: /domain/clok: unknown <clok> (did you mean 'clock'?)\n"
        f"virengine: error: {path}:3: /domain/clock/@offset: {words}\n"
    )
    assert "'web' defined" in virengine("define", "--no-validate", str(path)).stdout
    assert "<clok/>" in virengine("dumpxml", "web").stdout


def test_of_very_much_that_is_wrong_define_tells_the_beginning(virengine):
    path = virengine.folder / "bad.xml"
    path.write_text(f"<domain type='test'><name>web</name><memory>1024</memory>{'<x/>' * 30}</domain>")
    lines = virengine("define", str(path), code=1).stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "virengine: error: there are 10 problems more: 'virengine validate' tells all"


def test_define_takes_several_and_standard_input(virengine):
    virengine("define", virengine.document("a"), virengine.document("b"))
    text = Path(virengine.document("c")).read_bytes()
    assert virengine("define", "-", input=text).stdout == "Domain 'c' defined from standard input\n"
    assert virengine("list", "--all", "--name").stdout.split() == ["a", "b", "c"]


def test_define_tells_file_and_line_of_a_mistake(virengine):
    path = virengine.folder / "bad.xml"
    path.write_text("<domain type='test'>\n  <name>web</name>\n  <vcpu>none</vcpu>\n</domain>\n")
    result = virengine("define", str(path), code=1)
    assert result.stderr == f"virengine: error: {path}:3: /domain/vcpu: 'none' is not a whole number from 1 to 65535\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("text", "reason"), [("<domain", "not well-formed XML"), ("", "not well-formed"), ("<net/>", "expected <domain>")]
)
def test_define_refuses_what_is_no_domain_in_one_line(virengine, text, reason):
    path = virengine.folder / "bad.xml"
    path.write_text(text)
    result = virengine("define", str(path), code=1)
    assert result.stderr.startswith(f"virengine: error: {path}:")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_define_refuses_a_file_that_can_not_be_read(virengine):
    missing = virengine.folder / "missing.xml"
    assert (
        virengine("define", str(missing), code=1).stderr == f"virengine: error: {missing}: no such file or directory\n"
    )
    assert "is a directory" in virengine("define", str(virengine.folder), code=1).stderr


def test_nothing_is_defined_when_one_of_the_files_is_missing(virengine):
    virengine("define", virengine.document("a"), "/nowhere/b.xml", code=1)
    assert virengine.json("list") == []


def test_define_reads_no_more_than_a_document_may_have(virengine):
    assert "/dev/zero" in virengine("define", "/dev/zero", code=1).stderr


def test_a_circle_in_the_order_is_told_with_its_path(virengine):
    virengine.define("a", order="<order:after domain='b'/>")
    result = virengine("define", virengine.document("b", order="<order:after domain='a'/>"), code=1)
    assert "the order runs in a circle: b -> a -> b" in result.stderr


def test_undefine(virengine):
    virengine.define("web")
    assert virengine("undefine", "web").stdout == "Domain 'web' has been undefined\n"
    assert virengine.json("list") == []
    virengine("undefine", "web", code=3)


def test_undefine_keeps_a_managed_save_unless_told(virengine):
    virengine.define("web")
    virengine("start", "web")
    virengine("managedsave", "web")
    assert "--managed-save" in virengine("undefine", "web", code=1).stderr
    virengine("undefine", "web", "--managed-save")
    assert virengine.json("list") == []


def test_autostart(virengine):
    virengine.define("web")
    assert virengine("autostart", "web").stdout == "Domain 'web' marked as autostarted\n"
    assert virengine.json("info", "web")["autostart"] is True
    assert virengine("autostart", "web", "--disable").stdout == "Domain 'web' unmarked as autostarted\n"
    assert virengine.json("info", "web")["autostart"] is False


def test_dumpxml_shows_the_live_definition_or_the_next_one(virengine):
    virengine.define("web")
    virengine("start", "web")
    old = virengine("dumpxml", "web").stdout
    uuid = virengine.json("info", "web")["uuid"]
    path = virengine.folder / "web.xml"
    path.write_text(f"<domain type='test'><name>web</name><uuid>{uuid}</uuid><vcpu>7</vcpu></domain>")
    virengine("define", str(path))
    assert virengine("dumpxml", "web").stdout == old
    assert "<vcpu>7</vcpu>" in virengine("dumpxml", "web", "--inactive").stdout


def test_define_takes_virshs_validate(virengine):
    assert "Domain 'web' defined" in virengine("define", "--validate", virengine.document("web")).stdout
