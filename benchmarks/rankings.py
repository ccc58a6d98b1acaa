"""Rankings of 72 hours of videos: `python -m benchmarks.rankings [--events 10] [--rounds 2]`.

Belongs here: the events, the ways of ranking them, the table of ratios. Does not: clocks and counters (`measure.py`).

Each case runs in a process of its own, the cases in turn, the cheapest repetition counts. ClickHouse is its embedded
engine inside that process, so that its CPU counts.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from analytics_platform.metrics.events import USER_EVENTS, Kind, arrow_schema
from analytics_platform.queries import Query
from analytics_platform.rankings.counting import ranking_query
from analytics_platform.rankings.plan import Plan
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from benchmarks.data import ENGINE
from benchmarks.measure import Job, Measured, measure

# Raise it when the events change: files of an earlier version are then made anew.
VERSION = 1
AS_OF = datetime.fromisoformat("2026-03-29 02:00")
PLAN = Plan()
_START = PLAN.windows(AS_OF)[1].start
# What plain Python per event takes is told from so many of them.
_BY_HAND = 500_000
_USED = (
    *("event_type", "time", "video_id", "category", "country", "user_id", "session_id"),
    *("video_duration", "watch_duration", "completion_rate"),
)
_WITHIN = "FROM events.user_events WHERE time >= $start AND time < $end"
_SPAN: Mapping[str, object] = {"start": _START, "end": AS_OF}
_SCAN = Query("scan", f"SELECT {', '.join(f'max({name}) AS {name}' for name in _USED)} {_WITHIN}", _SPAN)

# In $number events: a tenth as many videos (rank r is watched in proportion to 1 / r, each of one category of twelve),
# a tenth as many persons, of one country each, countries of unlike size. A quarter of the events are of sessions alone.
_EVENTS = """
INSERT INTO user_events BY NAME
SELECT n AS event_id, event_type, CAST($start AS TIMESTAMP) + to_microseconds(CAST(n * $step AS BIGINT)) AS time,
  CASE WHEN anonymous THEN 'anonymous' ELSE 'authenticated' END AS user_type,
  CASE WHEN event_type <> 'cagnotte_detail_view' THEN md5('v' || video) END AS video_id,
  'category ' || (hash(video) % 12) AS category,
  'country ' || CAST(floor(50 * pow(hash(CASE WHEN anonymous THEN -session - 1 ELSE person END) / $most, 2)) AS INTEGER)
    AS country,
  CASE WHEN NOT anonymous THEN md5('u' || person) END AS user_id,
  CASE WHEN anonymous THEN md5('s' || session) ELSE md5('t' || person || (n % 3)) END AS session_id,
  CASE WHEN event_type = 'video_view' THEN length END AS video_duration,
  CASE WHEN event_type = 'video_view' THEN floor(length * share) END AS watch_duration,
  CASE WHEN event_type = 'video_view' AND told < 0.3 THEN share END AS completion_rate,
  'unknown' AS device, 'unknown' AS mime_type
FROM (
  SELECT n, c AS share, f AS told, 10 + floor(e * 90) AS length, d < 0.25 AS anonymous,
    CASE WHEN a < 0.51 THEN 'video_view' WHEN a < 0.67 THEN 'video_skip' WHEN a < 0.78 THEN 'video_share'
      WHEN a < 0.87 THEN 'video_favorite' WHEN a < 0.91 THEN 'video_replay'
      ELSE 'cagnotte_detail_view' END AS event_type,
    CAST(floor(exp(b * ln($number / 10))) AS BIGINT) AS video,
    CAST(floor(c * c * $number * 0.075) AS BIGINT) AS person, CAST(floor(c * $number * 0.025) AS BIGINT) AS session
  FROM (
    SELECT n, hash(n * 11 + 1) / $most AS a, hash(n * 11 + 2) / $most AS b, hash(n * 11 + 3) / $most AS c,
      hash(n * 11 + 4) / $most AS d, hash(n * 11 + 5) / $most AS e, hash(n * 11 + 6) / $most AS f
    FROM range(CAST($number AS BIGINT)) AS numbers (n)
  ) AS chances
) AS drawn
ORDER BY n
"""


def _duckdb(folder: Path) -> DuckDBWarehouse:
    warehouse = DuckDBWarehouse(folder / "events.duckdb", folder / "results.duckdb", folder / "tmp", dict(ENGINE))
    warehouse.prepare()
    return warehouse


def _clickhouse(folder: Path) -> Any:
    import clickhouse_connect

    from analytics_platform_tests.queries.clickhouse import IN_PROCESS
    from analytics_platform_tests.warehouses.clickhouse_open import open_at

    def connect(settings: Mapping[str, Any]) -> Any:
        return clickhouse_connect.get_client(interface="chdb", path=str(folder / "clickhouse"), settings=dict(settings))

    server = open_at(IN_PROCESS, connect=connect)
    server.prepare()
    return server


def make_duckdb(folder: Path, number: int) -> None:
    """The events in a file of our own, sorted by time."""
    import duckdb

    _duckdb(folder)
    bound = {"start": _START, "number": float(number), "most": float(2**64)}
    with duckdb.connect(folder / "events.duckdb", config={"memory_limit": "4GB"}) as con:
        con.execute(_EVENTS, {**bound, "step": (AS_OF - _START) / timedelta(microseconds=1) / number})


def make_clickhouse(folder: Path, _number: int) -> None:
    """The same in ClickHouse's own files, each day one part, as a load leaves them."""
    import duckdb

    server = _clickhouse(folder)
    schema = arrow_schema(USER_EVENTS)
    texts = {c.name for c in USER_EVENTS.columns if c.kind is Kind.TEXT}
    columns = ", ".join(f"coalesce({n}, 'unknown') AS {n}" if n in texts else n for n in schema.names)
    with duckdb.connect(folder / "events.duckdb", read_only=True) as con:
        for k in range(18):
            bound = {"a": _START + k * timedelta(hours=4), "b": _START + (k + 1) * timedelta(hours=4)}
            text = f"SELECT {columns} FROM user_events WHERE time >= $a AND time < $b"
            rows = con.sql(text, params=bound).to_arrow_table().cast(schema)
            server.server.insert("analytics", USER_EVENTS.name, rows, name="fill")
    server.server.command(f"OPTIMIZE TABLE analytics.{USER_EVENTS.name} FINAL", name="one_part_a_day")


def _asking(open_it: Callable[[Path], Any], query: Query) -> Callable[[Path, int], Job]:
    def job(folder: Path, _number: int) -> Job:
        warehouse = open_it(folder)
        rows: list[int] = []
        # Once unmeasured: the file is in memory, the client is imported.
        warehouse.rows(Query("first", f"SELECT count(*) AS n {_WITHIN}", _SPAN))
        import pyarrow  # noqa: F401 - its import is not the work

        def run() -> Mapping[str, float]:
            rows.append(warehouse.table(query).num_rows)
            return {}

        return Job(run, facts=lambda: {"rows": rows[-1]})

    return job


def _pandas(folder: Path, _number: int) -> Job:
    """The rows are fetched, and everything is grouped there: what the SQL gives, but no squares and no parts."""
    import numpy as np
    import pandas as pd

    warehouse = _duckdb(folder)
    asked = Query("fetch", f"SELECT {', '.join(_USED)} {_WITHIN}", _SPAN)
    recent = PLAN.windows(AS_OF)[0].start

    def run() -> Mapping[str, float]:
        rows = warehouse.table(asked).to_pandas()
        is_recent = rows["time"] >= recent
        anchor = pd.Series(np.where(is_recent, np.datetime64(AS_OF), np.datetime64(recent)), index=rows.index)
        age = (anchor - rows["time"]).dt.total_seconds() / 86_400
        weight = rows["event_type"].map(dict(PLAN.weights)).fillna(0.0)
        rows["score"] = weight * np.maximum(np.exp(-age / PLAN.decay_days), 0.01)
        rows["person"] = rows["user_id"].fillna("s" + rows["session_id"])
        rows["slice"] = (rows["time"] - _START) // PLAN.recent
        for by in ("country", "category"):
            for keys in ([by], [by, "video_id"]):
                rows.groupby([*keys, is_recent], sort=False)["score"].agg(["sum", "count"])
                rows.drop_duplicates([*keys, "person", "slice"]).groupby([*keys, "slice"], sort=False).size()
            rows.groupby([by, "event_type"], sort=False).size()
        return {}

    return Job(run)


def _by_hand(folder: Path, number: int) -> Job:
    """Plain Python, an event after the other, as scripts do it; of the first `_BY_HAND` events."""
    warehouse = _duckdb(folder)
    fewer = min(number, _BY_HAND)
    asked = Query("fetch", f"SELECT {', '.join(_USED)} {_WITHIN} LIMIT {fewer}", _SPAN)
    recent = PLAN.windows(AS_OF)[0].start

    def run() -> Mapping[str, float]:
        scores: dict[tuple[str, ...], float] = defaultdict(float)
        counts: dict[tuple[str, ...], int] = defaultdict(int)
        persons: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for event in warehouse.rows(asked):
            time = event["time"]
            assert isinstance(time, datetime)
            which = "recent" if time >= recent else "previous"
            age = ((AS_OF if time >= recent else recent) - time) / timedelta(days=1)
            score = PLAN.weights.get(str(event["event_type"]), 0.0) * max(math.exp(-age / PLAN.decay_days), 0.01)
            person = str(event["user_id"] or event["session_id"] or "")
            for by in ("country", "category"):
                group = (by, str(event[by]), which)
                for key in (group, (*group, str(event["video_id"]))):
                    scores[key] += score
                    counts[key] += 1
                    persons[key].add(person)
                counts[(*group, str(event["event_type"]), "type")] += 1
        return {}

    return Job(run, shares=fewer / number)


CASES: Mapping[str, Callable[[Path, int], Job]] = {
    "scan": _asking(_duckdb, _SCAN),
    "ours": _asking(_duckdb, ranking_query(PLAN, AS_OF)),
    "c_scan": _asking(_clickhouse, _SCAN),
    "c_ours": _asking(_clickhouse, ranking_query(PLAN, AS_OF)),
    "pandas": _pandas,
    "python": _by_hand,
}
_MAKERS = {"make_duckdb": make_duckdb, "make_clickhouse": make_clickhouse}


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rankings")
    parser.add_argument("--events", type=float, default=10.0, help="millions")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=[*CASES], default=[*CASES])
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "analytics-platform-rankings")
    parser.add_argument("--case", choices=[*CASES, *_MAKERS], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    number = round(options.events * 1_000_000)
    folder = options.data / f"{options.events:g}M-v{VERSION}"
    if options.case in _MAKERS:
        _MAKERS[options.case](folder, number)
    elif options.case:
        print(json.dumps(measure(CASES[options.case](folder, number), 1).to_json()))
    else:
        _measure_all(folder, options)


def _measure_all(folder: Path, options: argparse.Namespace) -> None:
    def started(case: str) -> str:
        shared = ["--events", str(options.events), "--data", str(options.data)]
        command = [sys.executable, "-m", "benchmarks.rankings", "--case", case, *shared]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    done = folder / "made"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for maker in _MAKERS:
            started(maker)
        done.touch()
    best: dict[str, Measured] = {}
    for _ in range(options.rounds):
        for case in options.only:
            best[case] = Measured(**json.loads(started(case))).better(best.get(case))
    print("| case | CPU s | x scan | peak MiB added / whole | rows |")
    print("|---|---|---|---|---|")
    for case, found in best.items():
        scan = best.get("c_scan" if case.startswith("c_") else "scan")
        ratio = f"{found.cpu / scan.cpu:.1f}" if scan else ""
        memory = f"{found.peak:.0f} / {found.total:.0f}"
        print(f"| `{case}` | {found.cpu:.2f} | {ratio} | {memory} | {found.facts.get('rows', '')} |")


if __name__ == "__main__":
    main()
