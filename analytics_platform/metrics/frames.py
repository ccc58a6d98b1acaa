"""Daily frames: one row per day with the figures that a report and its charts show.

Belongs here: the rows' shape and their derived figures (ratios after summing, growth). Does not: SQL, drawing, wording.
"""

from dataclasses import dataclass
from datetime import date, timedelta


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """numerator / denominator; None where either is missing or the denominator is 0. Never nan or inf."""
    if numerator is None or not denominator:
        return None
    return numerator / denominator


def growth(value: float | None, base: float | None) -> float | None:
    """Relative change value / base - 1, from unrounded numbers; None where either is missing or the base is 0."""
    quotient = ratio(value, base)
    return None if quotient is None else quotient - 1


@dataclass(frozen=True)
class FeedDay:
    """The news feed's figures of one reporting day. None: that day has not been computed.

    `dau` = distinct users with at least one feed event that day; `views`, `likes` = events.
    """

    day: date
    dau: int | None = None
    views: int | None = None
    likes: int | None = None

    @property
    def ctr(self) -> float | None:
        """Likes per view, a share between 0 and usually 1, unrounded."""
        return ratio(self.likes, self.views)


@dataclass(frozen=True)
class FeedFrame:
    """The report day and what it is compared with: exactly the days from seven before it to the day itself."""

    days: tuple[FeedDay, ...]

    def __post_init__(self) -> None:
        if not self.days or [d.day for d in self.days] != [self.days[0].day + timedelta(days=k) for k in range(8)]:
            raise ValueError("a feed frame has eight consecutive days, the report day last")

    @property
    def today(self) -> FeedDay:
        """The report day."""
        return self.days[-1]

    @property
    def yesterday(self) -> FeedDay:
        """The day before the report day."""
        return self.days[-2]

    @property
    def week_ago(self) -> FeedDay:
        """The same weekday one week before the report day (not six days: that would be another weekday)."""
        return self.days[0]

    @property
    def charted(self) -> tuple[FeedDay, ...]:
        """The seven days ending with the report day, as drawn."""
        return self.days[1:]
