"""The order as one graph, from its three sources: domain documents, the policy, and code. Pure.

An edge ``web after db`` says two things: db is ready before web starts, and web is gone before db is asked to stop. So
there are two graphs over the same domains, for start and for stop; an edge with ``when`` is in one of them only.
Neither may run in a circle.

Order passes *through* a domain that is not concerned (it is shut off, say): with ``web after app`` and ``app after
db``, web is gone before db stops whether app runs or not. What the plan does and what systemd is told
(``scopes_after``) follow that one rule.
"""

from __future__ import annotations

import graphlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from graphlib import TopologicalSorter
from itertools import dropwhile
from typing import Any, Literal, TypeAlias

import msgspec

from engine.conf.order import Edge, Order
from engine.conf.policy import Policy
from engine.errors import CycleError, OrderError, UnknownDomain

__all__ = ["Declarations", "Direction", "Kind", "Member", "OrderGraph"]

Direction: TypeAlias = Literal["up", "down"]
Kind: TypeAlias = Literal["requires", "after"]
_Links: TypeAlias = dict[str, dict[str, Kind]]

_WHEN = {"up": ("both", "start"), "down": ("both", "stop")}


class Member(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One domain, as the order knows it.

    Attributes:
        key: names it for the caller, unique in the engine (its UUID).
        name: what edges call it; ``connection#name`` where the same name is on several connections.
        connection: URI of the connection that owns it.
        order: what it declares itself.
        source: the file it comes from, for error messages.
    """

    key: str
    name: str
    connection: str = ""
    order: Order = Order()
    source: str | None = None


class _Declared(msgspec.Struct, frozen=True, gc=False):
    """An edge with where it stands."""

    edge: Edge
    by: str
    source: str | None
    # a rule for many domains may name one of them: that one is left out
    skip_self: bool = False


class Declarations:
    """All that is declared, kept up to date domain by domain; ``graph()`` makes the graph of it when one is needed.

    Putting in or taking out a domain costs no more for ten thousand domains than for one.

    Args:
        policy: the rules for many domains.
        extra: edges from code, each with the name of the domain that is ordered after the edge's ``domain``.
    """

    def __init__(self, policy: Policy | None = None, extra: Iterable[tuple[str, Edge]] = ()) -> None:
        self._named: Counter[str] = Counter()  # how many edges of domains name a domain so
        self._named_by_policy: frozenset[str] = frozenset()
        self._graph: OrderGraph | None = None
        self._lenient: tuple[OrderGraph, tuple[str, ...]] | None = None
        self.policy = policy or Policy()
        self._members: dict[str, Member] = {}
        self._by_name: dict[str, dict[str, str]] = {}  # name -> connection -> key
        self._extra: dict[str, list[Edge]] = {}
        for name, edge in extra:
            self.add(name, edge)

    @property
    def policy(self) -> Policy:
        """The rules for many domains; may be set anew."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        self._named_by_policy = frozenset(edge.domain for rule in policy.rules for edge in rule.order.edges)
        self._changed()

    def _changed(self) -> None:
        self._graph = self._lenient = None

    def add(self, name: str, edge: Edge) -> None:
        """Declare in code that the domain ``name`` is ordered after the edge's ``domain``.

        Neither need be there until the graph is made. A name that several connections have means all of them.
        """
        self._extra.setdefault(name, []).append(edge)
        self._named[edge.domain] += 1
        self._changed()

    def put(self, member: Member) -> None:
        """Add a domain, or replace the one with its key."""
        self.discard(member.key)
        self._members[member.key] = member
        self._named.update(edge.domain for edge in member.order.edges)
        self._by_name.setdefault(member.name, {})[member.connection] = member.key

    def discard(self, key: str) -> None:
        """Take a domain out; fine when it is not there."""
        self._changed()
        member = self._members.pop(key, None)
        if member is not None:
            self._named.subtract(edge.domain for edge in member.order.edges)
            places = self._by_name[member.name]
            if places.get(member.connection) == key:
                del places[member.connection]
            if not places:
                del self._by_name[member.name]

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def __len__(self) -> int:
        return len(self._members)

    def member(self, key: str) -> Member | None:
        """The domain with this key, if it is there."""
        return self._members.get(key)

    def is_named(self, member: Member) -> bool:
        """Whether an edge names it, whoever declares that; so its coming and going may matter to others."""
        names = (member.name, f"{member.connection}#{member.name}")
        return any(self._named[name] > 0 or name in self._named_by_policy for name in names)

    def order(self, key: str) -> Order:
        """What holds for a domain: gates, ladder, on_stop_failure and sleep completed by policy and defaults.

        Raises:
            KeyError: there is no such domain.
        """
        member = self._members[key]
        return self.policy.complete(member.order, member.name, member.connection)

    def stop_seconds(self, key: str) -> float:
        """The longest its whole ladder may take: what its scope should be given. Raises KeyError."""
        return sum(step.timeout for step in self.order(key).ladder)

    def graph(self) -> OrderGraph:
        """The graph of all of it.

        Raises:
            UnknownDomain, CycleError, OrderError: see ``OrderGraph.build``.
        """
        if self._graph is None:
            self._graph = self._build()
        return self._graph

    def lenient_graph(self) -> tuple[OrderGraph, tuple[str, ...]]:
        """The graph of what makes sense, and a sentence for each edge that is passed over, never an error.

        What must go on whatever was declared (the host powers off) goes by it. An edge that names nobody, or several,
        is left out; of each circle one edge is: which one depends on the names alone, not on the order they came in.
        """
        if self._lenient is None:
            self._lenient = self._build_leniently()
        return self._lenient

    def _build_leniently(self) -> tuple[OrderGraph, tuple[str, ...]]:
        try:
            return self.graph(), ()
        except OrderError:
            pass
        problems = _Problems()
        links = self._links(problems)
        for direction in ("up", "down"):
            self._break_circles(links, direction, problems)
        return OrderGraph(self._members, links["up"], links["down"], self.policy), problems.told

    def check_new(self, new: Member) -> None:
        """Whether a domain that is to be put in would close a circle by the edges that domains declare themselves.

        Names that are not there (yet) are passed over, and so are policy and code: they are looked at by ``graph``.

        Raises:
            CycleError: the path. OrderError: it is ordered after itself.
        """
        for direction in ("up", "down"):
            path = self._way_back(new, _WHEN[direction])
            if path is None:
                continue
            first = next(
                edge
                for edge in new.order.edges
                if edge.when in _WHEN[direction] and self._find(edge.domain, new.connection, new) == path[1].key
            )
            where: dict[str, Any] = {"source": new.source, "line": first.line or None}
            if len(path) == 2:
                raise OrderError(f"'{new.name}' is ordered after itself", **where)
            raise CycleError(_names(path), **where)

    def _way_back(self, new: Member, sides: tuple[str, ...]) -> list[Member] | None:
        """The way from a domain along its edges and those of the others back to itself, if there is one."""
        came_from: dict[str, Member] = {}
        todo = [new]
        while todo:
            member = todo.pop()
            for edge in member.order.edges:
                if edge.when not in sides:
                    continue
                key = self._find(edge.domain, member.connection, new)
                if key == new.key:
                    path = [new, member]
                    while path[-1].key != new.key:
                        path.append(came_from[path[-1].key])
                    return path[::-1]
                if key is not None and key not in came_from:
                    came_from[key] = member
                    todo.append(self._members[key])
        return None

    def scopes_after(self, key: str) -> tuple[str, ...]:
        """The domains whose scopes this domain's scope is ``After=`` in systemd: they stop only once it is gone.

        systemd stops in the reverse of ``After=``, and only units that are there pass order on, so these are all that
        are ordered before it, near and far. What makes no sense (yet) is passed over, as ``down`` does: a running
        domain must not be denied its scope. Empty for an unknown ``key``.
        """
        return self.lenient_graph()[0].far(key, "after")

    def scopes_before(self, key: str) -> tuple[str, ...]:
        """The domains whose scopes are ``After=`` this one's: they are gone before it stops."""
        return self.lenient_graph()[0].far(key, "before")

    # ------------------------------------------------------------------ making the graph

    def _declared(self, member: Member) -> Iterator[_Declared]:
        for edge in member.order.edges:
            yield _Declared(edge, member.name, member.source)
        if self.policy.rules:
            for rule in self.policy.matching(member.name, member.connection, member.order.tags):
                for edge in rule.order.edges:
                    yield _Declared(edge, member.name, self.policy.source, rule.match.name != member.name)
        if self._extra:
            for name in (member.name, f"{member.connection}#{member.name}"):
                for edge in self._extra.get(name, ()):
                    yield _Declared(edge, member.name, None)

    def _resolve(self, declared: _Declared, member: Member) -> str | None:
        """The key of the domain an edge names, or None when the edge is to be left out."""
        name, line = declared.edge.domain, declared.edge.line or None
        target = self._find(name, member.connection)
        if target is None:
            places = self._by_name.get(name, {})
            if places:
                full = ", ".join(f"'{connection}#{name}'" for connection in sorted(places))
                raise OrderError(
                    f"the order of '{declared.by}' names '{name}', and there are several: say {full}",
                    source=declared.source,
                    line=line,
                )
            raise UnknownDomain(name, declared.by, source=declared.source, line=line)
        if target == member.key:
            if declared.skip_self:
                return None
            raise OrderError(f"'{declared.by}' is ordered after itself", source=declared.source, line=line)
        return target

    def _find(self, name: str, connection: str, new: Member | None = None) -> str | None:
        """A domain by its name (the own connection's first), or by ``connection#name``; None: none, or several.

        Args:
            new: one that counts as if it were there.
        """
        places = self._places(name, new)
        if not places:
            # both may hold a '#', so every split is tried
            at = name.find("#")
            while at >= 0:
                key = self._places(name[at + 1 :], new).get(name[:at])
                if key is not None:
                    return key
                at = name.find("#", at + 1)
            return None
        if connection in places:
            return places[connection]
        return next(iter(places.values())) if len(places) == 1 else None

    def _places(self, name: str, new: Member | None) -> Mapping[str, str]:
        places = self._by_name.get(name, {})
        return places if new is None or new.name != name else places | {new.connection: new.key}

    def _build(self) -> OrderGraph:
        links = self._links(None)
        try:
            return OrderGraph(self._members, links["up"], links["down"], self.policy)
        except _Circle as circle:
            raise self._cycle_error(circle) from None

    def _links(self, problems: _Problems | None) -> dict[Direction, _Links]:
        """Who waits for whom. With ``problems``, what makes no sense is passed over and told there."""

        def wrong(error: OrderError) -> None:
            if problems is None:
                raise error
            problems.tell(lambda: f"{error}: it was passed over")

        for name, edges in self._extra.items():
            if name not in self._by_name and self._find(name, "") is None:
                wrong(UnknownDomain(name, f"{name} after {edges[0].domain}"))
        links: dict[Direction, _Links] = {"up": {}, "down": {}}
        for member in self._members.values():
            for declared in self._declared(member):
                try:
                    target = self._resolve(declared, member)
                except OrderError as exc:
                    wrong(exc)
                    continue
                if target is not None:
                    _link(links, member.key, target, declared.edge)
        return links

    def _break_circles(self, links: dict[Direction, _Links], direction: Direction, problems: _Problems) -> None:
        """Take out each edge that leads back to where a walk along the edges came from: what is left has no circle.

        One walk over all, begun at the least name and going on by the least, so that it is the same every time.
        """
        waits = links[direction]

        def place(key: str) -> tuple[str, str]:
            return self._members[key].name, self._members[key].connection

        done: set[str] = set()
        for start in sorted(waits, key=place):
            if start in done:
                continue
            way = {start: iter(sorted(waits[start], key=place))}  # where the walk is, and what is left to do there
            while way:
                key = next(reversed(way))
                other = next(way[key], None)
                if other is None:
                    done.add(key)
                    del way[key]
                elif other in way:
                    del waits[key][other]
                    if direction == "down":
                        problems.tell(partial(self._broken, way, (other, key)))
                elif other not in done:
                    way[other] = iter(sorted(waits.get(other, ()), key=place))

    def _broken(self, way: Iterable[str], cut: tuple[str, str]) -> str:
        after, before = (self._members[key].name for key in cut)
        path = [*dropwhile(lambda key: key != cut[0], way), cut[0]]
        # in the graph for stopping, what waits is what is ordered before
        error = self._cycle_error(_Circle(path[::-1], "down"))
        return f"{error}: that '{after}' stops before '{before}' was passed over"

    def _cycle_error(self, circle: _Circle) -> CycleError:
        """The circle in names, always begun at the same one, with the place of its first edge."""
        least = min(circle.path, key=lambda key: (self._members[key].name, key))
        at = circle.path.index(least)
        path = [self._members[key] for key in (*circle.path[at:-1], *circle.path[:at], least)]
        first = next(
            declared
            for declared in self._declared(path[0])
            if declared.edge.when in _WHEN[circle.direction]
            and self._find(declared.edge.domain, path[0].connection) == path[1].key
        )
        return CycleError(_names(path), source=first.source, line=first.edge.line or None)


class _Problems:
    """Sentences about what was passed over, each once; of thousands (a rule for all, say) only the first."""

    MOST = 20

    def __init__(self) -> None:
        self._told: dict[str, None] = {}
        self._more = False

    def tell(self, sentence: Callable[[], str]) -> None:
        if len(self._told) < self.MOST:
            self._told[sentence()] = None
        else:
            self._more = True

    @property
    def told(self) -> tuple[str, ...]:
        return (*self._told, *(["there is more like this in the order"] if self._more else []))


def _names(path: Iterable[Member]) -> list[str]:
    """The names around a circle; with their connections where one name is there twice."""
    members = list(path)
    names = [member.name for member in members]
    if len(set(names[1:])) < len(names) - 1:
        return [f"{member.connection}#{member.name}" for member in members]
    return names


class _Circle(Exception):
    """Keys around a circle, the first repeated at the end; each is ordered after the next."""

    def __init__(self, path: list[str], direction: Direction) -> None:
        super().__init__(path)
        self.path = path
        self.direction = direction


def _link(links: dict[Direction, _Links], after: str, before: str, edge: Edge) -> None:
    """Put an edge where it belongs: who waits -> for whom -> how; ``requires`` wins over ``after``."""
    if edge.when in _WHEN["up"]:
        waits = links["up"].setdefault(after, {})
        if waits.get(before) != "requires":
            waits[before] = edge.kind
    if edge.when in _WHEN["down"]:
        waits = links["down"].setdefault(before, {})
        if waits.get(after) != "requires":
            waits[after] = edge.kind


class OrderGraph:
    """The order of all domains at one moment: immutable, free of circles. Make it with ``build``."""

    def __init__(self, members: Mapping[str, Member], start: _Links, stop: _Links, policy: Policy) -> None:
        self._members = dict(members)
        self._waits: dict[Direction, _Links] = {"up": start, "down": stop}
        self.policy = policy
        self._sorted: dict[Direction, tuple[str, ...]] = {direction: self._sort(direction) for direction in self._waits}

    @classmethod
    def build(
        cls, members: Iterable[Member], policy: Policy | None = None, extra: Iterable[tuple[str, Edge]] = ()
    ) -> OrderGraph:
        """The graph of ``members``, rules and edges from code; see ``Declarations`` for the arguments.

        Raises:
            UnknownDomain: an edge names a domain that is not there.
            CycleError: the order runs in a circle; its path reads ``web -> app -> web`` for "web after app after web".
            OrderError: a domain after itself, or a name that several connections have.
        """
        declarations = Declarations(policy, extra)
        for member in members:
            declarations.put(member)
        return declarations.graph()

    def _sort(self, direction: Direction) -> tuple[str, ...]:
        sorter = TopologicalSorter[str]()
        for key in self._members:
            sorter.add(key, *self._waits[direction].get(key, ()))
        try:
            return tuple(sorter.static_order())
        except graphlib.CycleError as exc:
            found: list[str] = exc.args[1]
            # graphlib's list reads "is waited for by": turned round for start, as it is for stop, both read "is after"
            raise _Circle(found if direction == "down" else found[::-1], direction) from exc

    # ------------------------------------------------------------------ asking it

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def member(self, key: str) -> Member:
        """Raises KeyError: there is no such domain."""
        return self._members[key]

    def order(self, key: str) -> Order:
        """What holds for a domain: gates, ladder and on_stop_failure completed by policy and defaults."""
        member = self._members[key]
        return self.policy.complete(member.order, member.name, member.connection)

    def sorted(self, direction: Direction) -> tuple[str, ...]:
        """All keys, each after those it waits for."""
        return self._sorted[direction]

    def start_after(self, key: str) -> Mapping[str, Kind]:
        """Who must be ready before this domain may start, and whether it requires them."""
        return self._waits["up"].get(key, {})

    def stop_after(self, key: str) -> Mapping[str, Kind]:
        """Who must be gone before this domain may stop."""
        return self._waits["down"].get(key, {})

    @cached_property
    def _stop_before(self) -> Mapping[str, Iterable[str]]:
        """Who may stop only once a domain is gone; the other way round than ``stop_after``."""
        before: dict[str, list[str]] = {}
        for key, waits in self._waits["down"].items():
            for other in waits:
                before.setdefault(other, []).append(key)
        return before

    def far(self, key: str, side: Literal["before", "after"]) -> tuple[str, ...]:
        """All that stop before, or after, a domain, near and far, by key. Empty for one that is not there."""
        links: Mapping[str, Iterable[str]] = self._waits["down"] if side == "before" else self._stop_before
        found: set[str] = set()
        todo = [key]
        while todo:
            near = set(links.get(todo.pop(), ())) - found
            found |= near
            todo += near
        return tuple(sorted(found))

    def closure(self, direction: Direction, keys: Iterable[str]) -> frozenset[str]:
        """``keys`` and all that must go with them: up, what they require; down, what requires them."""
        links: dict[str, list[str]] = {}
        for key, waits in self._waits[direction].items():
            links[key] = [other for other, kind in waits.items() if kind == "requires"]
        found = set(keys)
        todo = list(found)
        while todo:
            for other in links.get(todo.pop(), ()):
                if other not in found:
                    found.add(other)
                    todo.append(other)
        return frozenset(found)

    def waits(self, direction: Direction, keys: Iterable[str]) -> dict[str, dict[str, Kind]]:
        """Who of ``keys`` waits for whom of them, directly or through domains that are not among them.

        Through another domain it is ``requires`` only when each edge on the way is. Keys come in an order in which each
        is after those it waits for.
        """
        chosen = set(keys)
        through: _Links = {}  # what each domain not chosen passes on
        found: dict[str, dict[str, Kind]] = {}
        for key in self._sorted[direction]:
            waits = self._waits[direction].get(key)
            mine: dict[str, Kind] = {}
            for other, kind in (waits or {}).items():
                if other in chosen:
                    _strengthen(mine, other, kind)
                else:
                    for far, far_kind in through.get(other, {}).items():
                        _strengthen(mine, far, kind if far_kind == "requires" else "after")
            if key in chosen:
                found[key] = mine
            elif mine:
                through[key] = mine
        return found


def _strengthen(waits: dict[str, Kind], key: str, kind: Kind) -> None:
    if waits.get(key) != "requires":
        waits[key] = kind
