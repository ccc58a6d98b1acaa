"""The monthly report on funnels after it was sent: what syncs bring later is corrected."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from analytics_platform.cadence import Period
from analytics_platform.defs import followups
from analytics_platform.defs.claims import now
from analytics_platform.defs.liveness import this_host
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.defs.sight import Memory
from analytics_platform.defs.syncs import SYNCS
from analytics_platform.funnels.records import Change, NewEntry
from analytics_platform.state.runs import Owner, Status
from analytics_platform_tests.defs.test_funnels_published import (
    DAY,
    FIRST,
    MORNING,
    bench,
    entered,
    place,
    published_until,
)
from analytics_platform_tests.defs.test_scheduling import Bench
from analytics_platform_tests.funnel_home import LANGUAGE, FunnelHome

__all__ = ["bench", "entered", "place"]  # fixtures

MARCH = Period(date(2026, 3, 1), date(2026, 3, 31))
END = datetime(2026, 3, 31, 21, tzinfo=UTC)  # of March in Moscow


@pytest.fixture(autouse=True)
def long_past(bench: Bench) -> None:
    bench.settings = bench.settings.model_copy(update={"correction_days": 10_000})


@pytest.fixture
def moscow(place: FunnelHome) -> FunnelHome:
    """Its syncs write the days of Moscow, and ten people have entered on one of them."""
    found = place.but(TIMEZONE="Europe/Moscow")
    with found.lease() as kept:
        people = [NewEntry(f"new{n}@example.org", LANGUAGE, n, 1, 7) for n in range(10)]
        assert found.ledger.enter(kept.now(), people, FIRST + 10 * DAY) == 10
    return found


def bought(place: FunnelHome, number: int, moment: datetime) -> None:
    """One of the ten bought at that moment; the next sync will write it."""
    [entry] = [one for one in place.entries() if one.email == f"new{number}@example.org"]
    with place.lease() as kept:
        assert place.ledger.settle(kept.now(), [Change(entry.id, LANGUAGE, purchased_at=moment)], now()) == 1


def corrected(bench: Bench) -> str:
    """What the one correction says that is asked for now."""
    [request] = bench.late(now())
    assert request.job_name == followups.CORRECTION_JOB
    assert bench.run(request).success
    assert bench.late(now()) == []
    return bench.texts()[-1]


def test_a_preliminary_month_without_any_sync_is_corrected_when_one_has_been_through(
    bench: Bench, moscow: FunnelHome
) -> None:
    bench.work(MORNING + timedelta(hours=24))
    assert bench.texts()[-1].startswith("Preliminary")
    assert bench.late(now()) == []
    moscow.publish()
    said = corrected(bench)
    assert said.startswith("Correction: E-mail funnels")
    assert "Language tests: entries: 0 " in said.replace("\xa0", " ")
    assert "Other tests" not in said, "only people who had bought before entered it"


def test_a_purchase_of_the_month_that_the_site_tells_later_is_corrected_at_once(
    bench: Bench, moscow: FunnelHome
) -> None:
    moscow.publish()
    bench.work(MORNING)
    assert "language: entries=10, purchased=0, conversion=0.00%" in bench.texts()[-1]
    assert bench.late(now()) == []
    bought(moscow, 1, END - timedelta(seconds=1))
    assert bench.late(now()) == [], "a sync that has not written everything yet is waited for"
    moscow.publish()
    said = corrected(bench)
    assert "Language tests: conversion: 0.00% → 10.00%" in said.replace("\xa0", " ")
    assert "entries" not in said


def test_a_purchase_after_the_month_corrects_nothing(bench: Bench, moscow: FunnelHome) -> None:
    moscow.publish()
    bench.work(MORNING)
    bought(moscow, 1, END)
    moscow.publish()
    assert bench.late(now()) == []
    assert len(bench.channel.sent) == 1


def test_those_who_enter_after_the_month_hold_no_correction_back(bench: Bench, moscow: FunnelHome) -> None:
    moscow.publish()
    bench.work(MORNING)
    bought(moscow, 1, END - DAY)
    moscow.publish()
    with moscow.lease() as kept:
        moscow.ledger.enter(kept.now(), [NewEntry("april@example.org", LANGUAGE, 1, 1, 7)], END)
    assert "conversion" in corrected(bench)


def test_a_look_that_found_nothing_is_repeated_after_a_sync_wrote_something(bench: Bench, moscow: FunnelHome) -> None:
    moscow.publish()
    bench.work(MORNING)
    memory = Memory()

    def look(moment: datetime) -> list[dg.RunRequest]:
        return followups.correction_requests(bench.desk, bench.instance, moment, None, memory=memory)[0]

    assert look(now() + timedelta(hours=1)) == []
    assert memory.settled
    bought(moscow, 1, END - DAY)
    moscow.publish()
    assert len(look(now() + timedelta(hours=2))) == 1


def test_a_month_that_was_given_up_waits_for_a_person_whatever_syncs_bring(bench: Bench, moscow: FunnelHome) -> None:
    published_until(moscow, END)
    owner, runs = Owner("gone", this_host(), 1, ""), bench.ledgers.runs
    for _ in range(bench.settings.report_attempts):
        assert runs.claim("funnels_monthly", MARCH, owner, now(), lease=DAY, gone=lambda _: False)
        runs.finish("funnels_monthly", MARCH.last, owner, Status.FAILED, "the warehouse is away", now())
    assert bench.work(MORNING) == []
    assert bench.late(now()) == []
    assert bench.work(MORNING) == [], "nothing came since"
    moscow.publish()
    assert bench.late(now()) == []
    assert bench.work(MORNING) == [], "purchases come for weeks, and each would begin it anew"
    runs.reset("funnels_monthly", MARCH.last, now())
    assert len(bench.work(MORNING)) == 1
    assert "language: entries=10" in bench.texts()[-1]


def test_what_waits_counts_by_its_moment_of_entry_and_not_by_its_number(place: FunnelHome) -> None:
    place.publish()
    with place.lease() as kept:
        for number, moment in ((1, END + DAY), (2, END - DAY)):
            place.ledger.enter(kept.now(), [NewEntry(f"new{number}@example.org", LANGUAGE, number, 1, 7)], moment)
    settled, ledgers = SYNCS["funnels/conversions"].settled, ledgers_of(place.home, place.settings)
    assert [settled(ledgers, END - DAY), settled(ledgers, END), settled(ledgers, END + DAY)] == [True, False, False]
