"""What the default ranking says of planted traffic, and that the faults of the replaced worker are not in it."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.rankings.counting import ranking_query
from analytics_platform.rankings.plan import MILLION, UNKNOWN, Mode, Plan, naive_utc
from analytics_platform.rankings.ranked import rank
from analytics_platform.rankings.ranking import Trending
from analytics_platform_tests.queries.duck import DuckDB
from analytics_platform_tests.rankings.planted import (
    AS_OF,
    DAY,
    NUMBERS,
    Event,
    counted,
    every,
    lively,
    ranking,
    table,
)


def country(events: list[Event], name: str = "Mali", plan: Plan | None = None) -> Trending:
    (found,) = (one for one in ranking(events, plan).trending["country"] if one.name == name)
    return found


def doubled(minutes: float, **of: str) -> list[Event]:
    """Traffic that is twice as dense since a day."""
    return [e for e in every(minutes, 3, **of) if e.ago > DAY] + every(minutes / 2, 1, **of)


@pytest.mark.parametrize("decay", [0.2, 1.0, 30.0])
@pytest.mark.parametrize("minutes", [3, 40])
def test_steady_traffic_moves_by_nothing(minutes: float, decay: float) -> None:
    found = country(every(minutes), plan=Plan(decay_days=decay))
    assert round(found.velocity_percent, 1) == 0.0
    assert found.current_score == pytest.approx(found.previous_score, rel=1e-3)
    assert found.trending_score == pytest.approx(found.current_score, rel=1e-3)
    assert found.direction == "stable"
    assert (found.videos, found.videos_trending) == ((), 0)


def test_a_rhythm_of_the_day_cancels_out() -> None:
    by_day = [e for e in every(2) if math.sin(2 * math.pi * (e.ago / DAY)) > 0]
    assert abs(country(by_day).velocity_percent) < 0.1


def test_a_score_is_a_rate_a_day() -> None:
    found = ranking(every(5)).popular["country"][0]
    assert found.score == pytest.approx(24 * 60 / 5, rel=1e-4)
    assert found.top_videos[0].score == pytest.approx(24 * 60 / 5, rel=1e-4)
    assert (found.users, found.events, found.videos) == (288, 288, 1)


def test_what_doubles_rises_and_what_halves_falls() -> None:
    steady = every(3, country="Cameroun", video="steady")
    up, down = doubled(10, country="Mali"), [e for e in every(3, country="Sénégal") if e.ago > DAY]
    events = steady + up + down + every(6, days=1, country="Sénégal")
    found = {one.name: one for one in ranking(events).trending["country"]}
    assert {name: one.direction for name, one in found.items()} == {
        "Mali": "up",
        "Sénégal": "down",
        "Cameroun": "stable",
    }
    mali = found["Mali"]
    rate = 24 * 60 / 10
    assert mali.velocity_percent == pytest.approx(100 * rate / (rate + 10), rel=0.01)
    assert mali.trending_score == pytest.approx(3 * rate, rel=0.01)
    assert mali.p_value is not None
    assert mali.p_value < 0.01
    assert [video.name for video in mali.videos] == ["v1"]
    assert mali.videos_trending == 1
    assert found["Sénégal"].videos == ()  # falling ones are not listed


def test_one_enthusiast_makes_no_trend() -> None:
    crowd = every(5, country="Cameroun", video="v2")
    alone = [replace(e, person="bot", video="v3") for e in every(1, days=1)]
    found = country(crowd + every(30) + alone)
    assert found.velocity_percent > 100
    assert found.direction == "stable"
    assert found.videos == ()


def test_a_smaller_audience_than_asked_for_is_not_tested() -> None:
    few = [e for e in doubled(60) if e.ago > DAY] + every(10, days=1)
    audience = len(few)
    assert country(few, plan=Plan(min_audience=audience)).p_value is not None
    found = country(few, plan=Plan(min_audience=audience + 1))
    assert (found.p_value, found.direction) == (None, "stable")


def test_a_video_that_was_eleventh_before_is_compared_with_what_it_had() -> None:
    better = [event for k in range(10) for event in every(10, country="Mali", video=f"better{k}") if event.ago > DAY]
    eleventh = every(12, country="Mali", video="eleventh")
    assert country(better + eleventh).videos == ()
    rising = country(better + doubled(12, country="Mali", video="eleventh")).videos
    assert [(v.name, v.direction) for v in rising] == [("eleventh", "up")]
    assert rising[0].previous_score == pytest.approx(24 * 60 / 12, rel=0.01)


def test_a_jump_from_one_to_two_does_not_outdo_a_rise_of_a_hundred() -> None:
    events = doubled(8, country="Mali", video="large") + doubled(240, country="Mali", video="tiny")
    found = country(events, plan=Plan(min_audience=1, significance=0.99))
    scores = {video.name: video.trending_score for video in found.videos}
    assert scores["large"] > 10 * scores.get("tiny", 0.0)
    assert found.videos[0].name == "large"


def test_what_is_new_has_a_finite_velocity() -> None:
    steady = [event for name in ("Cameroun", "Sénégal", "Togo") for event in every(5, country=name)]
    found = country(steady + every(5, days=1, country="Mali"))
    assert found.previous_score == 0
    assert found.velocity_percent == pytest.approx(100 * 288 / 10, rel=0.01)
    assert found.direction == "up"


def test_skips_before_do_not_turn_the_sign_of_a_rise() -> None:
    skipped = [replace(e, type="video_skip") for e in every(5) if e.ago > DAY]
    found = country([*skipped, *every(5, days=1), *every(5, country="Cameroun")])
    assert found.previous_score < 0
    assert found.velocity_percent > 0


def test_lists_have_ten_videos_of_a_country_and_five_of_a_category_the_best_first() -> None:
    events = [e for k in range(30) for e in doubled(20 + k / 10, video=f"v{k:02}", country="Mali", category="sport")]
    found = ranking(events)
    for ranked_by, most in (("country", 10), ("category", 5)):
        (popular,), (trending,) = found.popular[ranked_by], found.trending[ranked_by]
        assert len(popular.top_videos) == len(trending.videos) == most
        assert trending.videos_trending == 30
        scores = [video.score for video in popular.top_videos]
        assert scores == sorted(scores, reverse=True)
        assert max(video.trending_score for video in trending.videos) == trending.videos[0].trending_score
        assert trending.videos[0].trending_score > 2.9 * 24 * 3


def test_equal_scores_are_in_the_order_of_names() -> None:
    events = [e for name in ("c", "a", "d", "b") for e in every(30, video=name, country=name)]
    found = ranking(events)
    assert [one.name for one in found.popular["country"]] == ["a", "b", "c", "d"]
    assert [video.video_id for video in found.popular["category"][0].top_videos] == ["a", "b", "c", "d"]
    assert [one.name for one in found.trending["country"]] == ["a", "b", "c", "d"]


def test_completion_is_the_mean_of_the_views_that_have_one() -> None:
    rates = [0.5, 1.0, None, 0.25]
    events = [Event(timedelta(hours=1), person=f"p{k}", rate=rate) for k, rate in enumerate(rates)]
    events += [Event(timedelta(hours=1), "video_share", rate=1.0), Event(timedelta(hours=30), rate=1.0)]
    (mali,) = ranking(events).popular["country"]
    assert mali.completion_rate == pytest.approx(1.75 / 3)
    (without,) = ranking([Event(timedelta(hours=1))]).popular["country"]
    assert without.completion_rate is None


def test_countries_of_a_category_and_events_by_type_are_listed_by_name() -> None:
    hour, yesterday = timedelta(hours=1), timedelta(hours=40)
    events = [
        Event(hour, country="Mali"),
        Event(hour, "video_share", country="Côte d'Ivoire"),
        Event(hour, country=""),
        Event(yesterday, country="Cameroun"),
    ]
    found = ranking(events)
    (sport,), (moved,) = found.popular["category"], found.trending["category"]
    assert sport.countries == moved.countries_recent == ("Côte d'Ivoire", "Mali", UNKNOWN)
    assert moved.countries_previous == ("Cameroun",)
    assert dict(sport.breakdown) == {"video_share": 1, "video_view": 2}
    assert all(one.countries == () for one in found.popular["country"])


def test_unknown_types_score_nothing_and_are_counted_over_both_windows() -> None:
    events = [
        Event(timedelta(hours=ago), "dance", country=where) for ago, where in ((1, "Mali"), (30, "Mali"), (2, ""))
    ]
    found = ranking(
        [*events, Event(timedelta(hours=1), "video_skip")], Plan(weights={"video_view": 1.0, "video_skip": 0})
    )
    assert found.unknown_types == {"dance": 3}
    assert {one.score for one in found.popular["country"]} == {0.0}
    assert (found.events_analyzed, found.total_events_loaded) == (3, 4)


def test_odd_completion_rates_are_counted() -> None:
    odd: dict[str, object] = {
        "kind": "odd",
        "ranked_by": "",
        "name": "",
        "member": "completion_rate",
        "events_recent": 7,
    }
    assert rank(table([odd]), Plan(), AS_OF).odd_completions == 7


@pytest.mark.parametrize("mode", Mode)
def test_the_status_says_what_there_is_to_rank(mode: Mode) -> None:
    plan = Plan(mode=mode)
    nothing = ranking([], plan)
    assert (nothing.status, nothing.events_analyzed, nothing.total_events_loaded) == ("no_data", 0, 0)
    assert nothing.popular == {"country": (), "category": ()}
    assert nothing.trending == {"country": (), "category": ()}
    old = ranking([e for e in every(5) if e.ago > DAY], plan)
    assert old.status == "no_recent_data"
    assert old.popular["country"] == ()
    assert [(one.name, one.events_recent) for one in old.trending["country"]] == [("Mali", 0)]
    assert ranking(every(5), plan).status == "ok"


def test_the_moment_is_kept_in_utc_whatever_its_offset() -> None:
    rows = counted([], Plan())
    assert rank(rows, Plan(), AS_OF.replace(tzinfo=None)) == rank(rows, Plan(), AS_OF)
    assert rank(rows, Plan(), AS_OF).as_of.isoformat() == "2026-11-21T02:00:00+00:00"


@pytest.mark.parametrize("mode", Mode)
def test_events_in_a_warehouse_give_the_ranking_of_events_counted_in_python(mode: Mode) -> None:
    plan = Plan(mode=mode, min_audience=5, significance=0.9)
    events = lively(7) + every(2, days=1, country="Mali", category="école", video="rising")
    with DuckDB([]) as warehouse:
        warehouse.put("events.user_events", [stored(event, number) for number, event in enumerate(events)])
        rows = warehouse.rows(ranking_query(plan, AS_OF))
    found = rank(table(rows), plan, AS_OF)
    assert found == ranking(events, plan)
    assert found.trending["country"][0].videos[0].name == "rising"


def stored(event: Event, number: int) -> dict[str, object]:
    return {
        "event_id": number,
        "event_type": event.type,
        "time": naive_utc(AS_OF) - event.ago,
        "video_id": event.video,
        "country": event.country,
        "category": event.category,
        "user_id": event.person,
        "completion_rate": event.rate,
    }


def test_rows_may_come_in_any_order_and_in_several_chunks() -> None:
    rows = counted(lively(1), Plan())
    shuffled = rows.take(np.random.default_rng(0).permutation(len(rows)))
    chunked = pa.concat_tables([shuffled.slice(0, 50), shuffled.slice(50)])
    assert rank(chunked, Plan(), AS_OF) == rank(rows, Plan(), AS_OF)


COUNTS = st.integers(0, 10**6)
ROW = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b"]), "member": st.sampled_from(["x", "y", "z"])}
    | {name: st.integers(-(10**12), 10**12) if name.startswith("score") else COUNTS for name in NUMBERS}
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, max_size=12), st.sampled_from(Mode), st.integers(1, 3))
def test_whatever_was_counted_all_figures_are_numbers(rows: list[dict[str, object]], mode: Mode, slices: int) -> None:
    plan = Plan(mode=mode, previous=slices * DAY, min_audience=1, significance=0.5)
    kinds = [
        row | {"kind": kind, "ranked_by": "country", "member": None if kind == "group" else row["member"]}
        for row in rows
        for kind in ("group", "video")
    ]
    unique = {(row["kind"], row["name"], row["member"]): row for row in kinds}
    found = rank(table(unique.values()), plan, AS_OF)
    for one in found.trending["country"]:
        for trend in (one, *one.videos):
            numbers = (trend.trending_score, trend.current_score, trend.previous_score, trend.velocity_percent)
            assert all(map(math.isfinite, numbers))
            assert trend.p_value is None or 0 <= trend.p_value <= 1


def test_scores_are_exact_sums_of_whole_millionths() -> None:
    row: dict[str, object] = dict.fromkeys(NUMBERS, 1) | {"kind": "group", "ranked_by": "country", "name": "Mali"}
    found = rank(table([row | {"score_recent": 3 * MILLION}]), Plan(), AS_OF)
    assert found.popular["country"][0].score == 3 / Plan().days("recent")
