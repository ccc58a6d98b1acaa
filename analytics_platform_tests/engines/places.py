"""The same events in two homes, one with the embedded warehouse and one with ClickHouse, and what is done with both.

Belongs here: making homes and files, loading, computing through Dagster. Does not: any comparison.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_platform.definitions import build_definitions
from analytics_platform.defs.resources import warehouse_at
from analytics_platform.defs.schedules import METRICS_JOB
from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS, METRIC_TABLES, EventTable, arrow_schema
from analytics_platform.settings import Home, Settings
from analytics_platform.simulate.generator import write
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.warehouses.base import Warehouse
from analytics_platform_tests.cli.conftest import aside
from analytics_platform_tests.metrics.product import feed, message

ZONE = ZoneInfo("Europe/Berlin")
FIRST = date(2026, 3, 24)
DAYS = 9
LAST = FIRST + timedelta(days=DAYS - 1)
SHORT = date(2026, 3, 29)  # 23 hours
EMPTY, SILENT = date(2026, 3, 25), date(2026, 3, 31)  # no event; messages alone

# As values of an attribute: markup, quotes, escapes, blanks, case, one letter in two spellings, what looks like NULL.
STRANGE = (
    "日本", "😀", "O'Brien; -- $x {a:String}", "a\\b\\n", "two\nlines\tand a tab", "in  the middle", "RUSSIA", "russia",
    "é", "e\u0301", "ß", "ss", "NULL", "null", "unknown ", "Other", "other", "total", '"', "`", "%s", "x\u0000y",
    "\ufeffx", "a" * 3000, "0", "\u202eevil", "-0.0", "{{ 1 }}",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A home, its settings and its warehouse."""

    home: Home
    settings: Settings
    warehouse: Warehouse

    def run(self, *days: date, job: str = METRICS_JOB) -> dg.ExecuteInProcessResult:
        """One run over the days from the first to the last of those, which must succeed."""
        definitions = build_definitions(self.home, self.settings, warehouse=self.warehouse)
        with dg.DagsterInstance.ephemeral() as instance:
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                raise_on_error=False,
                tags={
                    "dagster/asset_partition_range_start": days[0].isoformat(),
                    "dagster/asset_partition_range_end": days[-1].isoformat(),
                },
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        assert result.success, [e.step_failure_data.error for e in result.all_events if e.is_step_failure]
        return result

    def load(self, files: Mapping[EventTable, Iterable[Path]], *options: str) -> None:
        """`analytics-platform load`, of these files."""
        words: list[object] = ["load", "--home", self.home.path, *options]
        for table, option in ((FEED_ACTIONS, "--feed"), (MESSAGE_ACTIONS, "--messages")):
            for path in files.get(table, ()):
                words += [option, path]
        done = aside(self.home.path.parent, *words)
        assert done.code == 0, done.err


def place(folder: Path, warehouse_url: str | None = None, **settings: Any) -> Place:
    """A home in that folder whose settings file names the warehouse, and what its verbs see of it."""
    home = Home(folder / "home")
    home.path.mkdir(parents=True)
    chosen = {"timezone": ZONE.key, "start_date": FIRST, "retry_pause_seconds": 0, **settings}
    chosen |= {"warehouse_url": warehouse_url} if warehouse_url else {}
    lines = [f"{name.upper()}={_line(value)}\n" for name, value in chosen.items()]
    home.settings_file.write_text("".join(lines), "utf-8")
    made = Settings(**chosen)
    return Place(home, made, warehouse_at(home, made))


def _line(value: object) -> str:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return ",".join(f"{ours}={theirs}" for ours, theirs in pairs) or str(value)


def simulated_files(folder: Path, users: int = 120) -> dict[EventTable, list[Path]]:
    """DAYS days of a small product as folders of Parquet, and strange rows in files of their own."""
    scenario = Scenario(
        FIRST, DAYS, users, 6, ZONE, empty_days=frozenset({EMPTY}), messages_only_days=frozenset({SILENT})
    )
    write(scenario, folder / "simulated")
    found: dict[EventTable, list[Path]] = {}
    for table, rows in zip(METRIC_TABLES, (_strange_feed(), _strange_messages()), strict=True):
        path = folder / f"strange_{table.name}.parquet"
        found[table] = [folder / "simulated" / table.name, written(path, table, rows)]
    return found


def written(path: Path, table: EventTable, rows: list[dict[str, Any]]) -> Path:
    """Those events as a Parquet file."""
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(table)), path)
    return path


def moment(text: str) -> datetime:
    """Naive UTC."""
    return datetime.fromisoformat(text)


def _strange_feed() -> list[dict[str, Any]]:
    noon, micro = moment("2026-03-28 11:00"), timedelta(microseconds=1)
    midnight, after = moment("2026-03-28 23:00"), moment("2026-03-29 22:00")  # where SHORT begins and ends
    rows = [feed(1_000 + k, noon + k * micro, country=text, os=text) for k, text in enumerate(STRANGE)]
    rows += [feed(1_500 + k, noon + k * micro, "like", country="x", source=text) for k, text in enumerate(STRANGE)]
    # Two at the same instant, of which the greatest counts: by code point, not by anybody's alphabet.
    rows += [feed(1_100, noon, country=text, os=None, city="") for text in STRANGE]
    rows += [feed(1_200 + n, midnight + n * micro) for n in (-1, 0, 1)]
    rows += [feed(1_210 + n, after + n * micro, "like") for n in (-1, 0, 1)]
    rows += [feed(0, noon, post=0, age=None), feed(4_294_967_295, noon, post=4_294_967_295, age=32767, gender=127)]
    rows += [feed(1_300, noon, age=-32768, gender=-128, exp_group=-128), feed(1_301, noon, gender=None, age=0)]
    rows += [feed(1_302, noon, "share"), feed(1_302, noon, "😀"), feed(1_303, noon, "LIKE", age=-1)]
    return rows


def _strange_messages() -> list[dict[str, Any]]:
    noon = moment("2026-03-28 11:00")
    rows = [message(1_600 + k, 1_400 + k, noon, country=text) for k, text in enumerate(STRANGE)]
    # To oneself, to people who do nothing else then and later, and the same again.
    rows += [message(1_000, 1_000, noon), message(0, 4_294_967_295, noon), message(0, 4_294_967_295, noon)]
    rows += [message(1_001, 1_100, noon + timedelta(days=k), source="unknown") for k in range(5)]
    return rows
