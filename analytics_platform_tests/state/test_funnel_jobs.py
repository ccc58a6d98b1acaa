"""What becomes of jobs: on each kind of database. Entries and how things stand: `test_funnels.py`."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Change, Job, JobStatus, NewEntry, Operation, Outcome
from analytics_platform.state import leases
from analytics_platform.state.database import Database, StateError
from analytics_platform.state.funnel_models import OUTBOX
from analytics_platform.state.funnel_rows import FunnelRows
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.leases import Lease
from analytics_platform.state.owners import Owner
from analytics_platform_tests.state.test_funnels import by_id

NOW = datetime(2026, 11, 21, 11, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LANGUAGE, OTHER = FunnelType.LANGUAGE, FunnelType.NON_LANGUAGE
PENDING, IMPORTING, SUCCESS = JobStatus.PENDING, JobStatus.IMPORTING, JobStatus.SUCCESS
FAILED, DROPPED = JobStatus.FAILED, JobStatus.DROPPED
UPSERT, UPDATE = Operation.UPSERT_CONTACT, Operation.UPDATE_AFTER_PURCHASE


@pytest.fixture
def lease(funnels: FunnelLedger) -> Lease:
    """Ours."""
    return funnels.take(Owner("me", "here", 1), NOW, timedelta(hours=1), lambda _: False)


def enter(funnels: FunnelLedger, lease: Lease, names: str, funnel: FunnelType = LANGUAGE) -> list[int]:
    """They are in the funnel; the numbers of their upserts."""
    emails = [f"{name}@example.com" for name in names]
    assert funnels.enter(lease, [NewEntry(email, funnel, 7, 5, 11) for email in emails], NOW) == len(names)
    return [job.id for job in everything(funnels) if job.email in emails and job.operation is UPSERT]


def buy(funnels: FunnelLedger, lease: Lease, name: str) -> int:
    """Somebody bought; the number of the update."""
    [entry] = [entry for entry in funnels.rows(None, None) if entry.email[0] == name]
    assert funnels.settle(lease, [Change(entry.id, entry.funnel, purchased_at=NOW)], NOW) == 1
    [update] = [job.id for job in everything(funnels) if job.entry_id == entry.id and job.operation is UPDATE]
    return update


def everything(funnels: FunnelLedger) -> list[Job]:
    """All jobs."""
    return funnels.jobs(tuple(JobStatus), 99)


def put(database: Database, number: int, status: JobStatus) -> None:
    """It has that status, whatever led there."""
    with database.write() as con:
        con.execute(update(OUTBOX).where(OUTBOX.c.id == number).values(status=status.value))


def status(funnels: FunnelLedger, *ids: int) -> list[JobStatus]:
    """Of each of them, in the order of the numbers."""
    return [job.status for job in by_id(funnels, ids)]


# ------------------------------------------------------------------------ again


def test_only_failed_jobs_are_tried_again(funnels: FunnelLedger, lease: Lease) -> None:
    a, b, c, d = enter(funnels, lease, "abcd")
    done = [Outcome(b, FAILED, 5, "no"), Outcome(c, FAILED, 5, "no", process_id=7), Outcome(d, SUCCESS, 0)]
    funnels.note(lease, [Outcome(a, PENDING, 3, "busy", NOW + MINUTE), *done], NOW)

    assert funnels.retry([a, c, d, 10**6], NOW + MINUTE) == 1
    [again] = by_id(funnels, [c])
    assert (again.status, again.retries, again.next_attempt_at, again.process_id) == (PENDING, 0, NOW + MINUTE, None)
    assert again.last_error == "no"
    assert funnels.retry([], NOW) == 0
    assert funnels.retry(None, NOW + MINUTE) == 1
    assert funnels.retry(None, NOW + MINUTE) == 0
    assert by_id(funnels, [a])[0].retries == 3
    assert funnels.counts() == {PENDING: 3, IMPORTING: 0, SUCCESS: 1, FAILED: 0, DROPPED: 0}


def test_what_is_part_of_an_import_is_tried_again_where_it_is_named(funnels: FunnelLedger, lease: Lease) -> None:
    a, b = enter(funnels, lease, "ab")
    funnels.note(lease, [Outcome(a, IMPORTING, 2, process_id=7), Outcome(b, IMPORTING, 0, process_id=7)], NOW)
    assert funnels.retry(None, NOW) == 0
    assert funnels.retry([a], NOW + MINUTE) == 1
    [again] = funnels.due(NOW + MINUTE, 9)
    assert (again.id, again.retries, again.process_id) == (a, 0, None)
    assert [job.id for job in funnels.of_import(7)] == [b]


def test_an_update_fails_with_its_contact_and_begins_anew_with_it(funnels: FunnelLedger, lease: Lease) -> None:
    a, b, c = enter(funnels, lease, "abc")
    early, other = buy(funnels, lease, "a"), buy(funnels, lease, "b")
    funnels.note(lease, [Outcome(a, FAILED, 0, "refused"), Outcome(c, FAILED, 0, "refused")], NOW + MINUTE)
    late = buy(funnels, lease, "c")
    assert status(funnels, a, b, c, early, other, late) == [FAILED, PENDING, FAILED, FAILED, PENDING, FAILED]
    assert {job.last_error for job in by_id(funnels, [early, late])} == {"its contact was not taken"}
    assert by_id(funnels, [other])[0].last_error == ""

    assert funnels.retry([a], NOW + MINUTE) == 2
    assert status(funnels, a, early, c, late) == [PENDING, FAILED, PENDING, FAILED]
    assert funnels.retry([late], NOW + MINUTE) == 2  # without its contact it would wait for ever
    assert funnels.counts()[PENDING] == 6
    assert [job.id for job in funnels.due(NOW + MINUTE, 9)] == [a, b, c]


def test_an_update_that_failed_by_itself_does_not_begin_anew_with_its_contact(
    funnels: FunnelLedger, lease: Lease
) -> None:
    [a] = enter(funnels, lease, "a")
    update = buy(funnels, lease, "a")
    funnels.note(lease, [Outcome(update, FAILED, 0, "its own"), Outcome(a, FAILED, 0, "refused")], NOW)
    assert funnels.retry([a], NOW) == 1
    assert funnels.retry(None, NOW) == 1
    assert status(funnels, a, update) == [PENDING, PENDING]


# --------------------------------------------------------------------- given up


def test_who_is_given_up_is_settled_with_the_update(funnels: FunnelLedger, lease: Lease) -> None:
    a, b, c, d, e = enter(funnels, lease, "abcde")
    update, own = buy(funnels, lease, "a"), buy(funnels, lease, "c")
    outcomes = [
        Outcome(a, FAILED, 5, "refused"),
        Outcome(c, SUCCESS, 0),
        Outcome(d, IMPORTING, 0, process_id=7),
    ]
    funnels.note(lease, outcomes, NOW)
    assert funnels.drop([], NOW) == 0
    assert funnels.drop([a, b, c, d, 10**6], NOW + MINUTE) == 3
    assert status(funnels, a, update, b, c, d, e, own) == [
        DROPPED,
        DROPPED,
        SUCCESS,
        IMPORTING,
        PENDING,
        DROPPED,
        PENDING,
    ]
    assert by_id(funnels, [a])[0].last_error == "refused"
    assert funnels.drop([a, own], NOW) == 1
    assert status(funnels, c, own) == [SUCCESS, DROPPED]
    # Who bought after being given up is not told of either.
    assert status(funnels, buy(funnels, lease, "b")) == [DROPPED]
    assert [job.id for job in funnels.due(NOW + MINUTE, 9)] == [e]
    assert funnels.retry(None, NOW) == 0
    assert funnels.retry([a, b], NOW) == 0


def test_what_is_given_up_while_it_is_told_stays_given_up_unless_it_arrives(
    funnels: FunnelLedger, lease: Lease
) -> None:
    a, b, c = enter(funnels, lease, "abc")
    assert funnels.drop([a, b, c], NOW) == 3
    outcomes = [Outcome(a, PENDING, 1, "busy", NOW + MINUTE), Outcome(b, FAILED, 0, "refused"), Outcome(c, SUCCESS, 0)]
    funnels.note(lease, outcomes, NOW)
    assert status(funnels, a, b, c) == [DROPPED, DROPPED, SUCCESS]


def test_what_is_given_up_while_its_import_begins_stays_given_up_unless_it_arrives(
    funnels: FunnelLedger, lease: Lease
) -> None:
    a, b = enter(funnels, lease, "ab")
    assert funnels.drop([a], NOW) == 1
    funnels.note(lease, [Outcome(n, IMPORTING, 0, process_id=7) for n in (a, b)], NOW)
    assert status(funnels, a, b) == [DROPPED, IMPORTING]
    assert [job.id for job in funnels.of_import(7)] == [a, b]
    funnels.note(lease, [Outcome(n, PENDING, 0, "import 7 failed", NOW, 7) for n in (a, b)], NOW)
    assert status(funnels, a, b) == [DROPPED, PENDING]
    funnels.note(lease, [Outcome(a, SUCCESS, 0, process_id=7)], NOW)
    assert (status(funnels, a), funnels.imports()) == ([SUCCESS], {})


def test_whoever_arrived_after_being_given_up_is_told_what_they_bought(funnels: FunnelLedger, lease: Lease) -> None:
    a, b = enter(funnels, lease, "ab")
    early, own = buy(funnels, lease, "a"), buy(funnels, lease, "b")
    assert funnels.drop([a, own], NOW) == 3
    assert status(funnels, a, b, early, own) == [DROPPED, PENDING, DROPPED, DROPPED]
    funnels.note(lease, [Outcome(n, SUCCESS, 0) for n in (a, b)], NOW)
    assert status(funnels, early, own) == [PENDING, DROPPED]  # that one was given up by itself
    assert [job.id for job in funnels.due(NOW, 9)] == [early]


@pytest.mark.parametrize("again", ["failed", "retried", "refused", "all retried"])
def test_whoever_turns_out_to_be_a_customer_is_not_told_after_an_import(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease, again: str
) -> None:
    a, b = enter(funnels, lease, "ab")
    funnels.note(lease, [Outcome(n, IMPORTING, 0, process_id=7) for n in (a, b)], NOW)
    entry = by_id(funnels, [a])[0].entry_id
    assert funnels.settle(lease, [Change(entry, LANGUAGE, customer_since=NOW - MINUTE)], NOW) == 1
    assert status(funnels, a, b) == [IMPORTING, IMPORTING]  # that cannot be called back
    if again == "failed":
        funnels.note(lease, [Outcome(n, PENDING, 0, "import 7 failed", NOW, 7) for n in (a, b)], NOW)
    elif again == "retried":
        assert funnels.retry([a, b], NOW) == 1
    else:
        funnels.note(lease, [Outcome(n, FAILED, 0, "refused", process_id=7) for n in (a, b)], NOW)
        assert status(funnels, a, b) == [DROPPED, FAILED]
        if again == "all retried":  # as an older version left it
            put(funnel_database, a, FAILED)
        assert funnels.retry(None, NOW) == 1
    assert [job.id for job in funnels.due(NOW, 9)] == [b]
    assert status(funnels, a, b) == [DROPPED, PENDING]


def test_an_update_that_was_left_pending_goes_with_its_dropped_contact(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    [a] = enter(funnels, lease, "a")
    update = buy(funnels, lease, "a")
    put(funnel_database, a, DROPPED)
    assert funnels.drop([a], NOW) == 0
    assert status(funnels, a, update) == [DROPPED, DROPPED]


# ---------------------------------------------------------------------- at once


def test_nobody_is_given_up_while_it_is_written_what_they_bought(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    a, b = enter(funnels, lease, "ab")
    funnels.note(lease, [Outcome(b, FAILED, 0, "refused")], NOW)
    entries = list(funnels.rows(None, None))
    threads = [
        threading.Thread(target=lambda: funnels.drop([a], NOW)),
        threading.Thread(target=lambda: funnels.retry([b], NOW)),
    ]
    with funnel_database.write() as con:
        leases.check(con, lease)
        for thread in threads:
            thread.start()
        time.sleep(0.2)  # ample for both, were nobody in the way
        assert all(thread.is_alive() for thread in threads)
        FunnelRows(con).settle([Change(entry.id, LANGUAGE, purchased_at=NOW) for entry in entries], NOW)
    for thread in threads:
        thread.join(30)
    assert {job.status for job in everything(funnels) if job.email[0] == "a"} == {DROPPED}
    assert {job.status for job in everything(funnels) if job.email[0] == "b"} == {PENDING}


def test_writes_with_and_without_the_lease_never_wait_for_each_other_for_ever(
    funnels: FunnelLedger, lease: Lease
) -> None:
    assert funnels.enter(lease, [NewEntry(f"p{n}@example.com", LANGUAGE, n, 5, 11) for n in range(300)], NOW) == 300
    ids = [job.id for job in funnels.jobs([PENDING], 300)]
    wrong: list[StateError] = []
    some = (PENDING, FAILED, IMPORTING)

    def often(seed: int, write: Callable[[list[int]], object]) -> None:
        shuffled = random.Random(seed)
        try:
            for _ in range(15):
                write(shuffled.sample(ids, 150))
        except StateError as error:
            wrong.append(error)

    writes: list[Callable[[list[int]], object]] = [
        lambda those: funnels.note(lease, [Outcome(n, some[n % 3], 0, process_id=n % 2 or None) for n in those], NOW),
        lambda those: funnels.retry(those, NOW),
        lambda _: funnels.retry(None, NOW),
        lambda those: funnels.drop(those[:1], NOW),
    ]
    threads = [threading.Thread(target=often, args=one) for one in enumerate(writes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


# ------------------------------------------------------------------------- held


def test_who_waits_for_a_list_is_held_and_holds_up_nobody(funnels: FunnelLedger, lease: Lease) -> None:
    a, b, c = enter(funnels, lease, "abc", OTHER)
    d, e = enter(funnels, lease, "de")
    funnels.note(lease, [Outcome(c, SUCCESS, 0)], NOW)
    waits, told = buy(funnels, lease, "a"), buy(funnels, lease, "c")

    def due(*lists: FunnelType) -> list[int]:
        return [job.id for job in funnels.due(NOW, 9, 0, lists)]

    def oldest(*lists: FunnelType) -> int | None:
        found = funnels.oldest_pending(lists)
        return found.id if found else None

    assert (due(LANGUAGE), due(OTHER), due(LANGUAGE, OTHER)) == ([d, e, told], [a, b, told], [a, b, d, e, told])
    assert due() == [told]
    assert [job.id for job in funnels.due(NOW, 9)] == [a, b, d, e, told]
    assert (funnels.held([LANGUAGE]), funnels.held([OTHER]), funnels.held(list(FunnelType))) == (3, 2, 0)
    assert funnels.held([]) == 5
    assert (oldest(LANGUAGE), oldest(OTHER), oldest(LANGUAGE, OTHER), oldest()) == (d, a, a, told)
    funnels.note(lease, [Outcome(n, SUCCESS, 0) for n in (d, e, told)], NOW)
    assert (oldest(LANGUAGE), oldest(OTHER)) == (None, a)
    assert status(funnels, waits) == [PENDING]
