"""The daily feed report: DAU, views, likes, CTR with their changes, seven days as a chart, and the chart as PDF.

Belongs here: what the report reads, draws and says. Does not: drawing (`charts/feed_daily.py`), SQL (`queries/`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from analytics_platform.cadence import Cadence, Frequency, Period
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Message, Picture
from analytics_platform.metrics.frames import FeedDay, FeedFrame, growth
from analytics_platform.metrics.windows import days
from analytics_platform.queries import compose
from analytics_platform.reports.base import NothingToReportError, Number, Reader, Rendering, Report, Row, fill

PNG, PDF = "chart.png", "chart.pdf"


@dataclass(frozen=True)
class Figure:
    """One numbered figure of the text: growth is relative, from unrounded numbers, None where a base is missing."""

    name: str
    value: str
    to_yesterday: float | None
    to_week_ago: float | None


def figures(frame: FeedFrame, language: Language) -> tuple[Figure, ...]:
    """The report's four figures. CTR's change is relative too, not in percentage points."""

    def figure(name: str, of: Callable[[FeedDay], float | None], show: Callable[[float | None], str]) -> Figure:
        value = of(frame.today)
        return Figure(name, show(value), growth(value, of(frame.yesterday)), growth(value, of(frame.week_ago)))

    return (
        figure("DAU", lambda d: d.dau, language.count),
        figure("Views", lambda d: d.views, language.count),
        figure("Likes", lambda d: d.likes, language.count),
        figure("CTR", lambda d: d.ctr, language.percent),
    )


class FeedDaily(Report[FeedFrame]):
    """The news feed, for one day against the day before and the week before."""

    name: ClassVar[str] = "feed_daily"
    verb: ClassVar[str] = "feed"
    title: ClassVar[str] = "News feed"
    about: ClassVar[str] = "DAU, views, likes and CTR of the news feed with a chart of seven days."
    cadence: ClassVar[Cadence] = Cadence(Frequency.DAILY)
    sources: ClassVar[tuple[str, ...]] = ("feed_actions",)
    tables: ClassVar[tuple[str, ...]] = ("feed_daily",)
    lookback_days: ClassVar[int] = 7

    def read(self, reader: Reader, period: Period, zone: ZoneInfo) -> FeedFrame:  # noqa: ARG002 - days are local already
        """The eight days that the report of a day compares; days that were not computed are empty.

        Raises NothingToReportError when the day itself has not been computed or has no events.
        """
        day = period.last
        first = day - timedelta(days=7)
        asked = compose("feed_frame", {"first_day": first, "last_day": day})
        rows = {row["event_date"]: row for row in reader.rows(asked)}
        frame = FeedFrame(tuple(_feed_day(d, rows.get(d)) for d in days(first, day)))
        if frame.today.dau is None:
            raise NothingToReportError(f"{day} has not been computed: materialise frames/feed_daily for it.")
        if not frame.today.dau:
            raise NothingToReportError(
                f"{day} has no feed events, so there is nothing to report: load them, then materialise facts/user_day "
                "and what follows for that day."
            )
        return frame

    def numbers(self, frame: FeedFrame) -> tuple[Number, ...]:
        """The four figures."""
        today = frame.today
        return (
            Number("DAU", today.dau),
            Number("Views", today.views),
            Number("Likes", today.likes),
            Number("CTR", today.ctr, share=True),
        )

    def draw(self, frame: FeedFrame, rendering: Rendering) -> Mapping[str, bytes]:
        """The chart of seven days for the screen and for paper."""
        from analytics_platform.charts import feed_daily as chart

        drawn = chart.draw(frame, rendering.language)
        return {PNG: drawn.png, PDF: drawn.pdf}

    def compose(self, frame: FeedFrame, drawn: Mapping[str, bytes], rendering: Rendering) -> Sequence[Message]:
        """The text first, then the chart as a picture, then the same as a vector PDF."""
        day, language = frame.today.day, rendering.language
        period = language.say(
            "Feed, {first} - {last}", first=language.day(frame.charted[0].day), last=language.day(frame.charted[-1].day)
        )
        return (
            fill(self.name, language, frame=frame, figures=figures(frame, language)),
            Album((Picture(f"{self.name}_{day}.png", drawn[PNG], period),)),
            Document(f"{self.name}_{day}.pdf", drawn[PDF], language.say("The same chart to print or zoom")),
        )


def _feed_day(day: date, row: Row | None) -> FeedDay:
    def number(name: str) -> int | None:
        value = row[name] if row else None
        return value if isinstance(value, int) else None

    return FeedDay(day, number("dau"), number("views"), number("likes"))


REPORT = FeedDaily()
