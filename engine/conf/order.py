"""What a domain declares about its order: edges, gates, ladder; ``engine.shutdown.graph`` makes the graph of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec

from engine.conf.document import attribute, line_of, local_name, suggest
from engine.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml.etree import _Element as Element

__all__ = [
    "DEFAULT_LADDER",
    "ORDER_NAMESPACE",
    "Edge",
    "Gate",
    "Order",
    "Sleep",
    "StopStep",
    "order_problems",
    "parse_order",
    "wrong_host",
    "wrong_pattern",
    "wrong_url",
]

#: The namespace of our elements inside ``<metadata>``.
ORDER_NAMESPACE = "urn:virengine:order:1"

When = Literal["both", "start", "stop"]
#: What becomes of a domain while the host sleeps.
Sleep = Literal["save", "pause", "nothing"]


class Edge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """``web after db``: the domain that declares it comes up after ``domain`` and goes down before it.

    Attributes:
        domain: the name it is ordered after.
        kind: ``requires`` (a failed start of it fails this one) or ``after`` (order only).
        when: ``both``, or only for ``start`` or ``stop``.
        line: of the XML or policy file, 0 if unknown.
    """

    domain: str
    kind: Literal["requires", "after"] = "after"
    when: When = "both"
    line: int = 0


class Gate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What makes a domain ready.

    Attributes:
        kind: ``running`` | ``agent`` | ``tcp`` | ``http`` | ``serial`` | ``delay``.
        timeout: seconds before it has failed.
        on_timeout: ``fail`` or ``go-on`` (dependents start all the same).
        host, port: for ``tcp``; url, status: for ``http``; pattern: regular expression for ``serial``;
        seconds: for ``delay``.
    """

    kind: Literal["running", "agent", "tcp", "http", "serial", "delay"] = "running"
    timeout: float = 60.0
    on_timeout: Literal["fail", "go-on"] = "fail"
    host: str = ""
    port: int = 0
    url: str = ""
    status: int = 200
    pattern: str = ""
    seconds: float = 0.0
    line: int = 0


class StopStep(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One step of a stop ladder.

    Attributes:
        method: ``agent`` | ``acpi`` | ``save`` | ``destroy``.
        timeout: seconds it is given; repeat: seconds after which it is asked again (0: once).
    """

    method: Literal["agent", "acpi", "save", "destroy"]
    timeout: float
    repeat: float = 0.0
    line: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that one domain (or one rule of a policy) declares.

    Attributes:
        edges: see ``Edge``.
        gates: all must pass for the domain to be ready; empty: ``running``.
        ladder: stop steps in turn; empty: the default ladder.
        tags: names a policy can match by.
        on_stop_failure: ``hold`` keeps what depends on this domain's being gone from stopping; ``go-on`` does not.
            None: the engine's policy.
        sleep: before the host sleeps it is saved to disk, paused, or left running (``nothing``), and brought back
            after. None: the engine's policy.
    """

    edges: tuple[Edge, ...] = ()
    gates: tuple[Gate, ...] = ()
    ladder: tuple[StopStep, ...] = ()
    tags: tuple[str, ...] = ()
    on_stop_failure: Literal["hold", "go-on"] | None = None
    sleep: Sleep | None = None


#: Without a ladder of its own a domain is stopped so: agent if it answers, acpi, save. Never destroy.
DEFAULT_LADDER = (
    StopStep(method="agent", timeout=30.0),
    StopStep(method="acpi", timeout=120.0, repeat=10.0),
    StopStep(method="save", timeout=120.0),
)


_LONGEST_LABEL = 63  # RFC 1035
_SHOWN = 60  # characters of what is too long to be shown


def wrong_host(host: str) -> str:
    """Why nothing can be called so that a gate connects to, or ""."""
    labels = host.removesuffix(".").split(".")
    if all(0 < len(label) <= _LONGEST_LABEL for label in labels) and host.isprintable() and " " not in host:
        return ""
    return f"'{host}' is neither the name nor the address of a host"


def wrong_url(url: str) -> str:
    """Why a gate can't ask this address, or ""."""
    if not url.startswith(("http://", "https://")):
        return f"'{url}' is not an http:// or https:// address"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        return f"not an address: {exc}"
    if not host or port == 0:
        return f"not an address: {'its port is 0' if host else 'it names no host'}"
    return wrong_host(host)


def wrong_pattern(pattern: str) -> str:
    """Why nothing can be searched for by this regular expression, or ""."""
    try:
        re.compile(pattern)
    except RecursionError:
        return f"'{pattern[:_SHOWN]}...' is not a regular expression: nested too deeply"
    except (re.error, OverflowError, ValueError) as exc:  # the latter two: numbers it can't take
        return f"'{pattern}' is not a regular expression: {exc}"
    return ""


# ---------------------------------------------------------------------------- from XML

_GATE_FIELDS = {"tcp": ("host", "port"), "http": ("url",), "serial": ("pattern",), "delay": ("seconds",)}
_GATES = ("running", "agent", "tcp", "http", "serial", "delay")
_DIGITS = re.compile("[0-9]{1,9}")  # not str.isdigit: int() takes fewer signs than that
_METHODS = ("agent", "acpi", "save", "destroy")
_SLEEPS = ("save", "pause", "nothing")
_ELEMENTS = ("requires", "after", "ready", "stop", "sleep", "tag")


class _Reader:
    """Reads one element's attributes; every complaint carries file and line."""

    def __init__(self, element: Element, source: str | None) -> None:
        self.element = element
        self.source = source
        self.line = line_of(element) or 0

    def fail(self, reason: str) -> ConfigError:
        return ConfigError(f"<order:{local_name(self.element)}>: {reason}", source=self.source, line=self.line or None)

    def only(self, *known: str) -> None:
        for name in map(str, self.element.keys()):
            if name not in known:
                raise self.fail(f"unknown attribute '{name}'{suggest(name, known)}")

    def text(self, name: str) -> str:
        return attribute(self.element, name, source=self.source)

    def choice(self, name: str, known: tuple[str, ...], default: str | None = None) -> Any:
        value = self.element.get(name, default)
        if value is None:
            value = self.text(name)
        if value not in known:
            raise self.fail(f"{name}='{value}' is not one of {', '.join(known)}{suggest(value, known)}")
        return value

    def seconds(self, name: str, default: float, *, least: float = 0.0) -> float:
        value = self.element.get(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not least <= number < 1e9:
            raise self.fail(f"{name}='{value}' is not a number of seconds")
        return number

    def number(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value = self.element.get(name) if default is not None else self.text(name)
        if value is None and default is not None:
            return default
        if value is None or not _DIGITS.fullmatch(value) or not low <= int(value) <= high:
            raise self.fail(f"{name}='{value}' is not a number from {low} to {high}")
        return int(value)


def parse_order(element: Element, *, source: str | None = None) -> Order:
    """``<order:order>`` as data.

    Raises:
        ConfigError: an unknown element, attribute or value, with its line.
    """
    parts = _Parts()
    for child in element:
        parts.take(child, source)
    return parts.order()


def order_problems(element: Element, name: str) -> list[Problem]:
    """All that is wrong with the ``<order:order>`` of a domain of that name, in each of its elements."""
    found: list[Problem] = []
    for child in element:
        parts = _Parts()
        try:
            parts.take(child, None)
            if any(edge.domain == name for edge in parts.edges):
                raise ConfigError(f"'{name}' is ordered after itself", line=line_of(child))
        except ConfigError as exc:
            xpath = child.getroottree().getpath(child)
            found.append(Problem(line=exc.line or 1, xpath=xpath, reason=exc.reason))
    return found


class _Parts:
    """What an order is made of, as it is gathered."""

    def __init__(self) -> None:
        self.edges: list[Edge] = []
        self.gates: list[Gate] = []
        self.ladder: list[StopStep] = []
        self.tags: list[str] = []
        self.on_failure: Literal["hold", "go-on"] | None = None
        self.sleep: Sleep | None = None

    def take(self, child: Element, source: str | None) -> None:
        """Raises ConfigError."""
        reader = _Reader(child, source)
        match local_name(child):
            case "requires" | "after" as kind:
                self.edges.append(_edge(reader, kind))
            case "ready":
                self.gates.append(_gate(reader))
            case "stop":
                reader.only("on-failure")
                if child.get("on-failure") is not None:
                    self.on_failure = reader.choice("on-failure", ("hold", "go-on"))
                self.ladder.extend(_step(_Reader(step, source)) for step in child if local_name(step))
            case "tag":
                reader.only("name")
                self.tags.append(reader.text("name"))
            case "sleep":
                reader.only("method")
                self.sleep = reader.choice("method", _SLEEPS)
            case "":
                pass  # a comment
            case other:
                raise reader.fail(f"unknown element{suggest(other, _ELEMENTS)}")

    def order(self) -> Order:
        return Order(
            edges=tuple(self.edges),
            gates=tuple(self.gates),
            ladder=tuple(self.ladder),
            tags=tuple(self.tags),
            on_stop_failure=self.on_failure,
            sleep=self.sleep,
        )


def _edge(reader: _Reader, kind: Literal["requires", "after"]) -> Edge:
    reader.only("domain", "when")
    when: When = reader.choice("when", ("both", "start", "stop"), "both")
    return Edge(domain=reader.text("domain"), kind=kind, when=when, line=reader.line)


def _gate(reader: _Reader) -> Gate:
    kind = reader.choice("gate", _GATES)
    reader.only("gate", "timeout", "on-timeout", "status" if kind == "http" else "gate", *_GATE_FIELDS.get(kind, ()))
    return Gate(
        kind=kind,
        timeout=reader.seconds("timeout", 60.0),
        on_timeout=reader.choice("on-timeout", ("fail", "go-on"), "fail"),
        host=_sound(reader, "host", wrong_host) if kind == "tcp" else "",
        port=reader.number("port", 1, 65535) if kind == "tcp" else 0,
        url=_sound(reader, "url", wrong_url) if kind == "http" else "",
        status=reader.number("status", 100, 599, 200),
        pattern=_sound(reader, "pattern", wrong_pattern) if kind == "serial" else "",
        seconds=_delay(reader) if kind == "delay" else 0.0,
        line=reader.line,
    )


def _sound(reader: _Reader, name: str, wrong: Callable[[str], str]) -> str:
    """An attribute that must be there; ``wrong``: what is wrong with its text, or ""."""
    text = reader.text(name)
    if reason := wrong(text):
        raise reader.fail(f"{name}: {reason}")
    return text


def _delay(reader: _Reader) -> float:
    reader.text("seconds")  # required
    return reader.seconds("seconds", 0.0)


def _step(reader: _Reader) -> StopStep:
    if local_name(reader.element) != "try":
        raise reader.fail("unknown element, expected <order:try>")
    reader.only("method", "timeout", "repeat")
    method = reader.choice("method", _METHODS)
    usual = next((step for step in DEFAULT_LADDER if step.method == method), None)
    return StopStep(
        method=method,
        timeout=reader.seconds("timeout", usual.timeout if usual else 10.0),
        repeat=reader.seconds("repeat", usual.repeat if usual else 0.0),
        line=reader.line,
    )
