"""What other processes do to a ClickHouse in tests: `python -m ....warehouses.clickhouse_worker URL`.

Belongs here: carrying out one order a line, each in a child of its own that may be killed at any statement. Does not:
assertions.

The parent has imported everything, so that a child costs hundredths of a second and not two seconds. An order is JSON:
`job` and its arguments, and `kill_at`: the child dies by SIGKILL in front of its statement of that number, counted from
0. The answer: {"signal": 9 or 0, "error": ..., "result": ...}.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import clickhouse_connect  # noqa: F401 - before the first child, as everything heavy is
import pyarrow as pa

from analytics_platform.metrics.tables import FEED_DAILY
from analytics_platform.queries import Query
from analytics_platform.warehouses.base import EventLoad
from analytics_platform.warehouses.clickhouse import ClickHouseWarehouse
from analytics_platform_tests.warehouses.clickhouse_open import open_at
from analytics_platform_tests.warehouses.parts import store_hours
from analytics_platform_tests.warehouses.rows import feed, figures, hours, messages

BERLIN = ZoneInfo("Europe/Berlin")
NOBODY = 1_000_000
_SENDING = ("query", "command", "insert", "insert_arrow", "query_arrow", "query_arrow_stream")


class Doomed:
    """A client whose process ends in front of a statement."""

    def __init__(self, client: Any, kill_at: int) -> None:
        self._client, self._left = client, kill_at
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        if name in _SENDING:
            if self._left == self.sent:
                os.kill(os.getpid(), signal.SIGKILL)
            self.sent += 1
        return getattr(self._client, name)


def warehouse_at(url: str, kill_at: int = NOBODY) -> tuple[ClickHouseWarehouse, Doomed]:
    """A warehouse that is prepared, and the client whose statements count from now on."""
    doomed: list[Doomed] = []

    def connect(settings: Mapping[str, Any]) -> Doomed:
        doomed.append(Doomed(made.server._over_http(settings), NOBODY))
        return doomed[-1]

    made = open_at(url, connect=connect)
    made.prepare()
    doomed[0].sent, doomed[0]._left = 0, kill_at
    return made, doomed[0]


def loads(days: list[date], version: int, tables: int = 2) -> list[EventLoad]:
    """Both tables or the first, those local days of Berlin, all events by the user that stands for the version."""
    # From the first hour on, which is the last of the UTC day before.
    times = [moment for day in days for moment in hours(day, range(-1, 22, 2))]
    return [feed(times, user_id=version), messages(times, user_id=version)][:tables]


def replace(url: str, order: Mapping[str, Any]) -> int:
    """Replace the day `turns` times by as many rows as the version says, or `rows`; each version is one more."""
    made, doomed = warehouse_at(url, order.get("kill_at", NOBODY))
    for turn in range(order.get("turns", 1)):
        version = order["version"] + turn
        made.replace_day(FEED_DAILY, _day(order), figures(_day(order), version, order.get("rows", version)))
    return doomed.sent


def store(url: str, order: Mapping[str, Any]) -> int:
    """Store the day's rows as another warehouse would hand them over."""
    made, doomed = warehouse_at(url, order.get("kill_at", NOBODY))
    version = order["version"]
    columns = {"event_date": _day(order), "dau": version, "views": 0, "likes": 0, "ctr": None}
    made.store_day(FEED_DAILY, _day(order), pa.Table.from_pylist([columns] * version))
    return doomed.sent


def part(url: str, order: Mapping[str, Any]) -> int:
    """Replace windows of the day; see `parts.store_hours`."""
    made, doomed = warehouse_at(url, order.get("kill_at", NOBODY))
    store_hours(made, order["turns"], order["first"])
    return doomed.sent


def load(url: str, order: Mapping[str, Any]) -> int:
    """Load those days."""
    made, doomed = warehouse_at(url, order.get("kill_at", NOBODY))
    days = [date.fromisoformat(day) for day in order["days"]]
    made.load(loads(days, order["version"], order["tables"]), BERLIN, append=order.get("append", False))
    return doomed.sent


def look(url: str, order: Mapping[str, Any]) -> dict[str, Any]:
    """Look at the day until its rows are of the version `until`: the number of looks and what was no whole version."""
    made, _ = warehouse_at(url)
    query = Query(
        "look",
        f"SELECT count(*) AS n, min(dau) AS low, max(dau) AS high, sum(views) AS total FROM results.{FEED_DAILY.name} "
        "WHERE event_date = $day",
        {"day": _day(order)},
    )
    looks, seen, torn = 0, set(), []
    while True:
        [row] = made.rows(query)
        n, looks = row["n"], looks + 1
        if not isinstance(n, int) or (n, n, n * (n - 1) // 2) != (row["low"], row["high"], row["total"]):
            torn.append(repr(row))
        seen.add(n)
        time.sleep(0.005)  # the writer shares the machine
        if n == order["until"] or len(torn) > 3:
            return {"looks": looks, "versions": len(seen), "torn": torn}


def _day(order: Mapping[str, Any]) -> date:
    return date.fromisoformat(order["day"])


JOBS = {"replace": replace, "store": store, "part": part, "load": load, "look": look}


def carry_out(url: str, order: Mapping[str, Any]) -> dict[str, Any]:
    """In a child: what it says, or the signal it died of."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            told: dict[str, Any] = {"result": JOBS[order["job"]](url, order)}
        except BaseException:  # noqa: BLE001 - said to the parent; a child must not go on in its parent's code
            told = {"error": traceback.format_exc()}
        os.write(writing, json.dumps(told).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, **(json.loads(said) if said else {})}


def warm(url: str) -> None:
    """Do everything once, so that each child finds it imported."""
    made, doomed = warehouse_at(url)
    try:
        made.load(loads([date(2026, 1, 1)], 1), BERLIN)
        made.replace_day(FEED_DAILY, date(2026, 1, 1), figures(date(2026, 1, 1), 1))
        made.rows(Query("one", "SELECT 1 AS one"))
    finally:
        made.server.command(f"DROP DATABASE {made.layout.database} SYNC", name="drop")
        doomed.close()


def main() -> None:
    """Orders come line by line; the end of them ends it."""
    url = sys.argv[1]
    warm(f"{url}_warm")
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(carry_out(url, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
