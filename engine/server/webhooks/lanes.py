"""The events that wait for one receiver: in order for each domain, a bounded number in all."""

from __future__ import annotations

from collections import deque

from engine.events.types import DomainEvent, Event

__all__ = ["Lane", "Lanes", "lane_of"]


def lane_of(event: Event) -> str:
    """What an event keeps its order with: its domain; "" if it is of none."""
    return f"{event.connection}#{event.uuid}" if isinstance(event, DomainEvent) else ""


class Lane:
    """What waits of one domain.

    Attributes:
        done: the last number that was told. read: the last one that was put into the queue.
        behind: the queue lacks some that the journal has.
        tries: how often the first was tried; since: when it happened; failed: when that came to nothing last.
    """

    __slots__ = ("behind", "done", "failed", "key", "queue", "read", "since", "tries")

    def __init__(self, key: str, done: int, since: float) -> None:
        self.key, self.done, self.since = key, done, since
        self.read = done
        self.behind = False
        self.tries = 0
        self.failed = 0.0
        self.queue: deque[Event] = deque()


class Lanes:
    """All that wait.

    Args:
        most: so many events are held at most; one of each domain that is behind stays.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self.by_key: dict[str, Lane] = {}

    @property
    def full(self) -> bool:
        return self._held >= self._most

    def put(self, lane: Lane, event: Event) -> None:
        lane.queue.append(event)
        lane.read = max(lane.read, event.sequence)
        self._held += 1

    def settle(self, lane: Lane) -> None:
        """The first of it is told, or given up."""
        event = lane.queue.popleft()
        self._held -= 1
        lane.done = max(lane.done, event.sequence)
        lane.tries = 0
        lane.since = lane.queue[0].time if lane.queue else event.time

    def shed(self, told: float, *, anyhow: bool = False) -> bool:
        """Let go of what the journal has, so that others get their turn: of lanes that fail and hold much, or although
        the receiver took others meanwhile (``told``).

        Where the receiver takes nothing at all, reading on would only mean to read again: so there is room no more,
        but what is made ``anyhow``. Returns whether there is.
        """
        much = 1 if anyhow else max(1, self._most // 16)
        for lane in self.by_key.values():
            if lane.tries and len(lane.queue) > (1 if lane.failed < told else much):
                self._held -= len(lane.queue) - 1
                lane.queue = deque([lane.queue[0]])
                lane.read = lane.queue[0].sequence
                lane.behind = True
                if anyhow:
                    break
        return not self.full

    def restart(self) -> None:
        """Forget what is held: the journal has it."""
        for lane in self.by_key.values():
            lane.queue.clear()
            lane.read, lane.behind, lane.tries = lane.done, True, 0
        self._held = 0
