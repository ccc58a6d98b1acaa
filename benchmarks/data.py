"""The files that cases read, made once per size and reused: warehouse files, the CSV file.

Belongs here: where they lie, making them. Does not: what is in them (`shapes.py`), homes (`homes.py`), measuring
(`measure.py`).
"""

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from analytics_platform.metrics.events import FEED_ACTIONS, METRIC_TABLES
from analytics_platform.metrics.facts import LOOKBACK_DAYS, lookback, user_day
from analytics_platform.metrics.tables import user_day_table
from analytics_platform.metrics.windows import day_window
from analytics_platform.settings import HOME_VARIABLE, Settings

# Raise it when the events change: files of an earlier version are then made anew.
VERSION = 1
FIRST_DAY = date(2026, 8, 1)
UTC_ZONE = ZoneInfo("UTC")
# The settings a new home has.
ENGINE: dict[str, str] = {"memory_limit": str(Settings.model_fields["duckdb_memory_limit"].default)}
COMMAND = Path(sys.executable).with_name("analytics-platform")
MEAN_OF = 4


@dataclass(frozen=True)
class Place:
    """Where the files of one size and shape lie. `rows`: feed rows in millions over all `days`."""

    root: Path
    shape: str
    rows: float
    days: int

    @property
    def folder(self) -> Path:
        """The events; kept between runs."""
        return self.root / f"{self.shape}-{self.rows:g}M-{self.days}d-v{VERSION}"

    @property
    def events(self) -> Path:
        """The warehouse's file of events."""
        return self.folder / "events.duckdb"

    @property
    def looked_up(self) -> Path:
        """Attributes of users who only received messages, by day: what the pandas way is given for nothing."""
        return self.folder / "looked_up.parquet"

    @property
    def parquet(self) -> Path:
        """The events once more as Parquet, a file a table and day."""
        return self.folder / "parquet"

    @property
    def server(self) -> Path:
        """The events once more in ClickHouse's own files."""
        return self.folder / "clickhouse"

    @property
    def csv(self) -> Path:
        """The first fifth of the feed as CSV."""
        return self.folder / "feed.csv"

    @property
    def scratch(self) -> Path:
        """What cases write; emptied by each run."""
        return self.folder / "scratch"

    @property
    def feed_rows(self) -> int:
        """Feed rows over all days, before rounding."""
        return round(self.rows * 1_000_000)

    @property
    def dates(self) -> list[date]:
        """Every day with events."""
        return [FIRST_DAY + timedelta(days=k) for k in range(self.days)]

    @property
    def last_days(self) -> list[date]:
        """The days of the one-day cases, which give their mean.

        More than one, because writing the same rows costs from 0.5 to 3 times the mean, by how full the last row group
        of the file is.
        """
        return self.dates[-min(MEAN_OF, max(1, self.days - 1)) :]

    @property
    def before(self) -> Path:
        """Results as they are before the last days are computed. Named after the statement, so never out of date."""
        text = user_day(self.last_days[0], UTC_ZONE, self.dates).sql + repr(user_day_table())
        return self.folder / f"before-{hashlib.sha256(text.encode()).hexdigest()[:12]}.duckdb"


def make_events(place: Place) -> None:
    """Events of that shape in a warehouse file, sorted by time; nothing when they are there."""
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    from analytics_platform.warehouses.duckdb import DuckDBWarehouse
    from benchmarks.shapes import days_of_events

    if place.folder.exists():
        return
    draft = place.folder.with_suffix(".partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    DuckDBWarehouse(draft / "events.duckdb", draft / "unused.duckdb", draft / "tmp", ENGINE).prepare()
    looked_up = []
    with duckdb.connect(draft / "events.duckdb", config={"memory_limit": "2GB"}) as con:
        for made in days_of_events(place.shape, place.feed_rows, place.days):
            for table, events in zip(METRIC_TABLES, (made.feed, made.messages), strict=True):
                names = ", ".join(c.name for c in table.columns)
                con.register("incoming", events)
                con.execute(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM incoming ORDER BY time")
                con.unregister("incoming")
                # Long ago, so that no computed day is older than its events.
                loaded = "INSERT INTO loaded_days VALUES ($table, $day, $rows, TIMESTAMP '2000-01-01')"
                con.execute(loaded, {"table": table.name, "day": made.day, "rows": events.num_rows})
            known = made.looked_up
            looked_up.append(known.append_column("day", pa.array([made.day] * known.num_rows, pa.date32())))
    pq.write_table(pa.concat_tables(looked_up), draft / "looked_up.parquet")
    draft.rename(place.folder)


def make_before(place: Place) -> None:
    """facts/user_day of the 30 days before the last ones, as a daily run finds them."""
    from analytics_platform.warehouses.duckdb import DuckDBWarehouse

    if place.before.exists():
        return
    draft = place.before.with_suffix(".partial")
    draft.unlink(missing_ok=True)
    warehouse = DuckDBWarehouse(place.events, draft, place.scratch / "tmp", ENGINE)
    warehouse.prepare()
    table = user_day_table()
    earlier = [day for day in place.dates if day < place.last_days[0]]
    for day in earlier[-LOOKBACK_DAYS:]:
        current = warehouse.current_days(table, *lookback(day))
        warehouse.replace_day(table, day, user_day(day, UTC_ZONE, current))
    draft.rename(place.before)


def make_parquet(place: Place) -> None:
    """The events as Parquet files, one a table and day, sorted by time; nothing when they are there."""
    import duckdb

    if place.parquet.exists():
        return
    draft = place.parquet.with_suffix(".partial")
    shutil.rmtree(draft, ignore_errors=True)
    with duckdb.connect(place.events, read_only=True) as con:
        for table in METRIC_TABLES:
            (draft / table.name).mkdir(parents=True)
            for day in place.dates:
                window = day_window(day, UTC_ZONE)
                # No parameters inside a COPY.
                within = f"time >= TIMESTAMP '{window.start}' AND time < TIMESTAMP '{window.end}'"
                target = parquet_of(draft, table.name, day)
                con.execute(f"COPY (SELECT * FROM {table.name} WHERE {within}) TO '{target}' (FORMAT parquet)")
    draft.rename(place.parquet)


def parquet_of(folder: Path, table: str, day: date) -> Path:
    """The file of a table and day."""
    return folder / table / f"{day}.parquet"


def make_csv(place: Place) -> None:
    """A fifth of the feed, from its beginning, as a CSV file with a header."""
    import duckdb

    if place.csv.exists():
        return
    draft = place.csv.with_suffix(".partial")
    with duckdb.connect(place.events, read_only=True) as con:
        limit = max(1, place.feed_rows // 5)
        text = f"COPY (SELECT * FROM {FEED_ACTIONS.name} LIMIT {limit}) TO '{draft}' (FORMAT csv, HEADER)"
        con.execute(text)
    draft.rename(place.csv)


def plain_environment() -> dict[str, str]:
    """This environment without settings of the platform, which would change what is measured."""
    ours = {HOME_VARIABLE, "DAGSTER_HOME", *(name.upper() for name in Settings.model_fields)}
    return {name: value for name, value in os.environ.items() if name not in ours}
