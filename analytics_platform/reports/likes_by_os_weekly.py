"""Likes by operating system over a week, against the week before. The example of a report that is one file.

Belongs here: all of it, its text too. Does not: anything another report needs.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from analytics_platform.cadence import Cadence, Frequency, Period
from analytics_platform.messages import Message, Text
from analytics_platform.metrics.frames import growth
from analytics_platform.metrics.slices import slices_between
from analytics_platform.reports.base import NothingToReportError, Number, Reader, Rendering, Report


@dataclass(frozen=True)
class LikesByOs:
    """Likes of the week and of the week before by OS, the largest first; None: the week before is not complete."""

    period: Period
    likes: Mapping[str, tuple[int, int | None]]


class LikesByOsWeekly(Report[LikesByOs]):
    """Every Monday, for the seven days before."""

    name: ClassVar[str] = "likes_by_os_weekly"
    verb: ClassVar[str] = "likes_by_os_weekly"
    title: ClassVar[str] = "Likes by OS"
    about: ClassVar[str] = "Likes of a week by operating system, against the week before."
    cadence: ClassVar[Cadence] = Cadence(Frequency.WEEKLY, weekday=0)
    sources: ClassVar[tuple[str, ...]] = ("feed_actions",)
    tables: ClassVar[tuple[str, ...]] = ("daily_slices",)
    lookback_days: ClassVar[int] = 7

    def read(self, reader: Reader, period: Period, zone: ZoneInfo) -> LikesByOs:  # noqa: ARG002 - days are local already
        """Sums over both weeks. Raises NothingToReportError when a day of the week is missing, or none has likes."""
        earlier = Period(period.first - timedelta(days=7), period.first - timedelta(days=1))
        rows = reader.rows(slices_between(earlier.first, period.last, "os"))
        computed = {row["event_date"] for row in reader.rows(slices_between(earlier.first, period.last, "total"))}
        missing = [day for day in period.days if day not in computed]
        if missing:
            raise NothingToReportError(f"{missing[0]} has not been computed: materialise metrics/daily_slices for it.")

        def likes(os: object, week: Period) -> int:
            of = (r for r in rows if r["dimension_value"] == os and r["event_date"] in set[date](week.days))
            return sum(int(str(r["likes"])) for r in of)

        known = computed.issuperset(earlier.days)
        found = {str(r["dimension_value"]) for r in rows}
        sums = {os: (likes(os, period), likes(os, earlier) if known else None) for os in found}
        if not any(now for now, _ in sums.values()):
            raise NothingToReportError(f"{period} has no likes, so there is nothing to report: load its events.")
        largest_first = sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))
        return LikesByOs(period, {os: (now, before) for os, (now, before) in largest_first if now or before})

    def numbers(self, frame: LikesByOs) -> tuple[Number, ...]:
        """All likes of the week."""
        return (Number("Likes", sum(now for now, _ in frame.likes.values())),)

    def compose(self, frame: LikesByOs, drawn: Mapping[str, bytes], rendering: Rendering) -> Sequence[Message]:  # noqa: ARG002
        """One line per OS under the week's dates."""
        language = rendering.language
        heading = f"{language.say('Likes by OS')}, {language.period(frame.period.first, frame.period.last)}"
        lines = [
            f"{html.escape(os)} = <b>{language.count(now)}</b> ({language.change(growth(now, before))})"
            for os, (now, before) in frame.likes.items()
        ]
        return (Text("\n".join([f"<b>{html.escape(heading)}</b>", *lines])),)


REPORT = LikesByOsWeekly()
