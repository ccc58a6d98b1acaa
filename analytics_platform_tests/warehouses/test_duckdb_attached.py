"""Which of the two files a question opens: the one that it names, and both when it names both or neither."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import pytest

from analytics_platform.metrics.events import FEED_ACTIONS
from analytics_platform.metrics.tables import FEED_DAILY
from analytics_platform.metrics.windows import day_window
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import WarehouseBusyError
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.warehouses.rows import DAY, UTC, at, feed, figures, open_in

EVENTS = [
    "SELECT count(*) AS n FROM events.feed_actions",
    'SELECT count(*) AS n FROM "Events"."feed_actions"',
    "SELECT count(*) AS n FROM events . feed_actions",
]
RESULTS = [
    "SELECT count(*) AS n FROM results.feed_daily",
    "SELECT count(*) AS n FROM RESULTS.feed_daily",
    "/* of */SELECT count(*)AS n FROM(SELECT 1 FROM results.feed_daily)",
]
BOTH = [
    "SELECT count(*) AS n FROM events.feed_actions, results.feed_daily",
    # It names no file; what it says is of all that are open.
    "SELECT count(DISTINCT database_name) AS n FROM duckdb_tables() WHERE table_name IN ('feed_actions', 'feed_daily')",
]


@pytest.fixture
def filled(tmp_path: Path) -> DuckDBWarehouse:
    """A row in each of two tables; asked before, it knows how large its events are."""
    warehouse = replace(open_in(tmp_path), lock_timeout_seconds=0.05)
    warehouse.load([feed([at(DAY)])], UTC)
    warehouse.replace_day(FEED_DAILY, DAY, figures(DAY, 7))
    assert [warehouse.rows(Query("n", text))[0]["n"] for text in (*EVENTS, *RESULTS, *BOTH)] == [1, 1, 1, 1, 1, 1, 1, 2]
    return warehouse


def asked(warehouse: DuckDBWarehouse) -> dict[str, list[Callable[[], object]]]:
    """What reads each file, and what reads both."""

    def all_of(texts: Sequence[str]) -> list[Callable[[], object]]:
        ways = (warehouse.rows, warehouse.table)
        return [partial(way, Query("n", text)) for text in texts for way in ways]

    batches = warehouse.event_batches
    return {
        "events": [lambda: [*batches(FEED_ACTIONS, day_window(DAY, UTC))], *all_of(EVENTS)],
        "results": [lambda: warehouse.stored_rows(FEED_DAILY, DAY), *all_of(RESULTS)],
        "both": all_of(BOTH),
    }


@pytest.mark.parametrize("taken", ["events", "results"])
def test_who_reads_one_file_does_not_wait_for_a_writer_of_the_other(filled: DuckDBWarehouse, taken: str) -> None:
    with duckdb.connect(getattr(filled, taken)):
        for name, questions in asked(filled).items():
            for ask in questions:
                if name in (taken, "both"):
                    with pytest.raises(WarehouseBusyError, match=rf"{taken}\.duckdb was kept open"):
                        ask()
                else:
                    assert ask()


def test_the_first_question_looks_how_large_the_events_are_whatever_it_names(tmp_path: Path) -> None:
    open_in(tmp_path).prepare()
    with duckdb.connect(tmp_path / "events.duckdb") as console:
        console.execute(
            "INSERT INTO loaded_days VALUES ('feed_actions', '2026-01-01', 5000001, TIMESTAMP '2026-01-02')"
        )
    text = f"SELECT current_setting('threads') AS n, (SELECT count(*) FROM results.{FEED_DAILY.name}) AS days"
    with duckdb.connect(":memory:") as engine:
        default = engine.execute("SELECT current_setting('threads')").fetchone()
    assert default is not None
    folder = DuckDBWarehouse(tmp_path / "events.duckdb", tmp_path / "results.duckdb", tmp_path / "tmp")
    assert folder.rows(Query("threads", text)) == [{"n": default[0], "days": 0}]
