"""Video events: their shape and mix, whose they are, and that what is planted can be found in them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from analytics_platform.metrics.events import USER_EVENTS, arrow_schema
from analytics_platform.rankings.plan import WEIGHTS
from analytics_platform.simulate.clock import local_day
from analytics_platform.simulate.generator import TRENDS, write
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.simulate.videos import (
    ANONYMOUS,
    CATEGORIES,
    COUNTRIES,
    RISE,
    SURGE,
    TYPES,
    Trend,
    TrendKind,
    Videos,
    read_trends,
    video_day,
)
from analytics_platform_tests.simulate.history import FIRST, scenario

DAYS = 20
RUN = scenario(DAYS, 14_000)


def days(run: Scenario) -> Iterator[pa.Table]:
    """The video events of every day."""
    videos = Videos.of(run)
    return (video_day(run.day(index), videos) for index in range(run.days))


@pytest.fixture(scope="module")
def by_day() -> list[pa.Table]:
    """Twenty days of the demo's product."""
    return list(days(RUN))


@pytest.fixture(scope="module")
def events(by_day: list[pa.Table]) -> dict[str, Any]:
    """All of them as flat columns."""
    table = pa.concat_tables(by_day).cast(arrow_schema(USER_EVENTS))
    return {name: table[name].to_numpy() for name in table.schema.names}


def missing(column: Any) -> Any:
    """Which of the column's texts are not there."""
    return np.asarray([text is None for text in column])


def of_type(events: dict[str, Any], *names: str) -> Any:
    """Which events have one of these types."""
    return np.isin(events["event_type"].astype(str), names)


def test_a_day_has_the_columns_of_the_table_in_order_of_time(by_day: list[pa.Table]) -> None:
    for index, table in enumerate(by_day):
        wanted = arrow_schema(USER_EVENTS)
        assert table.schema.names == wanted.names
        for name, kind in zip(wanted.names, wanted.types, strict=True):
            found = table.schema.field(name).type
            assert (found.value_type if pa.types.is_dictionary(found) else found) == kind
        assert all(table[column.name].null_count == 0 for column in USER_EVENTS.columns if column.required)
        times = table["time"].to_numpy()
        window = RUN.day(index).window
        assert (np.diff(times) >= np.timedelta64(0)).all()
        assert times[0] >= np.datetime64(window.start.replace(tzinfo=None))
        assert times[-1] < np.datetime64(window.end.replace(tzinfo=None))


def test_a_third_of_the_feeds_users_make_a_few_thousand_events_a_day(by_day: list[pa.Table]) -> None:
    for table in by_day:
        assert 2_500 < table.num_rows < 6_000
        assert 500 < pc.count_distinct(table["session_id"]).as_py() < 1_100


def test_ids_are_unique_over_all_days(events: dict[str, Any]) -> None:
    assert len(np.unique(events["event_id"])) == len(events["event_id"])


def test_types_come_in_the_documented_mix(events: dict[str, Any]) -> None:
    assert set(TYPES) == set(WEIGHTS)
    counts = Counter(events["event_type"].tolist())
    for name, share in TYPES.items():
        assert counts[name] / counts.total() == pytest.approx(share / sum(TYPES.values()), abs=0.005)


def test_a_quarter_of_the_sessions_is_anonymous_and_has_no_user(events: dict[str, Any]) -> None:
    unknown = events["user_type"] == "anonymous"
    _, first = np.unique(events["session_id"].astype(str), return_index=True)
    assert unknown[first].mean() == pytest.approx(ANONYMOUS, abs=0.01)
    assert np.array_equal(missing(events["user_id"]), unknown)


def test_a_user_lives_in_one_country(events: dict[str, Any]) -> None:
    known = ~missing(events["user_id"]) & ~missing(events["country"])
    pairs = set(zip(events["user_id"][known], events["country"][known], strict=True))
    assert len(pairs) == len({user for user, _ in pairs})
    assert {country for _, country in pairs} <= set(COUNTRIES)
    assert 0.005 < missing(events["country"]).mean() < 0.02


def test_pages_of_a_collection_have_no_video(events: dict[str, Any]) -> None:
    details = of_type(events, "cagnotte_detail_view")
    assert not missing(events["cagnotte_id"]).any()
    for name in ("video_id", "post_id", "mime_type"):
        assert np.array_equal(missing(events[name]), details)
    assert np.array_equal(np.isnan(events["video_duration"].astype(float)), details)


def test_what_was_watched_agrees_with_the_share_of_the_length(events: dict[str, Any]) -> None:
    length, watched, share, skip = (
        events[name].astype(float) for name in ("video_duration", "watch_duration", "completion_rate", "skip_time")
    )
    views = of_type(events, "video_view", "video_replay")
    assert np.array_equal(np.isfinite(watched), views | of_type(events, "video_skip"))
    assert np.array_equal(np.isfinite(skip), of_type(events, "video_skip"))
    told = np.isfinite(share)
    assert not told[~views].any()
    assert told[views].mean() == pytest.approx(0.97, abs=0.01)
    assert (share[told] > 0).all()
    assert (share[told] <= 1).all()
    assert (np.abs(share[told] * length[told] - watched[told]) <= 0.01).all()


def test_no_video_is_seen_before_it_appears_and_new_ones_come_daily(by_day: list[pa.Table]) -> None:
    videos = Videos.of(RUN)
    seen: set[str] = set()
    for index, table in enumerate(by_day):
        first = local_day(RUN.first_day + timedelta(days=index), RUN.zone).start.timestamp()
        shown = {name for name in table["video_id"].to_pylist() if name}
        assert index == 0 or shown - seen
        seen |= shown
        for name, time in zip(table["video_id"].to_pylist(), table["time"].to_numpy().astype(np.int64), strict=True):
            row = int(name.removeprefix("video-")) - 1 if name else 0
            if videos.day[row] == index:
                assert time // 1_000_000 - first >= videos.second[row]
    assert set(CATEGORIES) <= {CATEGORIES[k] for k in videos.category if k >= 0}


def test_few_videos_have_most_of_the_views(by_day: list[pa.Table]) -> None:
    counts = sorted(Counter(filter(None, by_day[2]["video_id"].to_pylist())).values(), reverse=True)
    assert len(counts) > 80
    assert sum(counts[:10]) > 0.25 * sum(counts)


def test_most_happens_in_the_evening_and_least_at_night(events: dict[str, Any]) -> None:
    hours = np.bincount((events["time"].astype("datetime64[h]").astype(np.int64) + 3) % 24, minlength=24)
    assert np.argmax(hours) in range(18, 23)
    assert np.argmin(hours) in range(3, 6)


# ------------------------------------------------------------------ trends


def daily(by_day: list[pa.Table], trend: Trend) -> list[int]:
    """Events a day of the video or country that rises."""
    column = "video_id" if trend.kind is TrendKind.VIDEO else "country"
    return [pc.sum(pc.equal(table[column], trend.name)).as_py() or 0 for table in by_day]


def test_what_is_planted_rises_on_its_day_and_on_no_other(by_day: list[pa.Table]) -> None:
    videos = Videos.of(RUN)
    trends = videos.trends()
    assert sum(t.kind is TrendKind.COUNTRY for t in trends) == DAYS // 5
    assert sum(t.kind is TrendKind.VIDEO for t in trends) > DAYS
    factors: dict[TrendKind, list[float]] = {kind: [] for kind in TrendKind}
    for trend in trends:
        index = (trend.start.astimezone(RUN.zone).date() - FIRST).days
        if not 2 <= index < DAYS - 1:
            continue
        counts = daily(by_day, trend)
        usual = (counts[index - 1] + counts[index - 2] + counts[index + 1]) / 3
        assert counts[index] > 1.5 * max(counts[index - 1], counts[index - 2])
        factors[trend.kind].append(counts[index] / usual)
    assert np.median(factors[TrendKind.VIDEO]) == pytest.approx(RISE, rel=0.2)
    assert np.median(factors[TrendKind.COUNTRY]) == pytest.approx(SURGE, rel=0.15)


def test_other_countries_and_videos_hardly_move_while_something_rises(by_day: list[pa.Table]) -> None:
    planted = {(t.name, t.start.astimezone(RUN.zone).date()) for t in Videos.of(RUN).trends()}
    for name in (name for name, share in COUNTRIES.items() if share > 0.08):
        counts = [pc.sum(pc.equal(table["country"], name)).as_py() for table in by_day]
        quiet = [n for k, n in enumerate(counts) if (name, FIRST + timedelta(days=k)) not in planted]
        assert max(quiet) < 1.5 * np.median(quiet)


def test_the_file_of_trends_says_what_was_planted(tmp_path: Path) -> None:
    run = scenario(6, 300)
    written = write(run, tmp_path)
    assert written.trends == tmp_path / TRENDS
    assert read_trends(written.trends) == Videos.of(run).trends()
    lines = written.trends.read_text("utf-8").splitlines()
    assert lines[0] == "kind,name,start,end,factor"
    assert any(line.startswith("country,") and line.endswith("T21:00:00+00:00,2") for line in lines)
    stored = pq.read_table(sorted((tmp_path / USER_EVENTS.name).iterdir())[2])
    assert stored.equals(list(days(run))[2])


def test_a_longer_run_begins_with_the_days_of_a_shorter_one() -> None:
    short = scenario(6, 400)
    long = replace(short, days=30)
    for one, other in zip(days(short), days(long), strict=False):
        assert one.equals(other)
    known = Videos.of(long).trends()
    assert Videos.of(short).trends() == known[: len(Videos.of(short).trends())]


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    run = scenario(2, 400)
    assert list(days(run)) == list(days(run))
    assert list(days(run)) != list(days(replace(run, seed=8)))


def test_a_day_without_feed_has_no_video_events_and_no_trends() -> None:
    empty, silent = FIRST + timedelta(days=4), FIRST + timedelta(days=5)
    run = scenario(7, 400, empty_days=frozenset({empty}), messages_only_days=frozenset({silent}))
    counts = [table.num_rows for table in days(run)]
    assert [count == 0 for count in counts] == [False] * 4 + [True, True, False]
    assert not {empty, silent} & {t.start.astimezone(run.zone).date() for t in Videos.of(run).trends()}


def test_the_smallest_product_has_videos_too() -> None:
    assert sum(table.num_rows for table in days(scenario(5, 50))) > 0
