"""Which list a contact goes to, against Brevo's API over real HTTP: that of the day on which it is told."""

from analytics_platform.funnel_outbox import End, Worked
from analytics_platform.funnels.plan import FunnelPlan
from analytics_platform.funnels.records import JobStatus
from analytics_platform_tests import funnel_world
from analytics_platform_tests.brevo_faults import Fault
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.funnel_world import ANN, BOB, EVE, HOUR, LANGUAGE, NOW, OTHER, World, told

PENDING = JobStatus.PENDING
IMPORT = "/contacts/import"

# The fixtures of these tests.
server = funnel_world.server
brevo, world = funnel_world.brevo, funnel_world.without_site


def test_an_unknown_list_stops_all_until_the_right_one_is_named(world: World, brevo: BrevoServer) -> None:
    world.plan = FunnelPlan({LANGUAGE: 99, OTHER: 8})
    world.enter(ANN, BOB, list_id=99)
    worked = world.work()
    assert (worked.end, worked.left) == (End.CLOSED, 2)
    assert "number 99" in worked.stopped
    world.plan = FunnelPlan({LANGUAGE: 7, OTHER: 8})
    world.enter(EVE)
    assert world.work() == Worked(End.DONE, sent=3)
    assert brevo.on(7) == [ANN, BOB, EVE]
    assert world.job(ANN).payload["list_ids"] == [99]  # as it was entered


def test_who_waits_for_a_list_is_held_without_being_tried(world: World, brevo: BrevoServer) -> None:
    world.enter(ANN, BOB)
    world.enter(EVE, funnel=OTHER)
    world.buy(ANN)
    world.plan = FunnelPlan({LANGUAGE: 0, OTHER: 8})
    for _ in range(3):
        assert world.work() in (Worked(End.DONE, sent=1, left=3, held=3), Worked(End.DONE, left=3, held=3))
        world.clock.moment += HOUR
    assert told(brevo) == [EVE]
    assert {(one.retries, one.last_error, one.next_attempt_at) for one in world.jobs(PENDING)} == {(0, "", NOW)}
    assert world.ledger.oldest_pending(world.plan.active) is None
    world.plan = FunnelPlan({LANGUAGE: 8, OTHER: 8})
    assert world.work() == Worked(End.DONE, sent=3)
    assert (brevo.on(7), brevo.on(8)) == ([], [EVE, ANN, BOB])


def test_a_refusal_that_speaks_of_a_list_which_is_there_is_that_contacts_alone(
    world: World, brevo: BrevoServer
) -> None:
    world.enter(ANN, BOB, EVE)
    brevo.faults.append(Fault("invalid", email=BOB, times=0, value="Contact is in the exclusion list"))
    assert world.work() == Worked(End.DONE, sent=2, failed=1)
    assert "exclusion list" in world.job(BOB).last_error


def test_imports_go_to_the_list_of_today(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    world.enter(ANN, BOB, list_id=99)
    world.enter(EVE, list_id=7)
    assert world.work() == Worked(End.DONE, imported=3)
    assert brevo.on(7) == [ANN, BOB, EVE]
    assert len(brevo.asked("POST", IMPORT)) == 1
