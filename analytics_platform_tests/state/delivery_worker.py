"""What the other processes of `test_delivery_processes.py` do: `main(JOB, ARGUMENT, ...)`, the database's URL on stdin.

Belongs here: entering, claiming, holding, writing; one line of outcome for each line read. Does not: assertions.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from filelock import FileLock

from analytics_platform.state.database import Database
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import LostPartError, State, Wanted
from analytics_platform_tests.state.worker import HOST, gone, say

LEASE = timedelta(minutes=10)
DAY = timedelta(days=1)


def wanted(recipients: int, pieces: int = 2) -> list[Wanted]:
    """A text and what follows it, for each recipient; only the text is sent again by itself."""
    return [
        Wanted("telegram", f"-{number}", "", f"{place} piece", place, "en", "d", place == 1)
        for number in range(recipients)
        for place in range(1, pieces + 1)
    ]


def rounds() -> Iterator[str]:
    """Each line is a moment at which everybody begins, and what with."""
    say("ready")
    for line in sys.stdin:
        moment, what = json.loads(line)
        time.sleep(max(0.0, moment - time.time()))
        yield what


def race(deliveries: Deliveries, name: str) -> None:
    """Begin every part of the delivery, each process in its own order; which were begun."""
    owner = Owner(name, HOST, os.getpid())
    for period in rounds():
        ids = [part.id for part in deliveries.parts("feed", period)]
        Random(name).shuffle(ids)
        begun = [deliveries.begin(number, owner, datetime.now(UTC), lease=LEASE, gone=gone) for number in ids]
        say([part.id for part in begun if part])


def enter(deliveries: Deliveries, name: str) -> None:
    """Enter parts for recipients of which some are everybody's and some one's own; how many there are then."""
    for period in rounds():
        own = [Wanted("telegram", name, "", "1 piece", 1, "en", name, True)]
        parts = deliveries.enter("feed", period, [*wanted(20), *own], datetime.now(UTC), datetime.now(UTC) + DAY)
        say(len(parts))


def hold(deliveries: Deliveries, name: str, lock: str) -> None:
    """Begin all parts of the first delivery; when told, say that they were sent; whether it was heard."""
    owner = Owner(name, HOST, os.getpid(), lock)
    with FileLock(lock):
        parts = deliveries.parts("feed", "0")
        for part in parts:
            deliveries.begin(part.id, owner, datetime.now(UTC), lease=LEASE, gone=gone)
        say("holding")
        sys.stdin.readline()
        heard = []
        for part in parts:
            try:
                deliveries.end(part.id, owner, State.SENT, datetime.now(UTC), message_ids=[f"of {name}"])
                heard.append(True)
            except LostPartError:
                heard.append(False)
        say(heard)


def write(deliveries: Deliveries, name: str, turns: int) -> None:
    """Everything that writes, again and again, on the same parts as everybody else; how many tries were made."""
    owner, random = Owner(name, HOST, os.getpid()), Random(name)
    say("ready")
    sys.stdin.readline()
    tries = 0
    for turn in range(turns):
        now = datetime.now(UTC)
        parts = deliveries.enter("feed", "0", wanted(random.randint(1, 8)), now, now + DAY)
        ids = [part.id for part in parts]
        random.shuffle(ids)
        for number in ids[:4]:
            if deliveries.begin(number, owner, now, lease=LEASE, gone=gone):
                tries += 1
                end = random.choice([State.PENDING, State.SENT, State.UNCERTAIN])
                deliveries.end(number, owner, end, now, error=f"in turn {turn}")
        deliveries.again(ids[4:6], now, now + DAY)
        deliveries.give_up(ids[6:8], "enough", now, states=(State.PENDING, State.UNCERTAIN))
        deliveries.release_dead(now, gone)
        deliveries.expire(now + random.choice([-DAY, 2 * DAY]))
        deliveries.moved("telegram", f"-{random.randint(0, 8)}", f"-{random.randint(0, 8)}", now)
        deliveries.withdraw("feed", "0", now)
        deliveries.overview()
    say(tries)


def main(job: str, *arguments: str) -> None:
    """That job."""
    deliveries = Deliveries(Database(sys.stdin.readline().strip()))
    match job:
        case "race":
            race(deliveries, *arguments)
        case "enter":
            enter(deliveries, *arguments)
        case "hold":
            hold(deliveries, *arguments)
        case "write":
            write(deliveries, arguments[0], int(arguments[1]))
