"""How an element is declared: a frozen struct, of which each field says by its annotation where its value stands.

::

    class Target(Node):
        '''Where the guest sees the disk.

        Attributes:
            dev: the name ...
        '''
        dev: TargetName                                   the attribute ``dev``, required
        bus: Literal["ide", "virtio"] | None = None       the attribute ``bus``; None: it is not there
        type_: str | None = None                          the attribute ``type``: a ``_`` at the end is cut off
        rotation: Annotated[UnsignedInt | None, Attr("rotation_rate")] = None      an attribute of another name
        path: Annotated[FilePath | None, Body] = None     the element's own text
        serial: Annotated[str | None, Text] = None        the text of the child <serial>, which has no attributes
        wwn: Annotated[Wwn | None, Text("WWN")] = None    ... of another name
        names: Annotated[tuple[str, ...], Text("name")] = ()     the texts of all children <name>
        readonly: Annotated[bool, Flag] = False           there is a child <readonly/>, with nothing in it
        driver: Driver | None = None                      the child <driver>
        disks: Annotated[tuple[Disk, ...], Child("disk")] = ()   every child <disk>, in order
        entries: Annotated[tuple[Rule | Ref, ...], Children({"rule": Rule, "ref": Ref})] = ()   of both, in order
        anything: Annotated[tuple[str, ...], Open] = ()   every child that is not declared, as XML text
        commandline: Annotated[Commandline | None, Child("commandline", namespace=QEMU)] = None

A field that may be missing has None (or False, or an empty tuple) for "it is not there", never the value that libvirt
would take then: so what was not written is not written again. Where an element has several shapes, the annotation is a
union of nodes, ``source: FileSource | BlockSource``, or ``tuple[FileDisk | BlockDisk, ...]``: the shape is the one
whose attributes with ``Literal`` values fit, and the texts of such values in children that it must have; if that fits
several, it is the first that has no problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, dataclass_transform

import msgspec

__all__ = [
    "Attr",
    "Body",
    "Child",
    "Children",
    "Definition",
    "Flag",
    "Node",
    "Open",
    "Other",
    "Place",
    "Rule",
    "Text",
    "at_least_one",
    "at_most_one",
    "exactly_one",
    "needs",
    "together",
    "walk",
]


class Place:
    """Where a value stands; ``name``: "" for the field's own."""

    def __init__(self, name: str = "", *, namespace: str = "") -> None:
        self.name = f"{{{namespace}}}{name}" if namespace else name


class Attr(Place):
    """An attribute."""


class Body(Place):
    """The element's own text."""


class Text(Place):
    """The text of a child that has no attributes."""


class Flag(Place):
    """A child with nothing in it, which is there or not."""


class Child(Place):
    """A child, or for a tuple all of that name."""


class Children(Place):
    """Children of several names, in order."""

    def __init__(self, tags: Mapping[str, Any]) -> None:
        super().__init__()
        self.tags = tags


class Open(Place):
    """All children that are not declared, as XML text. ``namespace``: only of that; "##any": even without one."""

    def __init__(self, namespace: str = "##other") -> None:
        super().__init__()
        self.namespace = namespace


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """What a document holds that is not declared, and is kept: attributes with values, children as XML text."""

    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """Which of some fields may be there with which."""

    kind: str
    fields: tuple[str, ...]

    def there(self, values: Mapping[str, Any]) -> list[str]:
        """Which of its fields are there."""
        return [name for name in self.fields if _is_there(values.get(name))]

    def is_broken(self, there: list[str]) -> bool:
        number = len(there)
        match self.kind:
            case "exactly one":
                return number != 1
            case "at most one":
                return number > 1
            case "at least one":
                return number == 0
            case "together":
                return 0 < number < len(self.fields)
        return self.fields[0] in there and number < len(self.fields)  # it needs the others


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, list | tuple) and not value)


def exactly_one(*fields: str) -> Rule:
    """One of them is there, and only one."""
    return Rule("exactly one", fields)


def at_most_one(*fields: str) -> Rule:
    return Rule("at most one", fields)


def at_least_one(*fields: str) -> Rule:
    return Rule("at least one", fields)


def together(*fields: str) -> Rule:
    """All of them or none."""
    return Rule("together", fields)


def needs(field: str, *others: str) -> Rule:
    """If the first is there, so are the others."""
    return Rule("needs", (field, *others))


class NodeMeta(msgspec.StructMeta):
    """Makes structs that are frozen, take keywords only, and are compared by ``Node``."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        options = {"frozen": True, "kw_only": True, "eq": False, "gc": False} | options
        return super().__new__(cls, name, bases, namespace, **options)


@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=False)
class Node(msgspec.Struct, metaclass=NodeMeta, frozen=True):
    """One element. Nodes are equal if their fields are, wherever they stood.

    Attributes:
        line: where it stands in its document; 0: it was not written there.
        other: what it holds that is not declared.
    """

    line: int = 0
    other: Other | None = None
    #: The fields that make no difference.
    not_compared: ClassVar[frozenset[str]] = frozenset({"line"})
    #: Which fields may be there with which.
    rules: ClassVar[tuple[Rule, ...]] = ()
    #: What tells it from its like, the first that it has of these: fields, ``target.dev``, or several with spaces.
    known_by: ClassVar[tuple[str, ...]] = ()
    #: Those children that are written first, where that is not the order of the declarations.
    comes_first: ClassVar[tuple[str, ...]] = ()
    #: Of a base class: its fields are written after those of its subclasses.
    comes_last: ClassVar[bool] = False
    #: Of a size, the fields of the number and of its unit: a number of another unit may be the same.
    size_fields: ClassVar[tuple[str, ...]] = ()
    #: The unit of a size that has none; "": that depends on where it stands.
    default_unit: ClassVar[str] = ""
    #: The unit of those sizes in it that have none of these.
    unit_inside: ClassVar[str] = ""

    def check(self) -> Iterator[str]:
        """What is wrong with it that no declaration says, as clauses."""
        yield from ()

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        apart = self.not_compared
        return all(getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name not in apart)

    def __ne__(self, other: object) -> bool:
        return not self == other  # else the struct's own would compare identities

    def __hash__(self) -> int:
        apart = self.not_compared
        return hash((type(self), *(getattr(self, name) for name in self.__struct_fields__ if name not in apart)))


def walk(node: Node) -> Iterator[Node]:
    """The node, and all nodes in it."""
    yield node
    for name in node.__struct_fields__:
        value = getattr(node, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Node):
                yield from walk(each)


class Definition(Node):
    """A whole document.

    Attributes:
        source: the file it came from, or None.
    """

    not_compared = frozenset({"line", "source"})
    source: str | None = None
    #: The tag of its root.
    kind: ClassVar[str] = ""

    def unsound(self) -> Iterator[tuple[Node, str, str]]:
        """What is there twice, or named and not there: the node, the reason, the severity ("error", "warning")."""
        yield from ()
