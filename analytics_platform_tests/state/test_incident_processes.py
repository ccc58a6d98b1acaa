"""Several real processes judge the same buckets at once, some of them killed: each bucket counts once."""

import signal
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from analytics_platform.alerts.incident import Incident, Reason, Status
from analytics_platform.alerts.incident_json import encode
from analytics_platform.state.database import Database
from analytics_platform.state.incidents import Incidents
from analytics_platform_tests.alerts.scenes import Play, at
from analytics_platform_tests.forked import answer, tell
from analytics_platform_tests.state.conftest import Started
from analytics_platform_tests.state.incident_worker import SOURCES, signs

BUCKETS = 40


@pytest.fixture(scope="session")
def worker() -> str:
    """The module whose `main` the processes call."""
    return "incident_worker"


@pytest.fixture
def incidents(database: Database) -> Incidents:
    """None yet."""
    return Incidents(database)


def alone() -> Play:
    """What one process, never interrupted, makes of it."""
    done = Play()
    for number in range(BUCKETS):
        done.bucket(dict(signs(number)))
    return done


def plain(incidents: Mapping[str, Incident] | list[Incident]) -> dict[str, Any]:
    """By key, without what differs from database to database."""
    every = incidents.values() if isinstance(incidents, Mapping) else incidents
    return {one.key: encode(one) for one in every}


def check_like_one_alone(incidents: Incidents) -> None:
    """Cursors, incidents and histories are those of one process."""
    expected = alone()
    for source in SOURCES:
        cursor = incidents.cursor(source)
        assert cursor
        assert (cursor.judged_until, cursor.version) == (at(BUCKETS), BUCKETS)
        assert cursor.held == {"judged": list(range(BUCKETS))}
        assert cursor.lateness == {"late": BUCKETS - 1}
    stored = incidents.listing(statuses=tuple(Status))
    assert plain(stored) == plain(expected.every)
    for one in stored:
        assert one.id is not None
        lines = [(line.moment, line.revision, line.what, line.loud) for line in incidents.history(one.id)]
        events = [(e.moment, e.revision, e.reason, e.loud) for e in expected.events if e.key == one.key]
        assert lines == events
    assert len(stored) >= 4  # there was something to be lost


@pytest.mark.slow
def test_of_six_processes_that_judge_at_once_each_bucket_is_judged_once(
    url: str, started: Started, incidents: Incidents
) -> None:
    with started(url, *[["work", str(BUCKETS)]] * 6) as processes:
        for process in processes:
            tell(process, "go")
        done = [answer(process) for process in processes]
    assert sorted(number for each in done for number in each) == list(range(BUCKETS))
    check_like_one_alone(incidents)


@pytest.mark.slow
def test_killed_at_any_point_no_bucket_is_lost_or_judged_twice(
    url: str, started: Started, incidents: Incidents
) -> None:
    random, kills = Random(6), 0
    for _ in range(200):
        # Each in front of one of its statements or commits, if it is not done before.
        with started(url, *(["work", str(BUCKETS), str(random.randrange(100))] for _ in range(2))) as processes:
            for process in processes:
                tell(process, "go")
            kills += sum(process.wait() == -signal.SIGKILL for process in processes)
        cursor = incidents.cursor(SOURCES[0])
        if cursor is not None and cursor.judged_until >= at(BUCKETS):
            break
    check_like_one_alone(incidents)
    assert kills > 2


@pytest.mark.slow
def test_people_and_deliveries_in_the_midst_of_it_lose_nothing(
    url: str, started: Started, incidents: Incidents
) -> None:
    jobs = [["work", str(BUCKETS)]] * 2 + [["tell", "80"]] * 2 + [["handle", "Ann", "12"]]
    with started(url, *jobs) as processes:
        for process in processes:
            tell(process, "go")
        first, second, *told, handled = [answer(process) for process in processes]
        assert [process.wait() for process in processes] == [0] * 5
    assert handled == "done"
    assert sorted(first + second) == list(range(BUCKETS))
    said = [tuple(each) for one in told for each in one]
    assert len(said) == len(set(said))  # no revision is said by both
    for one in incidents.listing():
        assert one.id is not None
        lines = incidents.history(one.id)
        # Nothing of what people did was overwritten: every revision has its line, and the last one is the newest.
        assert [line.revision for line in lines] == list(range(1, one.revision + 1))
        assert (Reason.ACKNOWLEDGED in [line.what for line in lines]) == bool(one.acknowledged_by)
        assert one.said_revision <= one.revision


def test_a_step_from_what_is_no_longer_so_writes_nothing(incidents: Incidents) -> None:
    from analytics_platform_tests.state.incident_worker import judge

    while not incidents.listing():
        judge(incidents)
    cursors, there = incidents.standing()
    step = replace(Play(incidents=tuple(there)).bucket({}), events=())
    new = {s: replace(cursors[s], held={"judged": "other"}) for s in SOURCES}
    before = incidents.listing()
    assert before[0].id is not None
    incidents.acknowledge(before[0].id, "Ann", at(1))
    assert not incidents.commit(dict(cursors), new, step, at(1))
    assert incidents.standing()[0] == cursors
    assert incidents.listing()[0].acknowledged_by == "Ann"
