"""Nested and flat forms of visits say the same, and are loaded like all events."""

import csv
import json
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from analytics_platform.queries import Query
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.simulate.visits import visit_document
from analytics_platform.sources.problems import EventFileError
from analytics_platform.sources.visits import VisitReader, flat_items, visit_reader
from analytics_platform.warehouses.base import EventLoad
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.sources.visits_written import VISITOR, Write, document, event


def test_flat_items_say_all_that_the_nested_form_says() -> None:
    whole = document(event(1), event(2, zoom=2))
    first, second = flat_items(whole)
    assert first == event(1) | {
        "id": "account-1",
        "name": "Ours",
        "property": "site-1",
        "domain": "example.org",
        "provider": "fb",
        "property_type": "website",
        "metadata": {"plan": "free", "at": [1, 2]},
        "visitor": VISITOR,
        "sender_id": "77",
    }
    assert second["zoom"] == 2
    assert whole == document(event(1), event(2, zoom=2))  # as it was
    with pytest.raises(EventFileError, match="event 1 is no object"):
        list(flat_items(document("page")))


def test_nested_and_flat_files_give_the_same_rows(write: Write, tmp_path: Path) -> None:
    run = Scenario(first_day=date(2026, 9, 1), days=3, users=800, seed=1, zone=ZoneInfo("UTC"))
    nested = visit_document(run)[0]
    items = list(flat_items(nested))
    path = tmp_path / "flat.csv"
    names = sorted({name for item in items for name in item})
    with path.open("w", encoding="utf-8", newline="") as out:
        rows = csv.DictWriter(out, names)
        rows.writeheader()
        rows.writerows(
            {name: json.dumps(v) if isinstance(v, dict) else v for name, v in item.items()} for item in items
        )
    one = pa.Table.from_batches(VisitReader([write(nested)]).batches())
    other = pa.Table.from_batches(visit_reader([path]).batches())
    assert one.num_rows == len(items)
    assert one.equals(other)


def test_they_are_loaded_like_all_events(write: Write, tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path / "events.duckdb", tmp_path / "results.duckdb", tmp_path)
    reader = VisitReader([write(document(event(1), event(2, created="2019-06-24T13:48:34Z", hash=None)))])
    [loaded] = warehouse.load([EventLoad(reader.table, reader.batches())], ZoneInfo("Asia/Tokyo"))
    assert (loaded.rows, loaded.days) == (2, (date(2019, 6, 20), date(2019, 6, 24)))
    stored = warehouse.rows(Query("stored", "SELECT visitor, adblock, hash FROM events.page_events ORDER BY time"))
    assert stored == [
        {"visitor": VISITOR, "adblock": False, "hash": "#team"},
        {"visitor": VISITOR, "adblock": False, "hash": None},
    ]
