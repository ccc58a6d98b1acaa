"""Contacts that are imported together, against Brevo's API over real HTTP: when, and what becomes of each."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from analytics_platform.contacts.base import Contact
from analytics_platform.funnel_outbox import End, Worked
from analytics_platform.funnels.records import Change, JobStatus
from analytics_platform_tests import funnel_world
from analytics_platform_tests.brevo_faults import Fault, FaultKind
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.funnel_world import ANN, BOB, EVE, HOUR, MINUTE, NOW, OTHER, World, people, told

SUCCESS, FAILED = JobStatus.SUCCESS, JobStatus.FAILED
IMPORT = "/contacts/import"

# The fixtures of these tests.
server = funnel_world.server
brevo, world = funnel_world.brevo, funnel_world.without_site


def test_more_than_so_many_are_imported_together(world: World, brevo: BrevoServer) -> None:
    world.import_from = 4
    world.enter(*people(4))
    assert world.work() == Worked(End.DONE, sent=4)
    world.enter(*(f"q{email}" for email in people(5)))
    world.enter(ANN, BOB, funnel=OTHER)
    brevo.polls = 3
    worked = world.work()
    assert worked == Worked(End.DONE, sent=2, imported=5)
    assert len(brevo.asked("POST", IMPORT)) == 1
    assert (len(brevo.on(7)), brevo.on(8)) == (9, [ANN, BOB])
    assert brevo.contacts["qp00001@people.example"].attributes == {"FUNNEL_TYPE": "language"}
    pauses = [seconds for seconds in world.clock.waited if seconds >= 2]
    assert pauses == [2, 4, 8]
    assert {one.status for one in world.jobs()} == {SUCCESS}


def test_whom_an_import_refuses_fails_with_the_reason(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.unwelcome.add(BOB)
    world.enter(ANN, BOB, EVE)
    assert world.work() == Worked(End.DONE, imported=2, failed=1)
    bob = world.job(BOB)
    assert bob.status is FAILED
    assert "refused" in bob.last_error
    assert BOB not in bob.last_error


def test_after_a_failed_import_its_contacts_are_told_one_by_one(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.faults.append(Fault("import_failed", path=IMPORT))
    world.enter(ANN, BOB, EVE)
    assert world.work() == Worked(End.DONE, sent=3)
    assert (len(brevo.asked("POST", IMPORT)), told(brevo)) == (1, [ANN, BOB, EVE])
    assert {(one.status, one.last_error) for one in world.jobs()} == {(SUCCESS, "")}


@pytest.mark.parametrize("fault", ["invalid", "server_error"])
def test_contacts_that_cannot_be_imported_are_told_one_by_one(
    world: World, brevo: BrevoServer, fault: FaultKind
) -> None:
    world.import_from = 2
    brevo.faults.append(Fault(fault, path=IMPORT, times=0))
    world.enter(ANN, BOB, EVE)
    assert world.work() == Worked(End.DONE, sent=3)
    assert told(brevo) == [ANN, BOB, EVE]


def test_an_import_while_brevo_is_down_waits(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.faults.append(Fault("unavailable", times=0))
    world.enter(ANN, BOB, EVE)
    worked = world.work()
    assert (worked.put_off, worked.failed, worked.left) == (3, 0, 3)
    brevo.faults.clear()
    world.clock.moment += 5 * MINUTE
    assert world.work() == Worked(End.DONE, imported=3)


def test_a_slow_import_is_left_to_the_next_go_and_rarely_asked_after(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.polls = 1_000
    world.enter(ANN, BOB, EVE)
    world.buy(ANN)
    assert world.work() == Worked(End.DONE, importing=3, left=1)
    assert len(brevo.requests) <= 1 + 20
    for _ in range(3):
        world.clock.moment += 15 * MINUTE
        assert world.work() == Worked(End.DONE, importing=3, left=1)
    assert len(brevo.asked("POST", IMPORT)) == 1
    polls = len(brevo.requests) - 1
    assert polls < 100, "so many an hour"
    brevo.polls = 1
    world.clock.moment += 15 * MINUTE
    assert world.work() == Worked(End.DONE, sent=1, imported=3)


def test_an_import_that_never_ends_is_given_up_after_two_hours(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.polls = 1_000_000
    world.enter(ANN, BOB, EVE)
    assert world.work().importing == 3
    world.clock.moment += 2 * HOUR - 15 * MINUTE
    assert world.work() == Worked(End.DONE, importing=3)
    world.clock.moment += 15 * MINUTE
    assert world.work() == Worked(End.DONE, sent=3)
    assert told(brevo) == [ANN, BOB, EVE]
    assert {times for kept in brevo.contacts.values() for times in kept.added.values()} == {1}


def test_an_import_that_is_tried_again_by_hand_is_told_one_more_time(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.polls = 1_000_000
    world.enter(ANN, BOB, EVE)
    world.work()
    assert world.ledger.retry([world.job(BOB).id], world.clock()) == 1
    assert world.work() == Worked(End.DONE, sent=1, importing=2)
    assert told(brevo) == [BOB]
    brevo.polls = 1
    world.clock.moment += 15 * MINUTE
    assert world.work() == Worked(End.DONE, imported=2)
    assert brevo.contacts[BOB].added[7] == 1


def test_an_import_that_may_not_be_asked_after_has_failed(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.faults.append(Fault("invalid", "/processes/*", times=0, value="Invalid process id"))
    world.enter(ANN, BOB, EVE)
    assert world.work() == Worked(End.DONE, sent=3)


def test_an_import_that_cannot_be_asked_after_does_not_keep_the_others_from_it(
    world: World, brevo: BrevoServer
) -> None:
    world.import_from = 2
    brevo.polls = 1_000_000
    world.enter(*people(3))
    assert world.work().importing == 3
    brevo.faults.append(Fault("server_error", f"/processes/{min(brevo.processes)}", times=0))
    brevo.polls = 1
    brevo.requests.clear()
    world.enter(ANN, BOB, EVE, funnel=OTHER)
    assert world.work() == Worked(End.DONE, imported=3, importing=3)
    assert brevo.on(8) == [ANN, BOB, EVE]
    assert sum(one.path.startswith("/processes") for one in brevo.requests) <= 20
    world.clock.moment += 2 * HOUR
    assert world.work() == Worked(End.DONE, sent=3)


@pytest.mark.parametrize("fault", ["no_route", "forbidden"])
def test_an_import_that_nobody_may_ask_after_stops_nobody_for_ever(
    world: World, brevo: BrevoServer, fault: FaultKind
) -> None:
    world.import_from = 2
    brevo.polls = 1_000
    world.enter(ANN, BOB, EVE)
    world.work()
    brevo.faults.append(Fault(fault, "/processes/*", times=0))
    world.enter("q@people.example")
    world.clock.moment += 15 * MINUTE
    assert world.work() == Worked(End.DONE, sent=1, importing=3)
    # With nobody else to tell, nothing says that it is this one alone.
    world.clock.moment += 15 * MINUTE
    worked = world.work()
    assert (worked.end, worked.importing) == (End.CLOSED, 3)
    assert "BREVO" in worked.stopped
    world.clock.moment += 2 * HOUR
    brevo.requests.clear()
    assert world.work() == Worked(End.DONE, sent=3)
    assert told(brevo) == [ANN, BOB, EVE]
    assert not any(one.path.startswith("/processes") for one in brevo.requests)


def test_an_import_that_nobody_may_ask_after_is_asked_after_by_the_next_go(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.faults.append(Fault("no_route", "/processes/*"))
    world.enter(ANN, BOB, EVE)
    assert world.work() == Worked(End.DONE, importing=3)
    assert world.work() == Worked(End.DONE, imported=3)


def test_with_a_closed_account_an_import_under_way_waits(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.polls = 1_000
    world.enter(ANN, BOB, EVE)
    world.work()
    brevo.faults.append(Fault("unauthorized", times=0))
    world.enter("q@people.example")
    worked = world.work()
    assert (worked.end, worked.importing, worked.left) == (End.CLOSED, 3, 1)
    brevo.faults.clear()
    brevo.polls = 1
    assert world.work() == Worked(End.DONE, sent=1, imported=3)


def test_with_a_report_that_cannot_be_read_all_are_told_one_by_one(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.unwelcome.add(BOB)
    brevo.reports_at = "http://127.0.0.1:9"
    world.enter(ANN, BOB, EVE)
    assert world.work() == Worked(End.DONE, sent=2, failed=1)
    assert "Invalid email address" in world.job(BOB).last_error


def test_a_customer_whose_import_failed_is_not_told(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.polls = 1_000_000
    world.enter(ANN, BOB, EVE)
    world.work()
    ann = world.entries()[0]
    with world.held() as kept:
        world.ledger.settle(kept.now(), [Change(ann.id, ann.funnel, customer_since=NOW - HOUR)], world.clock())
    brevo.processes.clear()
    world.clock.moment += 15 * MINUTE
    assert world.work() == Worked(End.DONE, sent=2)
    assert told(brevo) == [BOB, EVE]
    assert world.job(ANN).status is JobStatus.DROPPED


def test_waiting_for_an_import_ends_in_time(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    brevo.polls = 1_000
    world.enter(ANN, BOB, EVE)
    end = world.clock() + timedelta(seconds=30)
    assert world.work(timedelta(seconds=30)).importing == 3
    assert world.clock() < end


def test_somebody_twice_on_one_list_is_in_an_import_once(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    world.enter(ANN, BOB, EVE)
    world.enter(ANN, funnel=OTHER)
    assert world.work() == Worked(End.DONE, sent=1, imported=3)
    assert brevo.contacts[ANN].added[7] == 1


class TwoAtATime:
    """Cuts imports small, as if contacts were big."""

    def __init__(self, world: World) -> None:
        self._brevo = world.brevo
        self.upsert, self.start_import = self._brevo.upsert, self._brevo.start_import
        self.import_state, self.account = self._brevo.import_state, self._brevo.account

    def import_chunks(self, contacts: Sequence[Contact]) -> Iterator[Sequence[Contact]]:
        """In order."""
        for start in range(0, len(contacts), 2):
            yield contacts[start : start + 2]


def two_at_a_time(world: World) -> Worked:
    """A go with such imports."""
    with world.held() as kept:
        return replace(world.outbox(), contacts=TwoAtATime(world)).work(kept, world.clock() + HOUR)


def test_an_import_too_big_for_one_request_is_several(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    world.enter(*people(5))
    brevo.unwelcome.add(people(5)[2])
    worked = two_at_a_time(world)
    assert worked == Worked(End.DONE, imported=4, failed=1)
    assert [len(request.body["jsonBody"]) for request in brevo.asked("POST", IMPORT)] == [2, 2, 1]
    assert world.job(people(5)[2]).status is FAILED


def test_many_imports_are_not_asked_after_more_often_than_an_account_may(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    world.enter(*people(44))
    brevo.polls = 1_000
    for go in range(1, 4):
        assert two_at_a_time(world).importing == 44
        assert sum(request.path.startswith("/processes") for request in brevo.requests) == 20 * go
        world.clock.moment += 15 * MINUTE
    brevo.polls = 1
    assert (two_at_a_time(world).imported, two_at_a_time(world).imported) == (40, 4)
    assert len(brevo.on(7)) == 44
