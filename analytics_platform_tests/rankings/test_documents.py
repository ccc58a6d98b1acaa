"""The five documents: their keys, fields, rounding; that every JSON reader can read them."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics_platform.rankings.documents import METADATA, SCHEMA, documents
from analytics_platform.rankings.plan import WEIGHTS, Mode, Plan
from analytics_platform.rankings.ranking import Popular, Ranking, Trend
from analytics_platform_tests.rankings.planted import AS_OF, Event, every, lively, ranking

EXPIRES = AS_OF + timedelta(hours=25)
KEYS = [
    "analytics_popularity_by_country",
    "analytics_popularity_by_category",
    "analytics_trending_by_country",
    "analytics_trending_by_category",
    METADATA,
]


def published(found: Ranking) -> dict[str, Any]:
    return dict(documents(found, "run-1", EXPIRES))


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, float):
        yield value


@pytest.mark.parametrize("mode", Mode)
def test_they_survive_json_with_all_their_letters(mode: Mode) -> None:
    made = published(ranking(lively(3), Plan(mode=mode)))
    assert list(made) == KEYS
    text = json.dumps(made, ensure_ascii=False, allow_nan=False)
    assert json.loads(text) == made
    assert "Côte d'Ivoire" in text
    assert "école" in text
    assert all(math.isfinite(number) for number in numbers(made))
    assert "-0.0," not in text


@pytest.mark.parametrize("mode", Mode)
def test_every_documented_field_is_there_and_no_other(mode: Mode) -> None:
    steady = [event for k in range(3) for event in every(20, country=f"c{k}", category=f"k{k}")]
    rising = every(1, days=1, country="Mali", category="santé", video="rising")
    made = published(ranking(steady + rising, Plan(mode=mode)))
    popular = {
        "popularity_score",
        "unique_users",
        "total_events",
        "video_count",
        "event_breakdown",
        "avg_completion_rate",
        "top_videos",
        "last_updated",
    }
    trend = {"trending_score", "current_score", "previous_score", "velocity_percent", "trend_direction"}
    trending = trend | {
        "trending_videos",
        "total_trending_videos",
        "unique_users_recent",
        "unique_users_previous",
        "total_events_recent",
        "total_events_previous",
        "last_updated",
    }
    of_category = {"countries_count", "countries"}, {"countries_recent", "countries_previous"}
    assert made[KEYS[0]]["Mali"].keys() == popular | {"country"}
    assert made[KEYS[1]]["santé"].keys() == popular | {"category"} | of_category[0]
    assert made[KEYS[2]]["Mali"].keys() == trending | {"country"}
    assert made[KEYS[3]]["santé"].keys() == trending | {"category"} | of_category[1]
    for key, name in ((KEYS[2], "Mali"), (KEYS[3], "santé")):
        (video,) = made[key][name]["trending_videos"]
        assert video.keys() == trend | {"video_id"}
        assert video["trend_direction"] == "up"
    assert made[KEYS[0]]["Mali"]["top_videos"][0].keys() == {"video_id", "score"}


def test_objects_are_keyed_by_group_and_the_best_comes_first() -> None:
    made = published(ranking(lively(4)))
    for key, score in ((KEYS[0], "popularity_score"), (KEYS[3], "trending_score")):
        scores = [one[score] for one in made[key].values()]
        assert scores == sorted(scores, reverse=True)
        called = "country" if key == KEYS[0] else "category"
        assert [one[called] for one in made[key].values()] == list(made[key])


def test_a_completion_rate_that_is_not_there_is_null_and_in_compat_0() -> None:
    events = [Event(timedelta(hours=1))]
    for mode, expected in ((Mode.NORMALISED, None), (Mode.COMPAT, 0.0)):
        assert published(ranking(events, Plan(mode=mode)))[KEYS[0]]["Mali"]["avg_completion_rate"] == expected
    there = published(ranking([replace(events[0], rate=0.257)]))[KEYS[0]]["Mali"]
    assert there["avg_completion_rate"] == 0.26


def test_scores_have_two_decimals_and_velocities_one_and_no_zero_is_negative() -> None:
    trend = Trend("Mali", -0.0012, 1.2345, 9.876, -0.04, "stable", None, 1, 2, 3, 4)
    popular = Popular("Mali", -0.0001, 1, 2, 3, 0.12345, {}, (), ())
    found = ranking(every(60))
    (shown,) = found.trending["country"]
    group = replace(shown, **vars(trend))
    found = replace(
        found, popular={"country": (popular,), "category": ()}, trending={"country": (group,), "category": ()}
    )
    made = published(found)
    figures = [made[KEYS[2]]["Mali"][name] for name in ("trending_score", "current_score", "previous_score")]
    assert figures == [0.0, 1.23, 9.88]
    assert json.dumps(made[KEYS[2]]["Mali"]["velocity_percent"]) == "0.0"
    assert json.dumps(made[KEYS[0]]["Mali"]["popularity_score"]) == "0.0"


def test_the_metadata_says_how_of_what_and_until_when() -> None:
    events = [*every(5), Event(timedelta(hours=1), "dance")]
    assert published(ranking(events))[METADATA] == {
        "last_analysis": "2026-11-21T02:00:00+00:00",
        "expires_at": "2026-11-22T03:00:00+00:00",
        "schema": SCHEMA,
        "status": "ok",
        "run_id": "run-1",
        "as_of": "2026-11-21T02:00:00+00:00",
        "recent_start": "2026-11-20T02:00:00+00:00",
        "recent_end": "2026-11-21T02:00:00+00:00",
        "previous_start": "2026-11-18T02:00:00+00:00",
        "previous_end": "2026-11-20T02:00:00+00:00",
        "mode": "normalised",
        "weights": dict(WEIGHTS),
        "decay_days": 1.0,
        "events_analyzed": 289,
        "total_events_loaded": 865,
        "countries": 1,
        "categories": 1,
        "unknown_event_types": {"dance": 1},
        "odd_completion_rates": 0,
        "analysis_types": [
            "popularity_by_country",
            "popularity_by_category",
            "trending_by_country",
            "trending_by_category",
        ],
    }


def test_moments_are_told_in_utc() -> None:
    local = datetime(2026, 11, 22, 6, tzinfo=UTC).astimezone(tz=None)
    made = documents(ranking(every(60)), "run-1", local)[METADATA]
    assert isinstance(made, dict)
    assert made["expires_at"] == "2026-11-22T06:00:00+00:00"
