"""A sync in a process of its own that stops, or is killed, at a given commit.

Belongs here: one sync from its arguments, and the moment of its end. Does not: assertions, killing from outside
(`test_funnel_kills.py`). Forked from a process that has imported all of it (`forked.py`).
"""

import json
import os
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pymysql
import sqlalchemy.dialects.mysql.pymysql
import sqlalchemy.dialects.sqlite.pysqlite
import tenacity
from filelock import FileLock
from sqlalchemy import Engine, Pool, event

from analytics_platform.sources import modx_sql
from analytics_platform.state import funnel_rows, mysql
from analytics_platform.state.leases import LeaseLostError, LeaseTakenError
from analytics_platform.state.owners import Owner
from analytics_platform_tests.funnel_world import ME, World

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Imported so that no fork has to.
WARM = (httpx, pymysql, sqlalchemy, tenacity, modx_sql, funnel_rows, mysql)
TAKEN, LOST = 3, 4


class Stops:
    """Counts the ledger's commits. `at`: `before:3:KILL`, `after:3:STOP` is what happens to this process then."""

    def __init__(self, ledger_url: str, at: str) -> None:
        self.commits = 0
        self._database = ledger_url.rpartition("/")[2]
        when, number, name = at.split(":")
        self._before, self._number = when == "before", int(number)
        self._signal = signal.Signals[f"SIG{name}"]
        event.listen(Engine, "commit", self._commit)
        event.listen(Pool, "checkin", self._checkin)

    def _commit(self, con: "Connection") -> None:
        if not str(con.engine.url.database).endswith(self._database):
            return  # the site's
        self.commits += 1
        if self._before and self.commits == self._number:
            os.kill(os.getpid(), self._signal)

    def _checkin(self, *_: object) -> None:
        if not self._before and self.commits == self._number:
            self._number = 0
            os.kill(os.getpid(), self._signal)


def sync(world_of: str, moment: str, at: str) -> int:
    """A whole sync by a clock that goes on only where it waits; says how many commits it took, or why it did nothing.

    `world_of`: what a `World` is made of, as JSON.
    """
    world = World(**json.loads(world_of))
    stops = Stops(world.ledger_url, at)
    world.clock.moment = datetime.fromisoformat(moment)
    lock = Path.cwd() / f"{os.getpid()}.lock"
    owner = Owner(f"of {os.getpid()}", ME.host, os.getpid(), str(lock))
    with FileLock(lock):
        try:
            world.run(timedelta(hours=1), owner)
        except LeaseTakenError as error:
            print(error, flush=True)
            return TAKEN
        except LeaseLostError as error:
            print(error, flush=True)
            return LOST
    print(stops.commits, flush=True)
    return 0
