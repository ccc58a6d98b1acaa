"""`demo` in a home whose settings name a ClickHouse: all of it, and never into somebody's own events."""

from pathlib import Path

import pytest

from analytics_platform.queries import Query
from analytics_platform.settings import Home
from analytics_platform_tests.cli.conftest import aside
from analytics_platform_tests.clickhouse_service import ClickHouse
from analytics_platform_tests.engines.places import place
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.rows import DAY, UTC, at, feed

WORDS = ("demo", "--days", 9, "--users", 300)


@pytest.mark.slow
def test_the_demo_on_clickhouse(clickhouse: ClickHouse, tmp_path: Path) -> None:
    home, url = Home(tmp_path / "home"), clickhouse.empty_database("demo")
    home.path.mkdir()
    home.settings_file.write_text(f"WAREHOUSE_URL={url}\n", "utf-8")
    done = aside(tmp_path, *WORDS, "--home", home.path)
    assert done.code == 0, done.err
    *_, feed_report = [line for line in done.out.splitlines() if line.startswith("1. DAU = ")]
    warehouse = open_at(url)
    [last] = warehouse.rows(Query("last", "SELECT dau FROM results.feed_daily ORDER BY event_date DESC LIMIT 1"))
    assert feed_report.split()[3].replace(",", "") == str(last["dau"])
    assert {path.suffix for path in home.outbox.rglob("*")} >= {".png", ".pdf", ".csv"}
    assert not list(home.path.glob("*.duckdb"))
    assert (home.path / "generated" / "warehouse.txt").read_text("utf-8") == warehouse.place


def test_a_demo_elsewhere_is_no_leave_to_overwrite_events_of_a_server(clickhouse: ClickHouse, tmp_path: Path) -> None:
    made = place(tmp_path, clickhouse.empty_database("demo"))
    made.warehouse.load([feed([at(DAY)])], UTC)
    generated = made.home.path / "generated"
    generated.mkdir()
    for where in (None, "the embedded files"):
        if where:
            (generated / "warehouse.txt").write_text(where, "utf-8")
        done = aside(tmp_path, *WORDS, "--home", made.home.path)
        assert (done.code, done.out) == (1, "")
        assert f"{made.warehouse.place}: it holds events of yours; name another database in WAREHOUSE_URL" in done.err
        assert not (generated / "feed_actions").exists()
