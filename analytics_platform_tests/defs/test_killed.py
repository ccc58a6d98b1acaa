"""A process killed while it delivers a report: the next look at deliveries goes on with it at once.

Belongs here: what is left at each step, made by the calls of a run (`defs/reports.py`). Does not: killing real
processes (`cli/test_once.py`).
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from analytics_platform.cadence import Period
from analytics_platform.defs import deliveries
from analytics_platform.defs.liveness import this_host
from analytics_platform.defs.office import Office
from analytics_platform.delivery import Parcel
from analytics_platform.messages import Text
from analytics_platform.settings import Home, Settings
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import State
from analytics_platform.state.runs import DIED, DIED_DELIVERING, Status
from analytics_platform_tests.recording import Recording, office_of

TOPIC, DAY = "feed_daily", date(2026, 3, 11)
NOW, LEASE = datetime(2026, 3, 12, 8, 0, tzinfo=UTC), timedelta(minutes=60)
STEPS = CLAIMED, BEGUN, HANDED_OVER, BEING_SENT, SENT = ("claimed", "begun", "handed over", "being sent", "sent")
LEFT_BEHIND = f"{TOPIC} {DAY}: 1 left behind by a process that ended"


@pytest.fixture
def channel() -> Recording:
    return Recording(repeatable=True)


@pytest.fixture
def office(tmp_path: Path, channel: Recording) -> Office:
    made = office_of(Home(tmp_path / "home"), Settings(), [channel])
    made.clock = lambda: NOW
    return made


def owner(office: Office, *, dead: bool) -> Owner:
    """The lock file of a dead one is there, and nobody holds it."""
    lock = office.home.path / "run.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    return Owner("killed" if dead else "alive", this_host(), 1, str(lock) if dead else "")


def deliver_up_to(step: str, office: Office, owner: Owner) -> None:
    """What a run writes down until it has come to that step, and not a word more."""
    wanted = STEPS[: STEPS.index(step) + 1]
    runs, ledger = office.ledgers.runs, office.ledgers.deliveries
    runs.claim(TOPIC, Period(DAY, DAY), owner, NOW, lease=LEASE, gone=lambda _: False)
    if BEGUN in wanted:
        runs.delivering(TOPIC, DAY, owner, NOW, delivery=str(DAY), becomes=Status.DELIVERED)
    if HANDED_OVER in wanted:
        parcel = Parcel(TOPIC, str(DAY), {"en": (Text("Feed"),)})
        [part] = office.post.hand_over(parcel, office.recipients(TOPIC)).parts
        if BEING_SENT in wanted:
            assert ledger.begin(part.id, owner, NOW, lease=LEASE, gone=lambda _: False)
        if SENT in wanted:
            ledger.end(part.id, owner, State.SENT, NOW)


@pytest.mark.parametrize(
    ("step", "said", "after"),
    [
        (CLAIMED, [f"{TOPIC} {DAY}: {DIED}"], (Status.READY, 0)),
        (BEGUN, [f"{TOPIC} {DAY}: {DIED_DELIVERING}", f"{TOPIC} {DAY}: ready"], (Status.READY, 0)),
        (HANDED_OVER, [f"{TOPIC} {DAY}: {DIED_DELIVERING}"], (Status.DELIVERED, 1)),
        (BEING_SENT, [f"{TOPIC} {DAY}: {DIED_DELIVERING}", LEFT_BEHIND], (Status.DELIVERED, 1)),
        (SENT, [f"{TOPIC} {DAY}: {DIED_DELIVERING}", f"{TOPIC} {DAY}: delivered"], (Status.DELIVERED, 0)),
    ],
)
def test_one_look_and_one_go_finish_what_a_killed_run_left(
    office: Office, channel: Recording, step: str, said: list[str], after: tuple[Status, int]
) -> None:
    deliver_up_to(step, office, owner(office, dead=True))
    assert deliveries.see_to(office, NOW) == said
    deliveries.send_due(office, owner(office, dead=False), NOW)
    entry = office.ledgers.runs.entry(TOPIC, DAY)
    assert entry
    assert (entry.status, len(channel.sent)) == after
    assert deliveries.see_to(office, NOW) == [], "nothing is left for a second look"


def test_owners_hear_of_a_killed_run_only_when_its_report_is_made_again(office: Office) -> None:
    deliver_up_to(CLAIMED, office, owner(office, dead=True))
    deliveries.see_to(office, NOW)
    [problem] = office.ledgers.problems.open()
    assert (problem.subject, problem.text) == (f"report {TOPIC} {DAY}", f"{DIED}; it is run again")
    resumed = owner(office, dead=True)
    office.ledgers.runs.claim(TOPIC, Period(DAY, DAY), resumed, NOW, lease=LEASE, gone=lambda _: False)
    office.ledgers.runs.delivering(TOPIC, DAY, resumed, NOW, delivery=str(DAY), becomes=Status.DELIVERED)
    deliveries.see_to(office, NOW)
    assert office.ledgers.problems.open() == [problem], "what became of the delivery is told by itself"


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_lives_is_left_alone_at_every_step(office: Office, channel: Recording, step: str) -> None:
    deliver_up_to(step, office, owner(office, dead=False))
    assert deliveries.see_to(office, NOW) == []
    assert deliveries.due(office, NOW) == []
    entry = office.ledgers.runs.entry(TOPIC, DAY)
    assert entry
    assert entry.status is Status.RUNNING
    assert channel.sent == []


def test_a_silent_run_that_has_lost_its_lease_is_gone_on_with(office: Office, channel: Recording) -> None:
    """Its file is held for a person, as it may have arrived."""
    channel.repeatable = False
    deliver_up_to(BEING_SENT, office, owner(office, dead=False))
    lines = deliveries.see_to(office, NOW + LEASE)
    assert lines == [f"{TOPIC} {DAY}: {DIED_DELIVERING}", LEFT_BEHIND, f"{TOPIC} {DAY}: failed"]
    assert channel.sent == []
