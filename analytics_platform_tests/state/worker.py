"""What the other processes of these tests do: `main(JOB, ARGUMENT, ...)`, the database's URL on stdin.

Belongs here: claiming, holding, ending, writing, preparing, reserving; one line of outcome for each line read. Does
not: assertions.
"""

import json
import os
import sys
import time
from datetime import UTC, date, datetime, timedelta

from filelock import FileLock

from analytics_platform.cadence import Period
from analytics_platform.pace import Limit
from analytics_platform.state.database import Database
from analytics_platform.state.owners import is_gone
from analytics_platform.state.problems import Problems
from analytics_platform.state.runs import Owner, RunLedger, Status, TakenError
from analytics_platform.state.slots import Slots

HOST = "here"
LEASE = timedelta(minutes=30)
FIRST = date(2026, 1, 1)
PER_SECOND = (30, 1.0)


def period_of(number: int) -> Period:
    """The day with that number."""
    day = FIRST + timedelta(days=number)
    return Period(day, day)


def gone(owner: Owner) -> bool:
    """What the platform asks."""
    return is_gone(owner, host=HOST)


def say(what: object) -> None:
    """A line of outcome."""
    print(json.dumps(what), flush=True)


def wait_for(moment: float) -> None:
    """Until then, to the microsecond."""
    time.sleep(max(0.0, moment - time.time() - 0.002))
    while time.time() < moment:
        pass


def race(ledger: RunLedger, name: str) -> None:
    """Each line is a round and the moment at which everybody claims that period."""
    owner = Owner(name, HOST, os.getpid())
    say("ready")
    for line in sys.stdin:
        number, moment = json.loads(line)
        wait_for(moment)
        try:
            entry = ledger.claim("feed", period_of(number), owner, datetime.now(UTC), lease=LEASE, gone=gone)
            say(["won", entry.attempts])
        except TakenError as error:
            say(["lost", error.entry and error.entry.owner and error.entry.owner.run_id])


def end(ledger: RunLedger, name: str) -> None:
    """Of each two lines, one is a period on its way, the other the moment at which everybody says it has arrived."""
    say("ready")
    for line in sys.stdin:
        [was] = ledger.entries("feed", since=period_of(json.loads(line)).last)
        say(was.status)
        wait_for(json.loads(sys.stdin.readline()))
        say(
            "late" if ledger.arrived(was, Status.DELIVERED, f"as {name} saw it", datetime.now(UTC)) is None else "ended"
        )


def hold(ledger: RunLedger, name: str, lock: str, delivering: str) -> None:
    """Claim the first period, begin delivery if told so, and live until killed."""
    owner = Owner(name, HOST, os.getpid(), lock)
    with FileLock(lock):
        ledger.claim("feed", period_of(0), owner, datetime.now(UTC), lease=LEASE, gone=gone)
        if delivering == "delivering":
            last = period_of(0).last
            ledger.delivering(
                "feed", last, owner, datetime.now(UTC), delivery=str(last), becomes=Status.PRELIMINARY, reason="short"
            )
        say("holding")
        sys.stdin.read()


def write(ledger: RunLedger, problems: Problems, name: str, turns: int) -> None:
    """Everything that writes, again and again, some of it on the same rows as everybody else."""
    owner = Owner(name, HOST, os.getpid())
    say("ready")
    sys.stdin.readline()
    won = 0
    for turn in range(turns):
        now, period = datetime.now(UTC), period_of(turn)
        ledger.expect("feed", period, Status.READY, f"as {name} sees it", now)
        ledger.settle("feed", period.last, now)
        problems.record("job shared", "failed", f"seen {turn} times", now)
        ledger.expect(f"report {turn % 3}", period, Status.WAITING, "no data", now)
        try:
            ledger.claim("feed", period, owner, now, lease=LEASE, gone=gone)
        except TakenError:
            continue
        won += 1
        ledger.entries(statuses=(Status.RUNNING,))
    say(won)


def prepare(database: Database) -> None:
    """A line brings the schema up to date."""
    say("ready")
    sys.stdin.readline()
    database.prepare()
    say("done")


def reserve(database: Database, many: int) -> None:
    """From the moment that the line says: when it asked and the moment it was given, of each reservation."""
    asked: list[datetime] = []

    def clock() -> datetime:
        asked.append(datetime.now(UTC))
        return asked[-1]

    slots = Slots(database, clock)
    say("ready")
    wait_for(json.loads(sys.stdin.readline()))
    given = [slots.reserve(1, Limit("bot", window=PER_SECOND)).moment for _ in range(many)]
    # The clock is read under the lock, and once more for the answer.
    say([(moment.timestamp(), at) for moment, at in zip(asked[::2], given, strict=True)])


def main(job: str, *arguments: str) -> None:
    """That job."""
    database = Database(sys.stdin.readline().strip())
    ledger = RunLedger(database)
    match job:
        case "race":
            race(ledger, *arguments)
        case "end":
            end(ledger, *arguments)
        case "hold":
            hold(ledger, *arguments)
        case "write":
            write(ledger, Problems(database), arguments[0], int(arguments[1]))
        case "prepare":
            prepare(database)
        case "reserve":
            reserve(database, int(arguments[0]))
