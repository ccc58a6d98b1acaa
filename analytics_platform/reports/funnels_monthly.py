"""The e-mail funnels' month: conversions against the month before, a chart of weekly cohorts, a table.

Belongs here: what the report reads and sends, and when. Does not: figures and words (`funnels/`), drawing
(`charts/funnels.py`), SQL (`queries/`).

Its rows lie in the warehouse under the day of entry, but are of the funnels' own tables and change as people buy: no
day of events makes them complete. What makes them so is a sync after the month's end (`syncs`). A purchase of the
month that the site tells later is corrected, one that was made later does not show.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar
from zoneinfo import ZoneInfo

from analytics_platform.cadence import Cadence, Frequency, Period, comparison
from analytics_platform.funnels import spreadsheet, telling
from analytics_platform.funnels.conversion import Row, between, week_start
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.telling import Months
from analytics_platform.messages import Album, Document, Message, Picture
from analytics_platform.reports.base import Number, Reader, Rendering, Report

PNG, CSV = "chart.png", "conversions.csv"

_NAMES = {
    FunnelType.LANGUAGE: ("Language tests: entries", "Language tests: conversion"),
    FunnelType.NON_LANGUAGE: ("Other tests: entries", "Other tests: conversion"),
}


class FunnelsMonthly(Report[Months]):
    """On the first of a month, for the month before it. A month without entries is told, too."""

    name: ClassVar[str] = "funnels_monthly"
    verb: ClassVar[str] = "funnels"
    title: ClassVar[str] = "E-mail funnels"
    about: ClassVar[str] = (
        "Entries, purchases and conversion of the e-mail funnels in a month, by week of entry as well."
    )
    cadence: ClassVar[Cadence] = Cadence(Frequency.MONTHLY, day=1)
    sources: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[tuple[str, ...]] = ()
    syncs: ClassVar[tuple[str, ...]] = ("funnels/conversions",)

    def read(self, reader: Reader, period: Period, zone: ZoneInfo) -> Months:
        """The entries of the period and of the month before. There is always something to say."""
        earlier = comparison(period, self.cadence).previous.first
        found = reader.rows(between(week_start(earlier), period.last, zone))
        return telling.months([Row.read(row) for row in found], period.first, period.last, earlier, zone)

    def numbers(self, frame: Months) -> tuple[Number, ...]:
        """Entries and conversion of the funnels that anybody entered in either month; of all when nobody did now."""
        groups = {group.funnel: group for group in frame.month.groups}
        found = []
        for funnel, (entries, conversion) in _NAMES.items():
            group = groups.get(funnel)
            if group or frame.empty:
                found.append(Number(entries, group.entries if group else 0))
                found.append(Number(conversion, group.conversion if group else None, share=True))
        return tuple(found)

    def draw(self, frame: Months, rendering: Rendering) -> Mapping[str, bytes]:
        """The weekly cohorts of both months, if any has entries, and the table; nothing for a month of nobody."""
        if frame.empty:
            return {}
        from analytics_platform.charts import funnels as chart

        parts = (frame.month, frame.weeks, frame.tests)
        table = {CSV: spreadsheet.written(parts, rendering.language, bom=rendering.csv_bom)}
        if not any(group.entries for group in frame.weeks.groups):  # customers alone: there is nothing to draw
            return table
        return {PNG: chart.draw(frame.weeks, rendering.language), **table}

    def compose(self, frame: Months, drawn: Mapping[str, bytes], rendering: Rendering) -> Sequence[Message]:
        """The text first, then the chart and the table, if there is anything in them."""
        language = rendering.language
        told = telling.text(frame, language)
        if frame.empty:
            return (told,)
        name, caption = f"{self.name}_{frame.last}", language.say("Conversion by week of entry")
        picture = (Album((Picture(f"{name}.png", drawn[PNG], caption),)),) if PNG in drawn else ()
        return (
            told,
            *picture,
            Document(f"{name}.csv", drawn[CSV], language.say("By funnel, by week of entry, by test")),
        )


REPORT = FunnelsMonthly()
