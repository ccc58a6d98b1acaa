"""A ranking as rows for the warehouse, and as a table to look at."""

import json
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest

from analytics_platform.metrics.tables import RANKINGS_POPULAR, RANKINGS_TRENDING, result_schema
from analytics_platform.rankings.plan import Mode, Plan
from analytics_platform.rankings.rows import markdown_table, popular_rows, trending_rows
from analytics_platform_tests.rankings.planted import AS_OF, Event, every, lively, ranking

DAY = date(2026, 11, 21)


def where(table: pa.Table, **wanted: object) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in wanted.items())]


@pytest.mark.parametrize("mode", Mode)
def test_every_group_and_listed_video_has_a_row(mode: Mode) -> None:
    found = ranking(lively(5), Plan(mode=mode))
    popular, trending = popular_rows(found, DAY), trending_rows(found, DAY)
    assert popular.schema == result_schema(RANKINGS_POPULAR)
    assert trending.schema == result_schema(RANKINGS_TRENDING)
    for ranked_by in ("country", "category"):
        assert [row["name"] for row in where(popular, ranked_by=ranked_by, video_id=None)] == [
            one.name for one in found.popular[ranked_by]
        ]
        for group in found.popular[ranked_by]:
            videos = [r for r in where(popular, ranked_by=ranked_by, name=group.name) if r["video_id"]]
            assert [(r["video_id"], r["score"]) for r in videos] == [(v.video_id, v.score) for v in group.top_videos]
            assert [r["position"] for r in videos] == list(range(1, len(videos) + 1))
        for moved in found.trending[ranked_by]:
            rows = where(trending, ranked_by=ranked_by, name=moved.name)
            assert [(r["video_id"], r["trend_direction"], r["p_value"]) for r in rows] == [
                (None, moved.direction, moved.p_value),
                *((video.name, video.direction, video.p_value) for video in moved.videos),
            ]
    same = {(row["event_date"], row["as_of"], row["mode"]) for row in (*popular.to_pylist(), *trending.to_pylist())}
    assert same == {(DAY, AS_OF.replace(tzinfo=None), str(mode))}


def test_lists_are_json_with_sorted_keys_and_only_where_they_belong() -> None:
    events = [
        Event(timedelta(hours=1), kind, country="Côte d'Ivoire") for kind in ("video_view", "other", "video_view")
    ]
    found = ranking(events)
    (country,) = where(popular_rows(found, DAY), ranked_by="country", video_id=None)
    (category,) = where(popular_rows(found, DAY), ranked_by="category", video_id=None)
    assert country["breakdown"] == '{"other": 1, "video_view": 2}'
    assert (country["countries"], category["countries"]) == (None, '["Côte d\'Ivoire"]')
    assert country["completion_rate"] is None
    (moved,) = where(trending_rows(found, DAY), ranked_by="category")
    assert (json.loads(moved["countries_recent"]), moved["countries_previous"]) == (["Côte d'Ivoire"], "[]")
    assert (moved["videos_trending"], moved["p_value"]) == (0, None)


def test_nothing_to_rank_gives_no_rows() -> None:
    found = ranking([])
    assert (len(popular_rows(found, DAY)), len(trending_rows(found, DAY))) == (0, 0)
    assert markdown_table(found, "country") == "No events in the recent window."


def test_the_table_to_look_at_has_rank_score_change_users_and_top_video() -> None:
    steady = [event for name in ("Mali", "Togo", "Sénégal") for event in every(6, country=name)]
    found = ranking([*steady, *every(1, days=1, country="Cameroun", video="new")])
    lines = markdown_table(found, "country").splitlines()
    assert lines[2] == "| 1 | Cameroun | 1,440.00 | ↑ +14,400.0% | 1,440 | new |"
    assert lines[3].startswith("| 2 | Mali | 240.00 | → 0.0% | 240 | v1 |")
    assert len(lines) == 6


def test_names_stay_in_their_cells_and_are_no_markup() -> None:
    hostile = "a|b <img src=x> [link](x) `code` *bold*\nnext & ~so~ \\"
    table = markdown_table(ranking(every(60, country=hostile, video="v|1_2")), "country")
    (_, _, line) = table.splitlines()
    assert r"a\|b \<img src=x\> \[link\](x) \`code\` \*bold\* next \& \~so\~ \\" in line
    assert line.endswith(r"| v\|1\_2 |")


def test_what_does_not_fit_is_counted() -> None:
    events = [event for k in range(25) for event in every(120, country=f"c{k:02}")]
    table = markdown_table(ranking(events), "country", limit=20)
    assert len(table.splitlines()) == 24
    assert table.endswith("\n\n5 more")


def test_a_group_without_videos_has_an_empty_cell() -> None:
    table = markdown_table(ranking([Event(timedelta(hours=1), "cagnotte_detail_view", video=None)]), "category")
    assert table.splitlines()[2].endswith("| 1 |  |")
