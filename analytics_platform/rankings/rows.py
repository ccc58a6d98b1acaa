"""A ranking as rows of the result tables, and as a Markdown table for the asset's page.

Belongs here: these two shapes. Does not: the documents for other programs (`documents.py`), how a table is written
(`warehouses/`).

Light to import: pyarrow is imported inside the functions.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from analytics_platform.metrics.tables import RANKINGS_POPULAR, RANKINGS_TRENDING, ResultTable, result_schema
from analytics_platform.rankings.plan import RANKED_BY, naive_utc
from analytics_platform.rankings.ranking import Direction, Ranking, Trend

if TYPE_CHECKING:
    import pyarrow as pa

_Row = dict[str, object]

ARROWS: Mapping[Direction, str] = {"up": "↑", "down": "↓", "stable": "→"}


def popular_rows(ranking: Ranking, event_date: date) -> "pa.Table":
    """One row per group and one per video at its top, with the columns of `RANKINGS_POPULAR`; scores not rounded.

    Of a video's row, `videos`, `completion_rate`, `breakdown` and `countries` are NULL, of a country's `countries`.
    """

    def rows() -> Iterator[_Row]:
        for ranked_by in RANKED_BY:
            for position, group in enumerate(ranking.popular[ranked_by], start=1):
                yield {
                    "ranked_by": ranked_by,
                    "name": group.name,
                    "position": position,
                    "score": group.score,
                    "users": group.users,
                    "events": group.events,
                    "videos": group.videos,
                    "completion_rate": group.completion_rate,
                    "breakdown": _json(dict(group.breakdown)),
                    "countries": _json(group.countries) if ranked_by == "category" else None,
                }
                for place, video in enumerate(group.top_videos, start=1):
                    yield {
                        "ranked_by": ranked_by,
                        "name": group.name,
                        "video_id": video.video_id,
                        "position": place,
                        "score": video.score,
                        "users": video.users,
                        "events": video.events,
                    }

    return _table(RANKINGS_POPULAR, ranking, event_date, rows())


def trending_rows(ranking: Ranking, event_date: date) -> "pa.Table":
    """One row per group and one per video of its list, with the columns of `RANKINGS_TRENDING`; scores not rounded.

    Of a video's row, `videos_trending` and the countries are NULL, of a country's the countries.
    """

    def rows() -> Iterator[_Row]:
        for ranked_by in RANKED_BY:
            of_category = ranked_by == "category"
            for position, group in enumerate(ranking.trending[ranked_by], start=1):
                yield {
                    **_trend(group),
                    "ranked_by": ranked_by,
                    "name": group.name,
                    "position": position,
                    "videos_trending": group.videos_trending,
                    "countries_recent": _json(group.countries_recent) if of_category else None,
                    "countries_previous": _json(group.countries_previous) if of_category else None,
                }
                for place, video in enumerate(group.videos, start=1):
                    names = {"ranked_by": ranked_by, "name": group.name, "video_id": video.name, "position": place}
                    yield {**_trend(video), **names}

    return _table(RANKINGS_TRENDING, ranking, event_date, rows())


def markdown_table(ranking: Ranking, by: str, limit: int = 20) -> str:
    """The most popular groups of `by` (`country` or `category`) with where they move; a sentence when there is none."""
    groups = ranking.popular[by][:limit]
    if not groups:
        return "No events in the recent window."
    moved = {trend.name: trend for trend in ranking.trending[by]}
    lines = [f"| | {by} | score | change | users | top video |", "|---:|:---|---:|---:|---:|:---|"]
    for place, group in enumerate(groups, start=1):
        trend = moved[group.name]
        percent = round(trend.velocity_percent, 1)
        change = f"{ARROWS[trend.direction]} {percent:+,.1f}%" if percent else f"{ARROWS[trend.direction]} 0.0%"
        top = group.top_videos[0].video_id if group.top_videos else ""
        lines.append(
            f"| {place} | {_cell(group.name)} | {group.score:,.2f} | {change} | {group.users:,} | {_cell(top)} |"
        )
    more = len(ranking.popular[by]) - len(groups)
    return "\n".join([*lines, *([f"\n{more} more"] if more else [])])


def _trend(trend: Trend) -> _Row:
    return {
        "trending_score": trend.trending_score,
        "current_score": trend.current_score,
        "previous_score": trend.previous_score,
        "velocity_percent": trend.velocity_percent,
        "trend_direction": trend.direction,
        "p_value": trend.p_value,
        "users_recent": trend.users_recent,
        "users_previous": trend.users_previous,
        "events_recent": trend.events_recent,
        "events_previous": trend.events_previous,
    }


def _table(table: ResultTable, ranking: Ranking, event_date: date, rows: Iterator[_Row]) -> "pa.Table":
    import pyarrow as pa

    same: _Row = {
        "event_date": event_date,
        "as_of": naive_utc(ranking.as_of),
        "mode": str(ranking.plan.mode),
    }
    return pa.Table.from_pylist([same | row for row in rows], schema=result_schema(table))


def _json(value: Mapping[str, int] | Sequence[str]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _cell(text: str) -> str:
    """Text that stays within its cell and is no markup: names come from events."""
    escaped = text.replace("\\", "\\\\")
    for letter in "|`*_~[]<>&":
        escaped = escaped.replace(letter, f"\\{letter}")
    return " ".join(escaped.split())
