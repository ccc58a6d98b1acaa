"""Several real processes on the same ledger at once, some of them killed."""

import json
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics_platform.state.problems import Problems
from analytics_platform.state.runs import (
    DIED,
    DIED_DELIVERING,
    SILENT,
    Owner,
    RunLedger,
    SettledError,
    Status,
    TakenError,
)
from analytics_platform_tests.forked import answer, tell
from analytics_platform_tests.state.conftest import Started
from analytics_platform_tests.state.worker import HOST, LEASE, gone, period_of

ME = Owner("me", HOST, 1)


@pytest.mark.slow
def test_of_eight_processes_that_claim_at_once_exactly_one_wins(url: str, started: Started, ledger: RunLedger) -> None:
    names = [f"run{number}" for number in range(8)]
    with started(url, *(["race", name] for name in names)) as processes:
        for turn in range(20):
            # Every other period is known already: the claim is then an update instead of an insert.
            if turn % 2:
                ledger.expect("feed", period_of(turn), Status.READY, "", datetime.now(UTC))
            moment = time.time() + 0.05
            for process in processes:
                tell(process, json.dumps([turn, moment]))
            outcomes = dict(zip(names, map(answer, processes), strict=True))

            won = [name for name, (outcome, _) in outcomes.items() if outcome == "won"]
            assert len(won) == 1, outcomes
            assert outcomes[won[0]] == ["won", 1]
            assert {said for outcome, said in outcomes.values() if outcome == "lost"} == set(won)
            stored = ledger.entry("feed", period_of(turn).last)
            assert stored
            assert stored.owner
            assert (stored.owner.run_id, stored.attempts) == (won[0], 1)
            assert len(ledger.history("feed", period_of(turn).last)) == 1 + turn % 2


@pytest.mark.slow
def test_of_four_processes_that_see_a_report_arrive_exactly_one_ends_its_period(
    url: str, started: Started, ledger: RunLedger
) -> None:
    names = [f"run{number}" for number in range(4)]
    with started(url, *(["end", name] for name in names)) as processes:
        for turn in range(10):
            last, now = period_of(turn).last, datetime.now(UTC)
            ledger.claim("feed", period_of(turn), ME, now, lease=LEASE, gone=gone)
            ledger.delivering("feed", last, ME, now, delivery=str(last), becomes=Status.DELIVERED)
            ledger.finish("feed", last, ME, Status.SENDING, "1 of 3 parts goes on", now)
            for process in processes:
                tell(process, str(turn))
            assert [answer(process) for process in processes] == ["sending"] * 4
            moment = time.time() + 0.05
            for process in processes:
                tell(process, str(moment))
            outcomes = dict(zip(names, map(answer, processes), strict=True))

            assert sorted(outcomes.values()) == ["ended", "late", "late", "late"]
            [first] = [name for name, outcome in outcomes.items() if outcome == "ended"]
            stored = ledger.entry("feed", last)
            assert stored
            assert (stored.status, stored.reason, stored.round) == (Status.DELIVERED, f"as {first} saw it", 1)
            steps = [change.status.value for change in ledger.history("feed", last)]
            assert steps == ["running", "sending", "delivered"]


@pytest.mark.parametrize("delivering", ["", "delivering"])
def test_the_claim_of_a_killed_process_is_taken_over_at_once(
    url: str, started: Started, ledger: RunLedger, tmp_path: Path, delivering: str
) -> None:
    lock = tmp_path / "abc.lock"
    with started(url, ["hold", "abc", str(lock), delivering]) as [process]:
        with pytest.raises(TakenError):
            ledger.claim("feed", period_of(0), ME, datetime.now(UTC), lease=LEASE, gone=gone)
        assert ledger.release_dead(datetime.now(UTC), gone) == []
        process.send_signal(signal.SIGKILL)
        process.wait()

        # What it was delivering is made anew only on a person's word.
        again = bool(delivering)
        taken = ledger.claim("feed", period_of(0), ME, datetime.now(UTC), lease=LEASE, gone=gone, again=again)

    why = DIED_DELIVERING if delivering else DIED
    assert (taken.owner, taken.attempts, taken.reason) == (ME, 2, f"taken over from run abc: {why}")
    assert taken.key == ("2026-01-01 #2" if delivering else "2026-01-01")
    assert lock.exists()


def test_what_a_killed_process_was_delivering_is_on_its_way_and_nobodys(
    url: str, started: Started, ledger: RunLedger, tmp_path: Path
) -> None:
    with started(url, ["hold", "abc", str(tmp_path / "abc.lock"), "delivering"]) as [process]:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(SettledError, match="feed of 2026-01-01 is on its way"):
            ledger.claim("feed", period_of(0), ME, datetime.now(UTC), lease=LEASE, gone=gone)
    assert ledger.release_dead(datetime.now(UTC), gone) == []
    [stored] = ledger.entries()
    assert (stored.status, stored.reason, stored.owner) == (Status.SENDING, DIED_DELIVERING, None)
    # It is known what is left to do, whoever does it.
    assert (stored.delivery, stored.becomes, stored.becomes_reason) == ("2026-01-01", Status.PRELIMINARY, "short")


@pytest.mark.parametrize("delivering", ["", "delivering"])
def test_the_claim_of_a_killed_process_is_released(
    url: str, started: Started, ledger: RunLedger, tmp_path: Path, delivering: str
) -> None:
    with started(url, ["hold", "abc", str(tmp_path / "abc.lock"), delivering]) as [process]:
        process.send_signal(signal.SIGKILL)
        process.wait()
        [released] = ledger.release_dead(datetime.now(UTC), gone)
    assert released.status is (Status.SENDING if delivering else Status.READY)
    assert released.reason == (DIED_DELIVERING if delivering else DIED)
    assert released.delivery == ("2026-01-01" if delivering else None)


def test_a_process_that_lives_loses_its_claim_only_with_its_lease(
    url: str, started: Started, ledger: RunLedger, tmp_path: Path
) -> None:
    with started(url, ["hold", "abc", str(tmp_path / "abc.lock"), ""]) as [process]:
        process.send_signal(signal.SIGSTOP)
        try:
            within, after = datetime.now(UTC) + LEASE - timedelta(minutes=1), datetime.now(UTC) + LEASE
            with pytest.raises(TakenError):
                ledger.claim("feed", period_of(0), ME, within, lease=LEASE, gone=gone)
            taken = ledger.claim("feed", period_of(0), ME, after, lease=LEASE, gone=gone)
        finally:
            process.send_signal(signal.SIGCONT)
    assert (taken.owner, taken.reason) == (ME, f"taken over from run abc: {SILENT}")


@pytest.mark.slow
def test_many_processes_that_write_never_meet_a_locked_database(
    url: str, started: Started, ledger: RunLedger, problems: Problems
) -> None:
    turns = 4
    # On PostgreSQL rows are locked, not the database; fewer processes do.
    many = 16 if url.startswith("sqlite") else 6
    # The database does not exist yet: they also create it at the same moment.
    with started(url, *(["write", f"run{number}", str(turns)] for number in range(many))) as processes:
        for process in processes:
            tell(process, "go")
        won = [answer(process) for process in processes]
        assert [process.wait() for process in processes] == [0] * many
    assert sum(won) == turns
    assert ledger.settled_until("feed") == period_of(turns - 1).last
    assert [problem.times for problem in problems.open()] == [many * turns]
    assert all(len(ledger.history(entry.report, entry.period.last)) == 2 for entry in ledger.entries("feed"))
    assert all(len(ledger.history(e.report, e.period.last)) == 1 for e in ledger.entries() if e.report != "feed")
