"""A period from its first part on: on its way, arrived, or sent anew in a round of its own.

Belongs here: the run ledger alone, one process at a time. Does not: the parts themselves (`test_deliveries.py`).
"""

from dataclasses import replace
from datetime import date, datetime

import pytest
from sqlalchemy import update

from analytics_platform.cadence import Period
from analytics_platform.state.database import Database
from analytics_platform.state.models import PERIODS
from analytics_platform.state.runs import (
    DIED_DELIVERING,
    Entry,
    LostClaimError,
    RunLedger,
    SettledError,
    Status,
    TakenError,
)
from analytics_platform_tests.state.test_runs import (
    ABC,
    DAY,
    END,
    LEASE,
    MINUTE,
    NOW,
    NUMBERS,
    XYZ,
    alive,
    claim,
    dead,
    deliver,
    statuses,
)

LATER = NOW + 10 * MINUTE
MISSING = "feed_actions: last event 23:12, 48 min short"


def sending(ledger: RunLedger, key: str = str(END), *, again: bool = False) -> Entry:
    """The one period, on its way under that key: a preliminary report of which something could not be sent."""
    claim(ledger, again=again)
    deliver(ledger, delivery=key, becomes=Status.PRELIMINARY, reason=MISSING, numbers=NUMBERS, numbers_at=NOW)
    return ledger.finish("feed", END, ABC, Status.SENDING, "1 of 3 parts goes on", NOW + MINUTE)


def current(ledger: RunLedger) -> Entry:
    """What the ledger says of the one period."""
    found = ledger.entry("feed", END)
    assert found
    return found


# --------------------------------------------------------------------- arrival


def test_what_is_on_its_way_ends_as_what_it_was_to_become(ledger: RunLedger) -> None:
    handed = sending(ledger)
    assert handed == current(ledger)
    assert (handed.status, handed.settled, handed.owner, handed.lease_until) == (Status.SENDING, False, None, None)
    assert (handed.delivery, handed.becomes, handed.becomes_reason) == ("2026-11-20", Status.PRELIMINARY, MISSING)
    assert (list(handed.numbers), handed.numbers_at, handed.finished_at) == (NUMBERS, NOW, NOW + MINUTE)

    assert handed.becomes
    done = ledger.arrived(handed, handed.becomes, handed.becomes_reason or "", LATER)

    assert done == current(ledger)
    freed = replace(handed, status=Status.PRELIMINARY, reason=MISSING, finished_at=LATER, updated_at=LATER)
    assert done == freed
    assert statuses(ledger) == [
        ("running", "", "abc"),
        ("sending", "1 of 3 parts goes on", "abc"),
        ("preliminary", MISSING, ""),  # no run did it
    ]
    # Whoever else sees the last part arrive comes too late.
    assert ledger.arrived(handed, Status.DELIVERED, "", LATER) is None
    assert current(ledger) == done


def test_nobody_was_reached_so_it_has_failed_and_is_left_to_a_person(ledger: RunLedger) -> None:
    failed = ledger.arrived(sending(ledger), Status.FAILED, "3 of 3 parts were refused", LATER)
    assert failed
    assert (failed.status, failed.delivering, failed.finished_at) == (Status.FAILED, True, LATER)
    assert ledger.expect("feed", DAY, Status.READY, "", LATER) == failed == current(ledger)


def test_of_which_nothing_was_written_down_yet_is_made_in_the_same_round(ledger: RunLedger) -> None:
    ready = ledger.arrived(sending(ledger), Status.READY, "nothing was sent yet", LATER)
    assert ready
    assert (ready.status, ready.ready_at) == (Status.READY, LATER)
    again = claim(ledger, XYZ, LATER)
    assert (again.attempts, again.delivering, again.key) == (2, False, "2026-11-20")


def test_the_end_of_one_round_does_not_end_the_next(ledger: RunLedger) -> None:
    first = sending(ledger)
    second = sending(ledger, "2026-11-20 #2", again=True)
    assert ledger.arrived(first, Status.DELIVERED, "", LATER) is None
    assert current(ledger) == second
    assert ledger.arrived(second, Status.DELIVERED, "", LATER) == current(ledger)


def test_what_had_failed_arrives_when_a_person_sent_it_again(ledger: RunLedger) -> None:
    ledger.arrived(sending(ledger), Status.FAILED, "held", LATER)
    ended = ledger.arrived(current(ledger), Status.DELIVERED, "", LATER)
    assert ended == current(ledger)
    assert ended.status is Status.DELIVERED


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.SENDING, Status.FAILED)])
def test_only_what_is_on_its_way_arrives(ledger: RunLedger, status: Status) -> None:
    handed = sending(ledger)
    match status:
        case Status.RUNNING:
            claim(ledger, XYZ, again=True)
        case Status.WAITING:
            ledger.reset("feed", END, LATER)
        case _:
            ledger.arrived(handed, status, "", LATER)
    stored = current(ledger)
    assert stored.status is status
    assert ledger.arrived(handed, Status.DELIVERED, "", LATER) is None
    assert ledger.arrived(stored, Status.DELIVERED, "", LATER) is None
    assert current(ledger) == stored


def test_what_the_ledger_does_not_know_does_not_arrive(ledger: RunLedger) -> None:
    unknown = Entry("feed", DAY, Status.SENDING, NOW, NOW, delivery="2026-11-20")
    assert ledger.arrived(unknown, Status.DELIVERED, "", NOW) is None
    assert ledger.entry("feed", END) is None


def test_what_is_on_its_way_is_in_the_standing_until_readers_have_it(ledger: RunLedger) -> None:
    handed = sending(ledger)
    ledger.settle("feed", END, NOW)
    assert ledger.standing() == ({"feed": END}, [handed])
    ledger.arrived(handed, Status.DELIVERED, "", LATER)
    assert ledger.standing() == ({"feed": END}, [])


def test_a_period_on_its_way_is_nobodys(ledger: RunLedger) -> None:
    handed = sending(ledger)
    with pytest.raises(LostClaimError, match=r"it is sending$"):
        ledger.finish("feed", END, ABC, Status.DELIVERED, "", LATER)
    with pytest.raises(LostClaimError, match=r"it is sending$"):
        deliver(ledger, now=LATER)
    assert ledger.release_dead(NOW + 2 * LEASE, dead) == []
    assert current(ledger) == handed


# ------------------------------------------------------------------- what is told


def test_numbers_that_are_not_told_stay_and_an_empty_list_is_told(ledger: RunLedger) -> None:
    claim(ledger)
    deliver(ledger, numbers=NUMBERS, numbers_at=NOW - MINUTE)
    deliver(ledger, now=NOW + MINUTE)
    assert (list(current(ledger).numbers), current(ledger).numbers_at) == (NUMBERS, NOW - MINUTE)
    deliver(ledger, now=NOW + MINUTE, numbers=[], numbers_at=NOW)
    assert (current(ledger).numbers, current(ledger).numbers_at) == ((), NOW)


def test_beginning_again_says_anew_what_becomes_of_it(ledger: RunLedger) -> None:
    claim(ledger)
    deliver(ledger, becomes=Status.PRELIMINARY, reason=MISSING)
    deliver(ledger, delivery="2026-11-20 digest", becomes=Status.DELIVERED)
    stored = current(ledger)
    assert (stored.delivery, stored.becomes, stored.becomes_reason) == ("2026-11-20 digest", Status.DELIVERED, "")
    assert statuses(ledger) == [("running", "", "abc")]


def test_a_moment_without_a_zone_begins_nothing(ledger: RunLedger) -> None:
    running = claim(ledger)
    with pytest.raises(ValueError, match="has no time zone"):
        deliver(ledger, numbers=NUMBERS, numbers_at=datetime(2026, 11, 21))  # noqa: DTZ001  (that is the point)
    assert current(ledger) == running


def test_numbers_of_what_is_on_its_way_can_be_corrected(ledger: RunLedger) -> None:
    handed = sending(ledger)
    told = ledger.corrected(handed, NUMBERS[:1], LATER, LATER)
    assert (
        told
        == current(ledger)
        == replace(handed, numbers=tuple(NUMBERS[:1]), numbers_at=LATER, corrected_at=LATER, updated_at=LATER)
    )
    # It is the same delivery all the same.
    assert ledger.arrived(handed, Status.DELIVERED, "", LATER + MINUTE) == replace(
        told, status=Status.DELIVERED, reason="", finished_at=LATER + MINUTE, updated_at=LATER + MINUTE
    )


# ----------------------------------------------------------------------- rounds


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.PRELIMINARY, Status.SENDING, Status.FAILED])
@pytest.mark.parametrize("how", ["claim", "reset"])
def test_what_was_handed_over_and_is_made_anew_begins_another_round(
    ledger: RunLedger, status: Status, how: str
) -> None:
    claim(ledger)
    deliver(ledger)
    assert ledger.finish("feed", END, ABC, status, "", NOW).round == 1
    # Only a person claims what was delivered; what failed is free.
    if how == "reset":
        assert ledger.reset("feed", END, LATER) == current(ledger)
        assert (current(ledger).round, current(ledger).delivery, current(ledger).becomes) == (2, None, None)
    again = claim(ledger, XYZ, LATER, again=how == "claim" and status is not Status.FAILED)
    assert again == current(ledger)
    assert (again.round, again.key) == (2, "2026-11-20 #2")
    # Once more, in whichever way it ends.
    deliver(ledger, XYZ, LATER, delivery=again.key)
    ledger.finish("feed", END, XYZ, status, "", LATER)
    assert claim(ledger, again=True).key == "2026-11-20 #3"


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.RUNNING, Status.WAITING)])
@pytest.mark.parametrize("how", ["claim", "reset"])
def test_what_was_never_handed_over_stays_in_its_round(ledger: RunLedger, status: Status, how: str) -> None:
    claim(ledger)
    ledger.finish("feed", END, ABC, status, "", NOW)
    if how == "reset":
        ledger.reset("feed", END, LATER)
    assert claim(ledger, XYZ, LATER, again=True).round == 1


def test_tries_that_end_before_delivery_stay_in_the_round_of_the_last_one_handed_over(ledger: RunLedger) -> None:
    sending(ledger)
    for attempt in range(2, 5):
        running = claim(ledger, again=True)
        assert (running.round, running.attempts) == (2, attempt)
        ledger.finish("feed", END, ABC, Status.FAILED, "no space left", NOW)
        # Nothing of this round has arrived: it is tried again by itself.
        assert ledger.expect("feed", DAY, Status.READY, "", NOW).status is Status.READY


def test_resetting_twice_is_one_round_and_expecting_it_keeps_that(ledger: RunLedger) -> None:
    sending(ledger)
    ledger.reset("feed", END, LATER)
    ledger.reset("feed", END, LATER + MINUTE)
    assert ledger.expect("feed", DAY, Status.READY, "", LATER).round == 2
    assert claim(ledger, XYZ, LATER).key == "2026-11-20 #2"


def test_a_reset_forgets_what_was_told_and_the_old_delivery_does_not_end_it(ledger: RunLedger) -> None:
    handed = sending(ledger)
    fresh = ledger.reset("feed", END, LATER)
    assert fresh == Entry("feed", DAY, Status.WAITING, NOW, LATER, "reset", waiting_since=LATER, round=2)
    assert ledger.arrived(handed, Status.DELIVERED, "", LATER) is None


def test_the_key_of_a_period_of_many_days_is_its_last(ledger: RunLedger) -> None:
    week = Period(date(2026, 11, 14), END)
    running = ledger.claim("weekly", week, ABC, NOW, lease=LEASE, gone=alive)
    assert (running.key, replace(running, round=2).key) == ("2026-11-20", "2026-11-20 #2")


# ---------------------------------------------------------------- dead processes


@pytest.mark.parametrize("how", ["died", "silent"])
def test_what_a_process_was_delivering_when_it_ended_is_on_its_way(ledger: RunLedger, how: str) -> None:
    claim(ledger)
    deliver(ledger, becomes=Status.PRELIMINARY, reason=MISSING, numbers=NUMBERS)
    gone, moment = (dead, LATER) if how == "died" else (alive, NOW + LEASE)
    with pytest.raises(SettledError, match="feed of 2026-11-20 is on its way") as caught:
        ledger.claim("feed", DAY, XYZ, moment, lease=LEASE, gone=gone)
    # Refused, but what was found out is written down.
    stored = current(ledger)
    assert caught.value.entry == stored
    assert (stored.status, stored.reason, stored.owner) == (Status.SENDING, DIED_DELIVERING, None)
    assert (stored.delivery, stored.becomes, list(stored.numbers)) == ("2026-11-20", Status.PRELIMINARY, NUMBERS)
    assert statuses(ledger) == [("running", "", "abc"), ("sending", DIED_DELIVERING, "abc")]
    assert stored.becomes
    assert ledger.arrived(stored, stored.becomes, MISSING, moment) == current(ledger)


def test_while_its_process_lives_a_delivery_is_not_sent_anew(ledger: RunLedger) -> None:
    claim(ledger)
    deliver(ledger)
    for again in (False, True):
        with pytest.raises(TakenError):
            claim(ledger, XYZ, LATER, again=again)
    with pytest.raises(TakenError):
        ledger.reset("feed", END, LATER)
    assert ledger.release_dead(LATER, alive) == []
    assert current(ledger).status is Status.RUNNING


def test_released_and_sent_anew_it_is_another_round(ledger: RunLedger) -> None:
    claim(ledger)
    deliver(ledger)
    [released] = ledger.release_dead(LATER, dead)
    assert (released.status, released.round, released.delivery) == (Status.SENDING, 1, "2026-11-20")
    assert ledger.expect("feed", DAY, Status.READY, "", LATER) == released
    assert claim(ledger, XYZ, LATER, again=True).round == 2


@pytest.mark.parametrize("how", ["released", "claimed"])
def test_a_delivery_begun_before_deliveries_had_a_ledger_has_failed_when_its_process_died(
    database: Database, ledger: RunLedger, how: str
) -> None:
    claim(ledger)
    deliver(ledger)
    with database.write() as con:  # as an older version has left it
        con.execute(update(PERIODS).values(delivery=None, becomes=None, becomes_reason=None))
    if how == "released":
        [released] = ledger.release_dead(LATER, dead)
        assert released == current(ledger)
        assert (released.status, released.reason, released.delivering) == (Status.FAILED, DIED_DELIVERING, True)
        # Nobody knows what of it has arrived: by itself it is not tried again.
        assert ledger.expect("feed", DAY, Status.READY, "", LATER) == released
        taken = claim(ledger, XYZ, LATER)
    else:
        taken = ledger.claim("feed", DAY, XYZ, LATER, lease=LEASE, gone=dead)
        assert taken.reason == f"taken over from run abc: {DIED_DELIVERING}"
    assert statuses(ledger)[1] == ("failed", DIED_DELIVERING, "abc")
    assert taken.key == "2026-11-20 #2"
