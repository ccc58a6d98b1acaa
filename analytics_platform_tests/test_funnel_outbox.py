"""The outbox against Brevo's API over real HTTP: what goes when, and what each way of going wrong makes of a job."""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

import pytest

from analytics_platform.contacts.base import Contact, ContactRefusedError
from analytics_platform.funnel_outbox import End, Worked
from analytics_platform.funnels.person import hashed
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Job, JobStatus
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.leases import LeaseLostError
from analytics_platform.state.owners import Owner
from analytics_platform_tests import funnel_world
from analytics_platform_tests.brevo_faults import Fault, FaultKind
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.funnel_world import ANN, BOB, EVE, HOUR, MINUTE, NOW, World, people, told

PENDING, IMPORTING, SUCCESS, FAILED = JobStatus.PENDING, JobStatus.IMPORTING, JobStatus.SUCCESS, JobStatus.FAILED

# The fixtures of these tests.
server = funnel_world.server
brevo, world = funnel_world.brevo, funnel_world.without_site


# ------------------------------------------------------------------------------------------------- one by one


def test_contacts_are_told_in_order_and_then_purchases(world: World, brevo: BrevoServer) -> None:
    world.enter(ANN, BOB)
    world.buy(ANN)
    world.enter(EVE)
    worked = world.work()
    assert worked == Worked(End.DONE, sent=4)
    assert told(brevo) == [ANN, BOB, EVE, ANN]
    assert [request.body.get("listIds") for request in brevo.requests] == [[7], [7], [7], None]
    assert brevo.contacts[ANN].attributes == {
        "FUNNEL_TYPE": "language",
        "CERTIFICATE_PURCHASED": 1,
        "CERTIFICATE_PURCHASED_AT": (NOW + MINUTE).isoformat(),
    }
    assert brevo.ignored == []
    assert {one.status for one in world.jobs()} == {SUCCESS}


class FewAtATime(FunnelLedger):
    """A ledger that gives out few jobs at a time."""

    def due(
        self, now: datetime, limit: int, after_id: int = 0, funnels: Collection[FunnelType] | None = None
    ) -> list[Job]:
        assert limit > 2
        return super().due(now, 2, after_id, funnels)


def test_all_that_is_due_goes_however_many_there_are(world: World, brevo: BrevoServer) -> None:
    world.ledger = FewAtATime(world.database)
    world.enter(ANN, BOB, EVE)
    world.buy(ANN, EVE)
    world.enter(*people(2))
    assert world.work() == Worked(End.DONE, sent=7)
    assert told(brevo) == [ANN, BOB, EVE, *people(2), ANN, EVE]


def test_a_refused_contact_fails_with_the_reason_and_the_others_go(world: World, brevo: BrevoServer) -> None:
    brevo.unwelcome.add(BOB)
    world.enter(ANN, BOB, EVE)
    world.buy(BOB)
    worked = world.work()
    assert worked == Worked(End.DONE, sent=2, failed=1)  # with what he bought
    failed = world.job(BOB)
    assert (failed.status, failed.retries) == (FAILED, 0)
    assert "400" in failed.last_error
    assert f"<address {hashed(BOB)}>" in failed.last_error
    assert told(brevo) == [ANN, BOB, EVE]
    brevo.unwelcome.clear()
    assert world.ledger.retry([failed.id], world.clock()) == 2
    assert world.work() == Worked(End.DONE, sent=2)
    assert world.job(BOB).last_error == ""


def test_the_waits_are_5_10_15_20_25_minutes_and_then_it_has_failed(world: World, brevo: BrevoServer) -> None:
    brevo.faults.append(Fault("server_error", email=BOB, times=0))
    world.enter(ANN, BOB, EVE)
    waits: list[float] = []
    for _ in range(5):
        worked = world.work()
        assert (worked.put_off, worked.failed, worked.left) == (1, 0, 1)
        bob = world.job(BOB)
        assert (bob.status, bob.retries) == (PENDING, len(waits) + 1)
        waits.append((bob.next_attempt_at - bob.updated_at) / MINUTE)
        world.clock.moment = bob.next_attempt_at - timedelta(seconds=1)
        assert world.work() == Worked(End.DONE, left=1)
        world.clock.moment = bob.next_attempt_at
    assert waits == [5, 10, 15, 20, 25]
    assert world.work() == Worked(End.DONE, failed=1)
    bob = world.job(BOB)
    assert (bob.status, bob.retries) == (FAILED, 5)
    assert "500" in bob.last_error
    assert told(brevo).count(BOB) == 6 * 4
    assert told(brevo).count(ANN) == told(brevo).count(EVE) == 1


def test_a_wait_that_brevo_asks_for_is_kept_when_it_is_longer(world: World, brevo: BrevoServer) -> None:
    brevo.faults.append(Fault("retry_after", email=ANN, value=3600))
    world.enter(ANN)
    assert world.work().put_off == 1
    ann = world.job(ANN)
    assert ann.next_attempt_at - ann.updated_at == HOUR


@pytest.mark.parametrize("number", [1, 3, 9])
def test_brevo_down_for_hours_loses_nobody_and_fails_nobody(world: World, brevo: BrevoServer, number: int) -> None:
    world.enter(*people(number))
    down = Fault("unavailable", times=0)
    brevo.faults.append(down)
    for _ in range(8):
        worked = world.work(5 * MINUTE)
        assert (worked.sent, worked.failed, worked.left) == (0, 0, number)
        world.clock.moment += HOUR
    assert {(one.status, one.retries) for one in world.jobs()} == {(PENDING, 0)}
    brevo.faults.clear()
    assert world.work() == Worked(End.DONE, sent=number)
    assert brevo.on(7) == people(number)
    assert world.ledger.standing().circuit_open_until is None


@pytest.mark.parametrize("fault", ["drop", "accepted_bad_gateway", "accepted_drop", "broken_json"])
def test_what_arrived_without_an_answer_is_told_again_and_added_once(
    world: World, brevo: BrevoServer, fault: FaultKind
) -> None:
    world.enter(ANN)
    brevo.faults.append(Fault(fault, times=4))
    world.work()
    world.clock.moment += HOUR
    world.work()
    assert world.job(ANN).status is SUCCESS
    assert brevo.contacts[ANN].added[7] == 1


# ------------------------------------------------------------------------------------------------- leaving it alone


def test_five_in_a_row_leave_brevo_alone_for_a_minute_and_are_not_counted(world: World, brevo: BrevoServer) -> None:
    everybody = people(9)
    world.enter(*everybody)
    brevo.faults += [Fault("server_error", email=email, times=0) for email in everybody[1:]]
    brevo.faults.append(Fault("unavailable", "/account", times=0))
    worked = world.work()
    assert (worked.end, worked.sent, worked.put_off, worked.left) == (End.CIRCUIT, 1, 5, 8)
    assert worked.circuit_open_until is not None
    assert worked.circuit_open_until == world.clock() + MINUTE
    jobs = [world.job(email) for email in everybody]
    assert [(one.retries, one.next_attempt_at > world.clock()) for one in jobs[1:6]] == [(0, True)] * 5
    assert [(one.retries, one.last_error) for one in jobs[6:]] == [(0, "")] * 3
    assert jobs[5].next_attempt_at - jobs[5].updated_at == 5 * MINUTE

    asked = len(brevo.requests)
    world.clock.moment += timedelta(seconds=59)
    assert world.work() == Worked(End.CIRCUIT, left=8, circuit_open_until=worked.circuit_open_until)
    assert len(brevo.requests) == asked
    # Then it is asked whether it is there, by nobody's contact; it is not, and is left alone anew.
    world.clock.moment += timedelta(seconds=1)
    again = world.work()
    assert (again.end, again.put_off, again.left) == (End.CIRCUIT, 0, 8)
    assert {one.path for one in brevo.requests[asked:]} == {"/account"}
    assert again.circuit_open_until == world.clock() + MINUTE
    brevo.faults.clear()
    world.clock.moment += HOUR
    assert world.work() == Worked(End.DONE, sent=8)
    assert world.ledger.standing().circuit_open_until is None


def test_contacts_that_are_never_answered_do_not_block_the_others(world: World, brevo: BrevoServer) -> None:
    everybody = people(35)
    world.enter(*everybody)
    brevo.faults += [Fault("server_error", email=email, times=0) for email in everybody[:3]]
    brevo.faults += [Fault("in_process", email=email, times=0) for email in everybody[3:5]]
    waits: list[list[float]] = []
    for go in range(5):
        worked = world.work()
        assert (worked.end, worked.sent, worked.put_off, worked.failed) == (End.DONE, 0 if go else 30, 5, 0)
        five = [world.job(email) for email in everybody[:5]]
        assert {one.retries for one in five} == {go + 1}
        waits.append([(one.next_attempt_at - one.updated_at) / MINUTE for one in five])
        world.clock.moment = max(one.next_attempt_at for one in five)
    assert waits == [[minutes] * 5 for minutes in (5, 10, 15, 20, 25)]
    assert world.work() == Worked(End.DONE, failed=5)
    assert world.ledger.standing().circuit_open_until is None


def test_who_failed_before_comes_after_those_who_did_not(world: World, brevo: BrevoServer) -> None:
    world.enter(ANN, BOB)
    brevo.faults.append(Fault("server_error", email=ANN, times=0))
    world.work()
    world.enter(EVE)
    world.clock.moment += HOUR
    brevo.requests.clear()
    world.work()
    assert told(brevo) == [EVE, *[ANN] * 4]


def test_after_an_outage_one_contact_that_is_never_answered_does_not_keep_it_closed(
    world: World, brevo: BrevoServer
) -> None:
    world.enter(*people(8))
    brevo.faults.append(Fault("unavailable", times=0))
    assert world.work().end is End.CIRCUIT
    brevo.faults[:] = [Fault("server_error", email=people(1)[0], times=0)]
    world.clock.moment += 15 * MINUTE
    worked = world.work()
    assert (worked.end, worked.sent, worked.put_off) == (End.DONE, 7, 1)
    assert world.job(people(1)[0]).retries == 1


def test_an_account_that_refuses_to_say_whose_it_is_answers(world: World, brevo: BrevoServer) -> None:
    world.enter(ANN)
    brevo.faults += [Fault("server_error", email=ANN, times=0), Fault("invalid", "/account", times=0)]
    worked = world.work()
    assert (worked.end, worked.put_off, world.job(ANN).retries) == (End.DONE, 1, 1)


def test_a_service_that_wants_no_more_requests_says_nothing_of_contacts(world: World, brevo: BrevoServer) -> None:
    world.enter(*people(9))
    brevo.faults.append(Fault("limit_reached", email=people(2)[1], value=3000))
    worked = world.work()
    # The others are not even sent, as the client keeps to what it was told.
    assert (worked.end, worked.sent, worked.put_off, worked.left) == (End.CIRCUIT, 1, 5, 8)
    assert worked.circuit_open_until is not None
    assert worked.circuit_open_until - world.clock() >= timedelta(seconds=2900)
    assert {one.retries for one in world.jobs(PENDING)} == {0}
    world.clock.moment += HOUR
    assert world.work() == Worked(End.DONE, sent=8)


def test_a_refusal_before_anything_is_sent_is_no_answer(world: World, brevo: BrevoServer) -> None:
    world.enter(*people(6))
    brevo.faults.append(Fault("unavailable", times=0))

    def refused(_contact: Contact) -> None:
        raise ContactRefusedError("it cannot be written", asked=False)

    told = world.brevo.upsert
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.brevo, "upsert", lambda one: (refused if one.email == people(3)[2] else told)(one))
        worked = world.work()
    assert (worked.end, worked.failed, worked.put_off) == (End.CIRCUIT, 1, 5)
    assert {one.retries for one in world.jobs(PENDING)} == {0}


def test_refused_contacts_do_not_open_it_and_end_a_row(world: World, brevo: BrevoServer) -> None:
    everybody = people(14)
    world.enter(*everybody)
    brevo.unwelcome.update(everybody[4:10])
    brevo.faults += [Fault("server_error", email=email, times=0) for email in (*everybody[:4], *everybody[10:])]
    worked = world.work()
    assert (worked.end, worked.failed, worked.put_off) == (End.DONE, 6, 8)
    assert {one.retries for one in world.jobs(PENDING)} == {1}


@pytest.mark.parametrize("fault", ["unauthorized", "no_credits", "forbidden", "no_route"])
def test_a_closed_account_or_an_unknown_list_stops_all_and_fails_nobody(
    world: World, brevo: BrevoServer, fault: FaultKind
) -> None:
    everybody = people(4)
    world.enter(*everybody)
    brevo.faults.append(Fault("server_error", email=everybody[0], times=0))
    brevo.faults.append(Fault(fault, email=everybody[2], times=0))
    worked = world.work()
    assert (worked.end, worked.sent, worked.failed, worked.left) == (End.CLOSED, 1, 0, 3)
    assert "BREVO" in worked.stopped or "plan" in worked.stopped
    assert told(brevo)[-1] == everybody[2]
    stopped = [world.job(email) for email in everybody[2:]]
    assert [(one.status, one.retries, one.last_error, one.next_attempt_at) for one in stopped] == [
        (PENDING, 0, "", NOW)
    ] * 2
    brevo.faults.clear()
    world.clock.moment += HOUR
    assert world.work().sent == 3


def test_no_request_begins_when_the_time_is_over(world: World, brevo: BrevoServer) -> None:
    world.enter(*people(30))
    worked = world.work(timedelta(seconds=0.95))
    assert worked == Worked(End.TIME, sent=11, left=19)  # ten a second, the first at once
    assert len(brevo.requests) == 11
    assert world.work(timedelta(0)) == Worked(End.TIME, left=19)
    assert world.work().sent == 19


def test_a_lease_that_is_lost_on_the_way_stops_the_next_request(world: World, brevo: BrevoServer) -> None:
    world.enter(ANN, BOB, EVE)
    with world.held() as kept:

        def sleep(seconds: float) -> None:
            world.clock.moment += HOUR
            with world.held(Owner("later", "there", 2)):
                assert seconds > 0

        world.brevo._sleep = sleep
        with pytest.raises(LeaseLostError):
            world.outbox().work(kept, NOW + 9 * HOUR)
    assert told(brevo) == [ANN, BOB]  # it was lost while the second one waited for its turn
    assert [one.status for one in world.jobs()] == [SUCCESS, PENDING, PENDING]


# ------------------------------------------------------------------------------------------------- what is said


def test_no_address_is_in_a_log_an_error_or_a_result(
    world: World, brevo: BrevoServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.import_from = 6
    everybody = people(6)
    world.enter(*everybody)
    brevo.unwelcome.add(everybody[0])
    brevo.faults.append(Fault("invalid", email=everybody[1], value=f"Invalid email {everybody[1]}"))
    brevo.faults.append(Fault("server_error", email=everybody[2], times=0, value=everybody[2]))
    results = [world.work()]
    world.enter(*(f"q{email}" for email in everybody), ANN)
    results.append(world.work())
    said = f"{results}{world.jobs()}{world.said}{caplog.text}"
    assert "people.example" not in said
    assert ("contacts told", 6, 6) in world.said
