"""series/quarter_hour of a day: every cell is the oracle's, whatever the clocks, the slices and the catalogue."""

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.metrics import catalog, series
from analytics_platform.metrics.catalog import METRICS, Count, Distinct, Metric, Ratio, Source
from analytics_platform.metrics.dimensions import Labels
from analytics_platform.metrics.series import SeriesKey, Span
from analytics_platform.metrics.series_changes import counted, noticeable
from analytics_platform.metrics.tables import SERIES
from analytics_platform.metrics.windows import day_window
from analytics_platform.queries import Query
from analytics_platform.simulate.scenario import Scenario
from analytics_platform_tests.metrics.product import Events, feed, message, simulated
from analytics_platform_tests.metrics.series_oracle import Cells, buckets_of, cells_of, standard
from analytics_platform_tests.queries.duck import DuckDB

BERLIN = ZoneInfo("Europe/Berlin")
SHORT, LONG, PLAIN = date(2026, 3, 29), date(2026, 10, 25), date(2026, 5, 5)
LABELS = Labels()
VIEWS = Count("views", Source.FEED, "", "action = 'view'", watched=True)


@pytest.fixture(scope="module")
def duckdb() -> Iterator[DuckDB]:
    with DuckDB((SERIES,)) as engine:
        yield engine


def holding(engine: DuckDB, events: Events) -> DuckDB:
    """The engine with those events and nothing else."""
    engine.clear()
    engine.put("events.feed_actions", events.feed)
    engine.put("events.message_actions", events.messages)
    return engine


def moment(text: str) -> datetime:
    """Naive UTC."""
    return datetime.fromisoformat(text)


def same(found: Cells, expected: Cells) -> None:
    """Equality that names what differs."""
    assert found.keys() == expected.keys(), sorted(found.keys() ^ expected.keys())[:5]
    assert not {key: (found[key], cell) for key, cell in expected.items() if found[key] != cell}


@pytest.mark.parametrize(("day", "quarters"), [(SHORT, 92), (PLAIN, 96), (LONG, 100)])
def test_every_cell_is_the_oracles_on_days_of_23_24_and_25_hours(duckdb: DuckDB, day: date, quarters: int) -> None:
    events = simulated(Scenario(day - timedelta(days=1), 3, 150, 4, BERLIN))
    found = cells_of(holding(duckdb, events).rows(series.series_day(day, BERLIN, LABELS)))
    same(found, standard(events, day, BERLIN))
    assert len({bucket for *_, bucket in found}) == quarters


@pytest.mark.parametrize("seed", range(6))
def test_users_who_change_within_a_bucket_are_counted_once_where_they_were_last(duckdb: DuckDB, seed: int) -> None:
    rng, start = random.Random(seed), moment("2026-05-05 09:50")
    events = Events()
    ways = {"os": ("iOS", "Android", "", "unknown"), "source": ("ads", "organic"), "age": (None, -1, 30)}
    for _ in range(150):
        at = start + timedelta(minutes=rng.randrange(40))  # whole minutes: many at the same instant
        person: dict[str, Any] = {name: rng.choice(values) for name, values in ways.items()}
        events.feed.append(feed(rng.randrange(8), at, rng.choice(("view", "like", "share")), **person))
        events.messages.append(message(rng.randrange(8), 1, at, **person))
    sliced_by = ("os", "source", "age")
    rows = holding(duckdb, events).rows(series.series_day(PLAIN, BERLIN, LABELS, sliced_by=sliced_by))
    same(cells_of(rows), standard(events, PLAIN, BERLIN, sliced_by))


def test_the_slices_of_every_bucket_add_up_to_the_total(duckdb: DuckDB) -> None:
    events = simulated(Scenario(PLAIN, 1, 200, 9, BERLIN))
    ways = ("os", "source", "age_group", "country", "gender")
    query = series.series_day(PLAIN, BERLIN, Labels({"gender": {"1": "men"}}), sliced_by=ways)
    sums: dict[tuple[str, str, datetime], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    cells = cells_of(holding(duckdb, events).rows(query))
    for (service, metric, dimension, _, bucket), (value, _base) in cells.items():
        if metric != "ctr" and value:
            sums[service, metric, bucket][dimension] += value
    assert len(sums) > 150
    assert all(len(set(by.values())) == 1 and len(by) == 1 + len(ways) for by in sums.values())
    assert "men" in {value for _, _, dimension, value, _ in cells if dimension == "gender"}


def test_a_day_without_events_is_all_zeros_and_ratios_without_a_base(duckdb: DuckDB) -> None:
    cells = cells_of(holding(duckdb, Events()).rows(series.series_day(PLAIN, BERLIN, LABELS)))
    assert len(cells) == 6 * 96
    assert {(metric, cell) for (_, metric, *_), cell in cells.items() if metric == "ctr"} == {("ctr", (None, 0))}
    assert {cell for (_, metric, *_), cell in cells.items() if metric != "ctr"} == {(0.0, None)}


def test_slices_of_the_week_before_have_zeros_and_older_ones_are_forgotten(duckdb: DuckDB) -> None:
    noon = moment("2026-05-05 12:00")
    events = Events(
        [feed(1, noon), feed(2, noon - timedelta(days=7), os="Windows"), feed(3, noon - timedelta(days=8), os="Linux")]
    )
    engine = holding(duckdb, events)
    for back in (8, 7, 1):
        engine.write(SERIES, series.series_day(PLAIN - timedelta(days=back), BERLIN, LABELS))
    cells = cells_of(engine.rows(series.series_day(PLAIN, BERLIN, LABELS)))
    recent = [("os", "Windows"), ("source", "ads")]
    same(cells, standard(events, PLAIN, BERLIN, recent={"feed": recent}))
    assert "Windows" in {key[3] for key in cells}
    assert "Linux" not in {key[3] for key in cells}


def test_stored_quarters_and_new_ones_make_the_day_that_is_computed_at_once(duckdb: DuckDB) -> None:
    """Also where a slice value comes up that the stored ones do not have."""
    events = simulated(Scenario(PLAIN, 1, 150, 2, BERLIN))
    events.feed.append(feed(7, moment("2026-05-05 11:01"), os="Windows"))
    whole, window = series.series_day(PLAIN, BERLIN, LABELS), day_window(PLAIN, BERLIN)
    engine = holding(duckdb, events)
    expected = cells_of(engine.rows(whole))
    noon, one = moment("2026-05-05 10:00"), moment("2026-05-05 11:00")
    early = {"feed": Span(window.start, one), "messenger": Span(window.start, noon)}
    engine.write(SERIES, series.series_day(PLAIN, BERLIN, LABELS, early))
    stored = cells_of(engine.rows(Query("stored", "SELECT * FROM results.series_quarter_hour")))
    assert max(key[4] for key in stored if key[0] == "messenger") == noon - timedelta(minutes=15)
    rest = {"feed": Span(noon, window.end), "messenger": Span(noon, window.end)}
    same(cells_of(engine.rows(series.series_day(PLAIN, BERLIN, LABELS, rest))), expected)
    assert len(stored) < len(expected)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_what_is_stored_of_the_day_in_another_zone_is_not_taken(duckdb: DuckDB, zone: str) -> None:
    events = simulated(Scenario(PLAIN - timedelta(days=1), 3, 80, 2, BERLIN))
    engine, window = holding(duckdb, events), day_window(PLAIN, ZoneInfo(zone))
    expected = cells_of(engine.rows(series.series_day(PLAIN, ZoneInfo(zone), LABELS)))
    assert {key[4] for key in expected} == set(series.buckets(window))
    engine.write(SERIES, series.series_day(PLAIN, BERLIN, LABELS))
    spans = dict.fromkeys(("feed", "messenger"), Span(window.start, window.end))
    same(cells_of(engine.rows(series.series_day(PLAIN, ZoneInfo(zone), LABELS, spans))), expected)


def test_a_change_is_noticeable_from_more_than_two_events_and_one_per_cent_on() -> None:
    at = moment("2026-05-05 10:00")

    def of(views: float, likes: float) -> dict[str, tuple[float, float]]:
        base = {"service": "feed", "bucket_time": at, "base": None}
        ratio = {"metric": "ctr", "value": likes / views if views else None, "base": int(views)}
        return counted([{**base, "metric": "views", "value": views}, {**base, **ratio}])["feed", at]

    assert not noticeable(of(100, 10), of(102, 12))
    assert noticeable(of(100, 10), of(103, 10))
    assert noticeable(of(100, 10), of(100, 13))  # one total of several
    assert not noticeable(of(10_000, 100), of(10_100, 100))
    assert noticeable(of(10_000, 100), of(10_101, 100))
    assert noticeable(of(100, 10), of(97, 10))
    assert noticeable(of(0, 0), of(3, 0))
    assert noticeable(of(3, 0), {})
    assert not noticeable({}, of(0, 0))


def test_only_quarters_that_begin_before_the_bound_are_there(duckdb: DuckDB) -> None:
    events = simulated(Scenario(PLAIN, 1, 60, 2, BERLIN))
    start, end = day_window(PLAIN, BERLIN).start, moment("2026-05-05 10:00")
    spans = {"feed": Span(start, end), "messenger": Span(start, start)}
    cells = cells_of(holding(duckdb, events).rows(series.series_day(PLAIN, BERLIN, LABELS, spans)))
    complete = standard(events, PLAIN, BERLIN)
    known = {key[:4] for key in cells}
    expected = {key: cell for key, cell in complete.items() if key[0] == "feed" and key[4] < end and key[:4] in known}
    same(cells, expected)


def test_one_watched_count_is_all_it_takes_to_have_a_series(duckdb: DuckDB) -> None:
    metrics = catalog.check((*METRICS, Count("shares", Source.FEED, "", "action = 'share'", watched=True)))
    at = moment("2026-05-05 11:05")
    events = Events([feed(1, at, "share"), feed(1, at, "share"), feed(2, at, "share", os="Android")])
    cells = cells_of(holding(duckdb, events).rows(series.series_day(PLAIN, BERLIN, LABELS, metrics=metrics)))
    bucket = moment("2026-05-05 11:00")
    assert cells["feed", "shares", "total", "all", bucket] == (3.0, None)
    assert cells["feed", "shares", "os", "iOS", bucket] == (2.0, None)
    assert SeriesKey("feed", "shares") in series.totals(metrics)
    assert len(cells) == 5 * 4 * 96 + 2 * 96


def test_a_catalogue_of_another_shape_is_watched_as_it_says(duckdb: DuckDB) -> None:
    metrics: tuple[Metric, ...] = catalog.check(
        (
            VIEWS,
            Count("liked", Source.FEED, "", "action = 'like'"),
            Distinct("fans", "", "liked > 1 OR views = 0", Source.FEED, watched=True),
            Count("got", Source.RECEIVED, "", watched=True),
            Count("wrote", Source.SENT, "", watched=True),
            Ratio("answered", "got", "wrote", "", watched=True),
        )
    )
    at = moment("2026-05-05 11:05")
    events = Events(
        [feed(1, at, "like"), feed(2, at, "view"), feed(2, at, "like"), feed(3, at, "view")], [message(1, 2, at)]
    )
    query = series.series_day(PLAIN, BERLIN, LABELS, metrics=metrics, sliced_by=())
    cells = cells_of(holding(duckdb, events).rows(query))
    bucket = moment("2026-05-05 11:00")
    assert {key[1]: cell for key, cell in cells.items() if key[4] == bucket} == {
        "views": (2.0, None),
        "fans": (1.0, None),
        "got": (1.0, None),
        "wrote": (1.0, None),
        "answered": (1.0, 1),
    }


def test_a_catalogue_that_watches_nothing_has_no_rows(duckdb: DuckDB) -> None:
    metrics = (Count("views", Source.FEED, ""),)
    assert (
        holding(duckdb, Events([feed(1, moment("2026-05-05 11:05"))])).rows(
            series.series_day(PLAIN, BERLIN, LABELS, metrics=metrics)
        )
        == []
    )


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (Ratio("rate", "likes", "views", "", watched=True), "a watched ratio is one of watched counts of one service"),
        (Ratio("rate", "sent", "views", "", watched=True), "a watched ratio is one of watched counts of one service"),
        (Ratio("rate", "views", "active", "", watched=True), "a watched ratio is one of watched counts of one service"),
        (Distinct("users", "", watched=True), "watched users need `of`"),
        (Distinct("users", "", "true", Source.RECEIVED, watched=True), "watched users need `of`"),
        (Distinct("users", "", "sent > 0", Source.FEED, watched=True), "counts of feed events alone, not 'sent'"),
        (Distinct("users", "", "os = 'iOS'", Source.FEED, watched=True), "counts of feed events alone, not 'os'"),
    ],
)
def test_the_catalogue_refuses_what_cannot_be_watched(metric: Metric, sentence: str) -> None:
    sent = Count("sent", Source.SENT, "", watched=True)
    likes = Count("likes", Source.FEED, "", "action = 'like'")
    with pytest.raises(ValueError, match=sentence):
        catalog.check((VIEWS, sent, likes, Distinct("active", ""), metric))


def test_the_delivered_series_are_those_the_documentation_names() -> None:
    names = ["feed views", "feed likes", "messenger messages_sent", "feed feed_users", "messenger senders", "feed ctr"]
    assert [str(key) for key in series.totals()] == names
    with pytest.raises(ValueError, match="there is no dimension 'planet' to slice by; there are gender"):
        series.chosen(("planet",))
    assert len(series.buckets(day_window(LONG, BERLIN))) == 100 == len(buckets_of(LONG, BERLIN))
