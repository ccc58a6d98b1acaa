"""A ranking: what is popular and what is trending, by country and by category, as of one moment.

Belongs here: its parts and what they mean. Does not: how it is made (`ranked.py`), the shapes in which it is handed on
(`documents.py`, `rows.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from analytics_platform.metrics.windows import Window
from analytics_platform.rankings.plan import Plan

Direction = Literal["up", "down", "stable"]
Status = Literal["ok", "no_data", "no_recent_data"]


@dataclass(frozen=True)
class TopVideo:
    """A video of a group in the recent window; its score is in the group's units."""

    video_id: str
    score: float
    users: int
    events: int


@dataclass(frozen=True)
class Popular:
    """A group with events in the recent window. `score`: `normalised` per day, `compat` the sum with two decimals.

    `users`: distinct persons. `completion_rate`: mean over the views that have one (0 to 1), None if none has.
    `breakdown`: events by type. `countries`: of a category; a country has none.
    """

    name: str
    score: float
    users: int
    events: int
    videos: int
    completion_rate: float | None
    breakdown: Mapping[str, int]
    countries: tuple[str, ...]
    top_videos: tuple[TopVideo, ...]


@dataclass(frozen=True)
class Trend:
    """How a group or a video (`name`) moved from the previous window to the recent one; scores as in `Popular`.

    `p_value`: how probable such a movement is by chance; None where the audience was too small to test it, and in
    `compat`, which tests nothing. Users are distinct persons of a window.
    """

    name: str
    trending_score: float
    current_score: float
    previous_score: float
    velocity_percent: float
    direction: Direction
    p_value: float | None
    users_recent: int
    users_previous: int
    events_recent: int
    events_previous: int


@dataclass(frozen=True)
class Trending(Trend):
    """A group with events in either window.

    `videos`: in `normalised` its rising videos, in `compat` those of its top lists of both windows, by trending score,
    10 of a country and 5 of a category at most. `videos_trending`: how many there are without that limit.
    """

    videos: tuple[Trend, ...]
    videos_trending: int
    countries_recent: tuple[str, ...]
    countries_previous: tuple[str, ...]


@dataclass(frozen=True)
class Ranking:
    """The lists by `country` and `category`, best first, equals by name. `as_of` is aware, UTC.

    `events_analyzed`: of the recent window; `total_events_loaded`: of both. `unknown_types`: events (of both) of each
    type that has no weight. `odd_completions`: views whose given completion rate is none and was not averaged.
    """

    as_of: datetime
    plan: Plan
    popular: Mapping[str, tuple[Popular, ...]]
    trending: Mapping[str, tuple[Trending, ...]]
    events_analyzed: int
    total_events_loaded: int
    unknown_types: Mapping[str, int]
    odd_completions: int

    @property
    def status(self) -> Status:
        """`no_data`: no event in either window; `no_recent_data`: none in the recent one, so nothing to publish."""
        if not self.total_events_loaded:
            return "no_data"
        return "ok" if self.events_analyzed else "no_recent_data"

    @property
    def windows(self) -> tuple[Window, Window]:
        """The recent and the previous window, naive UTC."""
        return self.plan.windows(self.as_of)
