"""Leaves: which windows are compared, that rows add up, and explanations of real (simulated) events."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics_platform.alerts.explain import Options, explain
from analytics_platform.alerts.explanation import Explanation, Verdict
from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.leaves import (
    LONGEST,
    Measured,
    incident_window,
    leaves,
    measured,
    reference_windows,
)
from analytics_platform.metrics.dimensions import Labels
from analytics_platform.metrics.windows import Window
from analytics_platform.queries import Query
from analytics_platform.simulate.clock import Window as Span
from analytics_platform.simulate.generator import generate
from analytics_platform.simulate.incidents import dark_cities
from analytics_platform.simulate.scenario import Scenario
from analytics_platform_tests.metrics.product import LABELS, feed
from analytics_platform_tests.queries.duck import DuckDB

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 3, 10, 12)  # noqa: DTZ001 - naive UTC
HOUR = Window(NOON, NOON + timedelta(hours=1))


@pytest.fixture(scope="module")
def duck() -> Iterator[DuckDB]:
    with DuckDB(()) as engine:
        yield engine


def test_the_past_is_the_same_local_time_of_two_weeks_and_of_two_more_weekdays() -> None:
    windows = reference_windows(Window(datetime(2026, 4, 2, 10), datetime(2026, 4, 2, 12)), BERLIN)  # noqa: DTZ001 - naive UTC
    assert len(windows) == 16
    starts = [w.start.replace(tzinfo=UTC).astimezone(BERLIN) for w in windows]
    assert {s.hour for s in starts} == {12}
    assert windows[4].start == datetime(2026, 3, 28, 11)  # noqa: DTZ001 - before the clocks changed
    assert [(date(2026, 4, 2) - s.date()).days for s in starts] == [*range(1, 15), 21, 28]
    assert {w.end - w.start for w in windows} == {timedelta(hours=2)}


def test_days_out_of_the_ordinary_are_left_out() -> None:
    found = reference_windows(HOUR, BERLIN, {date(2026, 3, 9), date(2026, 3, 3)})
    assert len(found) == 14
    assert date(2026, 3, 9) not in {w.start.date() for w in found}


def test_a_long_incident_is_explained_by_its_last_hours() -> None:
    start = datetime(2026, 3, 10, 1, tzinfo=BERLIN)
    window = incident_window(start, start + timedelta(hours=11))
    assert window == Window(datetime(2026, 3, 10, 7), datetime(2026, 3, 10, 11))  # noqa: DTZ001 - naive UTC
    assert window.end - window.start == LONGEST
    with pytest.raises(ValueError, match="an incident starts before it ends"):
        incident_window(start, start)


def test_metrics_are_told_by_the_columns_they_are_made_of() -> None:
    assert measured("views") == Measured("feed_actions", "views")
    assert measured("feed_users") == Measured("feed_actions", "users")
    assert measured("senders") == Measured("message_actions", "users")
    assert measured("messages_sent").counts == ("messages_sent",)
    assert measured("ctr") == Measured("feed_actions", "likes", "views")
    for metric in ("active_users", "messages_received", "nothing"):
        with pytest.raises(ValueError, match="cannot be explained by slices"):
            measured(metric)


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one window"):
        leaves("feed_actions", [], (), LABELS)
    with pytest.raises(ValueError, match="'messages_sent' is no count of feed_actions"):
        leaves("feed_actions", [HOUR], ("messages_sent",), LABELS)


def test_a_user_counts_once_in_a_window_with_what_the_last_event_says(duck: DuckDB) -> None:
    second = timedelta(seconds=1)
    duck.clear()
    duck.put(
        "events.feed_actions",
        [
            feed(1, NOON, os="iOS", age=19),
            feed(1, NOON + second, "like", os="Android", age=20, gender=None),
            feed(1, NOON + timedelta(hours=1), os="iOS"),  # after the window
            feed(2, NOON, os="iOS", city="", country="unknown", gender=0),
            feed(2, NOON, os="Android", city="", country="unknown", gender=0),
            feed(3, NOON - timedelta(days=1), "share"),
        ],
    )
    yesterday = Window(NOON - timedelta(days=1), NOON - timedelta(hours=23))
    rows = duck.rows(leaves("feed_actions", [HOUR, yesterday], ("views", "likes"), LABELS))
    found = {(r["window_number"], r["gender"], r["age_group"], r["os"], r["country"], r["city"]): r for r in rows}
    assert len(rows) == 3
    one = found[0, "unknown", "20-29", "Android", "Russia", "Moscow"]
    assert (one["users"], one["views"], one["likes"]) == (1, 1, 1)
    two = found[0, "female", "20-29", "iOS", "unknown", "unknown"]  # of one moment the greatest values
    assert (two["users"], two["views"], two["likes"]) == (1, 2, 0)
    three = found[1, "male", "20-29", "iOS", "Russia", "Moscow"]
    assert (three["users"], three["views"]) == (1, 0)


DAY = date(2026, 3, 19)
EVENING = Window(datetime(2026, 3, 19, 18), datetime(2026, 3, 19, 20))  # noqa: DTZ001 - naive UTC
EVENING_BOUNDS = {"start_0": EVENING.start, "end_0": EVENING.end}


@pytest.fixture(scope="module")
def evenings() -> Sequence[pa.Table]:
    """The feed of 18 evenings; in the last one two cities are dark."""
    span = Span(EVENING.start.replace(tzinfo=UTC), EVENING.end.replace(tzinfo=UTC))
    scenario = Scenario(
        DAY - timedelta(days=17),
        18,
        5_000,
        4,
        ZoneInfo("UTC"),
        incidents=False,
        extra=dark_cities(span, ("Moscow", "Saint Petersburg")),
    )
    found = []
    for day in generate(scenario):
        low, high = (
            moment.replace(year=day.day.year, month=day.day.month, day=day.day.day)
            for moment in (
                EVENING.start,
                EVENING.end,
            )
        )
        times = day.feed["time"]
        found.append(day.feed.filter(pc.and_(pc.greater_equal(times, low), pc.less(times, high))))
    return found


def _put(duck: DuckDB, tables: Sequence[pa.Table]) -> None:
    duck.clear()
    duck.put("events.feed_actions", pa.concat_tables(tables).to_pylist())


def _explained(duck: DuckDB, metric: str) -> Explanation:
    columns = measured(metric)
    windows = [EVENING, *reference_windows(EVENING, ZoneInfo("UTC"))]
    query = leaves(columns.table, windows, columns.counts, Labels({"gender": {"1": "male", "0": "female"}}))
    rows = duck.rows(query)
    there = "FROM events.feed_actions WHERE time >= $start_0 AND time < $end_0"
    whole = duck.rows(Query("users", f"SELECT count(DISTINCT user_id) AS users {there}", EVENING_BOUNDS))
    assert sum(r["users"] for r in rows if r["window_number"] == 0 and isinstance(r["users"], int)) == whole[0]["users"]
    return explain(columns, rows, Direction.DOWN, Options())


def test_dark_cities_are_found_in_events(duck: DuckDB, evenings: Sequence[pa.Table]) -> None:
    _put(duck, evenings)
    for metric in ("views", "likes", "feed_users"):
        found = _explained(duck, metric)
        assert found.verdict is Verdict.SLICE, metric
        (dark,) = found.slices
        assert [(p.dimension, p.values) for p in dark.parts] == [("city", ("Moscow", "Saint Petersburg"))]
        assert dark.value == 0
        assert found.rest_usual


def test_an_outage_of_one_system_is_found_in_events(duck: DuckDB, evenings: Sequence[pa.Table]) -> None:
    # The evening before the last is an ordinary one; half of what iOS sent is lost in it.
    lost = evenings[-2]
    odd = pc.equal(pc.bit_wise_and(lost["post_id"], 1), 1)
    keep = lost.filter(pc.invert(pc.and_(pc.equal(lost["os"], "iOS"), odd)))
    _put(duck, [_later(t) for t in (*evenings[:-2], keep)])
    found = _explained(duck, "views")
    assert [(p.dimension, p.values) for s in found.slices for p in s.parts] == [("os", ("iOS",))]


def _later(table: pa.Table) -> pa.Table:
    times = pc.add(table["time"], pa.scalar(timedelta(days=1)))
    return table.set_column(table.column_names.index("time"), "time", pc.cast(times, pa.timestamp("us")))


def test_an_ordinary_evening_has_no_slice_to_blame(duck: DuckDB, evenings: Sequence[pa.Table]) -> None:
    _put(duck, [_later(t) for t in evenings[:-1]])
    assert _explained(duck, "views").verdict is Verdict.BROAD


def test_likes_lost_on_one_system_are_a_rate_and_not_a_mix(duck: DuckDB, evenings: Sequence[pa.Table]) -> None:
    lost = evenings[-2]
    gone = pc.and_(pc.equal(lost["os"], "Android"), pc.equal(lost["action"], "like"))
    odd = pc.equal(pc.bit_wise_and(lost["post_id"], 1), 1)
    _put(duck, [_later(t) for t in (*evenings[:-2], lost.filter(pc.invert(pc.and_(gone, odd))))])
    found = _explained(duck, "ctr")
    assert found.verdict is Verdict.SLICE
    assert [(p.dimension, p.values) for s in found.slices for p in s.parts] == [("os", ("Android",))]
    assert abs(found.rate) > 5 * abs(found.mix)
