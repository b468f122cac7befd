"""The events of the past, page by page: what ``GET /v1/events`` is for those to come."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec

from engine.errors import ConfigError
from engine.events.encoding import to_cloudevent
from engine.events.filters import EventFilter
from engine.events.journal import Journal, event_id, parse_since
from engine.events.types import Event
from engine.server.api.accepting import wants
from engine.server.api.events import domains_asked, types_named, words_of
from engine.server.api.routes import Answer, Call, Route

__all__ = ["ROUTES", "CloudEvent"]

NDJSON = "application/x-ndjson"
_PAGE = 1000
# events that are looked at for one answer: whoever looks for few among many gets them in several pages
_MOST = 20_000


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as everybody has it. Source: CloudEvents 1.0.2, "JSON Event Format".

    Attributes:
        id: ``EPOCH/NUMBER``; sequence: the number, in twenty digits. source: the host and the connection.
        type: ``org.virengine.domain.started``; subject: ``NAME/UUID`` of the domain it is about.
        commandid: of the command that caused it. data: what is in it, by its type.
    """

    specversion: str
    id: str
    source: str
    type: str
    time: str
    datacontenttype: str
    sequence: str
    epoch: str
    data: dict[str, Any]
    subject: str | msgspec.UnsetType = msgspec.UNSET
    commandid: str | msgspec.UnsetType = msgspec.UNSET


class JournalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events.

    Attributes:
        since: only those after that number, id or time (ISO 8601, with its zone); until: only those up to it.
        type, domain, connection: as for ``/v1/events``. limit: so many at most.
    """

    since: str = ""
    until: str = ""
    type: str = ""
    domain: str = ""
    connection: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000


class _Bound:
    """One end of what is asked for: a number or a time."""

    def __init__(self, journal: Journal, text: str, *, number: int, time: float, resolve: bool) -> None:
        self.number, self.time = number, time
        if not text:
            return
        try:
            self.number = journal.resolve(text) if resolve else parse_since(text)[1]
        except ConfigError:
            self.time = _time(text)


def _time(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ConfigError(f"'{text[:60]}' is neither the number or the id of an event nor a time with its zone")
    return found.timestamp()


async def journal(call: Call) -> Answer:
    query: JournalQuery = call.query
    wanted = EventFilter(*types_named(query.type), domain=domains_asked(call), connection=words_of(query.connection))
    found, last = await _find(call.engine.bus.journal, query, wanted)
    headers = {"vary": "accept"}
    if last is not None:
        asked = dict(call.request.query_params) | {"since": event_id(last)}
        headers["link"] = f'<?{urlencode(asked)}>; rel="next"'
    told = [to_cloudevent(event) for event in found]
    if wants(call, NDJSON):
        lines = b"".join(msgspec.json.encode(each) + b"\n" for each in told)
        return Answer(content=lines, media_type=NDJSON, headers=headers)
    return Answer(content=told, headers=headers)


async def _find(kept: Journal, query: JournalQuery, wanted: EventFilter) -> tuple[list[Event], Event | None]:
    """The events, and the last one that was looked at if there may be more. Raises ResyncRequired, ConfigError."""
    begin = _Bound(kept, query.since, number=kept.oldest - 1, time=float("-inf"), resolve=True)
    end = _Bound(kept, query.until, number=kept.newest, time=float("inf"), resolve=False)
    found: list[Event] = []
    number, looked = begin.number, 0
    while looked < _MOST:
        page = await kept.read(number, _PAGE)
        for event in page:
            if event.sequence > end.number:
                return found, None
            # what is told late is from before the events before it: the times are not in order
            if begin.time < event.time <= end.time and wanted(event):
                found.append(event)
                if len(found) == query.limit:
                    return found, event if event.sequence < end.number else None
        if not page:
            return found, None
        number, looked = page[-1].sequence, looked + len(page)
    return found, page[-1]


ROUTES = (
    Route(
        method="GET",
        path="/v1/journal",
        handler=journal,
        role="viewer",
        summary="The events of the past that are kept, the oldest first; as lines of JSON where NDJSON is accepted.",
        query=JournalQuery,
        answers={200: (list[CloudEvent], NDJSON)},
        faults=(410,),
        scoped=True,
    ),
)
