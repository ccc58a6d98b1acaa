"""Many rows changed by one statement: each as its own change says, no row too many, none too few; on each database.

What changes mean for people and jobs: `test_funnels.py`, `test_funnel_jobs.py`.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, delete, select, update

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Change, Job, JobStatus, NewEntry, Operation, Outcome
from analytics_platform.state import funnel_jobs
from analytics_platform.state.database import Database, StateError
from analytics_platform.state.funnel_models import ENTRIES, OUTBOX
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.leases import Lease
from analytics_platform.state.owners import Owner
from analytics_platform_tests.mysql_service import MariaDB

NOW = datetime(2026, 11, 21, 11, 0, 0, 123456, tzinfo=UTC)
MINUTE, TICK = timedelta(minutes=1), timedelta(microseconds=1)
LANGUAGE = FunnelType.LANGUAGE
PENDING, IMPORTING, SUCCESS = JobStatus.PENDING, JobStatus.IMPORTING, JobStatus.SUCCESS
FAILED = JobStatus.FAILED
UPSERT, UPDATE = Operation.UPSERT_CONTACT.value, Operation.UPDATE_AFTER_PURCHASE.value
# Of one statement, in the small and as it is.
FEW = 4
BORDERS = [1, 2, 3, FEW - 1, FEW, FEW + 1, 2 * FEW - 1, 2 * FEW, 2 * FEW + 1, 3 * FEW + 2]
MANY = funnel_jobs.CHANGED_AT_ONCE
Row = Mapping[str, Any]


@pytest.fixture
def lease(funnels: FunnelLedger) -> Lease:
    """Ours."""
    return funnels.take(Owner("me", "here", 1), NOW, timedelta(hours=1), lambda _: False)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement changes only a few rows."""
    monkeypatch.setattr(funnel_jobs, "CHANGED_AT_ONCE", FEW)


def enter(funnels: FunnelLedger, lease: Lease, many: int) -> list[int]:
    """So many enter, and are published, so that whatever touches one of them shows; the numbers of their entries."""
    people = [NewEntry(f"p{n}@example.com", LANGUAGE, n, n % 7, 11) for n in range(many)]
    assert funnels.enter(lease, people, NOW) == many
    ids = [entry.id for entry in funnels.rows(None, None)]
    funnels.published(lease, None, ids)
    return ids


def stored(database: Database, table: Table = ENTRIES) -> dict[int, Row]:
    """Every row as it stands there, by its id."""
    with database.read() as con:
        return {row["id"]: dict(row) for row in con.execute(select(table)).mappings()}


def jobs(database: Database, operation: str) -> dict[int, Row]:
    """The jobs of a kind, by the entry that each is of."""
    return {
        row["funnel_entry_id"]: row for row in stored(database, OUTBOX).values() if row["operation_type"] == operation
    }


def every_other(ids: list[int]) -> dict[int, Change]:
    """A change of the second, the fourth, ...: two of five purchases, each at a moment of its own."""
    chosen = enumerate(ids[1::2])
    return {
        number: Change(number, LANGUAGE, purchased_at=NOW + n * TICK)
        if n % 5 < 2
        else Change(number, LANGUAGE, customer_since=NOW - n * MINUTE)
        for n, number in chosen
    }


def settled(row: Row, change: Change) -> Row:
    """What a change makes of a row."""
    return {
        **row,
        "certificate_purchased": int(change.purchased_at is not None),
        "certificate_purchased_at": change.purchased_at,
        "already_customer": int(change.purchased_at is None),
        "customer_since": change.customer_since,
        "published": 0,
    }


def check_settled(database: Database, funnels: FunnelLedger, lease: Lease, ids: list[int]) -> None:
    """Every other one of them is settled, and nothing else happened."""
    changes, before = every_other(ids), stored(database)
    told, earlier = jobs(database, UPSERT), jobs(database, UPDATE)
    # The order in which they are given says nothing.
    assert funnels.settle(lease, list(changes.values())[::-1], NOW + MINUTE) == len(changes)

    wanted = {number: settled(row, changes[number]) if number in changes else row for number, row in before.items()}
    assert stored(database) == wanted
    bought = {number: change.purchased_at for number, change in changes.items() if change.purchased_at}
    updates = jobs(database, UPDATE)
    assert updates == {**earlier, **{number: updates[number] for number in bought}}
    assert all(moment.isoformat() in updates[number]["payload"] for number, moment in bought.items())
    spared = changes.keys() - bought.keys()
    assert jobs(database, UPSERT) == {entry: job for entry, job in told.items() if entry not in spared}


@pytest.mark.usefixtures("few")
def test_each_entry_is_settled_by_its_own_payment_and_its_neighbours_by_none(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    everybody = enter(funnels, lease, 2 * sum(BORDERS))
    for many in BORDERS:
        some, everybody = everybody[: 2 * many], everybody[2 * many :]
        check_settled(funnel_database, funnels, lease, some)
    assert everybody == []


def test_more_entries_than_one_statement_changes_are_settled_in_one_transaction(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    # Three of five are customers: of these there are more than a statement takes, and a rest that is no power of two.
    ids = enter(funnels, lease, 4 * MANY + 6)
    check_settled(funnel_database, funnels, lease, ids)


def test_of_two_payments_for_an_entry_the_last_one_given_counts(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    a, b, c = enter(funnels, lease, 3)
    both = [
        Change(a, LANGUAGE, purchased_at=NOW),
        Change(b, LANGUAGE, purchased_at=NOW + TICK),
        Change(a, LANGUAGE, customer_since=NOW - MINUTE),
        Change(b, LANGUAGE, purchased_at=NOW + MINUTE),
    ]
    before = stored(funnel_database)
    assert funnels.settle(lease, both, NOW) == 2
    wanted = {a: settled(before[a], both[2]), b: settled(before[b], both[3]), c: before[c]}
    assert stored(funnel_database) == wanted
    assert jobs(funnel_database, UPSERT).keys() == {b, c}
    assert jobs(funnel_database, UPDATE).keys() == {b}


@pytest.mark.usefixtures("few")
def test_what_somebody_else_changed_in_between_stays_as_they_left_it(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    """Another program, which knows of no lease, is half-way when the payments come."""
    ids = enter(funnels, lease, 2 * FEW + 1)
    theirs, gone, touched = ids[0], ids[FEW], ids[-1]
    changes = {number: Change(number, LANGUAGE, purchased_at=NOW + n * TICK) for n, number in enumerate(ids)}
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(funnels.settle(lease, list(changes.values()), NOW)))
    with funnel_database.write() as con:
        bought = {"certificate_purchased": 1, "certificate_purchased_at": NOW - MINUTE}
        con.execute(update(ENTRIES).where(ENTRIES.c.id == theirs).values(**bought))
        con.execute(delete(OUTBOX).where(OUTBOX.c.funnel_entry_id == gone))
        con.execute(delete(ENTRIES).where(ENTRIES.c.id == gone))
        con.execute(update(ENTRIES).where(ENTRIES.c.id == touched).values(user_id=99))
        thread.start()
        time.sleep(0.2)  # ample, were nobody in the way
        assert thread.is_alive()
    thread.join(30)

    assert done == [len(ids) - 2]
    found = stored(funnel_database)
    assert found.keys() == set(ids) - {gone}
    assert (found[theirs]["certificate_purchased_at"], found[theirs]["published"]) == (NOW - MINUTE, 1)
    ours = set(ids) - {gone, theirs}
    assert {n: found[n]["certificate_purchased_at"] for n in ours} == {n: changes[n].purchased_at for n in ours}
    assert found[touched]["user_id"] == 99
    assert jobs(funnel_database, UPDATE).keys() == ours


def test_a_payment_that_cannot_be_kept_leaves_all_of_its_batch_as_it_was(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    ids = enter(funnels, lease, 3)
    before = stored(funnel_database), stored(funnel_database, OUTBOX)
    changes = [Change(number, LANGUAGE, purchased_at=NOW) for number in ids]
    wrong = Change(ids[1], LANGUAGE, purchased_at=NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="no time zone"):
        funnels.settle(lease, [*changes, wrong], NOW)
    assert (stored(funnel_database), stored(funnel_database, OUTBOX)) == before


# ------------------------------------------------------------------------ jobs


def outcome(number: int, job: int) -> Outcome:
    """What became of one: of the four kinds in turn, and as unlike as those of a kind can be."""
    if number % 4 == 0:
        return Outcome(job, PENDING, number % 3, f"busy {number}", NOW + number * TICK)
    if number % 4 == 1:
        return Outcome(job, FAILED, 5, "" if number % 8 == 1 else "it's 100 % \\ wrong :new_id", process_id=number)
    return Outcome(job, SUCCESS if number % 4 == 2 else IMPORTING, 0, process_id=7 if number % 4 == 3 else None)


def noted(row: Row, one: Outcome, now: datetime) -> Row:
    """What an outcome makes of a row."""
    found = {**row, "status": one.status.value, "retry_count": one.retries, "last_error": one.error}
    found |= {"process_id": one.process_id, "updated_at": now}
    return found if one.next_attempt_at is None else {**found, "next_attempt_at": one.next_attempt_at}


def check_noted(database: Database, funnels: FunnelLedger, lease: Lease, outcomes: list[Outcome]) -> None:
    """Of several for one job the last one counts, and nothing else happened."""
    before, now = stored(database, OUTBOX), NOW + MINUTE
    funnels.note(lease, outcomes, now)
    last = {one.job_id: one for one in outcomes}
    wanted = {number: noted(row, last[number], now) if number in last else row for number, row in before.items()}
    assert stored(database, OUTBOX) == wanted


@pytest.mark.usefixtures("few")
def test_each_job_has_its_own_outcome_and_its_neighbours_have_none(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    enter(funnels, lease, 2 * sum(BORDERS))
    ids = sorted(stored(funnel_database, OUTBOX))
    for many in BORDERS:
        some, ids = ids[: 2 * many : 2], ids[2 * many :]
        check_noted(funnel_database, funnels, lease, [outcome(n, job) for n, job in enumerate(some)][::-1])


def test_more_jobs_than_one_statement_changes_and_all_of_one_import(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    enter(funnels, lease, 2 * MANY + 7)
    ids = sorted(stored(funnel_database, OUTBOX))
    check_noted(funnel_database, funnels, lease, [Outcome(job, IMPORTING, 0, process_id=7) for job in ids[1:-1]])
    check_noted(funnel_database, funnels, lease, [outcome(n, job) for n, job in enumerate(ids[:-2])])


@pytest.mark.usefixtures("few")
def test_of_two_outcomes_of_a_job_the_last_one_given_counts(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    enter(funnels, lease, 3 * FEW)
    ids = sorted(stored(funnel_database, OUTBOX))
    once = [Outcome(job, FAILED, 1, f"first {job}") for job in ids[:-1]]
    check_noted(funnel_database, funnels, lease, [*once, *(Outcome(job, SUCCESS, job) for job in ids[1:-2])])


def test_a_job_that_is_gone_by_the_time_it_was_told_is_not_written_anew(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease
) -> None:
    """Whoever turned out to be a customer while told: the job is dropped, and the outcome comes."""
    a, b, c = enter(funnels, lease, 3)
    ids = {entry: job["id"] for entry, job in jobs(funnel_database, UPSERT).items()}
    assert funnels.settle(lease, [Change(b, LANGUAGE, customer_since=NOW - MINUTE)], NOW) == 1
    check_noted(funnel_database, funnels, lease, [Outcome(job, SUCCESS, job) for job in ids.values()])
    assert jobs(funnel_database, UPSERT).keys() == {a, c}


# ------------------------------------------------------------------ statements


@pytest.mark.parametrize("funnel_url", ["mariadb"], indirect=True)
def test_a_server_is_not_asked_once_a_row(
    funnels: FunnelLedger, funnel_database: Database, lease: Lease, mariadb: MariaDB
) -> None:
    """As the server counts: its driver takes lists of parameters apart."""

    def statements(call: Callable[[], object]) -> int:
        asked = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_insert', 'Com_update', 'Com_delete', 'Com_select')"
        with mariadb.connect() as con, con.cursor() as ask:
            ask.execute(asked)
            before = sum(int(value) for _, value in ask.fetchall())
            call()
            ask.execute(asked)
            return sum(int(value) for _, value in ask.fetchall()) - before

    ids = enter(funnels, lease, 500)
    assert statements(lambda: funnels.settle(lease, list(every_other(ids).values()), NOW)) < 30
    told = [job.id for job in funnels.jobs([PENDING], 500)]
    assert len(told) == 450
    assert statements(lambda: funnels.note(lease, [outcome(n, job) for n, job in enumerate(told)], NOW)) < 60


def test_values_that_do_not_fit_are_refused_for_all_of_a_statement(
    funnels: FunnelLedger, funnel_database: Database, funnel_url: str, lease: Lease
) -> None:
    enter(funnels, lease, 4)
    found: list[Job] = funnels.jobs([PENDING], 9)
    before = stored(funnel_database, OUTBOX)
    wrong = [Outcome(job.id, PENDING, 2**40 * (n % 2), "busy") for n, job in enumerate(found)]
    if funnel_url.startswith("sqlite"):  # whose numbers have no such limit
        check_noted(funnel_database, funnels, lease, wrong)
        return
    with pytest.raises(StateError, match="cannot be used"):
        funnels.note(lease, wrong, NOW)
    assert stored(funnel_database, OUTBOX) == before
