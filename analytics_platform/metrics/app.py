"""The whole app's figures over a month: feed, messenger and both together, in total and by slice.

Belongs here: the shape that the app report's queries fill and its charts, text and table read. Does not: SQL, drawing,
wording, what is unusual (`moves.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from analytics_platform.metrics.dimensions import TOTAL
from analytics_platform.metrics.frames import ratio

HORIZON_DAYS = 31
SLICED_BY = ("source", "os", "country")
TOP_COUNTRIES = 5
OTHER = "other"


class Service(StrEnum):
    """Whose activity is counted."""

    APP = "app"  # feed and messenger together; each user once
    FEED = "feed"
    MESSAGE = "message"


@dataclass(frozen=True)
class Figures:
    """One service, slice and local day. None: not applicable, or the day has not been computed.

    `dau` = distinct users: with a feed event (feed), who sent a message (message), either (app). `actions` = views +
    likes, messages sent, or all three. `active_posts` = distinct posts with a view or like. `new_users` = users whose
    first day in the service this is; `new_posts` = posts whose first day with an action this is.
    """

    dau: int | None = None
    actions: int | None = None
    views: int | None = None
    likes: int | None = None
    active_posts: int | None = None
    new_users: int | None = None
    new_posts: int | None = None

    @property
    def ctr(self) -> float | None:
        """Likes per view, unrounded."""
        return ratio(self.likes, self.views)

    @property
    def actions_per_user(self) -> float | None:
        """Actions per active user, unrounded."""
        return ratio(self.actions, self.dau)

    @property
    def actions_per_post(self) -> float | None:
        """Actions per active post, unrounded."""
        return ratio(self.actions, self.active_posts)

    def value(self, metric: str) -> float | None:
        """The figure of that name (one of METRICS)."""
        found = getattr(self, metric)
        return None if found is None else found + 0


METRICS = (
    "dau",
    "actions",
    "actions_per_user",
    "views",
    "likes",
    "ctr",
    "active_posts",
    "actions_per_post",
    "new_users",
    "new_posts",
)
SHARES = frozenset({"ctr"})  # shown as percent
RATIOS = frozenset({"ctr", "actions_per_user", "actions_per_post"})


@dataclass(frozen=True, order=True)
class Slice:
    """A service's users with one value of one dimension; `total`, `total` for all of them."""

    service: Service
    dimension: str = TOTAL
    value: str = TOTAL


@dataclass(frozen=True)
class Audience:
    """How the app's audience holds together on a day. Users with a feed event or a sent message; None: unknown.

    `wau` = distinct users of the 7 days ending that day, `mau` of the 30. Of the week's: `retained` were also active in
    the week before, `new` have their first day ever in this week, `returned` are the rest; `gone` were active the week
    before and not this week. wau = retained + new + returned. `both` used feed and messenger on the day itself.
    """

    dau: int | None = None
    wau: int | None = None
    mau: int | None = None
    retained: int | None = None
    new: int | None = None
    returned: int | None = None
    gone: int | None = None
    both: int | None = None

    @property
    def stickiness(self) -> float | None:
        """DAU / MAU."""
        return ratio(self.dau, self.mau)


@dataclass(frozen=True)
class Retention:
    """How many users of a source, whose first day in the app was `age_days` before the report day, came on that day."""

    source: str  # a value of the dimension, or `total`
    age_days: int  # 1 or 7
    cohort: int
    active: int

    @property
    def share(self) -> float | None:
        """active / cohort."""
        return ratio(self.active, self.cohort)


@dataclass(frozen=True)
class AppFrame:
    """HORIZON_DAYS days ending with the report day.

    `series` has a tuple aligned with `days` for every slice: each service in total and by SLICED_BY; countries are the
    TOP_COUNTRIES by actions over the whole horizon (app, feed and message separately), the rest are `other`. Every
    slice that occurs on any day is there; on days without it, its counts are 0. All figures of a day that has not been
    computed are None. `users_ever`, `actions_ever`: all-time totals up to and with the report day.
    """

    days: tuple[date, ...]
    series: Mapping[Slice, tuple[Figures, ...]]
    users_ever: int | None
    actions_ever: int | None
    audience: Audience
    audience_week_ago: Audience
    retention: tuple[Retention, ...]

    def __post_init__(self) -> None:
        first = self.days[0] if self.days else None
        if first is None or list(self.days) != [first + timedelta(days=k) for k in range(HORIZON_DAYS)]:
            raise ValueError(f"an app frame has {HORIZON_DAYS} consecutive days, the report day last")
        if any(len(figures) != HORIZON_DAYS for figures in self.series.values()):
            raise ValueError("every series of an app frame has one entry a day")

    @property
    def day(self) -> date:
        """The report day."""
        return self.days[-1]

    @property
    def yesterday(self) -> date:
        """The day before the report day."""
        return self.days[-2]

    @property
    def week_ago(self) -> date:
        """The same weekday one week before the report day."""
        return self.days[-8]

    def at(self, where: Slice, day: date) -> Figures:
        """The figures of that slice and day; empty ones when there are none."""
        figures = self.series.get(where)
        return figures[self.days.index(day)] if figures and day in self.days else Figures()

    def values(self, where: Slice, metric: str) -> tuple[float | None, ...]:
        """The metric over all days."""
        return tuple(f.value(metric) for f in self.series.get(where, ()))

    def slices(self, service: Service, dimension: str) -> tuple[Slice, ...]:
        """The slices of a dimension, the largest by actions of the whole horizon first, `other` last."""

        def order(where: Slice) -> tuple[bool, int, str]:
            return where.value == OTHER, -sum(f.actions or 0 for f in self.series[where]), where.value

        return tuple(sorted((s for s in self.series if (s.service, s.dimension) == (service, dimension)), key=order))
