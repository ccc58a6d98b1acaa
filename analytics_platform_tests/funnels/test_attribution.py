"""What counts as a purchase: the rule against an oracle, its borders, and what the rule it replaces got wrong."""

import tracemalloc
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.funnels.attribution import Purchases, changes
from analytics_platform.funnels.person import normal
from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import Change, Entry, Payment
from analytics_platform_tests.funnels.people import DAY, LANGUAGE, NOW, OTHER, PLAN, entry, paid

BLINK = timedelta(microseconds=1)


def changed(entries: Sequence[Entry], payments: Sequence[Payment], plan: FunnelPlan = PLAN) -> list[Change]:
    return list(changes(entries, Purchases.of(payments), plan))


def expected(entries: Sequence[Entry], payments: Sequence[Payment], plan: FunnelPlan) -> list[Change]:
    """Every open entry against every payment."""
    found = []
    for one in entries:
        theirs = [p.paid_at for p in payments if normal(p.email) == one.email and p.funnel is one.funnel]
        inside = [at for at in theirs if one.entered_at <= at < one.entered_at + plan.attribution]
        before = [at for at in theirs if at < one.entered_at]
        if inside:
            found.append(Change(one.id, one.funnel, purchased_at=min(inside)))
        elif before:
            found.append(Change(one.id, one.funnel, customer_since=min(before)))
    return found


_NAMES, _KINDS, _AGES = st.sampled_from(["a@x.y", "A@x.Y ", "b@x.y", "c", ""]), st.sampled_from(list(FunnelType)), 12


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a@x.y", "b@x.y"]), st.integers(0, _AGES), _KINDS), max_size=8),
    st.lists(st.tuples(_NAMES, st.integers(0, _AGES), _KINDS), max_size=12),
)
def test_the_rule_is_what_the_oracle_says(
    entries: list[tuple[str, int, FunnelType]], payments: list[tuple[str, int, FunnelType]]
) -> None:
    plan = FunnelPlan(PLAN.lists, attribution=4 * DAY)
    ours = [entry(k, *one) for k, one in enumerate(entries)]
    paid_for = [paid(*one) for one in payments]
    assert changed(ours, paid_for, plan) == expected(ours, paid_for, plan)


def test_a_payment_before_entry_is_no_conversion_but_makes_a_customer() -> None:
    assert changed([entry(1, "ada@x.org", 5)], [paid("ada@x.org", 6)]) == [
        Change(1, LANGUAGE, customer_since=NOW - 6 * DAY)
    ]


def test_a_purchase_after_entry_counts_though_there_was_one_before() -> None:
    payments = [paid("ada@x.org", 6), paid("ada@x.org", 2), paid("ada@x.org", 4)]
    assert changed([entry(1, "ada@x.org", 5)], payments) == [Change(1, LANGUAGE, purchased_at=NOW - 4 * DAY)]


def test_a_purchase_at_the_moment_of_entry_counts() -> None:
    assert changed([entry(1, "ada@x.org", 5)], [paid("ada@x.org", 5)]) == [
        Change(1, LANGUAGE, purchased_at=NOW - 5 * DAY)
    ]


def test_the_attribution_window_ends_before_its_last_moment() -> None:
    end = NOW - 40 * DAY + PLAN.attribution
    one = entry(1, "ada@x.org", 40)
    assert changed([one], [Payment("ada@x.org", LANGUAGE, end)]) == []
    assert changed([one], [Payment("ada@x.org", LANGUAGE, end - BLINK)]) == [
        Change(1, LANGUAGE, purchased_at=end - BLINK)
    ]


def test_a_person_in_both_funnels_buys_in_each_by_itself() -> None:
    entries = [entry(1, "ada@x.org", 5), entry(2, "ada@x.org", 5, OTHER)]
    assert changed(entries, [paid("ada@x.org", 3, OTHER)]) == [Change(2, OTHER, purchased_at=NOW - 3 * DAY)]


def test_capital_letters_and_blanks_in_the_payments_address_do_not_matter() -> None:
    assert len(changed([entry(1, "ada@x.org", 5)], [paid(" ADA@X.org\u00a0", 3)])) == 1


def test_all_open_entries_are_looked_at_however_many_never_buy() -> None:
    entries = [entry(k, f"{k}@x.y", 20 - k / 1_000) for k in range(1_000)]
    assert changed(entries, [paid("999@x.y", 1)]) == [Change(999, LANGUAGE, purchased_at=NOW - DAY)]


def test_entries_that_are_settled_stay_so() -> None:
    bought = Entry(1, "ada@x.org", LANGUAGE, 1, 1, NOW - 5 * DAY, purchased_at=NOW - 2 * DAY)
    customer = Entry(2, "eve@x.org", LANGUAGE, 1, 1, NOW - 5 * DAY, customer_since=NOW - 9 * DAY)
    assert changed([bought, customer], [paid("ada@x.org", 3), paid("eve@x.org", 3)]) == []


def test_moments_are_compared_across_time_zones() -> None:
    local = (NOW - 3 * DAY).astimezone(timezone(timedelta(hours=9)))
    [change] = changed([entry(1, "ada@x.org", 5)], [Payment("ada@x.org", LANGUAGE, local)])
    assert change.purchased_at == local


def test_moments_keep_their_microseconds() -> None:
    at = datetime.fromisoformat("2026-11-19T00:00:00.123457+00:00")
    assert changed([entry(1, "a@x.y", 5)], [Payment("a@x.y", LANGUAGE, at)])[0].purchased_at == at


def test_payments_of_nobody_are_counted_apart() -> None:
    found = Purchases.of([paid("a@x.y", 1), paid("a@x.y", 1), paid("?", 1)])
    assert (len(found), found.not_addresses) == (2, 1)


def test_fifty_thousand_payments_take_less_than_twenty_mebibytes() -> None:
    def payments(count: int) -> list[Payment]:
        return [paid(f"somebody.{k}@mail.example.org", k / 1_000, OTHER if k % 3 else LANGUAGE) for k in range(count)]

    tracemalloc.start()
    try:
        # A tenth of them: what is traced is slow, and memory grows in proportion.
        told = payments(5_000)
        before, _ = tracemalloc.get_traced_memory()
        found = Purchases.of(told)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 5_000
    assert after - before < 2 * 2**20
