"""What the other processes of tests of funnels do: `main(JOB, ARGUMENT, ...)`, the database's URL on stdin.

Belongs here: preparing, entering people in turn, holding the lease; one line of outcome for each line read. Does not:
assertions.
"""

import os
import sys
import time
from datetime import UTC, datetime, timedelta

from filelock import FileLock

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import NewEntry
from analytics_platform.state.database import Database
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.leases import LeaseTakenError
from analytics_platform.state.owners import Owner, is_gone
from analytics_platform.state.schema import FUNNELS
from analytics_platform_tests.state.worker import HOST, say

LENGTH = timedelta(minutes=10)


def gone(owner: Owner) -> bool:
    """What the platform asks."""
    return is_gone(owner, host=HOST)


def people(many: int) -> list[NewEntry]:
    """So many, the same every time but for the test that led here."""
    return [
        NewEntry(f"person{n}@example.com", FunnelType.LANGUAGE, n, n + os.getpid() % 7, 11) for n in range(1, many + 1)
    ]


def prepare(database: Database) -> None:
    """A line brings the schema up to date."""
    say("ready")
    sys.stdin.readline()
    database.prepare()
    say("done")


def enter(ledger: FunnelLedger, name: str, many: int) -> None:
    """A line: let everybody enter once it is this process's turn; how many did."""
    say("ready")
    sys.stdin.readline()
    owner, until = Owner(name, HOST, os.getpid()), time.monotonic() + 60
    while True:
        try:
            lease = ledger.take(owner, datetime.now(UTC), LENGTH, gone)
            break
        except LeaseTakenError:
            assert time.monotonic() < until
            time.sleep(0.005)  # whoever has the lease gives it back without a word to the others
    say(ledger.enter(lease, people(many), datetime.now(UTC)))
    ledger.release(lease)


def hold(ledger: FunnelLedger, name: str, lock: str) -> None:
    """Take the lease and live until killed."""
    with FileLock(lock):
        ledger.take(Owner(name, HOST, os.getpid(), lock), datetime.now(UTC), LENGTH, gone)
        say("holding")
        sys.stdin.read()


def main(job: str, *arguments: str) -> None:
    """That job."""
    database = Database(sys.stdin.readline().strip(), FUNNELS)
    match job:
        case "prepare":
            prepare(database)
        case "enter":
            enter(FunnelLedger(database), arguments[0], int(arguments[1]))
        case "hold":
            hold(FunnelLedger(database), *arguments)
