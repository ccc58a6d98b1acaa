"""A sync when something is wrong: the site, the key, a list, a contact, another sync, the warehouse."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from analytics_platform.defs.claims import gone, now
from analytics_platform.defs.failures import FOREGROUND
from analytics_platform.defs.funnel_syncs import tell_owners
from analytics_platform.defs.liveness import alive
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.funnels.records import JobStatus
from analytics_platform.state.held import held
from analytics_platform.warehouses.base import Warehouse, WarehouseError
from analytics_platform_tests import funnel_home
from analytics_platform_tests.brevo_faults import Fault
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.funnel_home import NOWHERE, FunnelHome, GeneratedSite, connected, few_at_a_time, written

KEPT = "nobody was told anything; all of it is kept for the next sync"
STAGES = {f"funnels/{name}" for name in ("entries", "purchases", "outbox", "conversions")}

# The fixtures of these tests.
site, brevo = funnel_home.site, funnel_home.brevo


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> FunnelHome:
    return FunnelHome(tmp_path_factory.mktemp("prepared") / "home", connected(None, None)).prepared()


@pytest.fixture
def place(prepared: FunnelHome, site: GeneratedSite, brevo: BrevoServer, tmp_path: Path) -> FunnelHome:
    """A home that never synced; two people a funnel enter at a time, each told of alone."""
    return prepared.copied(tmp_path / "home", **few_at_a_time(site, brevo))


def problems(place: FunnelHome) -> dict[str, str]:
    """What owners are to hear, by kind."""
    return {one.kind: one.text for one in ledgers_of(place.home, place.settings).problems.open()}


class Broken:
    """A warehouse that cannot store, and says so in words of its own."""

    def __init__(self, warehouse: Warehouse, error: Exception) -> None:
        self._warehouse, self._error = warehouse, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    def store_day(self, *_: object) -> int:
        raise self._error


# ---------------------------------------------------------------------------------- Brevo


def test_with_a_wrong_key_nobody_is_told_and_the_right_one_makes_up_for_it(
    place: FunnelHome, brevo: BrevoServer
) -> None:
    done = place.but(BREVO_API_KEY="xkeysib-of-somebody-else").sync()
    assert not done.success
    assert done.retries == 0, "only a person can help"
    [failure] = done.failures
    assert failure.startswith("outbox: ")
    assert "BREVO_API_KEY" in failure
    assert failure.endswith(KEPT)
    assert "\n" not in failure
    assert set(done.made) == STAGES - {"funnels/outbox"}
    assert written(brevo) == []
    entered = [entry for entry in place.entries() if entry.customer_since is None]
    assert len(place.jobs(JobStatus.PENDING)) == len(entered) > 0
    assert "xkeysib" not in done.told
    assert place.sync().success
    assert {entry.email for entry in entered} <= set(brevo.contacts)
    assert place.jobs(JobStatus.PENDING) == []


def test_of_a_list_that_does_not_exist_nothing_is_sent_and_the_right_one_gets_all(
    place: FunnelHome, brevo: BrevoServer
) -> None:
    done = place.but(BREVO_LANGUAGE_LIST_ID=99).sync()
    assert not done.success
    [failure] = done.failures
    assert "number 99" in failure
    assert failure.endswith(KEPT)
    assert written(brevo) == []
    waiting = {job.email for job in place.jobs(JobStatus.PENDING)}
    done = place.sync()
    assert done.success, done.failures
    assert waiting <= set(brevo.contacts)
    assert all(kept.lists <= {7, 8} for kept in brevo.contacts.values())
    assert brevo.on(7)


def test_a_home_without_a_key_begins_nothing(place: FunnelHome, brevo: BrevoServer) -> None:
    done = place.but(BREVO_API_KEY=None).sync()
    assert done.failures == ("BREVO_API_KEY is not set: without it no contact gets on a list (docs/funnels.md).",)
    assert place.entries() == []
    assert place.ledger.standing().last_started_at is None
    assert brevo.requests == []


def test_a_refused_contact_is_a_problem_until_it_was_taken(place: FunnelHome, brevo: BrevoServer) -> None:
    brevo.faults.append(Fault("invalid", path="/contacts", method="POST"))
    done = place.sync()
    assert done.success, "the others were told"
    assert done.made["funnels/outbox"]["refused"] == 1
    assert "@" not in done.told
    [job] = place.jobs(JobStatus.FAILED)
    assert problems(place) == {
        "refused": "contacts that Brevo did not take: 1; which and why: "
        "`analytics-platform funnel outbox list --status failed`"
    }
    assert place.sync().success
    assert len(problems(place)) == 1, "still so"
    assert place.ledger.retry([job.id], datetime.now(UTC)) == 1
    assert place.sync().success
    assert problems(place) == {}
    assert job.email in brevo.contacts


def test_while_brevo_is_down_people_enter_and_the_run_is_tried_again(place: FunnelHome, brevo: BrevoServer) -> None:
    brevo.faults.append(Fault("retry_after", path="/contacts/lists/*", times=0, value=3600))
    done = place.sync()
    assert not done.success
    assert done.retries == 2, "by itself, as the daemon does it"
    assert place.jobs(JobStatus.PENDING)
    assert any(line.startswith("outbox: ") and line.endswith(KEPT) for line in done.logs)
    brevo.faults.clear()
    assert place.sync().success
    assert place.jobs(JobStatus.PENDING) == []


def test_what_waits_for_an_hour_is_a_problem(place: FunnelHome, site: GeneratedSite) -> None:
    closed = place.but(BREVO_API_KEY="xkeysib-of-somebody-else")
    assert not closed.sync().success
    assert problems(place) == {}
    tell_owners(ledgers_of(place.home, closed.settings), closed.settings.funnel_plan, now() + timedelta(minutes=61))
    assert problems(place)["waiting"].startswith("contacts that wait for Brevo: ")


# --------------------------------------------------------------------------------- the site


@dataclass(frozen=True)
class Cut:
    """How a run without the site ended."""

    tags: dict[str, str]
    retries: int


@pytest.mark.parametrize("cut", [Cut({}, 2), Cut({FOREGROUND: "true"}, 0)], ids=["daemon", "terminal"])
def test_without_the_site_the_outbox_still_goes_and_is_published(
    place: FunnelHome, brevo: BrevoServer, cut: Cut
) -> None:
    assert not place.but(BREVO_API_KEY="xkeysib-of-somebody-else").sync().success
    finished = place.ledger.standing().published_until
    assert finished
    done = place.but(MODX_URL=NOWHERE).sync(tags=cut.tags, owners=True)
    assert not done.success
    assert done.retries == cut.retries
    assert done.made["funnels/outbox"]["waiting"] == 0
    assert "funnels/conversions" in done.made
    assert not {"funnels/entries", "funnels/purchases"} & set(done.made)
    assert len(brevo.contacts) == len({job.email for job in place.jobs(JobStatus.SUCCESS)}) > 0
    assert place.ledger.standing().published_until == finished, "what happened since is not known"
    assert "of-the-site" not in done.told
    assert "127.0.0.1:1" in problems(place)["failed"], "owners hear what is wrong"
    if cut.tags:
        [failure] = done.failures
        assert failure.startswith("entries: ")
        assert len(failure.splitlines()) == 1, "it is asked and waited for once"


def test_a_password_that_is_wrong_is_red_at_once_and_not_shown(place: FunnelHome) -> None:
    url = place.environment["MODX_URL"]
    word = url.partition("reader:")[2].partition("@")[0]
    done = place.but(MODX_URL=url.replace(word, "not-this-one")).sync()
    assert not done.success
    assert done.retries == 0
    assert "the user or the password is not accepted" in done.failures[0]
    assert "not-this-one" not in done.told


def test_a_dry_run_without_the_site_says_why(tmp_path: Path) -> None:
    place = FunnelHome(tmp_path / "home", connected(None, None, MODX_URL=NOWHERE, BREVO_LANGUAGE_LIST_ID=7))
    done = place.sync(dry_run=True, tags={FOREGROUND: "true"})
    assert not done.success
    assert "127.0.0.1:1" in done.failures[0]
    assert place.files() == set()


# ------------------------------------------------------------------------------ another sync


def test_a_second_sync_at_the_same_time_does_nothing_and_is_green(place: FunnelHome, brevo: BrevoServer) -> None:
    with alive(place.home, "terminal-other") as owner, held(place.ledger, owner, now, gone):
        done = place.sync()
    assert done.success
    assert done.made == {}
    [line] = done.logs
    assert line.startswith("nothing was done: e-mail funnels: run terminal-other (process ")
    assert brevo.requests == []
    assert place.entries() == []


def test_the_lease_of_a_process_that_is_gone_is_free(place: FunnelHome) -> None:
    with alive(place.home, "terminal-killed") as owner:
        place.ledger.take(owner, now(), timedelta(minutes=10), gone)
    assert place.sync().made.keys() == STAGES


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WarehouseError("the disk is full: make room"), "the disk is full: make room"),
        (KeyError("ann@example.org"), "KeyError: '<address 438c4c7afe60>'"),
    ],
    ids=["known", "unforeseen"],
)
def test_an_error_in_the_middle_is_red_and_told_without_an_address_and_the_next_sync_makes_up_for_it(
    place: FunnelHome, brevo: BrevoServer, error: Exception, said: str
) -> None:
    done = place.sync(owners=True, warehouse=cast(Warehouse, Broken(place.warehouse, error)))
    assert not done.success
    assert done.retries == 0
    assert done.failures == (said,)
    assert "ann@example.org" not in done.told
    assert problems(place)["failed"] == f"sync_funnels: {said}"
    assert set(done.made) == STAGES - {"funnels/conversions"}
    assert place.days() == []

    entered = len(place.entries())
    assert place.sync().success
    assert len(place.stored()) == len(place.entries()) > entered
    assert len(written(brevo)) == len(place.jobs(JobStatus.SUCCESS)), "nobody was told twice"
