"""How fast a bot may send and how long it waits: Telegram's published pace, with room for the way there.

Belongs here: limits, patience, the port of whatever keeps the count, and the counts of one process. Does not: the
arithmetic (`pace.py`), a count that processes share (`state/slots.py`), waiting (`telegram_sender.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from analytics_platform.pace import earliest

# One message a second to one chat, twenty a minute to one group or channel, thirty a second altogether. A little slower
# than that: clocks and ways differ.
PER_CHAT_SECONDS = 1.03
PER_GROUP = (20, 60.5)
OVERALL = (30, 1.03)

# Of a message under way, in seconds: it counts for so long after its answer; after so long without one it has arrived
# or never will; and so long until the next look when no answer has come.
_LANDED = 1.0
_LOST = 5.0
_UNKNOWN = 0.01


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds."""

    connect: float = 5.0
    # Far above python-telegram-bot's 5: an answer that comes after giving up makes a delivered part uncertain.
    read: float = 60.0
    write: float = 30.0
    upload: float = 120.0
    pool: float = 30.0
    # For a chat that Telegram wants left alone; what it is to get goes later then.
    flood: float = 120.0
    # For another recipient's upload of the same file, before uploading it once more.
    shared_upload: float = 30.0


class Slots(Protocol):
    """Keeps the count of what was sent; `bucket` names what has a limit. Its calls may block. Safe between threads."""

    def reserve(
        self, bucket: str, weight: int, *, spacing: float = 0.0, window: tuple[int, float] | None = None
    ) -> float:
        """Seconds to wait before sending `weight` messages together, which are then counted; see `pace.earliest`."""
        ...

    def hold(self, bucket: str, seconds: float) -> None:
        """Nothing more of that bucket for so long."""
        ...

    def held(self, bucket: str) -> float:
        """For how many seconds more; 0.0 when it is not held."""
        ...


@dataclass
class _Bucket:
    taken: list[tuple[float, int]] = field(default_factory=list)
    free_at: float = float("-inf")


class MemorySlots:
    """The count within this process. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._buckets: dict[str, _Bucket] = {}

    def reserve(
        self, bucket: str, weight: int, *, spacing: float = 0.0, window: tuple[int, float] | None = None
    ) -> float:
        """See `Slots`."""
        with self._lock:
            found = self._buckets.setdefault(bucket, _Bucket())
            now = self._clock()
            at, found.taken = earliest(found.taken, found.free_at, now, weight, spacing=spacing, window=window)
            return at - now

    def hold(self, bucket: str, seconds: float) -> None:
        """See `Slots`."""
        with self._lock:
            found = self._buckets.setdefault(bucket, _Bucket())
            found.free_at = max(found.free_at, self._clock() + seconds)

    def held(self, bucket: str) -> float:
        """See `Slots`."""
        with self._lock:
            return max(self._buckets.get(bucket, _Bucket()).free_at - self._clock(), 0.0)


@dataclass
class _Flight:
    weight: int
    began: float
    ended: float | None = None


class Flights:
    """The messages that may be arriving just now: at most as many as Telegram takes in a second.

    Telegram counts when a message arrives, which is some time between its turn and its answer: the ledger, a new
    connection and an upload come in between, and thirty that left in good order may arrive within half a second. So a
    message counts from its turn until a second after its answer. Belongs to one event loop.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that never go back."""
        self._clock = clock
        self._flights: list[_Flight] = []

    def pause(self, weight: int) -> float:
        """0 when so many more may have their turn; else seconds until it is worth asking again."""
        now = self._clock()
        self._flights = [flight for flight in self._flights if self._over(flight) > now]
        over = sum(flight.weight for flight in self._flights) + weight - OVERALL[0]
        pause = 0.0
        for flight in sorted(self._flights, key=self._over):
            if over <= 0:
                break
            over -= flight.weight
            pause = min(self._over(flight) - now, _UNKNOWN if flight.ended is None else _LANDED)
        return pause

    def begin(self, weight: int) -> Callable[[], None]:
        """They have their turn now; to be called when their answer has come, or none."""
        flight = _Flight(weight, self._clock())
        self._flights.append(flight)

        def end() -> None:
            flight.ended = self._clock()

        return end

    @staticmethod
    def _over(flight: _Flight) -> float:
        return flight.began + _LOST if flight.ended is None else flight.ended + _LANDED
