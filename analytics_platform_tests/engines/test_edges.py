"""Where engines part most easily: the first and the last day there is, midnights, values that are none."""

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.queries import Query
from analytics_platform.warehouses.base import WarehouseError
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.metrics.product import Events, Product, feed, load, message
from analytics_platform_tests.warehouses.clickhouse_open import open_at

_LONG_AGO, _FAR = date(1970, 1, 1), date(2149, 1, 1)
_LAST = datetime.fromisoformat("2099-12-31 23:59:59.999999")


def products(clickhouse: ClickHouse, folder: Path, zone: ZoneInfo) -> tuple[Product, Product]:
    """The two assets over an empty warehouse of each engine."""
    embedded = DuckDBWarehouse(folder / "events.duckdb", folder / "results.duckdb", folder / "scratch")
    return Product(embedded, zone), Product(open_at(clickhouse.empty_database("edges"), basis=""), zone)


@pytest.mark.parametrize(
    ("clock", "moment", "day"),
    [
        ("UTC", datetime(1970, 1, 1), date(1970, 1, 1)),  # noqa: DTZ001 - naive UTC
        ("UTC", _LAST, date(2099, 12, 31)),
        ("Pacific/Kiritimati", _LAST, date(2100, 1, 1)),
        ("America/New_York", datetime.fromisoformat("2038-01-19 03:14:08"), date(2038, 1, 18)),
    ],
)
def test_the_first_and_the_last_days_there_are(
    clickhouse: ClickHouse, tmp_path: Path, clock: str, moment: datetime, day: date
) -> None:
    events = Events(
        [
            feed(1, moment),
            feed(2, moment, age=-5, country="", gender=None),
            feed(2, moment, "like", age=None, os="unknown"),
        ],
        [message(1, 3, moment), message(0, 4_294_967_295, moment, city="")],
    )
    made = products(clickhouse, tmp_path, ZoneInfo(clock))
    for product in made:
        load(product.engine, events, product.zone)  # type: ignore[arg-type]
        product.compute(day)
    expected, found = made
    assert expected.user_day(day)
    assert found.user_day(day) == expected.user_day(day)
    assert found.daily_slices(day) == expected.daily_slices(day)
    for table in found.tables:
        assert set(found.engine.current_days(table, _LONG_AGO, _FAR)) == {day}
        assert set(expected.engine.current_days(table, _LONG_AGO, _FAR)) == {day}


def test_a_day_before_the_first_is_refused_in_words(clickhouse: ClickHouse) -> None:
    """Where people live west of Greenwich, a time of zero is of 1969."""
    warehouse = open_at(clickhouse.empty_database("edges"))
    events = Events([feed(1, datetime.fromisoformat("1970-01-01 00:00"))], [message(1, 2, _LAST)])
    with pytest.raises(WarehouseError, match=r"feed_actions has events of 1969-12-31 \(America/New_York\), .*; leave"):
        load(warehouse, events, ZoneInfo("America/New_York"))
    for table in ("feed_actions", "message_actions"):
        assert warehouse.rows(Query("n", f"SELECT count(*) AS n FROM events.{table}")) == [{"n": 0}]


def test_a_day_without_events_is_computed_from_nothing(clickhouse: ClickHouse, tmp_path: Path) -> None:
    day = date(2026, 3, 29)
    found = []
    for product in products(clickhouse, tmp_path, ZoneInfo("Europe/Berlin")):
        product.compute(day - timedelta(days=1), day)
        rows = product.daily_slices(day)
        days = [sorted(product.engine.computed_days(table, _LONG_AGO, _FAR)) for table in product.tables]
        found.append((product.user_day(day), rows, [[type(v) for v in row.values()] for row in rows.values()], days))
    assert found[1] == found[0]
    assert set(found[0][1]) == {("total", "total")}
