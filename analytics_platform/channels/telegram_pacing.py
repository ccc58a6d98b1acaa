"""How fast a bot may send and how long it waits: Telegram's published pace, with room for the way there.

Belongs here: limits, patience, the port of whatever keeps the count, and a count within one process. Does not: the
arithmetic (`pace.py`), a count that processes share (`state/slots.py`), waiting (`telegram_sender.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from analytics_platform.pace import earliest

# One message a second to one chat, twenty a minute to one group or channel, thirty a second altogether. A little slower
# than that: requests do not all take equally long, and Telegram counts when they arrive.
PER_CHAT_SECONDS = 1.03
PER_GROUP = (20, 60.5)
OVERALL = (30, 1.03)


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds."""

    connect: float = 5.0
    # Far above python-telegram-bot's 5: an answer that comes after giving up makes a delivered part uncertain.
    read: float = 60.0
    write: float = 30.0
    upload: float = 120.0
    pool: float = 30.0
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
