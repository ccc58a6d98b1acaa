"""What a look of every quarter of an hour costs: `python -m benchmarks.alerts [--users 100000] [--data DIR]`.

CPU of this process (user and system), the median of several looks in a row at consecutive quarters of an hour. Beside
it what else could be done: the detectors anew over 28 days at each look (no kept state), and the engine counting
today's events alone. Belongs here: this measurement. Does not: what detectors are worth (`benchmarks/detection/`).
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from analytics_platform.alerts.incident import Policy
from analytics_platform.alerts.judging import judge
from analytics_platform.alerts.replay import replay
from analytics_platform.alerts.watch import Watch
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.defs.watching import Tower, look
from analytics_platform.detectors import detector
from analytics_platform.detectors.base import STEP, Block
from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS
from analytics_platform.metrics.series import SeriesKey
from analytics_platform.metrics.windows import day_start
from analytics_platform.queries import Query
from analytics_platform.settings import Home, Settings
from analytics_platform.simulate.generator import generate
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.warehouses.base import EventLoad
from analytics_platform.warehouses.duckdb import DuckDBWarehouse

_FIRST, _DAYS = date(2026, 3, 2), 30
_TODAY = day_start(date(2026, 3, 31), ZoneInfo("UTC"))
_QUARTER = timedelta(minutes=15)
_LOOKS = 12


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def home_of(folder: Path, users: int) -> Home:
    """Thirty days of events, made once for a size."""
    home = Home(folder / f"alerts-{users}x{_DAYS}")
    if not home.path.exists():
        warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
        scenario = Scenario(_FIRST, _DAYS, users, seed=1, zone=ZoneInfo("UTC"), incidents=False)
        for day in generate(scenario):
            loads = [
                EventLoad(FEED_ACTIONS, day.feed.to_batches()),
                EventLoad(MESSAGE_ACTIONS, day.messages.to_batches()),
            ]
            warehouse.load(loads, ZoneInfo("UTC"))
    return home


def looks(home: Home, dimensions: tuple[str, ...]) -> tuple[float, float, int, int]:
    """(median look, first look of a process, series, events of the day so far)"""
    copy = Home(Path(tempfile.mkdtemp(dir=home.path.parent)) / "home")
    shutil.copytree(home.path, copy.path)
    settings = Settings(start_date=_FIRST, alert_dimensions=dimensions)
    warehouse = DuckDBWarehouse(copy.events, copy.results, copy.scratch)
    moment = datetime(2026, 3, 31, 18, 1, tzinfo=UTC)
    tower = Tower.of(warehouse, settings, ledgers_of(copy, settings))
    while look(tower, moment - _QUARTER).missing:
        pass
    anew = Tower.of(warehouse, settings, ledgers_of(copy, settings))
    first = cpu(lambda: look(anew, moment))
    took = []
    for k in range(1, _LOOKS + 1):
        then = moment + k * _QUARTER
        took.append(cpu(partial(look, anew, then)))
    series = sum(len(kept.keys) for kept in anew.followers.kept.values())
    [row] = warehouse.rows(
        Query("today", "SELECT count(*) AS n FROM events.feed_actions WHERE time >= $day", {"day": _TODAY})
    )
    shutil.rmtree(copy.path.parent)
    return statistics.median(took), first, series, int(str(row["n"]))


def count_today(home: Home) -> float:
    """The engine's bare scan of today's events by quarter of an hour: what no way of doing it can go below."""
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    text = (
        "SELECT CAST(floor(epoch(time) / 900) AS BIGINT) AS slot, count(*) AS n FROM events.feed_actions "
        "WHERE time >= $day GROUP BY 1"
    )
    query = Query("today", text, {"day": _TODAY})
    warehouse.rows(query)
    return statistics.median(cpu(lambda: warehouse.rows(query)) for _ in range(5))


def simulated(series: int, days: int) -> tuple[Block, tuple[SeriesKey, ...]]:
    """Counts with a daily shape and noise."""
    rng = np.random.default_rng(1)
    n = days * 96
    times = 1_767_225_600 + STEP * np.arange(n)
    day = 1.2 + np.sin(2 * np.pi * np.arange(n) / 96)
    values = rng.poisson(np.geomspace(20, 5e4, series)[:, None] * day).astype(np.float64)
    keys = tuple(SeriesKey("feed", "views", "country", str(k)) for k in range(series))
    return Block.plain(times, values), keys


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "alerts-bench")
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    home = home_of(options.data, options.users)
    bare = count_today(home)
    print(f"bare scan of today's feed events by quarter of an hour: {bare * 1000:.0f} ms")
    for dimensions in ((), ("os", "source"), ("os", "source", "gender", "country", "age")):
        median, first, series, events = looks(home, dimensions)
        print(
            f"look, {series} series ({', '.join(dimensions) or 'totals'}), {events:,} feed events today: "
            f"{median * 1000:.0f} ms ({median / bare:.1f} x the scan); first of a process {first * 1000:.0f} ms"
        )
    block, keys = simulated(1000, 29)
    seasonal = detector("seasonal")
    split = block.buckets - 8
    kept = seasonal.follow(block.columns(0, split))
    took = []
    for k in range(split, block.buckets):
        column = block.columns(k, k + 1)

        def one(column: Block = column) -> None:
            judge(kept.next(column), column, keys, Watch())

        took.append(cpu(one))
    whole = cpu(lambda: seasonal.judge(block, block.buckets - 1))
    print(
        f"1,000 series x 28 days, newest bucket scored and judged: kept state {statistics.median(took) * 1000:.0f} ms, "
        f"anew {whole * 1000:.0f} ms"
    )
    long, names = simulated(20, 118)
    spent = cpu(lambda: replay(long, names, Watch(), 28 * 96, policy=Policy()))
    print(f"replay of 90 days x 20 series: {spent:.1f} s")


if __name__ == "__main__":
    main()
