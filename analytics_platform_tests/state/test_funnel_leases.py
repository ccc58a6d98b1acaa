"""One at a time: who has the lease, who takes it over, and that whoever lost it writes nothing."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Change, JobStatus, NewEntry, Outcome
from analytics_platform.state import leases
from analytics_platform.state.database import Database
from analytics_platform.state.funnels import FunnelLedger, Standing
from analytics_platform.state.held import held
from analytics_platform.state.leases import Lease, LeaseLostError, LeaseTakenError
from analytics_platform.state.owners import Owner
from analytics_platform.state.schema import FUNNELS
from analytics_platform_tests.forked import answer, tell
from analytics_platform_tests.state.conftest import Started
from analytics_platform_tests.state.funnel_worker import LENGTH, gone, people

NOW = datetime(2026, 11, 21, 11, 0, 0, 123456, tzinfo=UTC)
ME, YOU = Owner("mine", "here", 1, "/no/such/folder/a.lock"), Owner("yours", "there", 2)


def alive(_owner: Owner) -> bool:
    """Nobody's end is proved."""
    return False


def test_a_lease_is_one_process_s_at_a_time(funnels: FunnelLedger) -> None:
    mine = funnels.take(ME, NOW, LENGTH, alive)
    assert (mine.owner, mine.until) == (ME, NOW + LENGTH)
    with pytest.raises(LeaseTakenError) as caught:
        funnels.take(YOU, NOW + timedelta(minutes=9), LENGTH, alive)
    assert str(caught.value) == (
        "e-mail funnels: run mine (process 1 on here) has been at it since 2026-11-21 11:00:00 UTC, "
        "until 2026-11-21 11:10:00 UTC unless it goes on; wait until it is done"
    )
    assert (caught.value.owner, caught.value.since, caught.value.until) == (ME, NOW, NOW + LENGTH)
    with pytest.raises(LeaseTakenError):  # not even its own, a second time
        funnels.take(ME, NOW, LENGTH, alive)

    funnels.release(mine)
    yours = funnels.take(YOU, NOW, LENGTH, alive)
    assert yours.token != mine.token
    assert yours.token not in repr(yours)


def test_a_renewed_lease_lasts_from_then_on(funnels: FunnelLedger) -> None:
    mine = funnels.take(ME, NOW, LENGTH, alive)
    later = funnels.renew(mine, NOW + timedelta(minutes=9), LENGTH)
    assert (later.until, later.token) == (NOW + timedelta(minutes=19), mine.token)
    with pytest.raises(LeaseTakenError):
        funnels.take(YOU, later.until - timedelta(microseconds=1), LENGTH, alive)
    funnels.take(YOU, later.until, LENGTH, alive)


def test_a_lease_whose_time_is_over_is_its_holders_until_another_takes_it(funnels: FunnelLedger) -> None:
    mine = funnels.take(ME, NOW, LENGTH, alive)
    assert funnels.enter(mine, people(1), NOW + 2 * LENGTH) == 1
    assert funnels.renew(mine, NOW + 2 * LENGTH, LENGTH).until == NOW + 3 * LENGTH


def test_whose_process_is_gone_loses_it_at_once(funnels: FunnelLedger) -> None:
    asked: list[Owner] = []

    def dead(owner: Owner) -> bool:
        asked.append(owner)
        return True

    funnels.take(ME, NOW, LENGTH, dead)
    assert asked == []
    assert funnels.take(YOU, NOW, LENGTH, dead).owner == YOU
    assert asked == [ME]


def test_whoever_lost_it_writes_nothing(funnels: FunnelLedger) -> None:
    mine = funnels.take(ME, NOW, LENGTH, alive)
    funnels.enter(mine, people(1), NOW)
    [job], [entry] = funnels.due(NOW, 9), list(funnels.rows(None, None))
    yours = funnels.take(YOU, NOW + LENGTH, LENGTH, alive)

    writes: list[Callable[[Lease], object]] = [
        lambda lease: funnels.enter(lease, people(2), NOW),
        lambda lease: funnels.settle(lease, [Change(entry.id, FunnelType.LANGUAGE, purchased_at=NOW)], NOW),
        lambda lease: funnels.note(lease, [Outcome(job.id, JobStatus.SUCCESS, 0)], NOW),
        lambda lease: funnels.published(lease, NOW, [entry.id]),
        lambda lease: funnels.started(lease, NOW),
        lambda lease: funnels.finished(lease, NOW),
        lambda lease: funnels.circuit(lease, NOW),
        funnels.unpublish_all,
        lambda lease: funnels.renew(lease, NOW, LENGTH),
    ]
    for write in writes:
        with pytest.raises(LeaseLostError) as caught:
            write(mine)
        assert str(caught.value) == (
            "e-mail funnels: run mine (process 1 on here) lost its turn, now run yours (process 2 on there) has it; "
            "nothing was written"
        )
    funnels.release(mine)  # leaves it to whom it is now

    assert list(funnels.rows(None, None)) == [entry]
    assert funnels.due(NOW, 9) == [job]
    assert (funnels.unpublished(9), funnels.standing()) == ([NOW], Standing())
    funnels.release(yours)
    with pytest.raises(LeaseLostError, match=r"now nobody has it"):
        funnels.started(yours, NOW)
    for write in writes:
        write(funnels.take(YOU, NOW + 2 * LENGTH, LENGTH, lambda _: True))


def test_whoever_has_to_be_sure_of_the_lease_asks_the_ledger(funnels: FunnelLedger) -> None:
    moment = [NOW]
    with held(funnels, ME, lambda: moment[0], alive) as kept:
        begun = kept.now().until
        moment[0] += timedelta(minutes=1)
        assert kept.now().until == begun
        assert kept.sure().until == kept.now().until == begun + timedelta(minutes=1)
        # By the clock of its holder, hardly any time has passed.
        funnels.take(YOU, NOW + 2 * LENGTH, LENGTH, alive)
        assert kept.now().until == begun + timedelta(minutes=1)
        with pytest.raises(LeaseLostError):
            kept.sure()


def test_what_goes_wrong_inside_gives_the_lease_back(funnels: FunnelLedger) -> None:
    with pytest.raises(ZeroDivisionError), held(funnels, ME, lambda: NOW, alive):
        raise ZeroDivisionError
    with held(funnels, YOU, lambda: NOW, alive):
        pass


def test_nobody_takes_it_while_its_holder_writes(
    funnels: FunnelLedger, funnel_database: Database, funnel_url: str
) -> None:
    mine = funnels.take(ME, NOW, LENGTH, alive)
    done: list[object] = []
    other = Database(funnel_url, FUNNELS)
    taking = threading.Thread(
        target=lambda: done.append(FunnelLedger(other).take(YOU, NOW + LENGTH, LENGTH, alive).owner)
    )
    with funnel_database.write() as con:
        leases.check(con, mine)
        taking.start()
        time.sleep(0.2)  # ample for taking it, were nobody in the way
        assert taking.is_alive()
    taking.join(30)
    assert done == [YOU]
    other.close()


def test_of_threads_that_take_it_at_once_one_wins(funnels: FunnelLedger) -> None:
    together, outcomes = threading.Barrier(4), list[str]()

    def take(number: int) -> None:
        together.wait(30)
        try:
            outcomes.append(funnels.take(Owner(str(number), "here", number), NOW, LENGTH, alive).owner.run_id)
        except LeaseTakenError as error:
            outcomes.append(f"lost to {error.owner.run_id}")

    threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    [winner] = [said for said in outcomes if not said.startswith("lost")]
    assert sorted(outcomes) == sorted([winner] + [f"lost to {winner}"] * 3)


def test_threads_that_enter_the_same_people_at_once_enter_each_once(funnels: FunnelLedger) -> None:
    mine = funnels.take(ME, NOW, LENGTH, alive)
    together, added = threading.Barrier(3), list[int]()

    def enter(number: int) -> None:
        # Each with a test of its own, which the database's key would let pass.
        new = [NewEntry(one.email, one.funnel, one.user_id, number, 11) for one in people(20)]
        together.wait(30)
        added.append(funnels.enter(mine, new, NOW))

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(added) == [0, 0, 20]
    assert len(list(funnels.rows(None, None))) == len(funnels.due(NOW, 99)) == 20


def test_processes_that_enter_the_same_people_enter_each_once(
    funnel_url: str, funnels: FunnelLedger, started: Started, worker: str
) -> None:
    with started(funnel_url, *(["enter", f"run{number}", "60"] for number in range(3))) as processes:
        for process in processes:
            tell(process, "go")
        added = [answer(process) for process in processes]
        assert [(process.wait(60), process.stderr.read()) for process in processes] == [(0, "")] * 3
    assert sorted(added) == [0, 0, 60]
    entries = list(funnels.rows(None, None))
    assert sorted(entry.email for entry in entries) == sorted(one.email for one in people(60))
    assert [job.entry_id for job in funnels.due(datetime.now(UTC), 99)] == [entry.id for entry in entries]


def test_the_lease_of_a_killed_process_is_taken_over_at_once(
    funnel_url: str, funnels: FunnelLedger, started: Started, worker: str, tmp_path: Path
) -> None:
    with started(funnel_url, ["hold", "abc", str(tmp_path / "abc.lock")]) as [process]:
        with pytest.raises(LeaseTakenError, match=r"run abc \(process \d+ on here\)"):
            funnels.take(YOU, datetime.now(UTC), LENGTH, gone)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert funnels.take(YOU, datetime.now(UTC), LENGTH, gone).owner == YOU


@pytest.fixture(scope="module")
def worker() -> str:
    """The module whose `main` the processes call."""
    return "funnel_worker"
