"""Telegram's published pace, enforced by the stand-in: one message a second to a chat, twenty a minute to a group or
channel, thirty a second altogether.

Belongs here: counting of what arrived. Does not: the product's own pacing, with which this shares no line.
"""

from collections import deque
from collections.abc import Callable
from math import ceil


class _Window:
    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        self.arrived: deque[tuple[float, int]] = deque()
        self.held = 0

    def wait(self, now: float, messages: int) -> float:
        """Seconds until that many more fit in; more than the limit at once fit into an empty window."""
        while self.arrived and self.arrived[0][0] <= now - self.seconds:
            self.held -= self.arrived.popleft()[1]
        left = self.held
        for moment, count in self.arrived:
            if left + messages <= self.limit:
                return 0.0
            left -= count
            if left == 0 or left + messages <= self.limit:
                return moment + self.seconds - now
        return 0.0

    def add(self, now: float, messages: int) -> None:
        self.arrived.append((now, messages))
        self.held += messages


class Limits:
    """Counts what was accepted. `clock` gives seconds that never go back. Not safe between threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._overall = _Window(30, 1.0)
        self._groups: dict[str, _Window] = {}
        self._free_at: dict[str, float] = {}

    def refusal(self, chat: str, messages: int) -> int:
        """0 when they may come now, and are counted; else the whole seconds that Telegram asks to wait."""
        now = self._clock()
        windows = [self._overall]
        if chat.startswith(("-", "@")):
            windows.append(self._groups.setdefault(chat, _Window(20, 60.0)))
        wait = max(self._free_at.get(chat, now) - now, *(window.wait(now, messages) for window in windows), 0.0)
        if wait > 0:
            return ceil(wait)
        for window in windows:
            window.add(now, messages)
        self._free_at[chat] = now + messages
        return 0
