"""The run ledger's rules, one process at a time."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from analytics_platform.cadence import Period
from analytics_platform.state.database import StateError
from analytics_platform.state.owners import is_gone
from analytics_platform.state.runs import (
    DIED,
    DIED_DELIVERING,
    SILENT,
    Entry,
    LostClaimError,
    Owner,
    RunLedger,
    SettledError,
    Status,
    TakenError,
)

NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LEASE = timedelta(minutes=30)
END = date(2026, 11, 20)
DAY = Period(END, END)
ABC = Owner("abc", "host", 12, "/run/abc.lock")
XYZ = Owner("xyz", "host", 13, "/run/xyz.lock")
NUMBERS = [{"name": "dau", "value": 18706, "share": False}, {"name": "ctr", "value": 0.2084, "share": True}]


def alive(owner: Owner) -> bool:
    return False


def dead(owner: Owner) -> bool:
    return True


def claim(ledger: RunLedger, owner: Owner = ABC, now: datetime = NOW, *, again: bool = False) -> Entry:
    """A claim of the one period, everybody else alive."""
    return ledger.claim("feed", DAY, owner, now, lease=LEASE, gone=alive, again=again)


def deliver(ledger: RunLedger, owner: Owner = ABC, now: datetime = NOW, **told: Any) -> None:
    """Delivery of the one period begins; unless `told`, of a whole report without numbers."""
    ledger.delivering("feed", END, owner, now, **({"delivery": "2026-11-20", "becomes": Status.DELIVERED} | told))


def statuses(ledger: RunLedger) -> list[tuple[str, str, str]]:
    """The period's history without its moments."""
    return [(change.status.value, change.reason, change.run_id) for change in ledger.history("feed", END)]


# --------------------------------------------------------------------- cursor


def test_the_cursor_moves_forward_only(ledger: RunLedger) -> None:
    assert ledger.settled_until("feed") is None
    for day, expected in ((END, END), (date(2026, 11, 1), END), (date(2026, 11, 22), date(2026, 11, 22))):
        ledger.settle("feed", day, NOW)
        assert ledger.settled_until("feed") == expected
    assert ledger.settled_until("app") is None


# ----------------------------------------------------------------- expectation


def test_an_expected_period_is_created_then_changes_with_its_reason(ledger: RunLedger) -> None:
    first = ledger.expect("feed", DAY, Status.WAITING, "3 hours are missing", NOW)
    assert first == ledger.entry("feed", END)
    assert (first.status, first.waiting_since, first.ready_at) == (Status.WAITING, NOW, None)

    second = ledger.expect("feed", DAY, Status.WAITING, "1 hour is missing", NOW + MINUTE)
    assert (second.reason, second.waiting_since, second.updated_at) == ("1 hour is missing", NOW, NOW + MINUTE)

    third = ledger.expect("feed", DAY, Status.READY, "", NOW + 2 * MINUTE)
    assert third == ledger.entry("feed", END)
    assert (third.ready_at, third.waiting_since, third.created_at) == (NOW + 2 * MINUTE, NOW, NOW)
    # A new reason alone is no change of status.
    assert statuses(ledger) == [("waiting", "3 hours are missing", ""), ("ready", "", "")]


def test_what_is_expected_already_is_not_written(ledger: RunLedger) -> None:
    first = ledger.expect("feed", DAY, Status.READY, "", NOW)
    assert ledger.expect("feed", DAY, Status.READY, "", NOW + MINUTE) == first == ledger.entry("feed", END)


@pytest.mark.parametrize("end", [Status.DELIVERED, Status.PRELIMINARY, Status.SENDING, Status.RUNNING])
def test_expecting_leaves_alone_what_runs_and_what_readers_have_or_are_being_sent(
    ledger: RunLedger, end: Status
) -> None:
    running = claim(ledger)
    stored = running if end is Status.RUNNING else ledger.finish("feed", END, ABC, end, "", NOW)
    assert ledger.expect("feed", DAY, Status.WAITING, "gone again", NOW + MINUTE) == stored == ledger.entry("feed", END)


def test_a_failed_period_can_be_ready_again_unless_parts_may_have_arrived(ledger: RunLedger) -> None:
    claim(ledger)
    ledger.finish("feed", END, ABC, Status.FAILED, "no answer", NOW)
    again = ledger.expect("feed", DAY, Status.READY, "", NOW + MINUTE)
    assert (again.status, again.attempts, again.ready_at) == (Status.READY, 1, NOW + MINUTE)

    claim(ledger)
    deliver(ledger)
    failed = ledger.finish("feed", END, ABC, Status.FAILED, "no answer", NOW)
    assert failed.delivering
    assert ledger.expect("feed", DAY, Status.READY, "", NOW + MINUTE) == failed


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.WAITING, Status.READY)])
def test_only_waiting_and_ready_can_be_expected(ledger: RunLedger, status: Status) -> None:
    with pytest.raises(ValueError, match="expected as waiting or ready"):
        ledger.expect("feed", DAY, status, "", NOW)


# --------------------------------------------------------------------- claims


def test_a_period_is_claimed_worked_on_and_delivered(ledger: RunLedger) -> None:
    ledger.expect("feed", DAY, Status.READY, "all there", NOW - MINUTE)

    running = claim(ledger)
    assert running == ledger.entry("feed", END)
    assert (running.status, running.attempts, running.owner) == (Status.RUNNING, 1, ABC)
    assert (running.started_at, running.lease_until, running.reason) == (NOW, NOW + LEASE, "")
    ledger.renew("feed", END, ABC, NOW + MINUTE, LEASE)
    assert not running.delivering
    assert (running.delivery, running.becomes, running.becomes_reason) == (None, None, None)
    deliver(ledger, now=NOW + 2 * MINUTE, reason="whole", numbers=NUMBERS, numbers_at=NOW - MINUTE)
    stored = ledger.entry("feed", END)
    assert stored
    assert (stored.delivering, stored.lease_until) == (True, NOW + MINUTE + LEASE)
    assert (stored.delivery, stored.becomes, stored.becomes_reason) == ("2026-11-20", Status.DELIVERED, "whole")
    assert (stored.status, stored.reason, stored.updated_at) == (Status.RUNNING, "", NOW + 2 * MINUTE)

    done = ledger.finish("feed", END, ABC, Status.DELIVERED, "sent", NOW + 3 * MINUTE)
    assert done == ledger.entry("feed", END)
    assert (done.owner, done.lease_until, done.finished_at) == (None, None, NOW + 3 * MINUTE)
    assert (list(done.numbers), done.numbers_at) == (NUMBERS, NOW - MINUTE)
    assert statuses(ledger) == [("ready", "all there", ""), ("running", "", "abc"), ("delivered", "sent", "abc")]
    assert [change.moment for change in ledger.history("feed", END)] == [NOW - MINUTE, NOW, NOW + 3 * MINUTE]


def test_an_unknown_period_can_be_claimed(ledger: RunLedger) -> None:
    running = claim(ledger)
    assert running == ledger.entry("feed", END)
    assert (running.attempts, running.created_at, running.round, running.key) == (1, NOW, 1, "2026-11-20")
    assert statuses(ledger) == [("running", "", "abc")]


def test_a_live_claim_of_another_is_named(ledger: RunLedger) -> None:
    running = claim(ledger)
    with pytest.raises(TakenError) as caught:
        claim(ledger, XYZ, NOW + LEASE - MINUTE, again=True)
    assert str(caught.value) == "feed of 2026-11-20 is being made by run abc (process 12 on host) since 11:00 UTC"
    assert caught.value.entry == running == ledger.entry("feed", END)


def test_an_owner_gets_its_own_claim_back_unchanged(ledger: RunLedger) -> None:
    running = claim(ledger)
    assert claim(ledger, ABC, NOW + MINUTE) == running == ledger.entry("feed", END)
    assert claim(ledger, ABC, NOW + 2 * LEASE) == running
    assert len(ledger.history("feed", END)) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status.DELIVERED, "was delivered on 2026-11-21 at 11:00 UTC"),
        (Status.PRELIMINARY, "was delivered on 2026-11-21 at 11:00 UTC"),
        (Status.SENDING, r"is on its way, handed over on 2026-11-21 at 11:00 UTC"),
    ],
)
def test_what_readers_have_or_are_being_sent_is_claimed_only_to_be_sent_again(
    ledger: RunLedger, status: Status, said: str
) -> None:
    claim(ledger)
    deliver(ledger, numbers=NUMBERS)
    done = ledger.finish("feed", END, ABC, status, "", NOW)
    with pytest.raises(SettledError, match=f"^feed of 2026-11-20 {said}$") as caught:
        claim(ledger, XYZ)
    assert caught.value.entry == done == ledger.entry("feed", END)
    again = claim(ledger, XYZ, again=True)
    assert again == ledger.entry("feed", END)
    assert (again.status, again.attempts, again.delivering, again.finished_at) == (Status.RUNNING, 2, False, None)
    assert list(again.numbers) == NUMBERS


@pytest.mark.parametrize("status", [Status.FAILED, Status.READY])
def test_a_claim_given_back_is_free(ledger: RunLedger, status: Status) -> None:
    claim(ledger)
    given = ledger.finish("feed", END, ABC, status, "stopped", NOW + MINUTE)
    assert (given.ready_at == NOW + MINUTE) == (status is Status.READY)
    assert claim(ledger, XYZ, NOW + 2 * MINUTE).attempts == 2


def test_a_claim_whose_lease_ended_is_taken_over_and_the_first_owner_finds_out(ledger: RunLedger) -> None:
    claim(ledger)
    with pytest.raises(LostClaimError):
        # Nobody has taken it yet, but anybody could, in the middle of sending.
        deliver(ledger, now=NOW + LEASE, numbers=NUMBERS)
    taken = claim(ledger, XYZ, NOW + LEASE)

    assert (taken.owner, taken.attempts) == (XYZ, 2)
    assert taken == ledger.entry("feed", END)
    assert statuses(ledger)[1:] == [("ready", SILENT, "abc"), ("running", f"taken over from run abc: {SILENT}", "xyz")]
    message = r"feed of 2026-11-20 is no longer run abc's: it is running, claimed by run xyz"
    with pytest.raises(LostClaimError, match=message):
        deliver(ledger, numbers=NUMBERS)
    with pytest.raises(LostClaimError, match=message):
        ledger.renew("feed", END, ABC, NOW, LEASE)
    with pytest.raises(LostClaimError, match=message) as caught:
        ledger.finish("feed", END, ABC, Status.DELIVERED, "", NOW)
    assert caught.value.entry == taken == ledger.entry("feed", END)


def test_a_lease_that_ended_can_be_renewed_while_nobody_took_over(ledger: RunLedger) -> None:
    claim(ledger)
    ledger.renew("feed", END, ABC, NOW + 2 * LEASE, LEASE)
    deliver(ledger, now=NOW + 2 * LEASE)
    with pytest.raises(TakenError):
        claim(ledger, XYZ, NOW + 2 * LEASE)


def test_a_claim_of_a_dead_process_that_was_delivering_leaves_a_trace(ledger: RunLedger) -> None:
    claim(ledger)
    deliver(ledger)
    taken = ledger.claim("feed", DAY, XYZ, NOW + MINUTE, lease=LEASE, gone=dead, again=True)
    assert taken == ledger.entry("feed", END)
    assert taken.reason == f"taken over from run abc: {DIED_DELIVERING}"
    assert statuses(ledger)[1:] == [("sending", DIED_DELIVERING, "abc"), ("running", taken.reason, "xyz")]


def test_finishing_twice_or_without_a_claim_is_refused(ledger: RunLedger) -> None:
    with pytest.raises(LostClaimError, match="it is not in the ledger"):
        ledger.finish("feed", END, ABC, Status.DELIVERED, "", NOW)
    claim(ledger)
    ledger.finish("feed", END, ABC, Status.DELIVERED, "", NOW)
    with pytest.raises(LostClaimError, match="it is delivered"):
        ledger.finish("feed", END, ABC, Status.FAILED, "", NOW)
    for status in (Status.RUNNING, Status.WAITING):
        with pytest.raises(ValueError, match="cannot end as"):
            ledger.finish("feed", END, ABC, status, "", NOW)


def test_numbers_are_stored_as_they_are_and_what_is_not_available_as_none(ledger: RunLedger) -> None:
    import numpy as np

    claim(ledger)
    told = [
        {"name": "a", "value": float("nan"), "share": False},
        {"name": "б", "value": np.float64(1.5), "share": True},
    ]
    told += [{"name": "c", "value": np.int64(3), "share": False}, {"name": "d", "value": 2**53 + 1, "share": False}]
    deliver(ledger, becomes=Status.PRELIMINARY, numbers=told)
    done = ledger.finish("feed", END, ABC, Status.PRELIMINARY, "", NOW)
    assert done == ledger.entry("feed", END)
    assert [number["value"] for number in done.numbers] == [None, 1.5, 3.0, 2**53 + 1]


def test_numbers_that_are_neither_leave_the_claim_as_it_is(ledger: RunLedger) -> None:
    running = claim(ledger)
    with pytest.raises(TypeError, match="neither a number nor a text"):
        deliver(ledger, numbers=[{"name": "a", "value": NOW}])
    assert ledger.entry("feed", END) == running


# --------------------------------------------------------------- dead processes


def test_claims_of_dead_processes_are_released(ledger: RunLedger) -> None:
    claim(ledger)
    before, after = Period(date(2026, 11, 18), date(2026, 11, 18)), Period(date(2026, 11, 19), date(2026, 11, 19))
    ledger.claim("feed", after, ABC, NOW, lease=LEASE, gone=alive)
    ledger.delivering("feed", after.last, ABC, NOW, delivery="2026-11-19", becomes=Status.DELIVERED)
    ledger.claim("feed", before, XYZ, NOW, lease=LEASE, gone=alive)

    released = ledger.release_dead(NOW + MINUTE, lambda owner: owner == ABC)

    assert [(e.period, e.status, e.reason) for e in released] == [
        (after, Status.SENDING, DIED_DELIVERING),
        (DAY, Status.READY, DIED),
    ]
    assert released == [ledger.entry("feed", after.last), ledger.entry("feed", END)]
    assert [e.period for e in ledger.entries(statuses=(Status.RUNNING,))] == [before]
    assert statuses(ledger)[-1] == ("ready", DIED, "abc")
    assert ledger.release_dead(NOW + MINUTE, lambda owner: owner == ABC) == []


def test_a_lease_that_ended_is_released_too(ledger: RunLedger) -> None:
    claim(ledger)
    assert ledger.release_dead(NOW + LEASE - MINUTE, alive) == []
    assert [e.reason for e in ledger.release_dead(NOW + LEASE, alive)] == [SILENT]


def test_gone_is_only_what_can_be_proved(tmp_path: Path) -> None:
    path = tmp_path / "abc.lock"
    owner = Owner("abc", "here", 12, str(path))
    assert is_gone(owner, host="here")  # the run has ended and tidied up
    assert not path.exists()
    assert not is_gone(owner, host="elsewhere")
    assert not is_gone(Owner("abc", "here", 12), host="here")
    with FileLock(path):
        assert not is_gone(owner, host="here")
    assert is_gone(owner, host="here")
    assert path.exists()
    # Free again at once.
    with FileLock(path, timeout=0):
        pass
    assert not is_gone(Owner("abc", "here", 12, str(tmp_path)), host="here")  # cannot be opened


# --------------------------------------------------------------------- by hand


def test_a_reset_period_is_as_if_never_tried_but_for_its_history_and_its_round(ledger: RunLedger) -> None:
    claim(ledger)
    deliver(ledger, numbers=NUMBERS, numbers_at=NOW)
    ledger.finish("feed", END, ABC, Status.DELIVERED, "", NOW)
    ledger.told_late("feed", END, NOW)

    fresh = ledger.reset("feed", END, NOW + MINUTE)

    assert fresh == ledger.entry("feed", END)
    later = NOW + MINUTE
    assert fresh == Entry("feed", DAY, Status.WAITING, NOW, later, "reset", waiting_since=later, round=2)
    assert statuses(ledger) == [("running", "", "abc"), ("delivered", "", "abc"), ("waiting", "reset", "")]
    assert ledger.reset("feed", date(2020, 1, 1), NOW) is None


def test_a_live_claim_is_reset_only_by_force(ledger: RunLedger) -> None:
    claim(ledger)
    with pytest.raises(TakenError):
        ledger.reset("feed", END, NOW + MINUTE)
    assert ledger.reset("feed", END, NOW + MINUTE, force=True)
    with pytest.raises(LostClaimError, match="it is waiting"):
        deliver(ledger, now=NOW + MINUTE)


# ----------------------------------------------------------- corrections, lateness


def test_corrections_looks_and_lateness_are_noted(ledger: RunLedger) -> None:
    claim(ledger)
    deliver(ledger, numbers=NUMBERS, numbers_at=NOW)
    ledger.finish("feed", END, ABC, Status.DELIVERED, "", NOW)
    ledger.seen("feed", END, NOW + MINUTE, NOW + 2 * MINUTE)
    seen = ledger.entry("feed", END)
    assert seen
    assert (seen.numbers_at, list(seen.numbers), seen.corrected_at) == (NOW + MINUTE, NUMBERS, None)

    assert ledger.corrected(seen, NUMBERS[:1], NOW + 3 * MINUTE, NOW + 4 * MINUTE)
    assert ledger.corrected(seen, NUMBERS[:1], NOW + 3 * MINUTE, NOW + 4 * MINUTE) is None
    ledger.told_late("feed", END, NOW + 5 * MINUTE)
    stored = ledger.entry("feed", END)
    assert stored
    assert (list(stored.numbers), stored.numbers_at) == (NUMBERS[:1], NOW + 3 * MINUTE)
    assert (stored.corrected_at, stored.late_told_at) == (NOW + 4 * MINUTE, NOW + 5 * MINUTE)
    assert stored.status is Status.DELIVERED
    assert len(ledger.history("feed", END)) == 2


def test_nothing_is_noted_of_an_unknown_period(ledger: RunLedger) -> None:
    with pytest.raises(StateError, match="feed of 2026-11-20 is not in the ledger"):
        ledger.told_late("feed", END, NOW)
    with pytest.raises(StateError, match="not in the ledger"):
        ledger.seen("feed", END, NOW, NOW)
    assert ledger.corrected(Entry("feed", Period(END, END), Status.DELIVERED, NOW, NOW), [], NOW, NOW) is None


def test_entries_are_found_by_report_day_and_status_the_newest_first(ledger: RunLedger) -> None:
    for day in (18, 20, 19):
        for report in ("feed", "app"):
            period = Period(date(2026, 11, day - 6), date(2026, 11, day))
            ledger.expect(report, period, Status.READY if day == 19 else Status.WAITING, "", NOW)

    def found(*args: str, **choice: object) -> list[tuple[str, int]]:
        return [(e.report, e.period.last.day) for e in ledger.entries(*args, **choice)]  # type: ignore[arg-type]

    assert found() == [("app", 20), ("feed", 20), ("app", 19), ("feed", 19), ("app", 18), ("feed", 18)]
    assert found("feed", limit=2) == [("feed", 20), ("feed", 19)]
    assert found("feed", since=date(2026, 11, 19)) == [("feed", 20), ("feed", 19)]
    assert found("feed", statuses=(Status.READY,)) == [("feed", 19)]
    assert found("feed", statuses={Status.READY, Status.WAITING}, limit=1) == [("feed", 20)]
