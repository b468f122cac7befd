"""Differences in words."""

from __future__ import annotations

from typing import Annotated, ClassVar

from lxml import etree
from support.shop import Box, Card, Cash, Lamp, Notes, Price, Rules, Shop

from engine.conf.documents import diff, parse
from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.values import CpuSet, MacAddress, SecretText, Uuid
from engine.conf.nodes.differences import differences
from engine.conf.nodes.node import Child, Definition
from engine.conf.nodes.reading import Found, read_node
from engine.conf.nodes.reading import told as problems_of
from engine.conf.nodes.values import Pattern, Written
from engine.conf.nodes.writing import write_document


def told(before: Shop, after: Shop) -> list[str]:
    return [str(difference) for difference in differences(before, after, "/shop")]


def test_values_that_are_there_and_not() -> None:
    before = Shop(owner="Ada", number=15, big=True)
    after = Shop(owner="Bob", number=16, shut=True, notes=Notes(content=("<x/>",)))
    assert told(before, after) == [
        "/shop/@number: '0xf' became '0x10'",
        "/shop/@big: 'yes' was removed",
        "/shop/owner: 'Ada' became 'Bob'",
        "/shop/shut: <shut/> was added",
        "/shop/notes: <notes><x/></notes> was added",
    ]
    assert told(after, before)[-1] == "/shop/notes: <notes><x/></notes> was removed"


def test_how_a_number_was_written_is_no_difference() -> None:
    assert told(Shop(owner="Ada", number=15), Shop(owner="Ada", number=Written(15, "0x0f"))) == []


def test_elements_with_a_name_are_compared_with_their_namesakes() -> None:
    desk = Lamp(name="desk", type_="lamp", price=Price(amount=5))
    before = Shop(owner="Ada", things=(desk, Box(name="crate"), Box(name="case")))
    after = Shop(owner="Ada", things=(Box(name="bin"), Box(name="case"), Lamp(name="desk", type_="lamp", watts=5)))
    assert told(before, after) == [
        "/shop/thing[@name='desk']/price: <price>5</price> was removed",
        "/shop/thing[@name='desk']/@watts: '0x0005' was added",
        "/shop/thing[@name='crate']: <thing name=\"crate\"/> was removed",
        "/shop/thing[@name='bin']: <thing name=\"bin\"/> was added",
        "/shop: the order thing[@name='desk'] thing[@name='case'] became thing[@name='case'] thing[@name='desk']",
    ]


def test_an_order_of_their_own() -> None:
    before = Shop(owner="Ada", things=(Box(name="a"), Box(name="b")))
    after = Shop(owner="Ada", things=(Box(name="b"), Box(name="a")))
    assert told(before, after) == [
        "/shop: the order thing[@name='a'] thing[@name='b'] became thing[@name='b'] thing[@name='a']"
    ]


def test_an_order_that_changes_beside_what_comes_and_goes() -> None:
    before = Shop(owner="Ada", things=(Box(name="a"), Box(name="gone"), Box(name="b")))
    after = Shop(owner="Ada", things=(Box(name="b"), Box(name="a"), Box(name="new")))
    assert told(before, after)[-1] == (
        "/shop: the order thing[@name='a'] thing[@name='b'] became thing[@name='b'] thing[@name='a']"
    )


class Nic(Definition):
    """What may be written in several ways."""

    kind: ClassVar[str] = "nic"
    known_by = ("mac",)
    mac: MacAddress | None = None
    uuid: Uuid | None = None
    cpus: CpuSet | None = None
    others: Annotated[tuple[Nic, ...], Child("nic")] = ()


def test_what_is_only_written_in_another_way_is_no_difference() -> None:
    uuid = "8f8fb1f5-6a3c-4c7b-8c58-0d2d8f7a1cab"
    one = Nic(mac="52:54:00:AB:CD:EF", uuid=uuid, cpus="0,1,2,^1", others=(Nic(mac="52:54:00:00:00:AA"),))
    other = Nic(
        mac="52:54:00:ab:cd:ef",
        uuid=uuid.replace("-", "").upper(),
        cpus="2,0",
        others=(Nic(mac="52:54:00:00:00:aa", cpus="0-99999999"),),
    )
    assert [str(each) for each in differences(one, other, "/nic")] == [
        "/nic/nic[@mac='52:54:00:00:00:aa']/@cpus: '0-99999999' was added"
    ]


def test_elements_without_a_name_are_compared_with_those_at_their_place() -> None:
    before = Shop(owner="Ada", pays=(Cash(amount=1), Card(number="2"), Cash(amount=3)))
    after = Shop(owner="Ada", pays=(Cash(amount=1), Card(number="2"), Cash(amount=4), Cash(amount=5)))
    assert told(before, after) == [
        "/shop/cash[2]/@amount: '3' became '4'",
        '/shop/cash[3]: <cash amount="5"/> was added',
    ]


def test_a_shape_that_became_another() -> None:
    before = Shop(owner="Ada", things=(Lamp(name="x", type_="lamp", watts=1),))
    after = Shop(owner="Ada", things=(Box(name="x", mode="open"),))
    assert told(before, after) == [
        "/shop/thing[@name='x']/@type: 'lamp' was removed",
        "/shop/thing[@name='x']/@watts: '0x0001' was removed",
        "/shop/thing[@name='x']/@mode: 'open' was added",
    ]


def test_texts_and_long_ones() -> None:
    before = Shop(owner="Ada", ours=("<a/>", "<b/>"), picked=Rules(a="x" * 500))
    after = Shop(owner="Ada", ours=("<b/>", "<c/>"), picked=Rules(a="y"))
    lines = told(before, after)
    assert lines[1:] == ["/shop: <a/> was removed", "/shop: <c/> was added"]
    assert len(lines[0]) < 200


class Purse(Definition):
    """With a secret in it, and a size.

    Attributes:
        pin: nobody's business.
    """

    kind: ClassVar[str] = "purse"
    pin: SecretText | None = None
    code: Annotated[str | None, Pattern("pinCode", "[0-9]{4}", "four digits", secret=True)] = None
    room: ScaledInteger | None = None
    inner: Purse | None = None


def test_secrets_are_not_shown() -> None:
    inner = Purse(pin="1234", code="5678")
    lines = [str(each) for each in differences(Purse(pin="1234"), Purse(pin="4321", inner=inner), "/purse")]
    assert lines == [
        "/purse/@pin: '***' became '***'",
        '/purse/inner: <inner pin="***" code="***"/> was added',
    ]
    assert 'pin="1234"' in write_document(inner)
    found: list[Found] = []
    read_node((Purse,), etree.fromstring("<purse code='hunter2'/>"), found)
    assert [str(problem) for problem in problems_of(found)] == ["/purse/@code: it is not four digits"]
    read = read_node((Purse,), etree.fromstring("<purse pin='hunter2'/>"), [])
    assert isinstance(read, Purse)
    assert read.pin == "hunter2"
    assert "hunter2" not in repr(read)


def test_sizes_are_compared_and_not_their_units() -> None:
    def purse(value: int, unit: str | None) -> Purse:
        return Purse(room=ScaledInteger(value=value, unit=unit))

    assert differences(purse(1, "MiB"), purse(1024, "KiB"), "/purse") == []
    assert len(differences(purse(1, None), purse(2, None), "/purse")) == 1
    assert len(differences(purse(1, "MiB"), purse(1024, None), "/purse")) == 2  # whose unit depends on where it stands
    [difference] = differences(purse(1, "MiB"), purse(1, "MB"), "/purse")
    assert str(difference) == "/purse/room/@unit: 'MiB' became 'MB'"


def test_what_is_left_out_of_account() -> None:
    before, after = Shop(owner="Ada", big=True), Shop(owner="Bob", big=False)
    skips = differences(before, after, "/shop", skips=lambda cls, name: (cls, name) == (Shop, "owner"))
    assert [str(difference) for difference in skips] == ["/shop/@big: 'yes' became 'no'"]


def differing(before: str, after: str) -> list[str]:
    head = "<domain type='qemu' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><name>a</name>"
    texts = (f"{head}{inside}</domain>" for inside in (before, after))
    return [str(each) for each in diff(*(parse(text, validate=False) for text in texts))]


def test_elements_of_another_namespace() -> None:
    one, two = "<q:arg value='-a'/>", "<q:arg value='-a'/><q:arg value='-b'/>"
    command = "<q:commandline>{}</q:commandline>".format
    xmlns = 'xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0"'
    assert differing(command(one), command(two)) == [
        f'/domain/qemu:commandline/qemu:arg[2]: <qemu:arg {xmlns} value="-b"/> was added'
    ]
    assert differing(command(""), "") == [f"/domain/qemu:commandline: <qemu:commandline {xmlns}/> was removed"]


def test_nothing_that_is_called_a_secret_is_shown_though_it_is_not_declared() -> None:
    vnc = "<devices><graphics type='vnc' vncpasswd='hunter3'/></devices>"
    lines = differing("<devices/>", vnc)
    lines += differing(vnc, vnc.replace("hunter3", "hunter4"))
    lines += differing("", "<access><password a='hunter5'>hunter6</password><user>ada</user></access>")
    lines += differing("<metadata><x:y xmlns:x='urn:x' token='hunter7'/></metadata>", "<metadata/>")
    assert len(lines) == 4
    assert not [line for line in lines if "hunter" in line]
    assert "<user>ada</user>" in lines[2]


def test_an_order_of_texts_that_changes_beside_what_comes_and_goes() -> None:
    before, after = ("".join(f"<x:{name} xmlns:x='urn:x'/>" for name in names) for names in ("abc", "bad"))
    lines = differing(f"<metadata>{before}</metadata>", f"<metadata>{after}</metadata>")
    assert [line.split(": ")[1][:9] for line in lines] == ["<x:c xmln", "<x:d xmln", "the order"]


def test_sizes_have_the_unit_of_their_place() -> None:
    gib = "<memtune><hard_limit unit='G'>1</hard_limit></memtune>"
    assert differing(gib, "<memtune><hard_limit>1048576</hard_limit></memtune>") == []
    assert differing(gib, "<memtune><hard_limit>1048577</hard_limit></memtune>") != []
    cell = "<cpu><numa><cell id='0' cpus='0-1' {}/></numa></cpu>".format
    assert differing(cell("memory='1' unit='G'"), cell("memory='1048576'").replace("0-1", "0,1")) == []


def test_white_space_in_values_is_seen() -> None:
    assert differing("<title> x</title>", "<title>x </title>") == ["/domain/title: ' x' became 'x '"]
