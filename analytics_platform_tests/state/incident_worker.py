"""What the other processes of `test_incident_processes.py` do: `main(JOB, ARGUMENT, ...)`, the database's URL on stdin.

Belongs here: judging one fixed history bucket by bucket, telling, handling; one line of outcome. Does not: assertions.
"""

import os
import signal
import sys
from collections.abc import Mapping
from random import Random

from analytics_platform.alerts.incidents import advance
from analytics_platform.metrics.series import SeriesKey
from analytics_platform.state.database import Database
from analytics_platform.state.incidents import Cursor, Incidents
from analytics_platform_tests.alerts.scenes import CTR, IOS, LIKES, SENT, VIEWS, at, finding, reading
from analytics_platform_tests.state.worker import say

SOURCES = ("feed_actions", "message_actions")
SERIES = (LIKES, VIEWS, CTR, SENT, IOS)
SIGNS = "." * 12 + "DDdduUX0-"


def signs(bucket: int) -> Mapping[SeriesKey, str]:
    """What happened in that bucket: the same in every process."""
    random = Random(bucket // 3)
    return {series: random.choice(SIGNS) for series in SERIES}


def judge(incidents: Incidents, until: int = sys.maxsize) -> int | None:
    """The next bucket before `until`, from what is stored now; its number, None when another process was faster."""
    cursors, there = incidents.standing()
    expected = {source: cursors.get(source) for source in SOURCES}
    first = expected[SOURCES[0]]
    number = len(first.held["judged"]) if first else 0
    if number >= until:
        return None
    found = signs(number).items()
    step = advance(
        there,
        at(number),
        [finding(series, number, sign) for series, sign in found if sign not in ".-"],
        [reading(series, number, sign) for series, sign in found if sign in ".-"],
    )
    # What is held says which buckets were judged, in their order.
    held = {"judged": [*(first.held["judged"] if first else []), number]}
    new = {source: Cursor(source, at(number + 1), held, {"late": number}) for source in SOURCES}
    return number if incidents.commit(expected, new, step, at(number + 1)) else None


def doom(database: Database, steps: int) -> None:
    """After so many statements and commits, the process is killed in front of the next one."""
    from sqlalchemy import event

    left = iter(range(steps))

    def step(*_: object) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "commit"):
        event.listen(database._engine, name, step)


def work(database: Database, until: int, steps: int | None = None) -> None:
    """Judge until that many buckets are; those that this process judged. `steps`: see `doom`."""
    incidents = Incidents(database)
    incidents.standing()  # what a first use costs is no step
    say("ready")
    sys.stdin.readline()
    if steps is not None:
        doom(database, steps)
    done = []
    while True:
        cursor = incidents.cursor(SOURCES[0])
        if cursor is not None and cursor.judged_until >= at(until):
            break
        if (number := judge(incidents, until)) is not None:
            done.append(number)
    say(done)


def tell(incidents: Incidents, many: int) -> None:
    """Say what is unsaid, again and again; each as id and revision, once."""
    say("ready")
    sys.stdin.readline()
    told = []
    for turn in range(many):
        told += [
            [one.id, one.revision]
            for one in incidents.unsaid()
            if one.id is not None and incidents.said(one.id, one.revision, at(turn))
        ]
    say(told)


def handle(incidents: Incidents, name: str, many: int) -> None:
    """Acknowledge and mute whatever is open, in the midst of it."""
    say("ready")
    sys.stdin.readline()
    for turn in range(many):
        for one in incidents.listing(limit=3):
            if one.id is not None:
                incidents.acknowledge(one.id, name, at(turn))
                incidents.mute(one.id, at(turn + 1), name, at(turn))
    say("done")


def main(job: str, *arguments: str) -> None:
    """That job."""
    database = Database(sys.stdin.readline().strip())
    incidents = Incidents(database)
    match job:
        case "work":
            work(database, *map(int, arguments))
        case "tell":
            tell(incidents, int(arguments[0]))
        case "handle":
            handle(incidents, arguments[0], int(arguments[1]))
