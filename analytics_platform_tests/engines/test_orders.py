"""On ClickHouse, neither the order of days nor computing one again shows in what is stored."""

from datetime import date
from pathlib import Path

from analytics_platform.defs.metrics import TABLES
from analytics_platform.metrics.events import EventTable
from analytics_platform.queries import Query
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.engines.conftest import Both
from analytics_platform_tests.engines.places import FIRST, Place, place
from analytics_platform_tests.metrics.product import dates

_DAYS = dates(FIRST, 3)  # the second is empty


def test_days_in_another_order_and_again_have_the_rows_of_the_backfill(
    both: Both, clickhouse: ClickHouse, event_files: dict[EventTable, list[Path]], tmp_path: Path
) -> None:
    by_day = place(tmp_path, clickhouse.empty_database("by_day"))
    by_day.load(event_files)
    for k in (2, 0, 1):
        by_day.run(_DAYS[k])
    _assert_same(by_day, both.clickhouse)
    before = _rows(by_day, "SELECT * FROM results.first_seen")
    by_day.run(_DAYS[0], _DAYS[1])
    _assert_same(by_day, both.clickhouse)
    assert _rows(by_day, "SELECT * FROM results.first_seen") == before


def _assert_same(found: Place, expected: Place) -> None:
    for name in TABLES:
        text = f"SELECT * FROM results.{name} WHERE event_date <= $last"
        if name == "first_seen":  # has more rows when days come in another order; the first of an id's counts
            text = (
                f"SELECT kind, id, min(event_date) AS day FROM results.{name} WHERE event_date <= $last GROUP BY 1, 2"
            )
        rows = _rows(expected, text)
        assert rows
        assert _rows(found, text) == rows, name


def _rows(place: Place, text: str, last: date = _DAYS[-1]) -> list[str]:
    return sorted(map(repr, place.warehouse.rows(Query("stored", text, {"last": last}))))
