"""Loading event files and making simulated events: rows a second and memory.

Belongs here: the loader and the generator, and what they are held against. Does not: computing metrics (`daily.py`).
"""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from analytics_platform.metrics.events import FEED_ACTIONS
from analytics_platform.simulate.generator import generate
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.sources.files import EventReader
from analytics_platform.warehouses.base import EventLoad
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from benchmarks.daily import remove
from benchmarks.data import ENGINE, FIRST_DAY, UTC_ZONE, Place
from benchmarks.measure import Job

_GENERATED_DAYS = 3
_USERS_PER_MILLION_ROWS = 2_800  # the generator's own proportion over 60 days


def loader(place: Place) -> Job:
    """The CSV file through validation into an empty warehouse, sorted by time."""
    events, results = place.scratch / "loaded.duckdb", place.scratch / "loaded_results.duckdb"
    rows: list[int] = []

    def before() -> None:
        rows.clear()
        remove(events)

    def load(path: Path) -> None:
        warehouse = DuckDBWarehouse(events, results, place.scratch / "tmp", ENGINE)
        reader = EventReader(FEED_ACTIONS, [path])
        rows.extend(r.rows for r in warehouse.load([EventLoad(FEED_ACTIONS, reader.batches())], UTC_ZONE))

    def run() -> Mapping[str, float]:
        load(place.csv)
        return {}

    # One event ahead, so that the libraries it takes are imported.
    few = place.scratch / "few.csv"
    with place.csv.open(encoding="utf-8") as stream:
        few.write_text(next(stream) + next(stream), "utf-8")
    before()
    load(few)
    return Job(run, before, lambda: {"rows": rows[0]})


def csv_count(place: Place) -> Job:
    """DuckDB counts the rows of the same file: it finds their ends and converts no value."""
    con = duckdb.connect(":memory:", config={**ENGINE})
    rows: list[int] = []

    def run() -> Mapping[str, float]:
        rows[:] = [con.execute(f"SELECT count(*) FROM read_csv('{place.csv}')").fetchall()[0][0]]
        return {}

    return Job(run, facts=lambda: {"rows": rows[0]})


def csv_table(place: Place) -> Job:
    """DuckDB alone puts the same file into a table sorted by time: no validation, no replacing of days."""
    target = place.scratch / "csv.duckdb"
    rows: list[int] = []

    def run() -> Mapping[str, float]:
        with duckdb.connect(target, config={**ENGINE}) as con:
            con.execute(f"CREATE TABLE feed_actions AS FROM read_csv('{place.csv}') ORDER BY time")
            rows[:] = [con.execute("SELECT count(*) FROM feed_actions").fetchall()[0][0]]
        return {}

    return Job(run, lambda: remove(target), lambda: {"rows": rows[0]})


def generator(place: Place) -> Job:
    """Three days of simulated events, in a population that makes as many rows a day as were asked for."""
    users = max(50, round(place.rows * 60 / place.days * _USERS_PER_MILLION_ROWS))
    scenario = Scenario(first_day=FIRST_DAY, days=_GENERATED_DAYS, users=users, seed=1, zone=UTC_ZONE)
    rows: list[int] = []

    def run() -> Mapping[str, float]:
        rows[:] = [made.feed.num_rows + made.messages.num_rows for made in generate(scenario)]
        return {}

    return Job(run, facts=lambda: {"rows": sum(rows)})
