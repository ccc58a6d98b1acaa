"""Who enters and who bought, from a real site's tables into the ledger, and what a look at it comes to."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from analytics_platform.funnel_outbox import End
from analytics_platform.funnel_sync import Entries, Settled
from analytics_platform.funnels.person import hashed
from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import Change, Entry, JobStatus, NewEntry, Operation, Payment, Taken
from analytics_platform.state.database import Database
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.held import Held, held
from analytics_platform.state.leases import Lease, LeaseLostError
from analytics_platform.state.owners import Owner
from analytics_platform_tests import funnel_world
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.funnel_world import (
    DAY,
    HOUR,
    LANGUAGE,
    ME,
    MINUTE,
    NOW,
    OTHER,
    PLAN,
    SiteRows,
    World,
    people,
)
from analytics_platform_tests.mysql_service import MariaDB

LATER = Owner("later", "there", 2)
SUCCESS = JobStatus.SUCCESS

# The fixtures of these tests.
server, brevo = funnel_world.server, funnel_world.brevo
tables, site, world = funnel_world.tables, funnel_world.site, funnel_world.world


# ------------------------------------------------------------------------------------------------- entering


def test_who_took_a_test_is_in_the_list_of_its_funnel(world: World, site: SiteRows, brevo: BrevoServer) -> None:
    site.took("ann@people.example", test=1)
    site.took("bob@people.example", test=4)
    entered, purchased, worked = world.run()
    assert entered.at == NOW
    assert entered.by_funnel == {LANGUAGE: Entries(1, looked_at=1), OTHER: Entries(1, looked_at=1)}
    assert entered.skipped == ()
    assert purchased.by_funnel == {LANGUAGE: Settled(open=1), OTHER: Settled(open=1)}
    assert (worked.end, worked.sent, worked.left, worked.failed) == (End.DONE, 2, 0, 0)
    assert (brevo.on(7), brevo.on(8)) == (["ann@people.example"], ["bob@people.example"])
    assert brevo.contacts["ann@people.example"].attributes == {"FUNNEL_TYPE": "language"}
    ann, bob = sorted(world.entries(), key=lambda entry: entry.email)
    assert (ann.funnel, ann.test_id, ann.entered_at, ann.purchased_at) == (LANGUAGE, 1, NOW, None)
    assert (bob.funnel, bob.test_id, bob.user_id) != (LANGUAGE, 1, ann.user_id)


def test_a_second_sync_changes_nothing_and_sends_nothing(world: World, site: SiteRows, brevo: BrevoServer) -> None:
    site.took(*people(5))
    site.took(*people(2), test=4)
    site.paid(people(1)[0], -MINUTE)
    world.run()
    world.clock.moment += 15 * MINUTE
    world.run()
    before, asked = (world.entries(), world.jobs()), len(brevo.requests)
    assert {job.status for job in before[1]} == {SUCCESS}
    assert len(before[1]) == 8
    world.clock.moment += 15 * MINUTE
    entered, purchased, worked = world.run()
    assert (world.entries(), world.jobs()) == before
    assert len(brevo.requests) == asked
    assert entered.by_funnel == {
        LANGUAGE: Entries(looked_at=5, known=5),
        OTHER: Entries(looked_at=2, known=2),
    }
    assert purchased.by_funnel == {LANGUAGE: Settled(open=4), OTHER: Settled(open=2)}
    assert (worked.end, worked.sent, worked.left) == (End.DONE, 0, 0)


def test_a_batch_is_no_bigger_than_the_plan_says_and_the_next_sync_goes_on(world: World, site: SiteRows) -> None:
    for age, email in enumerate(people(5), start=1):
        site.took(email, ago=age * HOUR)
    world.plan = replace(PLAN, batch=2)
    for known, expected in enumerate([people(2), people(2, start=2), people(1, start=4)]):
        entered, _, _ = world.run()
        found = entered.by_funnel[LANGUAGE]
        assert (found.entered, found.full, found.known) == (len(expected), len(expected) == 2, 2 * known)
        assert [entry.email for entry in world.entries()][-len(expected) :] == expected
    assert world.run()[0].by_funnel[LANGUAGE] == Entries(looked_at=5, known=5)


def test_somebody_with_two_tests_enters_once(world: World, site: SiteRows, brevo: BrevoServer) -> None:
    site.took("Ann@People.example ", ago=3 * HOUR, test=1)
    site.took(" ann@people.example", ago=2 * HOUR, test=2)
    site.took("ANN@PEOPLE.EXAMPLE", ago=2 * HOUR, test=4)
    entered, _, _ = world.run()
    assert entered.by_funnel[LANGUAGE] == Entries(1, looked_at=2, again=1)
    assert sorted((entry.email, entry.funnel, entry.test_id) for entry in world.entries()) == [
        ("ann@people.example", LANGUAGE, 2),
        ("ann@people.example", OTHER, 4),
    ]
    assert brevo.contacts["ann@people.example"].lists == {7, 8}
    site.took("ann@people.example", ago=MINUTE, test=3)
    world.run()
    assert len(world.entries()) == 2


class Written(FunnelLedger):
    """A ledger that remembers how many it was given at a time, and gives out few."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.sizes: list[int] = []

    def enter(self, lease: Lease, new: Sequence[NewEntry], now: datetime) -> int:
        self.sizes.append(len(new))
        return super().enter(lease, new, now)

    def open_entries(self, after_id: int, limit: int) -> list[Entry]:
        assert limit > 800
        return super().open_entries(after_id, 800)

    def settle(self, lease: Lease, changes: Sequence[Change], now: datetime) -> int:
        self.sizes.append(len(changes))
        return super().settle(lease, changes, now)


def test_many_enter_and_buy_in_transactions_of_five_hundred(world: World, site: SiteRows) -> None:
    site.took(*people(1_101))
    world.plan = replace(PLAN, batch=0)
    world.ledger = ledger = Written(world.database)
    with world.held() as kept:
        assert world.sync().enter(kept).by_funnel[LANGUAGE].entered == 1_101
        assert ledger.sizes == [500, 500, 101]
        assert ("people entered", 1_000, 1_101) in world.said
        assert ("tests read", 1_101, 1_101) in world.said
        with site.con.cursor() as ask:
            ask.execute("INSERT INTO modx_cert_users (email) SELECT Email FROM simpletest_users")
            ask.execute("INSERT INTO modx_cert_result (id_user, id_test) SELECT id, 1 FROM modx_cert_users")
            ask.execute(
                "INSERT INTO modx_cert_payment (id_result, id_status, datetime_payment)"
                " SELECT id, 2, %s FROM modx_cert_result",
                [NOW.replace(tzinfo=None) + MINUTE],
            )
        assert world.sync().purchases(kept).by_funnel[LANGUAGE] == Settled(1_101, open=1_101)
        assert ledger.sizes[3:] == [500, 300, 301]
        assert world.sync().purchases(kept).by_funnel[LANGUAGE] == Settled()


# ------------------------------------------------------------------------------------------------- buying


def test_who_bought_before_gets_no_mail_and_is_not_looked_at_again(
    world: World, site: SiteRows, brevo: BrevoServer
) -> None:
    site.took("ann@people.example", "bob@people.example")
    site.paid("Ann@people.example", 2 * DAY)
    site.paid("bob@people.example", 2 * DAY, OTHER)  # of the other kind: not a customer of this funnel
    entered, purchased, _ = world.run()
    assert entered.by_funnel[LANGUAGE] == Entries(1, 1, looked_at=2)
    assert purchased.by_funnel[LANGUAGE] == Settled(open=1)
    assert list(brevo.contacts) == ["bob@people.example"]
    [ann] = [entry for entry in world.entries() if entry.email == "ann@people.example"]
    assert (ann.customer_since, ann.purchased_at) == (NOW - 2 * DAY, None)
    assert world.run()[0].by_funnel[LANGUAGE] == Entries(looked_at=2, known=2)


def test_a_payment_in_the_very_second_of_the_entry_is_at_the_entry(world: World, site: SiteRows) -> None:
    world.clock.moment += timedelta(seconds=7.9)
    site.took("ann@people.example", "bob@people.example")
    site.paid("bob@people.example", -timedelta(seconds=7))
    assert world.preview().entered.at == NOW + timedelta(seconds=7)
    entered, purchased, _ = world.run()
    assert entered.by_funnel[LANGUAGE] == Entries(2, looked_at=2)
    assert purchased.by_funnel[LANGUAGE] == Settled(1, open=2)
    site.paid("ann@people.example", -timedelta(seconds=7))
    world.clock.moment += MINUTE
    assert world.run()[1].by_funnel[LANGUAGE] == Settled(1, open=1)
    assert {(one.entered_at, one.purchased_at) for one in world.entries()} == {(NOW + timedelta(seconds=7),) * 2}


def test_the_purchase_of_the_hundred_and_first_open_entry_is_found(
    world: World, site: SiteRows, brevo: BrevoServer
) -> None:
    site.took(*people(105))
    world.import_from = 50
    with world.held() as kept:
        world.sync().enter(kept)
    newest = world.entries()[100:]
    for entry in newest:
        site.paid(entry.email, -HOUR)
    world.clock.moment += 2 * HOUR
    _, purchased, worked = world.run()
    assert purchased.by_funnel[LANGUAGE] == Settled(5, open=105)
    assert [entry.id for entry in world.entries() if entry.purchased_at] == [entry.id for entry in newest]
    assert (worked.imported, worked.sent) == (105, 5)
    bought = brevo.contacts[newest[0].email].attributes
    assert bought["CERTIFICATE_PURCHASED"] == 1
    assert str(bought["CERTIFICATE_PURCHASED_AT"]).startswith("2026-11-22")
    assert brevo.ignored == []


def test_a_payment_from_before_the_entry_that_the_site_told_later_is_no_purchase(world: World, site: SiteRows) -> None:
    site.took("ann@people.example")
    world.run()
    site.paid("ann@people.example", DAY)
    world.clock.moment += HOUR
    assert world.run()[1].by_funnel[LANGUAGE] == Settled(customers=1, open=1)
    [ann] = world.entries()
    assert (ann.customer_since, ann.purchased_at) == (NOW - DAY, None)
    assert [job.operation for job in world.jobs()] == [Operation.UPSERT_CONTACT]
    assert world.run()[1].by_funnel[LANGUAGE] == Settled()


def test_without_lists_nobody_enters_and_purchases_are_followed_all_the_same(world: World, site: SiteRows) -> None:
    site.took("ann@people.example")
    world.run()
    site.took("bob@people.example")
    site.paid("ann@people.example", -MINUTE)
    world.clock.moment += HOUR
    world.plan = FunnelPlan({LANGUAGE: 0, OTHER: -1})
    entered, purchased, worked = world.run()
    assert (entered.by_funnel, entered.skipped) == ({}, (LANGUAGE, OTHER))
    assert purchased.by_funnel[LANGUAGE] == Settled(1, open=1)
    assert worked.sent == 1
    assert len(world.entries()) == 1


def test_payments_are_read_once_in_a_sync(world: World, site: SiteRows) -> None:
    site.took("ann@people.example")
    with world.held() as kept:
        sync = world.sync()
        sync.enter(kept)
        # The site's database is gone from now on: what is needed of it was read.
        sync.site = Unread()
        assert sync.purchases(kept).by_funnel[LANGUAGE] == Settled(open=1)
    assert [told for told in world.said if told[0] == "payments read"] == [("payments read", 0, 0)]


class Unread:
    """Whoever reads it fails."""

    def reading(self) -> "Unread":
        raise AssertionError

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...

    def taken(self, since: datetime, funnels: Collection[FunnelType]) -> Iterator[Taken]:
        raise AssertionError

    def payments(self) -> Iterator[Payment]:
        raise AssertionError


# ------------------------------------------------------------------------------------------------- the lease


def too_late(world: World, step: Callable[[Held], object]) -> None:
    """Somebody else took the lease before that step."""
    with world.held() as kept:
        world.clock.moment += HOUR
        with world.held(LATER), pytest.raises(LeaseLostError):
            step(kept)


def test_whoever_lost_the_lease_writes_nothing_and_sends_nothing(
    world: World, site: SiteRows, brevo: BrevoServer
) -> None:
    site.took("ann@people.example")
    too_late(world, world.sync().enter)
    assert (world.entries(), world.jobs()) == ([], [])
    with world.held() as kept:
        world.sync().enter(kept)
    site.paid("ann@people.example", -MINUTE)
    before = world.jobs()
    too_late(world, world.sync().purchases)
    too_late(world, lambda kept: world.outbox().work(kept, world.clock() + HOUR))
    assert world.jobs() == before
    assert brevo.requests == []


def test_the_lease_is_kept_through_long_work(world: World, site: SiteRows) -> None:
    """Every look at the clock costs a minute: ten minutes are over long before the work is."""

    def slow() -> datetime:
        world.clock.moment += MINUTE
        return world.clock.moment

    site.took(*people(20))
    with held(world.ledger, ME, slow, lambda _: False) as kept:
        sync = replace(world.sync(), clock=slow)
        sync.enter(kept)
        sync.purchases(kept)
        worked = replace(world.outbox(), clock=slow).work(kept, NOW + 10 * HOUR)
    assert worked.sent == 20
    assert world.clock() - NOW > 30 * MINUTE


# ------------------------------------------------------------------------------------------------- everywhere


def test_all_of_it_with_the_tables_in_mariadb(site: SiteRows, brevo: BrevoServer, mariadb: MariaDB) -> None:
    site.took(*people(6), "J\u00fcrgen@people.example", "jurgen@people.example")
    site.took("ann@people.example", test=4)
    site.paid("ann@people.example", 3 * DAY, OTHER)
    world = World(
        site.url,
        mariadb.empty_database("funnel_sync_ledger"),
        brevo.url,
        brevo.api_key.get_secret_value(),
        import_from=3,
    )
    entered, _, worked = world.run()
    assert entered.by_funnel == {LANGUAGE: Entries(8, looked_at=8), OTHER: Entries(0, 1, looked_at=1)}
    assert (worked.imported, worked.sent, worked.left) == (8, 0, 0)
    site.paid(people(1)[0], -MINUTE)
    world.clock.moment += HOUR
    _, purchased, worked = world.run()
    assert purchased.by_funnel[LANGUAGE] == Settled(1, open=8)
    assert worked.sent == 1
    assert len(brevo.on(7)) == 8
    assert world.run()[2].sent == 0
    world.close()


def test_addresses_are_in_no_log_and_no_result(
    world: World, site: SiteRows, brevo: BrevoServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    brevo.unwelcome.add(people(1)[0])
    site.took(*people(4))
    results = world.run()
    brevo.unwelcome.clear()
    assert results[2].failed == 1
    said = f"{results}{world.preview()}{world.said}{world.jobs()}{world.entries()}{caplog.text}"
    assert "p0000" not in said
    [failed] = world.jobs(JobStatus.FAILED)
    assert hashed(people(1)[0]) in failed.last_error
