"""The app's tables in the real warehouse: the documented day, reloads, and which days are current."""

import random
from datetime import date, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from analytics_platform.metrics import app_queries, lineage
from analytics_platform.metrics.app import AppFrame, Service, Slice
from analytics_platform.metrics.app_reading import read_app_frame
from analytics_platform.metrics.tables import APP_DAILY, FIRST_SEEN, POST_DAY, STANDARD_TABLES, ResultTable
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import WarehouseError
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests import golden
from analytics_platform_tests.metrics.app_oracle import AppOracle
from analytics_platform_tests.metrics.app_product import BERLIN, DAY, USER_DAY, App, at
from analytics_platform_tests.metrics.product import Events, feed, load, message


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    made = DuckDBWarehouse(tmp_path / "events", tmp_path / "results", tmp_path / "scratch", {"threads": "1"})
    made.prepare()
    return made


# ----------------------------------------------------------- documented day


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[DuckDBWarehouse, AppFrame]:
    folder = tmp_path_factory.mktemp("golden")
    made = DuckDBWarehouse(folder / "events", folder / "results", folder / "scratch", {"threads": "1"})
    golden.load(made)
    return made, read_app_frame(made, golden.DAY)


def test_the_documented_day_has_the_documented_figures(sample: tuple[DuckDBWarehouse, AppFrame]) -> None:
    _, frame = sample
    app, chat_only = frame.at(Slice(Service.APP), golden.DAY), frame.at(Slice(Service.MESSAGE), golden.DAY)
    in_feed = frame.at(Slice(Service.FEED), golden.DAY)
    assert (app.dau, app.actions, _whole(app.actions_per_user)) == (20_200, 764_882, 38)
    assert (in_feed.dau, in_feed.views, in_feed.likes, round(in_feed.ctr or 0, 4)) == (18_379, 623_236, 128_754, 0.2066)
    assert (in_feed.active_posts, in_feed.actions) == (220, 751_990)
    assert (_whole(in_feed.actions_per_user), _whole(in_feed.actions_per_post)) == (41, 3_418)
    assert (in_feed.new_users, in_feed.new_posts) == (1_064, 90)
    assert (chat_only.dau, chat_only.actions, _whole(chat_only.actions_per_user)) == (2_060, 12_892, 6)
    assert chat_only.new_users == 417
    assert (frame.users_ever, frame.actions_ever, frame.audience.both) == (140_061, 52_578_384, 239)
    assert {service: frame.at(Slice(service), golden.DAY) for service in Service} == golden.TOTALS
    for day, totals in golden.EARLIER.items():
        assert {service: frame.at(Slice(service), day) for service in Service} == totals


def test_slices_of_the_documented_day_add_up(sample: tuple[DuckDBWarehouse, AppFrame]) -> None:
    _, frame = sample
    for service, total in golden.TOTALS.items():
        for dimension, values in (("source", 2), ("os", 2), ("country", 6)):
            parts = [frame.at(s, golden.DAY) for s in frame.slices(service, dimension)]
            assert len(parts) == values
            for name in ("dau", "actions", "new_users"):
                assert sum(getattr(p, name) for p in parts) == getattr(total, name)


def test_receivers_of_the_documented_day_are_users_of_the_day_and_not_active(
    sample: tuple[DuckDBWarehouse, AppFrame],
) -> None:
    warehouse, _ = sample
    text = "SELECT active_users - 20200 AS silent FROM results.daily_slices WHERE event_date = $day"
    [row] = warehouse.rows(Query("silent", f"{text} AND dimension = 'total'", {"day": golden.DAY}))
    assert row["silent"] == 900


def _whole(value: float | None) -> int:
    return round(value or 0)


# ---------------------------------------------------------------- reloads


def test_a_reload_takes_users_and_posts_away_and_brings_others(warehouse: DuckDBWarehouse) -> None:
    """First days move to the next day that has the user, wherever that is, and back."""
    later = [feed(1, at(3), post=2), feed(2, at(0), post=1, country="Chad"), feed(3, at(3), post=3, source="organic")]
    chat = [message(1, 2, at(k)) for k in (9, 3, 0)] + [message(3, 1, at(1))]
    first = Events([feed(n, at(9), post=n) for n in (1, 2, 3)] + later, chat)
    second = Events([feed(4, at(9), post=4), *later], [message(4, 1, at(9)), *chat[1:]])
    app = App(warehouse, BERLIN, AppOracle(BERLIN))
    days = [DAY - timedelta(days=k) for k in (9, 3, 1, 0)]
    load(warehouse, first, BERLIN)
    app.compute(first, *random.Random(1).sample(days, 4))
    app.assert_frame(DAY)
    new = Slice(Service.FEED)
    assert [app.frame(DAY).at(new, d).new_users for d in days] == [3, 0, 0, 0]
    load(warehouse, second, BERLIN)
    assert set(warehouse.current_days(FIRST_SEEN, days[0], DAY)) == set()
    app.compute(second, days[0])
    app.assert_frame(DAY)
    assert [app.frame(DAY).at(new, d).new_users for d in days] == [1, 2, 0, 1]
    assert [app.frame(DAY).at(new, d).new_posts for d in days] == [1, 2, 0, 1]
    app.compute(second, *days[1:])
    app.assert_frame(DAY)
    load(warehouse, first, BERLIN)
    app.compute(first, days[0])
    app.assert_frame(DAY)
    app.assert_table()


def test_rows_to_add_are_written_with_the_day_or_not_at_all(warehouse: DuckDBWarehouse) -> None:
    other = DAY - timedelta(days=1)

    def rows(day: date, *ids: int) -> Query:
        values = ", ".join(f"({n})" for n in ids)
        text = "SELECT CAST($day AS DATE) AS event_date, 'feed' AS kind, id, '' AS source, '' AS os, '' AS country"
        return Query("rows", f"{text} FROM (VALUES {values}) AS made(id)", {"day": day})

    def stored() -> set[tuple[object, object]]:
        found = warehouse.rows(Query("stored", f"SELECT event_date, id FROM results.{FIRST_SEEN.name}"))
        return {(r["event_date"], r["id"]) for r in found}

    assert warehouse.replace_day(FIRST_SEEN, DAY, rows(DAY, 1, 2), also=rows(other, 3)) == 2
    assert stored() == {(DAY, 1), (DAY, 2), (other, 3)}
    assert warehouse.computed_days(FIRST_SEEN, other, DAY) == {DAY}, "adding to a day does not make it computed"
    broken = Query("broken", "SELECT no_such_column FROM results.first_seen")
    for query, also in ((rows(DAY, 4), broken), (broken, rows(other, 5)), (rows(DAY, 6), Query("text", "SELECT 1"))):
        with pytest.raises(WarehouseError):
            warehouse.replace_day(FIRST_SEEN, DAY, query, also=also)
    assert stored() == {(DAY, 1), (DAY, 2), (other, 3)}
    assert warehouse.replace_day(FIRST_SEEN, DAY, rows(DAY, 4), also=rows(other, 5)) == 1
    assert stored() == {(DAY, 4), (other, 3), (other, 5)}


# ------------------------------------------------------------- current days


def empty(table: ResultTable) -> Query:
    """No rows for that table."""
    return Query("empty", f"SELECT * FROM results.{table.name} WHERE false")


@pytest.mark.parametrize(
    "order", list(permutations((USER_DAY, POST_DAY, APP_DAILY))), ids=lambda o: "-".join(t.name for t in o)
)
def test_a_table_is_current_when_all_it_comes_from_is_older_and_in_order(
    warehouse: DuckDBWarehouse, order: tuple[ResultTable, ...]
) -> None:
    for table in order:
        warehouse.replace_day(table, DAY, empty(table))
    names = [t.name for t in order]
    at_place = {t.name: k for k, t in enumerate(order)}
    assert warehouse.current_days(USER_DAY, DAY, DAY) == {DAY}
    posts_right = at_place["user_day"] < at_place["post_day"]
    assert bool(warehouse.current_days(POST_DAY, DAY, DAY)) == posts_right
    right = names == ["user_day", "post_day", "app_daily"]
    assert bool(warehouse.current_days(APP_DAILY, DAY, DAY)) == right
    assert warehouse.current_days(FIRST_SEEN, DAY, DAY) == set()


def test_events_loaded_later_make_every_table_outdated(warehouse: DuckDBWarehouse) -> None:
    tables = (USER_DAY, POST_DAY, FIRST_SEEN, APP_DAILY)
    for table in tables:
        warehouse.replace_day(table, DAY, empty(table))
    assert [set(warehouse.current_days(t, DAY, DAY)) for t in tables] == [{DAY}] * 4
    load(warehouse, Events([feed(1, at(2))]), BERLIN)
    assert [set(warehouse.current_days(t, DAY, DAY)) for t in tables] == [set()] * 4
    for done, table in enumerate(tables, start=1):
        warehouse.replace_day(table, DAY, empty(table))
        assert [bool(warehouse.current_days(t, DAY, DAY)) for t in tables] == [k < done for k in range(4)]


def test_facts_of_another_time_zone_make_what_comes_from_them_outdated(tmp_path: Path) -> None:
    def under(basis: str) -> DuckDBWarehouse:
        return DuckDBWarehouse(tmp_path / "e", tmp_path / "r", tmp_path / "s", {"threads": "1"}, basis=basis)

    tables = (USER_DAY, POST_DAY, FIRST_SEEN, APP_DAILY)
    for table in tables:
        under("Asia/Tokyo").replace_day(table, DAY, empty(table))
    for table in tables[1:]:
        under("UTC").replace_day(table, DAY, empty(table))
    assert [set(under("UTC").current_days(t, DAY, DAY)) for t in tables] == [set()] * 4
    for table in tables:
        under("UTC").replace_day(table, DAY, empty(table))
    assert [set(under("UTC").current_days(t, DAY, DAY)) for t in tables] == [{DAY}] * 4


def test_lineage_is_closed_over_tables_that_exist() -> None:
    names = {t.name for t in STANDARD_TABLES}
    for name in names:
        found = lineage.lineage(name)
        assert set(found.tables) <= names
        for base in found.tables[1:]:
            assert set(lineage.lineage(base).tables) <= set(found.tables)
            assert (name, base) in found.pairs
    assert lineage.lineage("anything else") == lineage.Lineage(("anything else",), ())


def test_when_a_day_was_computed_can_be_asked(warehouse: DuckDBWarehouse) -> None:
    before = DAY - timedelta(days=1)
    assert warehouse.computed_at(APP_DAILY, before, DAY) == {}
    warehouse.replace_day(APP_DAILY, DAY, app_queries.app_daily(DAY))
    warehouse.replace_day(POST_DAY, before, empty(POST_DAY))
    [(day, moment)] = warehouse.computed_at(APP_DAILY, before, DAY).items()
    assert day == DAY
    assert isinstance(moment, datetime)
    assert moment.tzinfo is None
    warehouse.replace_day(APP_DAILY, DAY, app_queries.app_daily(DAY))
    assert warehouse.computed_at(APP_DAILY, DAY, DAY)[DAY] > moment
    assert warehouse.computed_at(APP_DAILY, before, before) == {}
