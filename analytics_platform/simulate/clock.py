"""Local days as UTC windows, and the independent random streams of a run.

Belongs here: when a simulated day begins and ends, and how a seed becomes one stream per purpose and day.
Does not: what happens on a day (`activity.py`). Light: numpy is imported inside the one function that needs it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import numpy as np


class Stream(IntEnum):
    """What a random stream is for. A number, once given, is kept: changing it changes every simulated data set."""

    PEOPLE = 1
    POSTS = 2
    FEED = 3
    CHAT = 4
    CHAT_WAVE = 5
    CALENDAR = 6
    VIDEOS = 7
    VIDEO_EVENTS = 8
    VIDEO_TRENDS = 9
    VISITS = 10


def stream(seed: int, purpose: Stream, index: int = 0) -> "np.random.Generator":
    """The random stream of one purpose and day. Streams are independent, so no day depends on another's draws."""
    import numpy as np

    return np.random.Generator(np.random.SFC64([seed, purpose, index]))


@dataclass(frozen=True)
class Window:
    """A half-open span of time [start, end), both aware and in UTC."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> int:
        """Length in seconds: 82,800, 86,400 or 90,000 for a local day with a change of the clock."""
        return round((self.end - self.start).total_seconds())

    def overlaps(self, other: "Window") -> bool:
        """Whether the two spans have a moment in common."""
        return self.start < other.end and other.start < self.end


def local_time(day: date, zone: ZoneInfo, hour: int = 0, minute: int = 0) -> datetime:
    """The moment, in UTC, at which the clocks of `zone` show that time on that day."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)


def local_day(day: date, zone: ZoneInfo) -> Window:
    """From local midnight to the next one; 23 or 25 hours long when the clocks change."""
    return Window(local_time(day, zone), local_time(day + timedelta(days=1), zone))
