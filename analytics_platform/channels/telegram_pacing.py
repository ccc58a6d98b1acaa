"""How fast a bot may send and how long it waits: Telegram's published pace, with room for the way there.

Belongs here: limits, patience, the port of whatever keeps the count, and the counts of one process. Does not: the
arithmetic (`pace.py`), a count that processes share (`state/slots.py`), waiting (`telegram_sender.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Protocol

from analytics_platform.pace import Limit, Slot, Turn, earliest, put_off

# One message a second to one chat, twenty a minute to one group or channel, thirty a second altogether. A little slower
# than that: clocks and ways differ.
PER_CHAT_SECONDS = 1.03
PER_GROUP = (20, 60.5)
OVERALL = (30, 1.03)
# Nor thirty at once: those that need a new connection come later than those that do not.
OVERALL_SPACING = 0.02


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
    """Keeps the count of what was sent. Its calls may block. Safe between threads."""

    def reserve(self, weight: int, limit: Limit, *, free: Limit | None = None) -> Turn:
        """Count `weight` messages that go together at the first moment at which `limit` has room for them.

        `free` has to have room at once, and counts them too; else nothing is counted, and the turn tells when it has.
        """
        ...

    def put_off(self, turn: Turn, seconds: float) -> Turn:
        """What was counted arrives so many seconds later."""
        ...

    def hold(self, bucket: str, seconds: float) -> None:
        """Nothing more of that bucket for so long."""
        ...


@dataclass
class _Bucket:
    taken: list[Slot] = field(default_factory=list)
    free_at: float = float("-inf")


class MemorySlots:
    """The count within this process. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._buckets: dict[str, _Bucket] = {}

    def reserve(self, weight: int, limit: Limit, *, free: Limit | None = None) -> Turn:
        """See `Slots`."""
        with self._lock:
            now = self._clock()
            if free:
                first, _ = self._earliest(free, weight, now, now)
                if first > now:
                    return Turn(first - now, first, weight)
            moment, self._bucket(limit.bucket).taken = self._earliest(limit, weight, now, now)
            if free:
                _, self._bucket(free.bucket).taken = self._earliest(free, weight, now, moment)
            return Turn(moment - now, moment, weight, (free.bucket, limit.bucket) if free else (limit.bucket,))

    def put_off(self, turn: Turn, seconds: float) -> Turn:
        """See `Slots`."""
        with self._lock:
            for bucket in turn.buckets:
                found = self._bucket(bucket)
                found.taken = put_off(found.taken, (turn.moment, turn.weight), seconds)
        return replace(turn, seconds=turn.seconds + seconds, moment=turn.moment + seconds)

    def hold(self, bucket: str, seconds: float) -> None:
        """See `Slots`."""
        with self._lock:
            found = self._bucket(bucket)
            found.free_at = max(found.free_at, self._clock() + seconds)

    def _bucket(self, name: str) -> _Bucket:
        return self._buckets.setdefault(name, _Bucket())

    def _earliest(self, limit: Limit, weight: int, now: float, since: float) -> tuple[float, list[Slot]]:
        found = self._bucket(limit.bucket)
        free_at = max(found.free_at, since)
        return earliest(found.taken, free_at, now, weight, spacing=limit.spacing, window=limit.window)
