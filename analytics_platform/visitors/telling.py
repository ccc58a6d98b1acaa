"""What a visitor report says: a summary of the window, and its two tables as files.

Belongs here: from the report to messages. Does not: the figures of single visitors (`reporting.py`), sending. The words
are in `templates/`. IP addresses are in the files alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_platform import wording
from analytics_platform.language import Language
from analytics_platform.messages import Document, Message, Text
from analytics_platform.metrics.windows import day_start
from analytics_platform.visitors.reporting import VisitReport, events_csv, visitors_csv
from analytics_platform.visitors.window import VisitWindow, ambiguous, in_utc

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_PATH, _LONGEST_LANGUAGE, _LONGEST_ID = 60, 20, 9
_PAGES, _ENDS, _BUSIEST, _LANGUAGES = 5, 3, 5, 5


@dataclass(frozen=True)
class Line:
    """One entry of a list. `share` is written already; empty where it says nothing."""

    name: str
    count: int
    share: str = ""


@dataclass(frozen=True)
class Top:
    """The first entries of a list, the largest first, and how many there are besides."""

    heading: str
    lines: tuple[Line, ...]
    more: int


def messages(
    report: VisitReport,
    language: Language,
    zone: ZoneInfo,
    newest: datetime | None = None,
    *,
    bad: int = 0,
    bom: bool = True,
) -> tuple[Message, ...]:
    """The summary, and the visitors and events as CSV files; the summary alone when there was no event.

    `newest` (aware) is the time of the newest event there is anywhere, None when that is not known; an empty window's
    summary tells it. `bad` items of the source, that are no events, were left out.
    """
    summary = text(report, language, zone, newest, bad)
    if report.empty:
        return (summary,)
    name = report.window.key.replace(":", "").replace("..", "_")
    visitors = visitors_csv(report, language, bom=bom)
    events = events_csv(report, language, bom=bom)
    return (
        summary,
        Document(f"visitors_{name}.csv", visitors, language.say("One row per visitor")),
        Document(f"events_{name}.csv", events, language.say("One row per event")),
    )


def text(report: VisitReport, language: Language, zone: ZoneInfo, newest: datetime | None = None, bad: int = 0) -> Text:
    """The summary; see `messages`. Times are those of `zone`."""
    visitors = report.visitors.num_rows
    pages: list[int] = report.visitors["distinct_pages"].to_pylist()
    adblock = report.visitors["adblock"].drop_null().to_pylist()
    known, blocked = len(adblock), sum(adblock)
    return wording.fill(
        "visitors/templates",
        "visitors",
        language,
        period=period(report.window, zone, language),
        zone=zone.key,
        visitors=visitors,
        events=report.events.num_rows,
        bad=bad,
        newest=_moment(in_utc(newest, "the newest event's time"), zone, language) if newest else "",
        pages_per_visitor=sum(pages) / visitors if visitors else None,
        adblock={"share": _share(blocked, known, language), "count": blocked, "known": known},
        lists=[] if report.empty else [found for found in _lists(report, language) if found.lines],
    )


def period(window: VisitWindow, zone: ZoneInfo, language: Language) -> str:
    """The window in local time: whole days as such, all others with the time of the day."""
    start, last = window.start.astimezone(zone).date(), (window.end - timedelta(microseconds=1)).astimezone(zone).date()
    days = day_start(start, zone), day_start(last + timedelta(days=1), zone)
    if days == tuple(window.bounds.values()):
        return language.period(start, last)
    begins, ends = _moment(window.start, zone, language), _moment(window.end, zone, language)
    same_day = window.end.astimezone(zone).date() == start
    return f"{begins} – {_clock(window.end, zone) if same_day else ends}"


def _lists(report: VisitReport, language: Language) -> list[Top]:
    visitors = report.visitors
    entries = (
        (language.say("Pages by events"), report.events["page"], _PAGES, _LONGEST_PATH),
        (language.say("First pages by visitors"), visitors["entry_page"], _ENDS, _LONGEST_PATH),
        (language.say("Last pages by visitors"), visitors["exit_page"], _ENDS, _LONGEST_PATH),
        (language.say("Languages by visitors"), visitors["language"], _LANGUAGES, _LONGEST_LANGUAGE),
    )
    tops = [_top(heading, column, most, longest, language) for heading, column, most, longest in entries]
    busy = visitors.select(["visitor", "n_interactions"])
    by_events = busy.sort_by([("n_interactions", "descending"), ("visitor", "ascending")]).slice(0, _BUSIEST)
    lines = tuple(Line(_named(row["visitor"], _LONGEST_ID), row["n_interactions"]) for row in by_events.to_pylist())
    busiest = Top(language.say("Busiest visitors by events"), lines, visitors.num_rows - len(lines))
    return [*tops[:3], busiest, tops[3]]


def _top(heading: str, column: "pa.ChunkedArray", most: int, longest: int, language: Language) -> Top:
    """Its most frequent values; those that are missing are counted in shares alone."""
    counted = column.drop_null().value_counts()
    found = list(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
    first = nsmallest(most, found, key=lambda one: (-one[1], one[0]))
    lines = tuple(Line(_named(value, longest), count, _share(count, len(column), language)) for value, count in first)
    return Top(heading, lines, len(found) - len(lines))


def _named(value: str, longest: int) -> str:
    return wording.legible(value, longest) or "?"


def _share(count: int, of: int, language: Language) -> str:
    return language.compact(round(count / of, 2) if of else None, share=True)


def _moment(moment: datetime, zone: ZoneInfo, language: Language) -> str:
    return f"{language.day(moment.astimezone(zone).date())}, {_clock(moment, zone)}"


def _clock(moment: datetime, zone: ZoneInfo) -> str:
    """The time of the day, to the second if it is no whole minute; with its offset in an hour that is there twice."""
    local = moment.astimezone(zone)
    clock = f"{local:%H:%M:%S}" if local.second or local.microsecond else f"{local:%H:%M}"
    wall = local.replace(tzinfo=None, fold=0)
    return f"{clock} ({local.isoformat()[-6:]})" if ambiguous(wall, zone) else clock
