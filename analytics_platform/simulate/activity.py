"""The rhythm of the simulated product: the curve of a day, the week, the chat's own wave, and silences.

Belongs here: how much of a day's activity falls when, how busy a day is, which events an outage swallows. Does not: who
is active (`population.py`), what they do (`feed.py`, `chat.py`). Imported lazily only: numpy is imported at the top.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

import numpy as np
from numpy.typing import NDArray

from analytics_platform.simulate.clock import Stream, stream
from analytics_platform.simulate.incidents import IncidentKind
from analytics_platform.simulate.places import CITY_NAMES
from analytics_platform.simulate.scenario import Day

# Relative activity at each full local hour, 0 to 23. Lowest from 04:00 to 05:00, highest between 20:00 and 21:00.
_FEED_WORKDAY = (55, 33, 20, 14, 10, 10, 24, 43, 58, 67, 73, 78, 84, 86, 83, 82, 85, 92, 101, 110, 122, 119, 100, 78)
_FEED_WEEKEND = (68, 46, 29, 19, 12, 12, 18, 29, 44, 61, 76, 86, 92, 94, 93, 92, 93, 97, 103, 110, 118, 115, 99, 79)
_CHAT = (62, 38, 22, 15, 11, 11, 21, 36, 50, 60, 66, 70, 76, 78, 76, 76, 79, 86, 97, 110, 122, 124, 110, 86)

# Monday first. The week moves how many people come; how much each reads stays the same.
_FEED_WEEK = (1.00, 1.01, 1.02, 1.01, 0.98, 0.88, 0.91)
_CHAT_WAVE = 0.32
_STEP = 300  # seconds


@dataclass(frozen=True)
class Curve:
    """When things happen on one local day: a distribution over the seconds since local midnight.

    `edges`, in seconds, rise from 0 to the day's length; `share` is the part of the day's activity before each.
    """

    edges: NDArray[np.float64]
    share: NDArray[np.float64]

    @classmethod
    def of(cls, day: Day, hours: tuple[int, ...], rng: np.random.Generator) -> Self:
        """The curve of `hours` over that day, following the clock on the wall when it is changed, with some noise."""
        edges = np.arange(0, day.window.seconds + 1, _STEP, dtype=np.float64)
        walls = [_wall_hour(day, second + _STEP / 2) for second in edges[:-1]]
        density = np.interp(walls, np.arange(25), (*hours, hours[0]))
        # A minute's average is never exactly the curve's: smooth noise of about 2.5 % over half an hour.
        noise = np.convolve(rng.normal(0, 1, density.size + 5), np.full(6, 6**-0.5), mode="valid")
        density *= np.exp(0.025 * noise)
        share = np.concatenate(([0.0], np.cumsum(density)))
        return cls(edges, share / share[-1])

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """`count` moments, in seconds since local midnight, in no order."""
        return np.interp(rng.random(count), self.share, self.edges)


def _wall_hour(day: Day, seconds: float) -> float:
    wall = (day.window.start + timedelta(seconds=seconds)).astimezone(day.zone)
    return wall.hour + wall.minute / 60 + wall.second / 3600


def feed_curve(day: Day, rng: np.random.Generator) -> Curve:
    """When feed sessions begin: later in the morning at weekends."""
    return Curve.of(day, _FEED_WEEKEND if day.date.weekday() >= 5 else _FEED_WORKDAY, rng)


def chat_curve(day: Day, rng: np.random.Generator) -> Curve:
    """When conversations begin: the same on every day of the week, later in the evening than the feed."""
    return Curve.of(day, _CHAT, rng)


def feed_factor(day: date, rng: np.random.Generator) -> float:
    """How many of the users come, against a Monday, with about 1.5 % from day to day."""
    return _FEED_WEEK[day.weekday()] * float(np.exp(rng.normal(0, 0.015)))


def chat_factor(seed: int, index: int, rng: np.random.Generator) -> float:
    """How many start a conversation, against an average day: a peak every third or fourth day, in no weekly order."""
    # The same 200 gaps whatever the span, so that a longer run has the same wave.
    rng_wave = stream(seed, Stream.CHAT_WAVE)
    gaps = rng_wave.integers(3, 5, 200)
    peaks = np.concatenate(([0], np.cumsum(gaps))) - rng_wave.integers(gaps[0])
    last = int(np.searchsorted(peaks, index, side="right")) - 1
    phase = (index - peaks[last]) / gaps[last]
    return float((1 + _CHAT_WAVE * np.cos(2 * np.pi * phase)) * np.exp(rng.normal(0, 0.03)))


def whole_seconds(moment: NDArray[np.float32] | NDArray[np.float64], bounds: tuple[float, float]) -> NDArray[np.int64]:
    """Moments as whole seconds inside [low, high); what lies outside is mirrored at the nearer bound.

    Mirrored, so that nothing piles up at midnight and nothing is missing there either.
    """
    low, high = bounds
    inside = low + np.abs(moment - low)
    inside = high - np.abs(high - inside)
    # The clip is for what is longer than the whole span, and for the very end.
    return np.clip(np.floor(inside), np.ceil(low), np.ceil(high) - 1).astype(np.int64)


def undisturbed(
    day: Day, second: NDArray[np.int64], city: NDArray[np.int16], user: NDArray[np.int64], *, messages: bool
) -> NDArray[np.bool_] | None:
    """Which of the day's events, by their second since midnight, outages and dark cities leave; None: all of them.

    `city`: of the day's users; `user`: the position of each event's user in it. `messages`: of which table.
    """
    keep: NDArray[np.bool_] | None = None
    for incident in day.incidents:
        if incident.kind not in (IncidentKind.OUTAGE, IncidentKind.DARK_CITY) or incident.in_messages != messages:
            continue
        low, high = day.seconds(incident.window)
        gone = (second >= low) & (second < high)
        if incident.kind is IncidentKind.DARK_CITY:
            gone &= (city == CITY_NAMES.index(incident.city))[user]
        keep = ~gone if keep is None else keep & ~gone
    return keep
