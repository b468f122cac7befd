"""The order policy: what ``order.toml`` declares for many domains at once. Pure: text in, rules out.

::

    [budget]
    seconds = 300                 # what the host gives to stop everything

    [defaults]                    # for domains that neither declare it themselves nor match a rule that does
    ready = {gate = "running", timeout = 60}
    stop = [{method = "agent", timeout = 30}, {method = "acpi", timeout = 120, repeat = 10}]
    on-stop-failure = "hold"      # or "go-on"
    sleep = "pause"               # before the host sleeps; or "save", "nothing"
    parallel = 8                  # domains that start or stop at the same time; left out: no limit

    [[rule]]
    match = {name = "web*", tag = "front", connection = "qemu:///*"}   # all that are given must match
    requires = ["db", {domain = "qemu:///system#cache", when = "stop"}]
    after = ["dns"]
    ready = [{gate = "agent"}, {gate = "tcp", host = "10.0.0.5", port = 80, timeout = 90, on-timeout = "go-on"}]
    stop = [{method = "acpi", timeout = 60, repeat = 10}, {method = "save", timeout = 120}]
    on-stop-failure = "go-on"

Edges add up: the domain's own and those of every rule that matches. For ``ready``, ``stop``, ``on-stop-failure`` and
``sleep`` the domain's own word wins, then the last rule that matches and says something, then the defaults. A rule that
matches the domain it names leaves that one out (``match = {name = "*"}`` with ``after = ["dns"]`` does not order dns
after itself).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from engine.conf.order import DEFAULT_LADDER, Edge, Gate, Order, Sleep, StopStep, wrong_host, wrong_pattern, wrong_url
from engine.conf.tables import Read, Table, read_toml
from engine.conf.toml import Path

__all__ = ["Match", "Policy", "Rule", "parse_policy"]

T = TypeVar("T")
OnStopFailure = Literal["hold", "go-on"]


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which domains a rule is about: all that is given must match.

    Attributes:
        name: a shell pattern for the domain's name; tag: a tag it declares; connection: a shell pattern for the URI.
    """

    name: str | None = None
    tag: str | None = None
    connection: str | None = None

    def matches(self, name: str, connection: str, tags: tuple[str, ...]) -> bool:
        return (
            (self.name is None or _glob(self.name)(name) is not None)
            and (self.tag is None or self.tag in tags)
            and (self.connection is None or _glob(self.connection)(connection) is not None)
        )


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> Any:
    return re.compile(translate(pattern)).match


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One ``[[rule]]``.

    Attributes:
        match: whom it is about; order: what it declares for them; line: where it stands.
    """

    match: Match
    order: Order
    line: int = 0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A whole policy. ``Policy()`` is the engine's own: no rules, the default ladder, hold, pause, no budget, no limit.

    Attributes:
        rules: in the order of the file.
        gates, ladder, on_stop_failure, sleep: for domains that say nothing and match no rule that does.
        parallel: domains that may start or stop at the same time; None: no limit.
        budget: seconds the host gives to stop everything; None: not known.
        source: the file.
    """

    rules: tuple[Rule, ...] = ()
    gates: tuple[Gate, ...] = (Gate(),)
    ladder: tuple[StopStep, ...] = DEFAULT_LADDER
    on_stop_failure: OnStopFailure = "hold"
    sleep: Sleep = "pause"
    parallel: int | None = None
    budget: float | None = None
    source: str | None = None

    def matching(self, name: str, connection: str, tags: tuple[str, ...]) -> Iterator[Rule]:
        """The rules about this domain, in the order of the file."""
        return (rule for rule in self.rules if rule.match.matches(name, connection, tags))

    def complete(self, own: Order, name: str, connection: str) -> Order:
        """What holds for a domain: gates, ladder, on_stop_failure and sleep filled in from rules and defaults.

        Its edges are its own only; those of the rules keep their place in the file (``matching``).
        """
        gates, ladder, on_failure, sleep = own.gates, own.ladder, own.on_stop_failure, own.sleep
        if self.rules and not (gates and ladder and on_failure and sleep):
            for rule in reversed(tuple(self.matching(name, connection, own.tags))):
                gates = gates or rule.order.gates
                ladder = ladder or rule.order.ladder
                on_failure = on_failure or rule.order.on_stop_failure
                sleep = sleep or rule.order.sleep
        return msgspec.structs.replace(
            own,
            gates=gates or self.gates,
            ladder=ladder or self.ladder,
            on_stop_failure=on_failure or self.on_stop_failure,
            sleep=sleep or self.sleep,
        )


# ---------------------------------------------------------------------------- from TOML

_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e9)]


class _RawEdge(Table, frozen=True, kw_only=True):
    domain: Annotated[str, msgspec.Meta(min_length=1)]
    when: Literal["both", "start", "stop"] = "both"


class _RawGate(Table, frozen=True, kw_only=True):
    gate: Literal["running", "agent", "tcp", "http", "serial", "delay"]
    timeout: _Seconds = 60.0
    on_timeout: Literal["fail", "go-on"] = "fail"
    host: str | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    url: str | None = None
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    pattern: str | None = None
    seconds: _Seconds | None = None


class _RawStop(Table, frozen=True, kw_only=True):
    method: Literal["agent", "acpi", "save", "destroy"]
    timeout: _Seconds | None = None
    repeat: _Seconds | None = None


class _RawDefaults(Table, frozen=True, kw_only=True):
    ready: _RawGate | tuple[_RawGate, ...] = ()
    stop: tuple[_RawStop, ...] = ()
    on_stop_failure: OnStopFailure | None = None
    sleep: Sleep | None = None
    parallel: Annotated[int, msgspec.Meta(ge=1)] | None = None


class _RawRule(Table, frozen=True, kw_only=True):
    match: Match
    requires: tuple[str | _RawEdge, ...] = ()
    after: tuple[str | _RawEdge, ...] = ()
    ready: _RawGate | tuple[_RawGate, ...] = ()
    stop: tuple[_RawStop, ...] = ()
    on_stop_failure: OnStopFailure | None = None
    sleep: Sleep | None = None


class _RawBudget(Table, frozen=True, kw_only=True):
    seconds: _Seconds


class _RawPolicy(Table, frozen=True, kw_only=True):
    budget: _RawBudget | None = None
    defaults: _RawDefaults = _RawDefaults()
    rule: tuple[_RawRule, ...] = ()


def parse_policy(text: str, *, source: str | None = None) -> Policy:
    """The policy a TOML text declares.

    Raises:
        ConfigError: no TOML, or an unknown key, a wrong value, a rule that matches by nothing; with the line.
    """
    return _Reader(read_toml(text, _RawPolicy, source=source)).policy()


_GATE_NEEDS = {"tcp": ("host", "port"), "http": ("url",), "serial": ("pattern",), "delay": ("seconds",)}
_GATE_MAY = {"http": ("status",)}


class _Reader:
    """Makes rules of checked data; every complaint carries file and line."""

    def __init__(self, read: Read[_RawPolicy]) -> None:
        self._read = read

    def policy(self) -> Policy:
        raw = self._read.value
        defaults = raw.defaults
        return Policy(
            rules=tuple(self._rule(rule, index) for index, rule in enumerate(raw.rule)),
            gates=self._gates(defaults.ready, ("defaults", "ready")) or (Gate(),),
            ladder=self._ladder(defaults.stop, ("defaults", "stop")) or DEFAULT_LADDER,
            on_stop_failure=defaults.on_stop_failure or "hold",
            sleep=defaults.sleep or "pause",
            parallel=defaults.parallel,
            budget=raw.budget.seconds if raw.budget else None,
            source=self._read.source,
        )

    def _rule(self, raw: _RawRule, index: int) -> Rule:
        base: Path = ("rule", index)
        if raw.match == Match():
            raise self._read.wrong(
                "give at least one of name, tag, connection (name = '*' matches all)", (*base, "match")
            )
        edges = [
            self._edge(target, kind, (*base, kind, number))
            for kind, targets in (("requires", raw.requires), ("after", raw.after))
            for number, target in enumerate(targets)
        ]
        order = Order(
            edges=tuple(edges),
            gates=self._gates(raw.ready, (*base, "ready")),
            ladder=self._ladder(raw.stop, (*base, "stop")),
            on_stop_failure=raw.on_stop_failure,
            sleep=raw.sleep,
        )
        return Rule(match=raw.match, order=order, line=self._read.line(*base))

    def _edge(self, raw: str | _RawEdge, kind: Any, path: Path) -> Edge:
        edge = _RawEdge(domain=raw) if isinstance(raw, str) else raw
        if not edge.domain:
            raise self._read.wrong("the name of a domain is empty", path)
        return Edge(domain=edge.domain, kind=kind, when=edge.when, line=self._read.line(*path))

    def _gates(self, raw: _RawGate | tuple[_RawGate, ...], path: Path) -> tuple[Gate, ...]:
        if isinstance(raw, _RawGate):
            return (self._gate(raw, path),)
        return tuple(self._gate(gate, (*path, index)) for index, gate in enumerate(raw))

    def _gate(self, raw: _RawGate, path: Path) -> Gate:
        needs = _GATE_NEEDS.get(raw.gate, ())
        given = {
            name: value
            for name in ("host", "port", "url", "status", "pattern", "seconds")
            if (value := getattr(raw, name)) is not None
        }
        for name in needs:
            if not given.get(name) and given.get(name) != 0.0:
                raise self._read.wrong(f"gate '{raw.gate}' needs {name}", path)
        for name in given:
            if name not in needs and name not in _GATE_MAY.get(raw.gate, ()):
                raise self._read.wrong(f"gate '{raw.gate}' takes no {name}", (*path, name))
        if raw.url is not None and (reason := wrong_url(raw.url)):
            raise self._read.wrong(reason, (*path, "url"))
        if raw.host is not None and (reason := wrong_host(raw.host)):
            raise self._read.wrong(reason, (*path, "host"))
        if raw.pattern is not None and (reason := wrong_pattern(raw.pattern)):
            raise self._read.wrong(reason, (*path, "pattern"))
        return Gate(kind=raw.gate, timeout=raw.timeout, on_timeout=raw.on_timeout, line=self._read.line(*path), **given)

    def _ladder(self, raw: tuple[_RawStop, ...], path: Path) -> tuple[StopStep, ...]:
        return tuple(self._step(step, (*path, index)) for index, step in enumerate(raw))

    def _step(self, raw: _RawStop, path: Path) -> StopStep:
        usual = next((step for step in DEFAULT_LADDER if step.method == raw.method), None)
        timeout, repeat = (usual.timeout, usual.repeat) if usual else (10.0, 0.0)
        return StopStep(
            method=raw.method,
            timeout=raw.timeout if raw.timeout is not None else timeout,
            repeat=raw.repeat if raw.repeat is not None else repeat,
            line=self._read.line(*path),
        )
