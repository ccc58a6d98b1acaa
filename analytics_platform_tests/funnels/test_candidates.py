"""Who enters a funnel: the rule against an oracle, its borders, and what the rule it replaces got wrong."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.funnels.attribution import Purchases
from analytics_platform.funnels.candidates import Chosen, Counted, choose
from analytics_platform.funnels.person import normal
from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import NewEntry, Payment, Taken
from analytics_platform_tests.funnels.people import DAY, LANGUAGE, NOW, OTHER, PLAN, paid, taken


@dataclass
class Ledger:
    """Who is in which funnel, and what was asked."""

    inside: Collection[tuple[FunnelType, str]] = ()
    asked: list[tuple[FunnelType, list[str]]] = field(default_factory=list)

    def known(self, funnel: FunnelType, emails: Collection[str]) -> set[str]:
        self.asked.append((funnel, list(emails)))
        return {email for email in emails if (funnel, email) in self.inside}


def chosen(
    tests: Sequence[Taken],
    inside: Collection[tuple[FunnelType, str]] = (),
    payments: Sequence[Payment] = (),
    plan: FunnelPlan = PLAN,
) -> Chosen:
    return choose(tests, plan, Ledger(inside).known, Purchases.of(payments), NOW)


def who(found: Chosen) -> list[tuple[str, str]]:
    return [(entry.funnel.value, entry.email) for entry in found.entries]


# ------------------------------------------------------------------------------------------------------- the oracle


def expected(
    tests: Sequence[Taken], inside: Collection[tuple[FunnelType, str]], payments: Sequence[Payment], plan: FunnelPlan
) -> dict[FunnelType, list[NewEntry]]:
    """By funnel: the newest test of each person who is not inside, the newest first, as many as the batch allows."""
    found: dict[FunnelType, list[NewEntry]] = {}
    for kind in plan.active:
        newest: dict[str, Taken] = {}
        for test in tests:
            email = normal(test.email)
            if test.funnel is kind and email and test.taken_at >= NOW - plan.window:
                newest.setdefault(email, test)
        people = [(email, test) for email, test in newest.items() if (kind, email) not in inside]
        before = {
            email: min((p.paid_at for p in payments if (normal(p.email), p.funnel) == (email, kind)), default=NOW)
            for email, _ in people
        }
        found[kind] = [
            NewEntry(
                email,
                kind,
                test.result_id,
                test.test_id,
                plan.lists[kind],
                before[email] if before[email] < NOW else None,
            )
            for email, test in people[: plan.batch or None]
        ]
    return found


_NAMES = st.sampled_from(["a@x.y", "A@x.y", " b@x.y", "c@x.Y", "d@x.y\u00a0", "nobody", "", "ü@x.y", "U\u0308@x.y"])
_KINDS = st.sampled_from(list(FunnelType))
_AGES = st.integers(0, 10)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(_NAMES, _AGES, _KINDS), max_size=25),
    st.sets(st.tuples(_KINDS, st.sampled_from(["a@x.y", "b@x.y", "ü@x.y"])), max_size=3),
    st.lists(st.tuples(_NAMES, st.integers(-2, 5), _KINDS), max_size=6),
    st.sampled_from([0, 1, 2, 100]),
    st.sampled_from([{LANGUAGE: 7, OTHER: 8}, {LANGUAGE: 7, OTHER: 0}, {OTHER: 3}, {}]),
)
def test_the_rule_is_what_the_oracle_says(
    tests: list[tuple[str, int, FunnelType]],
    inside: set[tuple[FunnelType, str]],
    payments: list[tuple[str, int, FunnelType]],
    batch: int,
    lists: dict[FunnelType, int],
) -> None:
    plan = FunnelPlan(lists, window=7 * DAY, batch=batch)
    newest_first = [taken(k, *test) for k, test in enumerate(sorted(tests, key=lambda test: test[1]))]
    paid_for = [paid(*payment) for payment in payments]
    found = chosen(newest_first, inside, paid_for, plan)
    right = expected(newest_first, inside, paid_for, plan)
    assert {kind: [e for e in found.entries if e.funnel is kind] for kind in plan.active} == right
    assert len(found.entries) == sum(map(len, right.values()))
    assert found.full == {kind for kind, entries in right.items() if batch and len(entries) == batch}
    assert found.looked_at == found.known + found.not_addresses + found.again + len(found.entries)


# ------------------------------------------------------------------------------------------------------ by hand


def test_the_ids_of_the_newest_test_are_kept() -> None:
    found = chosen([taken(12, "ada@x.org", 1, test_id=5), taken(11, "ada@x.org", 2, test_id=4)])
    assert found.entries == (NewEntry("ada@x.org", LANGUAGE, user_id=12, test_id=5, list_id=7),)
    assert found.again == 1


def test_a_person_with_two_recent_tests_enters_once() -> None:
    found = chosen([taken(2, "Ada@x.org", 1), taken(1, " ada@X.org", 2)])
    assert who(found) == [("language", "ada@x.org")]


def test_a_person_who_is_in_the_funnel_does_not_enter_it_for_another_test() -> None:
    found = chosen([taken(2, "ADA@x.org", 1, test_id=99)], inside={(LANGUAGE, "ada@x.org")})
    assert (found.entries, found.known) == ((), 1)


def test_a_person_enters_both_funnels() -> None:
    found = chosen([taken(2, "ada@x.org", 1), taken(1, "ada@x.org", 2, OTHER)], inside=())
    assert who(found) == [("language", "ada@x.org"), ("non_language", "ada@x.org")]
    assert [entry.list_id for entry in found.entries] == [7, 8]
    one = chosen([taken(2, "ada@x.org", 1), taken(1, "ada@x.org", 2, OTHER)], inside={(LANGUAGE, "ada@x.org")})
    assert who(one) == [("non_language", "ada@x.org")]


def test_tests_without_a_language_lead_into_the_other_funnel() -> None:
    assert who(chosen([taken(1, "ada@x.org", 1, OTHER)])) == [("non_language", "ada@x.org")]


def test_a_funnel_without_a_list_is_skipped() -> None:
    plan = FunnelPlan({LANGUAGE: 0, OTHER: 8})
    assert who(chosen([taken(2, "a@x.y", 1), taken(1, "b@x.y", 1, OTHER)], plan=plan)) == [("non_language", "b@x.y")]


def test_without_any_list_nothing_is_read() -> None:
    tests = iter([taken(1, "ada@x.org", 1)])
    found = choose(tests, FunnelPlan(), Ledger().known, Purchases.of([]), NOW)
    assert (found.entries, found.looked_at, found.full) == ((), 0, frozenset())
    assert next(tests)


def test_the_window_begins_with_its_first_moment() -> None:
    window, blink = PLAN.window, timedelta(microseconds=1)
    tests = [
        Taken(2, "in@x.y", 1, NOW - window, LANGUAGE),
        Taken(1, "out@x.y", 1, NOW - window - blink, LANGUAGE),
    ]
    assert who(chosen(tests)) == [("language", "in@x.y")]


def test_what_is_no_address_is_counted_and_left_out() -> None:
    found = chosen([taken(1, "nobody", 1), taken(2, "a b@x.y", 1), taken(3, "ada@x.org", 1)])
    assert (len(found.entries), found.not_addresses, found.looked_at) == (1, 2, 3)


def test_who_paid_before_enters_as_a_customer() -> None:
    payments = [paid("ADA@x.org", 3), paid("ada@x.org", 9), paid("eve@x.org", 3, OTHER)]
    ada, eve = chosen([taken(2, "ada@x.org", 1), taken(1, "eve@x.org", 1)], payments=payments).entries
    assert ada.customer_since == NOW - 9 * DAY
    assert eve.customer_since is None


def test_who_pays_at_the_moment_of_entry_is_no_customer_yet() -> None:
    (ada,) = chosen([taken(1, "ada@x.org", 1)], payments=[paid("ada@x.org", 0)]).entries
    assert ada.customer_since is None


def test_the_newest_fill_the_batch_and_the_rest_is_left_for_the_next_sync() -> None:
    tests = [taken(k, f"{k}@x.y", k / 100) for k in range(10)]
    plan = replace(PLAN, batch=3)
    found = chosen(tests, plan=plan)
    assert [entry.user_id for entry in found.entries] == [0, 1, 2]
    assert (set(found.full), found.looked_at) == ({LANGUAGE}, 3)
    inside = {(entry.funnel, entry.email) for entry in found.entries}
    assert [entry.user_id for entry in chosen(tests, inside, plan=plan).entries] == [3, 4, 5]


def test_a_full_funnel_does_not_keep_the_other_from_filling() -> None:
    tests = [*(taken(k, f"{k}@x.y", 1) for k in range(5)), taken(9, "last@x.y", 2, OTHER)]
    assert [e.email for e in chosen(tests, plan=replace(PLAN, batch=1)).entries] == ["0@x.y", "last@x.y"]


def test_reading_ends_with_the_chunk_in_which_all_batches_are_full() -> None:
    read = 0

    def stream() -> Iterator[Taken]:
        nonlocal read
        for k in range(30_000):
            read += 1
            yield taken(k, f"{k % 8_000}@x.y", k / 10_000, OTHER if k % 2 else LANGUAGE)

    ledger = Ledger({(LANGUAGE, f"{k}@x.y") for k in range(0, 5_000, 2)})
    found = choose(stream(), replace(PLAN, batch=2_000), ledger.known, Purchases.of([]), NOW)
    assert len(found.entries) == 3_500  # in 30,000 tests of 8,000 people all others of the language funnel were known
    assert (read, set(found.full)) == (30_000, {OTHER})
    read = 0
    found = choose(stream(), replace(PLAN, batch=500), Ledger().known, Purchases.of([]), NOW)
    assert (read, len(found.entries), set(found.full)) == (5_000, 1_000, {LANGUAGE, OTHER})


def test_the_ledger_is_asked_once_a_chunk_and_funnel_and_for_nobody_twice() -> None:
    ledger = Ledger()
    tests = [taken(k, f"{k % 3_000}@x.y", 1, OTHER if k % 2 else LANGUAGE) for k in range(11_000)]
    choose(tests, replace(PLAN, batch=0), ledger.known, Purchases.of([]), NOW)
    assert [(kind.value, len(emails)) for kind, emails in ledger.asked] == [
        ("language", 1_500),
        ("non_language", 1_500),
    ]
    assert all(len(emails) == len(set(emails)) for _, emails in ledger.asked)


def test_no_address_is_in_the_repr_of_what_was_chosen() -> None:
    assert "ada" not in repr(chosen([taken(1, "ada@x.org", 1)], payments=[paid("ada@x.org", 4)]))


def test_the_counts_are_by_funnel_too() -> None:
    tests = [taken(1, "nobody", 1), taken(2, "a@x.y", 1, OTHER), taken(3, "a@x.y", 2, OTHER)]
    found = chosen(tests)
    assert found.by_funnel == {LANGUAGE: Counted(1, not_addresses=1), OTHER: Counted(2, again=1)}
