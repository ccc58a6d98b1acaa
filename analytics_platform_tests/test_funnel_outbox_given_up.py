"""Who is given up while a go at the outbox is under way, against Brevo's API over real HTTP."""

import pytest

from analytics_platform import funnel_outbox
from analytics_platform.funnel_outbox import End, Worked
from analytics_platform.funnels.records import JobStatus
from analytics_platform_tests import funnel_world
from analytics_platform_tests.brevo_faults import Fault
from analytics_platform_tests.brevo_kept import Request
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.funnel_world import ANN, BOB, EVE, MINUTE, OTHER, World, people, told

PENDING, SUCCESS, DROPPED = JobStatus.PENDING, JobStatus.SUCCESS, JobStatus.DROPPED
IMPORT = "/contacts/import"

# The fixtures of these tests.
server = funnel_world.server
brevo, world = funnel_world.brevo, funnel_world.without_site


def dropping(world: World, brevo: BrevoServer, *emails: str, at: int = 1) -> None:
    """While that request is answered, somebody gives them up."""

    def drop(request: Request) -> None:
        if request.number == at:
            assert world.ledger.drop([world.job(email).id for email in emails], world.clock()) >= len(emails)

    brevo.hook = drop


def test_who_is_given_up_during_a_go_is_not_told(
    world: World, brevo: BrevoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funnel_outbox, "_AGAIN", 2)
    everybody = people(6)
    world.enter(*everybody)
    world.buy(everybody[4])
    dropping(world, brevo, everybody[3], everybody[4])
    assert world.work() == Worked(End.DONE, sent=4)
    assert told(brevo) == brevo.on(7) == [*everybody[:3], everybody[5]]
    assert [one.status for one in world.jobs()] == [SUCCESS] * 3 + [DROPPED] * 2 + [SUCCESS, DROPPED]


def test_a_purchase_that_is_given_up_during_a_go_is_not_told(
    world: World, brevo: BrevoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funnel_outbox, "_AGAIN", 1)
    world.enter(ANN, BOB)
    world.work()
    world.buy(ANN, BOB)
    bought = world.jobs(PENDING)[1]

    def drop(_request: Request) -> None:
        world.ledger.drop([bought.id], world.clock())

    brevo.hook = drop
    assert world.work() == Worked(End.DONE, sent=1)
    assert told(brevo) == [ANN, BOB, ANN]


def test_who_is_given_up_before_their_import_begins_is_not_in_it(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    world.enter(*people(3))
    world.enter(ANN, BOB, EVE, funnel=OTHER)
    dropping(world, brevo, BOB)
    assert world.work() == Worked(End.DONE, imported=5)
    assert brevo.on(8) == [ANN, EVE]
    assert world.job(BOB).status is DROPPED


def test_an_import_of_people_who_are_all_given_up_does_not_begin(world: World, brevo: BrevoServer) -> None:
    world.import_from = 2
    world.enter(*people(3))
    world.enter(ANN, BOB, EVE, funnel=OTHER)
    dropping(world, brevo, ANN, BOB, EVE)
    assert world.work() == Worked(End.DONE, imported=3)
    assert len(brevo.asked("POST", IMPORT)) == 1


def test_who_is_given_up_while_their_import_begins_stays_given_up_when_it_fails(
    world: World, brevo: BrevoServer
) -> None:
    world.import_from = 2
    brevo.faults.append(Fault("import_failed", path=IMPORT))
    world.enter(ANN, BOB, EVE)
    dropping(world, brevo, BOB)
    assert world.work() == Worked(End.DONE, sent=2)
    assert brevo.on(7) == told(brevo) == [ANN, EVE]
    assert world.job(BOB).status is DROPPED


@pytest.mark.parametrize("later", [False, True])
def test_who_is_given_up_while_their_import_begins_and_arrives_is_told_what_they_bought(
    world: World, brevo: BrevoServer, *, later: bool
) -> None:
    world.import_from = 2
    world.enter(ANN, BOB, EVE)
    world.buy(BOB)
    dropping(world, brevo, BOB)
    if later:  # it ends when another go asks
        brevo.polls = 1_000
        assert world.work() == Worked(End.DONE, importing=2)
        brevo.polls = 1
        world.clock.moment += 15 * MINUTE
    assert world.work() == Worked(End.DONE, sent=1, imported=3)
    assert told(brevo) == [BOB]
    assert {one.status for one in world.jobs()} == {SUCCESS}
