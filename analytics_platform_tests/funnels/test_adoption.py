"""Whom the rows of the replaced script stand for, with what it got wrong, and what Brevo has yet to hear of them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from analytics_platform.funnels.adoption import Adopted, Bad, Doubt, Fault, FormerEntry, FormerJob, People, Words
from analytics_platform.funnels.person import hashed
from analytics_platform_tests.funnels.people import DAY, LANGUAGE, NOW, OTHER, PLAN

SECOND = timedelta(seconds=1)


def row(
    number: int,
    email: str | None = "ada@x.org",
    entered: datetime | None = NOW - 9 * DAY,
    paid: datetime | None = None,
    *,
    funnel: str | None = "language",
    flag: bool = False,
) -> FormerEntry:
    return FormerEntry(number, email, funnel, None, None, entered, flag or paid is not None, paid)


def said(*jobs: tuple[int, str, str]) -> Words:
    words = Words()
    for entry_id, operation, status in jobs:
        words.add(FormerJob(entry_id, operation, status))
    return words


def taken(rows: Iterable[FormerEntry], words: Words | None = None, part: int = 0, parts: int = 1) -> People:
    people, words = People(PLAN, NOW, part, parts), words or Words()
    for one in rows:
        people.take(one, words)
    return people


def one(rows: Iterable[FormerEntry], words: Words | None = None) -> Adopted:
    [found] = taken(rows, words).adopted()
    return found


def test_several_rows_of_a_person_are_one_entry_at_the_earliest_time() -> None:
    spelt = ("Ada@X.org", " ada@x.org ", "ada@x.org")
    found = one(row(n, email, NOW - days * DAY) for n, email, days in zip(count(1), spelt, (2, 9, 5), strict=False))
    assert (found.email, found.funnel, found.rows) == ("ada@x.org", LANGUAGE, 3)
    assert found.entered_at == NOW - 9 * DAY
    assert (found.user_id, found.test_id, found.list_id) == (None, None, 7)
    both = list(taken([row(1), row(2, funnel="non_language")]).adopted())
    assert [(entry.funnel, entry.list_id) for entry in both] == [(LANGUAGE, 7), (OTHER, 8)]


@pytest.mark.parametrize(
    ("paid", "purchased", "customer", "doubt"),
    [
        (NOW - 9 * DAY, True, False, None),
        (NOW - 9 * DAY - SECOND, False, True, None),
        (NOW - 9 * DAY + PLAN.attribution - SECOND, True, False, None),
        (NOW - 9 * DAY + PLAN.attribution, False, False, Doubt.LATE),
        (None, False, False, Doubt.UNTIMED),
    ],
)
def test_a_purchase_counts_by_our_rule(
    paid: datetime | None, purchased: bool, customer: bool, doubt: Doubt | None
) -> None:
    found = one(
        [row(1, paid=paid, flag=True)], said((1, "upsert_contact", "failed"), (1, "update_after_purchase", "x"))
    )
    assert found.purchased_at == (paid if purchased else None)
    assert found.customer_since == (paid if customer else None)
    assert found.doubt == doubt
    assert found.to_update == purchased
    assert found.to_add != customer, "nothing is told of a customer"


def test_of_several_payments_the_first_after_the_entry_counts() -> None:
    rows = [row(1, paid=NOW - 10 * DAY), row(2, entered=NOW - 8 * DAY, paid=NOW - 3 * DAY), row(3, paid=NOW - 2 * DAY)]
    found = one(rows)
    assert (found.entered_at, found.purchased_at, found.customer_since) == (NOW - 9 * DAY, NOW - 3 * DAY, None)


@pytest.mark.parametrize(
    ("statuses", "owed"),
    [
        ([], False),
        (["success"], False),
        (["SUCCESS "], False),
        (["pending"], True),
        (["failed"], True),
        (["lost"], True),
        (["pending", "success"], False),
    ],
)
def test_what_did_not_arrive_is_still_to_be_told(statuses: list[str], owed: bool) -> None:
    rows = [row(1, paid=NOW - 3 * DAY), row(70_000, "ADA@x.org")]
    numbers = [1, 70_000]
    for operation in ("upsert_contact", "update_after_purchase"):
        words = said(*((number, operation, status) for number, status in zip(numbers, statuses, strict=False)))
        found = one(rows, words)
        assert found.to_add == (owed and operation == "upsert_contact")
        assert found.to_update == (owed and operation == "update_after_purchase")


def test_a_row_that_nobody_can_be_adopted_by_is_named_and_not_by_its_address() -> None:
    people = taken(
        [
            row(1, None),
            row(2, " nobody at x "),
            row(3, funnel="german"),
            row(4, "bob@x.org", None),
            row(5, "Bob@x.org", NOW + 2 * DAY),
            row(6, "eve@x.org", None),
            row(7, "eve@x.org"),
            row(8, "eve@x.org", datetime.fromtimestamp(0, UTC)),
            row(9, "pat@x.org", datetime.fromtimestamp(0, UTC)),
        ]
    )
    assert one([row(7), row(8, entered=datetime.fromtimestamp(0, UTC))]).entered_at == NOW - 9 * DAY
    assert [(found.email, found.rows) for found in people.adopted()] == [("eve@x.org", 3)]
    assert people.bad == {Fault.ADDRESS: 2, Fault.FUNNEL: 1, Fault.TIME: 3}
    assert people.named == [
        Bad(1, Fault.ADDRESS, ""),
        Bad(2, Fault.ADDRESS, hashed("nobody at x")),
        Bad(3, Fault.FUNNEL, hashed("ada@x.org")),
        Bad(4, Fault.TIME, hashed("bob@x.org")),
        Bad(9, Fault.TIME, hashed("pat@x.org")),
    ]


def test_outbox_rows_without_an_entry_are_found() -> None:
    words = said((1, "upsert_contact", "failed"), (2, "upsert_contact", "success"), (900_000, "upsert_contact", "x"))
    words.add(FormerJob(None, "upsert_contact", "pending"))
    words.add(FormerJob(1, "delete_contact", "pending"))
    taken([row(1)], words)
    assert list(words.orphans()) == [2, 900_000]
    assert (words.nowhere, words.unknown) == (1, 1)


def test_parts_have_each_person_once_with_all_rows() -> None:
    rows = [row(n, f"p{n % 40}{'@X.org' if n % 3 else '@x.org '}", NOW - n * SECOND) for n in range(1, 121)]
    rows += [row(200, "nobody"), row(201, "p1@x.org", funnel="?"), row(202, "late@x.org", None)]
    whole, parts = taken(rows), [taken(rows, part=k, parts=5) for k in range(5)]
    found = [adopted for people in parts for adopted in people.adopted()]
    assert len([people for people in parts if len(people)]) > 1
    assert sorted(found, key=lambda a: a.email) == sorted(whole.adopted(), key=lambda a: a.email)
    assert sum((people.bad for people in parts), whole.bad - whole.bad) == whole.bad
