"""What the other processes of `test_processes.py` do: `python -m ....warehouses.worker JOB FOLDER NUMBER ...`, or
a fork that calls `work` with these words.

Belongs here: writing and reading without end or for a number of turns, one JSON line of outcome. Does not: assertions.
"""

import json
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from analytics_platform.metrics.tables import FEED_DAILY
from analytics_platform.queries import Query
from analytics_platform_tests.warehouses.parts import store_hours
from analytics_platform_tests.warehouses.rows import DAY, UTC, feed, figures, hours, open_in

DAYS = 4
ROWS = 50  # of a day of results; all of one version
STOP = "stop"
PER_DAY = 24  # events of a day; all of one version


def day_of(number: int) -> date:
    """One of the few days that everybody writes."""
    return DAY + timedelta(days=number % DAYS)


def write_results(folder: Path, turns: int, first: int) -> int:
    """Replace days by `ROWS` rows of one version each; versions count up from `first`. The last version."""
    warehouse = open_in(folder)
    for turn in range(turns):
        day = day_of(turn)
        warehouse.replace_day(FEED_DAILY, day, figures(day, first + turn, ROWS))
    return turns


def write_events(folder: Path, turns: int, first: int) -> int:
    """Load days of `PER_DAY` events, all by the user that stands for the version."""
    warehouse = open_in(folder)
    for turn in range(turns):
        warehouse.load([feed(hours(day_of(turn), range(PER_DAY)), user_id=first + turn)], UTC)
    return turns


def write_parts(folder: Path, turns: int, first: int) -> int:
    """Replace the window of the day that begins at the hour `first`; see `parts.store_hours`."""
    return store_hours(open_in(folder), turns, first)


def read(folder: Path, seconds: float) -> dict[str, object]:
    """Look at every day again and again, until the time is over or the folder has a file `STOP`.

    What was not a whole version of its day, the number of looks, and the longest in seconds.
    """
    warehouse = open_in(folder)
    results = Query(
        "results",
        "SELECT event_date, count(*) AS n, count(DISTINCT dau) AS versions, sum(views) AS total "
        f"FROM results.{FEED_DAILY.name} GROUP BY event_date",
    )
    events = Query(
        "events",
        "SELECT CAST(time AS DATE) AS d, count(*) AS n, count(DISTINCT user_id) AS versions "
        "FROM events.feed_actions GROUP BY d",
    )
    torn: list[str] = []
    looks, longest, end = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < end and not (folder / STOP).exists():
        started = time.monotonic()
        whole = (ROWS, 1, sum(range(ROWS)))
        torn += [str(row) for row in warehouse.rows(results) if (row["n"], row["versions"], row["total"]) != whole]
        torn += [str(row) for row in warehouse.rows(events) if (row["n"], row["versions"]) != (PER_DAY, 1)]
        looks, longest = looks + 1, max(longest, time.monotonic() - started)
    return {"looks": looks, "torn": torn[:3], "longest": longest}


def work(job: str, folder: str, *numbers: str) -> None:
    """One job; "ready" is said before it begins, when the imports are done."""
    print("ready", flush=True)
    if job == "read":
        outcome: object = read(Path(folder), float(numbers[0]))
    else:
        jobs = {"results": write_results, "events": write_events, "parts": write_parts}
        outcome = jobs[job](Path(folder), *map(int, numbers))
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    work(*sys.argv[1:])
