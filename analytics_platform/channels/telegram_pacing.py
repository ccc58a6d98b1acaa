"""How fast a bot may send and how long it waits: Telegram's published pace, kept within this process.

Belongs here: counting and times. Does not: the waiting itself (`telegram.py`).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

PER_CHAT_SECONDS = 1.0  # one message a second to one chat
PER_GROUP = (20, 60.0)  # twenty messages a minute to one group or channel
OVERALL = (30, 1.0)  # thirty messages a second altogether

# Floating-point remainders below this are no reason to sleep once more.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds."""

    connect: float = 5.0
    # Far above python-telegram-bot's 5: an answer that comes after giving up makes a delivered part uncertain.
    read: float = 60.0
    write: float = 30.0
    upload: float = 120.0
    pool: float = 30.0
    # For one chat in one delivery, when Telegram asks to slow down.
    flood: float = 120.0
    # For another chat's upload of the same file, before uploading it once more.
    shared_upload: float = 30.0


class Pace:
    """Grants sending slots; an album of n pictures counts as n messages. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds that never go back."""
        self._clock = clock
        self._lock = Lock()
        self._overall = _Window(*OVERALL)
        self._groups: dict[str, _Window] = {}
        self._free_at: dict[str, float] = {}

    def take(self, chat: str, messages: int) -> float:
        """0 when that many messages may go to the chat now, which are then counted; else seconds to wait and ask again.

        Nothing is reserved ahead, so a waiting chat never keeps another one from sending.
        """
        with self._lock:
            now = self._clock()
            windows = [self._overall]
            if chat.startswith(("-", "@")):
                windows.append(self._groups.setdefault(chat, _Window(*PER_GROUP)))
            wait = max(
                self._free_at.get(chat, now) - now,
                *(window.wait(now, messages) for window in windows),
                0.0,
            )
            if wait > _NOTHING:
                return wait
            for window in windows:
                window.add(now, messages)
            self._free_at[chat] = now + PER_CHAT_SECONDS * messages
            return 0.0


class _Window:
    """At most `limit` messages within any `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._taken: deque[tuple[float, int]] = deque()

    def wait(self, now: float, messages: int) -> float:
        while self._taken and self._taken[0][0] + self._seconds <= now + _NOTHING:
            self._taken.popleft()
        used = sum(count for _, count in self._taken)
        for at, count in self._taken:
            if used + messages <= self._limit:
                return 0.0
            used -= count
            until = at + self._seconds
            if used + messages <= self._limit:
                return until - now
        return 0.0

    def add(self, now: float, messages: int) -> None:
        self._taken.append((now, messages))
