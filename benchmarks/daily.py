"""The daily computation of the platform, and the bare scan it is held against.

Belongs here: cases over a warehouse file of events. Does not: the other way of doing it (`pandas_way.py`).
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Protocol

import duckdb

from analytics_platform.metrics import facts, slices
from analytics_platform.metrics.dimensions import Labels, attributes
from analytics_platform.metrics.events import Kind
from analytics_platform.metrics.tables import daily_slices_table, user_day_table
from analytics_platform.metrics.windows import day_window
from analytics_platform.queries import Query
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from benchmarks.cells import checksum
from benchmarks.data import ENGINE, UTC_ZONE, Place
from benchmarks.measure import Job, Moment

LABELS = Labels({"gender": Settings.model_fields["gender_labels"].default})


class Split(Warehouse, Protocol):
    """A warehouse that adds up the CPU seconds of computing and of writing."""

    reading: float
    writing: float


class SplitWarehouse(DuckDBWarehouse):
    """Adds up the CPU seconds of what happens with the files open for reading, and for writing."""

    reading = 0.0
    writing = 0.0

    @contextmanager
    def _open(self, write: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        start = Moment.now().cpu
        with super()._open(write) as con:
            yield con
        spent = Moment.now().cpu - start
        if write:
            self.writing += spent
        else:
            self.reading += spent


def attached(place: Place) -> duckdb.DuckDBPyConnection:
    """A connection with the product's own settings that has the events open, read-only."""
    con = duckdb.connect(":memory:", config={**ENGINE})
    con.execute(f"ATTACH '{place.events}' AS events (READ_ONLY)")
    return con


def scan(place: Place, days: Sequence[date], *, text: str = "count", each: bool) -> Job:
    """Read every column that facts and slices need of both tables, in one statement a day (`each`) or one for all.

    Numbers are added up. Texts are decoded and counted, or compared (`text="max"`), which costs more than reading them.
    """
    con = attached(place)
    wanted = attributes()
    texts = [f"{text}({a.name})" for a in wanted if a.kind is Kind.TEXT]
    shared = ", ".join(["sum(user_id)", *(f"sum({a.name})" for a in wanted if a.kind is not Kind.TEXT), *texts])
    spans = [(day, day) for day in days] if each else [(days[0], days[-1])]
    windows = [{"start": day_window(a, UTC_ZONE).start, "end": day_window(b, UTC_ZONE).end} for a, b in spans]
    within = "time >= $start AND time < $end"
    statement = (
        f"SELECT (SELECT (count(*) FILTER (WHERE action = 'like'), {shared}) FROM events.feed_actions WHERE {within}), "
        f"(SELECT (sum(receiver_id), {shared}) FROM events.message_actions WHERE {within})"
    )

    def run() -> Mapping[str, float]:
        for window in windows:
            con.execute(statement, window).fetchall()
        return {}

    def rows() -> Mapping[str, object]:
        counted = {}
        for name in ("feed_actions", "message_actions"):
            count = f"SELECT count(*) FROM events.{name} WHERE {within}"
            counted[name] = sum(con.execute(count, w).fetchall()[0][0] for w in windows) // len(windows)
        return counted

    return Job(run, facts=rows, shares=len(windows))


def platform(place: Place, days: Sequence[date], *, each: bool) -> Job:
    """facts/user_day and metrics/daily_slices of those days, computed and written as the assets do; see `computed`."""
    results = place.scratch / "results.duckdb"
    # For its imports: the work itself begins with files closed and nothing cached, as a run does.
    SplitWarehouse(place.events, results, place.scratch / "tmp", ENGINE).prepare()

    def start() -> SplitWarehouse:
        if each:
            shutil.copyfile(place.before, results)
        else:
            remove(results)
        warehouse = SplitWarehouse(place.events, results, place.scratch / "tmp", ENGINE)
        warehouse.prepare()
        return warehouse

    return computed(days, start, each=each)


def computed(days: Sequence[date], start: Callable[[], Split], *, each: bool) -> Job:
    """Those days in the warehouse that `start` gives, in which none of them is computed.

    `each`: as daily runs, which find the 30 days before computed and take a day at a time; else as one backfill into
    empty tables, measured as a whole. Parts are in the order of the assets:
    all facts, then all slices. The checks that the assets make of their own results come on top and are not part of it.
    """
    users, sliced = user_day_table(), daily_slices_table()
    made: list[Split] = []
    shares = len(days) if each else 1

    def before() -> None:
        made[:] = [start()]

    def compute(chosen: Sequence[date]) -> Mapping[str, float]:
        [warehouse] = made
        warehouse.reading = warehouse.writing = 0.0
        for day in chosen:
            current = warehouse.current_days(users, *facts.lookback(day))
            warehouse.replace_day(users, day, facts.user_day(day, UTC_ZONE, current))
        parts = {"facts, computed": warehouse.reading, "facts, written": warehouse.writing}
        warehouse.reading = warehouse.writing = 0.0
        for day in chosen:
            warehouse.replace_day(sliced, day, slices.daily_slices(day, LABELS))
        return {**parts, "slices": warehouse.reading + warehouse.writing}

    def run() -> Mapping[str, float]:
        if not each:
            return compute(days)
        runs = [compute([day]) for day in days]
        return {part: sum(spent[part] for spent in runs) for part in runs[0]}

    def outcome() -> Mapping[str, object]:
        [warehouse] = made
        began = Moment.now().cpu
        for day in days:
            warehouse.rows(facts.event_totals(day, UTC_ZONE))
            warehouse.rows(facts.stored_totals(day))
            warehouse.rows(slices.slices_between(day, day))
        checks = Moment.now().cpu - began
        rows = warehouse.rows(slices.slices_between(days[0], days[-1]))
        text = "SELECT count(*) AS n FROM results.user_day WHERE event_date >= $first AND event_date <= $last"
        [counted] = warehouse.rows(Query("count", text, {"first": days[0], "last": days[-1]}))
        user_days = counted["n"]
        mean = user_days // shares if isinstance(user_days, int) else None
        return {"checksum": checksum(rows), "user_days": mean, "checks_cpu": checks / shares}

    return Job(run, before, outcome, shares)


def remove(database: Path) -> None:
    """A DuckDB file with what may lie beside it; nothing when there is none."""
    for path in (database, database.with_name(f"{database.name}.wal")):
        path.unlink(missing_ok=True)
