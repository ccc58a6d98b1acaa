"""Who is in a funnel, who bought, what is still to be told: on each kind of database."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Change, Job, JobStatus, NewEntry, Operation, Outcome
from analytics_platform.state import funnel_jobs
from analytics_platform.state import funnels as ledgers
from analytics_platform.state.database import Database, StateError
from analytics_platform.state.funnels import FunnelLedger, Standing
from analytics_platform.state.leases import Lease
from analytics_platform.state.owners import Owner

NOW = datetime(2026, 11, 21, 11, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LANGUAGE, OTHER = FunnelType.LANGUAGE, FunnelType.NON_LANGUAGE
PENDING, IMPORTING, SUCCESS = JobStatus.PENDING, JobStatus.IMPORTING, JobStatus.SUCCESS
FAILED, DROPPED = JobStatus.FAILED, JobStatus.DROPPED


def new(name: str, funnel: FunnelType = LANGUAGE, *, test: int = 5, customer: datetime | None = None) -> NewEntry:
    """Somebody to enter."""
    return NewEntry(f"{name}@example.com" if "@" not in name else name, funnel, 7, test, 11, customer)


@pytest.fixture
def lease(funnels: FunnelLedger) -> Lease:
    """Ours."""
    return funnels.take(Owner("me", "here", 1), NOW, timedelta(hours=1), lambda _: False)


def numbers(funnels: FunnelLedger) -> dict[str, int]:
    """Ids of everybody's entries."""
    return {entry.email: entry.id for entry in funnels.rows(None, None)}


# -------------------------------------------------------------------- entering


def by_id(funnels: FunnelLedger, ids: Collection[int]) -> list[Job]:
    """These jobs, by id."""
    return [job for job in funnels.jobs(list(JobStatus), 1_000) if job.id in ids]


def test_who_enters_is_told_to_the_mailing_service(funnels: FunnelLedger, lease: Lease) -> None:
    assert funnels.enter(lease, [new("a"), new("b", OTHER, test=6)], NOW) == 2

    first, second = funnels.rows(None, None)
    assert (first.email, first.funnel, first.user_id, first.test_id) == ("a@example.com", LANGUAGE, 7, 5)
    assert (first.entered_at, first.purchased_at, first.customer_since) == (NOW, None, None)
    assert (second.email, second.funnel, second.test_id) == ("b@example.com", OTHER, 6)
    job, other = funnels.due(NOW, 10)
    assert (job.entry_id, job.operation, job.email) == (first.id, Operation.UPSERT_CONTACT, "a@example.com")
    assert (job.status, job.retries, job.last_error, job.process_id) == (PENDING, 0, "", None)
    assert job.created_at == job.updated_at == job.next_attempt_at == NOW
    attributes = {"FUNNEL_TYPE": "language"}
    assert job.payload == {
        "funnel_type": "language",
        "user_id": 7,
        "test_id": 5,
        "list_ids": [11],
        "attributes": attributes,
    }
    assert other.payload["attributes"] == {"FUNNEL_TYPE": "non_language"}


def test_a_customer_enters_and_is_not_written_to(funnels: FunnelLedger, lease: Lease) -> None:
    before = NOW - timedelta(days=9)
    assert funnels.enter(lease, [new("a", customer=before.astimezone(ZoneInfo("Asia/Tokyo")))], NOW) == 1
    [entry] = funnels.rows(None, None)
    assert (entry.customer_since, entry.purchased_at) == (before, None)
    assert funnels.counts() == dict.fromkeys(JobStatus, 0)
    assert funnels.open_entries(0, 10) == []
    assert funnels.known(LANGUAGE, ["a@example.com"]) == {"a@example.com"}


def test_whoever_is_in_a_funnel_never_enters_it_again(funnels: FunnelLedger, lease: Lease) -> None:
    funnels.enter(lease, [new("a"), new("a", test=6)], NOW)
    funnels.enter(lease, [new("b", customer=NOW)], NOW)

    again = [new("a", test=99), new("b"), new("a", OTHER), new("c"), new("c", test=8)]
    assert funnels.enter(lease, again, NOW + MINUTE) == 2
    assert funnels.enter(lease, again, NOW + MINUTE) == 0
    assert funnels.enter(lease, [], NOW) == 0

    there = [(entry.email[0], entry.funnel, entry.entered_at) for entry in funnels.rows(None, None)]
    later = NOW + MINUTE
    assert sorted(there) == [("a", LANGUAGE, NOW), ("a", OTHER, later), ("b", LANGUAGE, NOW), ("c", LANGUAGE, later)]
    assert len(funnels.due(later, 10)) == 3


def test_an_entry_of_another_program_is_nobodys_to_write_to(
    funnels: FunnelLedger, lease: Lease, funnel_database: Database
) -> None:
    put(funnel_database, "a@example.com", None)
    assert funnels.enter(lease, [new("a"), new("b")], NOW) == 1
    assert [job.email for job in funnels.due(NOW, 10)] == ["b@example.com"]


def test_a_moment_without_a_zone_is_refused_and_nobody_enters(funnels: FunnelLedger, lease: Lease) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        funnels.enter(lease, [new("a"), new("b", customer=NOW.replace(tzinfo=None))], NOW)
    with pytest.raises(ValueError, match="no time zone"):
        funnels.enter(lease, [new("a")], NOW.replace(tzinfo=None))
    assert list(funnels.rows(None, None)) == []


def put(database: Database, email: str, test_id: int | None) -> None:
    """An entry as any program may write it."""
    with database.write() as con:
        con.execute(
            text(
                "INSERT INTO funnel_entries (email, funnel_type, test_id, entered_at, certificate_purchased, "
                "already_customer, published) VALUES (:email, 'language', :test, '2026-11-21 11:00:00', 0, 0, 0)"
            ),
            {"email": email, "test": test_id},
        )


@pytest.mark.parametrize("test_id", [None, 5])
def test_the_database_keeps_an_entry_unique_even_without_a_test_and_never_tells_whose(
    funnel_database: Database, funnels: FunnelLedger, test_id: int | None
) -> None:
    put(funnel_database, "secret.person@example.com", test_id)
    with pytest.raises(StateError, match=r"(?i)unique|duplicate") as caught:
        put(funnel_database, "secret.person@example.com", test_id)
    assert "secret" not in f"{caught.value} {caught.value.__cause__} {funnels!r} {funnel_database!r}"
    assert caught.value.__suppress_context__
    put(funnel_database, "secret.person@example.com", 6)
    assert len(list(funnels.rows(None, None))) == 2


def test_addresses_that_differ_in_one_byte_are_different_people(funnels: FunnelLedger, lease: Lease) -> None:
    several = [
        "é@x.org",
        "e@x.org",
        "e\u0301@x.org",
        "ss@x.org",
        "ß@x.org",
        "E@x.org",
        "e@x.org ",
        "i@x.org",
        "ı@x.org",
    ]
    several += ["ё@почта.рф", "е@почта.рф", "😀@x.org"]
    assert funnels.enter(lease, [new(email) for email in several], NOW) == len(several)
    assert funnels.known(LANGUAGE, several) == set(several)
    assert funnels.known(LANGUAGE, ["E@X.org", "ss@x.org", " e@x.org"]) == {"ss@x.org"}
    assert [entry.email for entry in funnels.rows(None, None)] == several
    assert [job.email for job in funnels.due(NOW, 99)] == several


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 10, 25, 2, 30, 0, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2026, 10, 25, 2, 30, 0, 1, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        datetime(2026, 3, 1, 0, 0, 0, 999_999, tzinfo=ZoneInfo("Asia/Kolkata")),
    ],
)
def test_moments_come_back_exactly_and_in_utc(funnels: FunnelLedger, lease: Lease, moment: datetime) -> None:
    exactly, smallest = moment.astimezone(UTC), timedelta(microseconds=1)
    funnels.enter(lease, [new("a")], moment)
    [entry] = funnels.rows(moment, exactly + smallest)
    assert (entry.entered_at, entry.entered_at.tzinfo) == (exactly, UTC)
    assert list(funnels.rows(exactly - MINUTE, moment)) == []
    assert [job.next_attempt_at for job in funnels.due(moment, 9)] == [exactly]
    assert funnels.due(exactly - smallest, 9) == []


# ------------------------------------------------------------------- purchases


def test_a_purchase_is_told_and_a_customer_is_not(funnels: FunnelLedger, lease: Lease) -> None:
    funnels.enter(lease, [new("a"), new("b"), new("c")], NOW)
    ids = numbers(funnels)
    paid, since = NOW + timedelta(microseconds=7), NOW - MINUTE
    changes = [
        Change(ids["a@example.com"], LANGUAGE, purchased_at=paid.astimezone(ZoneInfo("Asia/Tokyo"))),
        Change(ids["b@example.com"], LANGUAGE, customer_since=since),
        Change(10**6, LANGUAGE, purchased_at=paid),
    ]

    assert funnels.settle(lease, changes, NOW + MINUTE) == 2
    assert funnels.settle(lease, changes, NOW + MINUTE) == 0
    assert funnels.settle(lease, [], NOW) == 0

    a, b, c = funnels.rows(None, None)
    assert (a.purchased_at, a.customer_since) == (paid, None)
    assert (b.purchased_at, b.customer_since) == (None, since)
    assert funnels.open_entries(0, 9) == [c]
    upserts = [job.entry_id for job in funnels.jobs([PENDING], 99) if job.operation is Operation.UPSERT_CONTACT]
    assert upserts == [a.id, c.id]
    [told] = [job for job in funnels.jobs([PENDING], 99) if job.operation is Operation.UPDATE_AFTER_PURCHASE]
    assert (told.entry_id, told.email, told.created_at) == (a.id, "a@example.com", NOW + MINUTE)
    assert told.payload["attributes"] == {
        "FUNNEL_TYPE": "language",
        "CERTIFICATE_PURCHASED": 1,
        "CERTIFICATE_PURCHASED_AT": "2026-11-21T11:00:00.123463+00:00",
    }


def test_open_entries_come_in_pages(funnels: FunnelLedger, lease: Lease) -> None:
    funnels.enter(lease, [new(f"p{n}") for n in range(5)], NOW)
    first = funnels.open_entries(0, 3)
    funnels.settle(lease, [Change(first[0].id, LANGUAGE, purchased_at=NOW)], NOW)
    rest = funnels.open_entries(first[-1].id, 3)
    assert [entry.email[:2] for entry in (*first, *rest)] == ["p0", "p1", "p2", "p3", "p4"]


def test_more_people_than_fit_into_one_question(
    funnels: FunnelLedger, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funnel_jobs, "AT_ONCE", 2)
    monkeypatch.setattr(ledgers, "_PAGE", 3)
    names = [f"p{n}@example.com" for n in range(6)]
    assert funnels.enter(lease, [new(name) for name in names[:5]], NOW) == 5
    assert funnels.known(LANGUAGE, names) == set(names[:5])
    found = list(funnels.rows(None, None))
    assert [entry.email for entry in found] == names[:5]
    changes = [Change(entry.id, LANGUAGE, purchased_at=NOW) for entry in found]
    assert funnels.settle(lease, changes, NOW) == 5
    jobs = funnels.jobs([PENDING], 99)
    assert [job.email for job in jobs] == names[:5] * 2
    assert by_id(funnels, [job.id for job in reversed(jobs)]) == jobs
    funnels.note(lease, [Outcome(job.id, FAILED, 5, "no") for job in jobs], NOW)
    assert funnels.retry([job.id for job in jobs[:5]], NOW) == 5


def test_rows_are_those_of_a_half_open_span(funnels: FunnelLedger, lease: Lease) -> None:
    for number in range(3):
        funnels.enter(lease, [new(f"p{number}")], NOW + number * MINUTE)

    def names(start: datetime | None, end: datetime | None) -> list[str]:
        return [entry.email[:2] for entry in funnels.rows(start, end)]

    assert names(NOW + MINUTE, NOW + 2 * MINUTE) == ["p1"]
    assert names(None, NOW + MINUTE) == ["p0"]
    assert names(NOW + MINUTE, None) == ["p1", "p2"]
    assert names(NOW + 3 * MINUTE, None) == []
    with pytest.raises(ValueError, match="no time zone"):
        names(NOW.replace(tzinfo=None), None)


# ------------------------------------------------------------------------ jobs


def test_an_update_waits_until_its_contact_is_there(funnels: FunnelLedger, lease: Lease) -> None:
    funnels.enter(lease, [new("a"), new("b")], NOW)
    funnels.settle(lease, [Change(n, LANGUAGE, purchased_at=NOW) for n in numbers(funnels).values()], NOW)
    first, second = funnels.due(NOW, 10)
    assert {first.operation, second.operation} == {Operation.UPSERT_CONTACT}

    for status in (IMPORTING, PENDING):
        funnels.note(lease, [Outcome(first.id, status, 0, next_attempt_at=NOW + MINUTE)], NOW)
        assert funnels.due(NOW, 10) == [second]
    funnels.note(lease, [Outcome(first.id, SUCCESS, 0)], NOW)

    waiting, update = funnels.due(NOW, 10)
    assert waiting == second
    assert (update.operation, update.email) == (Operation.UPDATE_AFTER_PURCHASE, "a@example.com")
    assert funnels.due(NOW, 10, after_id=second.id) == [update]
    assert funnels.due(NOW, 1) == [second]


def test_what_became_of_a_job(funnels: FunnelLedger, lease: Lease) -> None:
    funnels.enter(lease, [new(name) for name in "abcd"], NOW)
    a, b, c, d = funnels.due(NOW, 10)
    later = NOW + timedelta(minutes=5, microseconds=3)
    wrong = "Invalid é \0 \udce4 for Some.One@example.com" + " x" * 3000
    outcomes = [
        Outcome(d.id, FAILED, 5, wrong),
        Outcome(a.id, PENDING, 1, "busy", later.astimezone(ZoneInfo("Asia/Tokyo"))),
        Outcome(b.id, IMPORTING, 0, process_id=77),
        Outcome(c.id, SUCCESS, 2),
    ]
    funnels.note(lease, outcomes, NOW + MINUTE)
    funnels.note(lease, [], NOW)

    a, b, c, d = by_id(funnels, [a.id, b.id, c.id, d.id])
    assert (a.status, a.retries, a.last_error, a.next_attempt_at) == (PENDING, 1, "busy", later)
    assert (b.status, b.process_id, b.next_attempt_at) == (IMPORTING, 77, NOW)
    assert (c.status, c.retries, c.created_at, c.updated_at) == (SUCCESS, 2, NOW, NOW + MINUTE)
    assert d.last_error.startswith("Invalid é   ? for <address ")
    assert len(d.last_error) == 2000
    assert "one@example" not in d.last_error.lower()
    assert (funnels.oldest_importing(), funnels.imports(), funnels.of_import(77)) == (b, {77: NOW + MINUTE}, [b])
    assert funnels.jobs([FAILED, IMPORTING], 9) == [b, d]
    assert funnels.jobs([FAILED, IMPORTING], 1) == [b]
    assert funnels.counts() == {PENDING: 1, IMPORTING: 1, SUCCESS: 1, FAILED: 1, DROPPED: 0}
    assert "example.com" not in f"{a!r} {list(funnels.rows(None, None))!r} {new('x')!r}"
    assert funnels.due(later - timedelta(microseconds=1), 9) == []
    assert funnels.due(later, 9) == [a]


# ------------------------------------------------------- publishing, standing


def test_what_changed_is_to_be_published_again(funnels: FunnelLedger, lease: Lease) -> None:
    for number in range(3):
        funnels.enter(lease, [new(f"p{number}")], NOW + number * MINUTE)
    first, second, _ = numbers(funnels).values()
    assert funnels.unpublished(2) == [NOW, NOW + MINUTE]

    funnels.published(lease, NOW + MINUTE, [first, second])
    assert funnels.unpublished(9) == [NOW + 2 * MINUTE]
    assert funnels.standing().published_until == NOW + MINUTE

    funnels.settle(lease, [Change(second, LANGUAGE, customer_since=NOW)], NOW)
    assert funnels.unpublished(9) == [NOW + MINUTE, NOW + 2 * MINUTE]
    funnels.published(lease, None, [second])
    assert funnels.unpublished(9) == [NOW + 2 * MINUTE]
    assert funnels.standing().published_until == NOW + MINUTE


def test_another_warehouse_is_known_by_what_it_says_of_itself(funnels: FunnelLedger, lease: Lease) -> None:
    assert funnels.standing().published_stamp == ""
    funnels.enter(lease, [new("a"), new("b")], NOW)
    funnels.published(lease, None, numbers(funnels).values(), "duckdb here")
    assert (funnels.unpublished(9), funnels.standing()) == ([], Standing(published_stamp="duckdb here"))
    funnels.published(lease, NOW, ())
    assert funnels.standing().published_stamp == "duckdb here"
    funnels.published(lease, None, (), "clickhouse there " * 50)
    assert funnels.standing().published_stamp == "clickhouse there " * 50

    assert funnels.standing().published_until == NOW
    for _ in range(2):
        funnels.unpublish_all(lease)
        assert funnels.unpublished(9) == [NOW, NOW]
        assert funnels.standing().published_until is None, "it has nothing up to any moment"


def test_how_things_stand(funnels: FunnelLedger, lease: Lease) -> None:
    assert funnels.standing() == Standing()
    funnels.started(lease, NOW)
    funnels.circuit(lease, NOW + MINUTE)
    funnels.finished(lease, NOW + 2 * MINUTE)
    assert funnels.standing() == Standing(NOW, NOW + 2 * MINUTE, None, "real", NOW + MINUTE)
    funnels.circuit(lease, None)
    funnels.started(lease, NOW + 3 * MINUTE)
    assert funnels.standing() == Standing(NOW + 3 * MINUTE, NOW + 2 * MINUTE, None, "real", None)


def test_an_address_that_does_not_fit_is_refused_without_being_told(
    funnel_database: Database, funnel_url: str, lease: Lease, funnels: FunnelLedger
) -> None:
    longest = "p" * 600 + "@example.com"
    if funnel_url.startswith("sqlite"):  # which knows no lengths
        assert funnels.enter(lease, [new(longest)], NOW) == 1
        return
    for call in (lambda: funnels.enter(lease, [new("a"), new(longest)], NOW), lambda: put(funnel_database, longest, 1)):
        with pytest.raises(StateError, match=r"(?i)too long") as caught:
            call()
        assert "example.com" not in str(caught.value)
    assert list(funnels.rows(None, None)) == []
