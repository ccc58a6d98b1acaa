"""Several real processes on the same delivery ledger at once, some of them killed."""

import json
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from analytics_platform.state.database import Database
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.owners import Owner
from analytics_platform.state.part_changes import DIED, SILENT
from analytics_platform.state.parts import State
from analytics_platform_tests.forked import Process, answer, tell
from analytics_platform_tests.state.conftest import Started
from analytics_platform_tests.state.delivery_worker import DAY, LEASE, wanted
from analytics_platform_tests.state.worker import HOST, gone

ME = Owner("me", HOST, 1)


@pytest.fixture
def deliveries(database: Database) -> Deliveries:
    """An empty delivery ledger."""
    return Deliveries(database)


@pytest.fixture(scope="session")
def worker() -> str:
    """Processes that work on deliveries."""
    return "delivery_worker"


def at_once(processes: list[Process], what: str) -> list[Any]:
    """What they answer when all of them do it at the same moment."""
    line = json.dumps([time.time() + 0.05, what])
    for process in processes:
        tell(process, line)
    return [answer(process) for process in processes]


@pytest.mark.slow
def test_of_eight_processes_each_part_is_begun_by_exactly_one(
    url: str, started: Started, deliveries: Deliveries
) -> None:
    now = datetime.now(UTC)
    names = [f"run{number}" for number in range(8)]
    with started(url, *(["race", name] for name in names)) as processes:
        for period in ("0", "1", "2"):
            ids = [part.id for part in deliveries.enter("feed", period, wanted(25), now, now + DAY)]
            assert len(ids) == 50
            begun = dict(zip(names, at_once(processes, period), strict=True))

            assert sorted(number for numbers in begun.values() for number in numbers) == sorted(ids)
            for part in deliveries.parts("feed", period):
                assert (part.state, part.attempts, part.doubtful) == (State.SENDING, 1, False)
                assert part.owner
                assert part.id in begun[part.owner.run_id]
    assert len(deliveries.release_dead(now + LEASE * 2, lambda _: False)) == 150


@pytest.mark.slow
def test_processes_that_enter_one_delivery_at_once_leave_what_one_of_them_wants(
    url: str, started: Started, deliveries: Deliveries
) -> None:
    names = [f"run{number}" for number in range(6)]
    with started(url, *(["enter", name] for name in names)) as processes:
        for period in ("0", "1", "2", "3"):
            assert at_once(processes, period) == [41] * 6
            parts = deliveries.parts("feed", period)
            shared = {one.key for one in wanted(20)}
            [(_, last, _, _)] = {part.key for part in parts} - shared
            assert last in names
            assert len(parts) == 41


@pytest.mark.parametrize("taken_by", ["release", "begin"])
def test_the_parts_of_a_killed_process_are_of_unknown_fate_and_texts_are_taken_over(
    url: str, started: Started, deliveries: Deliveries, tmp_path: Path, taken_by: str
) -> None:
    now = datetime.now(UTC)
    parts = deliveries.enter("feed", "0", wanted(3), now, now + DAY)
    with started(url, ["hold", "abc", str(tmp_path / "abc.lock")]) as [process]:
        now = datetime.now(UTC)
        assert deliveries.release_dead(now, gone) == []
        assert [deliveries.begin(part.id, ME, now, lease=LEASE, gone=gone) for part in parts] == [None] * 6
        process.send_signal(signal.SIGKILL)
        process.wait()

        if taken_by == "release":
            assert len(deliveries.release_dead(now, gone)) == 6
            found = deliveries.parts("feed", "0")
            assert {(part.state, part.error) for part in found} == {(State.UNCERTAIN, DIED)}
        begun = [deliveries.begin(part.id, ME, now, lease=LEASE, gone=gone) for part in parts]

    assert [part and (part.attempts, part.doubtful, part.owner) for part in begun] == [(2, True, ME), None] * 3
    albums = deliveries.parts("feed", "0")[1::2]
    assert {(part.state, part.doubtful, part.attempts, part.error) for part in albums} == {
        (State.UNCERTAIN, True, 1, DIED)
    }
    assert deliveries.release_dead(now, lambda owner: owner != ME) == []


def test_a_process_that_was_silent_for_too_long_is_heard_unless_another_took_over(
    url: str, started: Started, deliveries: Deliveries, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    taken, other, *_ = deliveries.enter("feed", "0", wanted(2, 1), now, now + DAY)
    with started(url, ["hold", "abc", str(tmp_path / "abc.lock")]) as [process]:
        process.send_signal(signal.SIGSTOP)
        try:
            later = datetime.now(UTC) + LEASE
            assert {part.error for part in deliveries.release_dead(later, gone)} == {SILENT}
            assert deliveries.begin(taken.id, ME, later, lease=LEASE, gone=gone)
        finally:
            process.send_signal(signal.SIGCONT)
        tell(process, "go on")
        assert answer(process) == [False, True]
    first, second = deliveries.find([taken.id, other.id])
    assert (first.state, first.owner) == (State.SENDING, ME)
    assert (second.state, second.message_ids, second.doubtful) == (State.SENT, ("of abc",), False)


@pytest.mark.slow
def test_many_processes_that_write_never_lock_each_other_out(
    url: str, started: Started, deliveries: Deliveries
) -> None:
    # The database does not exist yet: they also create it at the same moment.
    with started(url, *(["write", f"run{number}", "12"] for number in range(6))) as processes:
        for process in processes:
            tell(process, "go")
        tries = [answer(process) for process in processes]
        assert [process.wait() for process in processes] == [0] * 6
    parts = deliveries.parts("feed", "0")
    assert sum(part.attempts for part in parts) == sum(tries)
    assert not [part for part in parts if part.state is State.SENDING]
