"""A sync of e-mail funnels as a run: what it writes, what it says, what a dry run leaves alone, when it starts."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from pydantic import SecretStr

from analytics_platform.defs.claims import now
from analytics_platform.defs.funnel_syncs import Syncing, braked
from analytics_platform.defs.funnels import JOB, funnel_job, funnel_schedules
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.funnels.records import Entry, JobStatus, Operation
from analytics_platform.settings import Home, Settings
from analytics_platform.simulate.modx_site import Later, Person
from analytics_platform.sources.modx import LeftOut, ModxSite, SiteBusyError, parse_names
from analytics_platform_tests import funnel_home
from analytics_platform_tests.brevo_server import BrevoServer, brevo_server
from analytics_platform_tests.funnel_home import (
    LANGUAGE,
    OTHER,
    FunnelHome,
    GeneratedSite,
    Synced,
    connected,
    written,
)
from analytics_platform_tests.mysql_service import MariaDB

STAGES = {f"funnels/{name}" for name in ("entries", "purchases", "outbox", "conversions")}


# The fixtures of these tests.
whole_site, brevo = funnel_home.site, funnel_home.brevo


@pytest.fixture
def site(whole_site: GeneratedSite) -> Iterator[GeneratedSite]:
    """That site; payments of a test are gone after it."""
    with whole_site.kept() as kept:
        yield kept


@pytest.fixture
def empty(site: GeneratedSite, brevo: BrevoServer, tmp_path: Path) -> FunnelHome:
    """A home that never synced, whose settings let it write."""
    return FunnelHome(tmp_path / "home", connected(site, brevo))


@dataclass(frozen=True)
class Story:
    """A dry run, the first sync, one with nothing new, one after people bought; what was there after each."""

    place: FunnelHome
    site: GeneratedSite
    later: Later
    dry: Synced
    first: Synced
    again: Synced
    bought: Synced
    entries: tuple[list[Entry], ...]
    stored: tuple[list[dict[str, object]], ...]
    requests: tuple[int, ...]
    brevo: BrevoServer

    @property
    def entering(self) -> dict[str, tuple[list[Person], list[Person]]]:
        """The truth at the moment of the first sync: who is written to, who is a customer already."""
        return {kind.value: both for kind, both in self.site.truth.entering(self.entries[0][0].entered_at).items()}


@pytest.fixture(scope="module")
def story(whole_site: GeneratedSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with brevo_server() as brevo:
        place = FunnelHome(tmp_path_factory.mktemp("story") / "home", connected(whole_site, brevo))
        entries, stored, requests = [], [], []

        def keep(done: Synced) -> Synced:
            entries.append(place.entries())
            stored.append(place.stored())
            requests.append(len(written(brevo)))
            return done

        with whole_site.kept() as site:
            dry = place.sync(dry_run=True)
            first, again = keep(place.sync()), keep(place.sync())
            written_to = [(e.email, e.funnel) for e in entries[0] if e.customer_since is None]
            later = site.truth.later(written_to, entries[0][0].entered_at)
            site.pay(*later.payments)
            bought = keep(place.sync())
        kept = tuple(entries), tuple(stored), tuple(requests)
        yield Story(place, site, later, dry, first, again, bought, *kept, brevo)


# ------------------------------------------------------------------ what a sync does


def test_a_first_sync_comes_to_what_is_true_of_the_site(story: Story) -> None:
    assert story.first.success
    assert set(story.first.made) == STAGES
    for kind, (written_to, customers) in story.entering.items():
        entries = [entry for entry in story.entries[0] if entry.funnel == kind]
        assert {e.email for e in entries if e.customer_since is None} == {person.email for person in written_to}
        assert {e.email for e in entries if e.customer_since is not None} == {person.email for person in customers}
        figures = story.first.made["funnels/entries"]
        assert figures[f"{kind}: entered"] == len(written_to) > 10
        assert figures[f"{kind}: already customers"] == len(customers) > 0
    everybody = sum(len(written_to) for written_to, _ in story.entering.values())
    assert story.first.made["funnels/outbox"]["imported"] == everybody
    assert set(story.brevo.on(7)) == {person.email for person in story.entering[LANGUAGE][0]}
    assert set(story.brevo.on(8)) == {person.email for person in story.entering[OTHER][0]}


def test_what_a_dry_run_says_is_what_the_sync_then_does(story: Story) -> None:
    assert story.dry.made == {}
    said, did = story.dry.seen["funnels/entries"], story.first.made["funnels/entries"]
    assert {name.replace("would enter", "entered"): said[name] for name in said if name != "dry run"} == did
    assert story.dry.seen["funnels/outbox"]["to be added"] == story.first.made["funnels/outbox"]["imported"]
    assert "would enter (list 7)" in said["dry run"]
    assert re.search(r"language: the first are [0-9a-f]{12}, ", said["dry run"])


def test_the_first_sync_that_writes_says_so_and_only_that_one(story: Story) -> None:
    line = "APP_DRY_RUN is false, and this is the first sync that writes: entries are kept, and Brevo is told"
    assert line in story.first.logs
    assert not any(line in done.logs for done in (story.dry, story.again, story.bought))


def test_a_second_sync_changes_nothing(story: Story) -> None:
    assert story.again.success
    assert story.entries[1] == story.entries[0]
    assert story.stored[1] == story.stored[0]
    assert story.requests[1] == story.requests[0] == 2, "one import a list"
    assert story.again.made["funnels/entries"]["language: entered"] == 0
    assert story.again.made["funnels/conversions"]["days"] == 0


def test_every_purchase_in_time_is_found_and_told_and_no_other(story: Story) -> None:
    assert story.bought.success
    found = {(e.email, e.funnel): e.purchased_at for e in story.entries[2] if e.purchased_at}
    assert found == story.later.purchased
    assert len(found) > 10
    counted = Counter(funnel for _, funnel in found)
    figures = story.bought.made["funnels/purchases"]
    assert {kind: figures[f"{kind}: purchased"] for kind in (LANGUAGE, OTHER)} == counted
    told = {email for email, kept in story.brevo.contacts.items() if kept.attributes.get("CERTIFICATE_PURCHASED") == 1}
    assert told == {email for email, _ in found}
    assert story.brevo.ignored == []


def test_the_warehouse_has_what_the_ledger_has(story: Story) -> None:
    for entries, rows in zip(story.entries, story.stored, strict=True):
        assert [
            {
                "event_date": entry.entered_at.date(),
                "entry_id": entry.id,
                "funnel_type": entry.funnel.value,
                "test_id": entry.test_id,
                "entered_at": entry.entered_at.replace(tzinfo=None),
                "seconds_to_purchase": entry.purchased_at
                and (entry.purchased_at - entry.entered_at) // timedelta(seconds=1),
                "already_customer": entry.customer_since is not None,
            }
            for entry in entries
        ] == rows
    assert story.bought.made["funnels/conversions"]["dagster/row_count"] == len(story.entries[2])


def test_no_address_and_no_secret_is_in_any_word_of_any_run(story: Story) -> None:
    secrets = (*story.place.settings.secrets, "example.org", "stand-in.example")
    for done in (story.dry, story.first, story.again, story.bought):
        assert "@" not in done.told
        assert not any(secret in done.told for secret in secrets)


# ----------------------------------------------------------------------- dry runs


@pytest.mark.parametrize("by", ["the default", "the form"])
def test_a_dry_run_leaves_no_trace(empty: FunnelHome, brevo: BrevoServer, by: str) -> None:
    place = empty.but(APP_DRY_RUN=None) if by == "the default" else empty
    done = place.sync(dry_run=by == "the form")
    assert done.success
    why = "APP_DRY_RUN" if by == "the default" else "dry_run"
    assert done.logs[0] == f"dry run ({why} is true): nothing is written"
    assert done.made == {}
    assert set(done.seen) == STAGES - {"funnels/conversions"}
    assert place.files() == set()
    assert {(r.method, r.path) for r in brevo.requests} == {("GET", "/contacts/lists/7"), ("GET", "/contacts/lists/8")}


@pytest.mark.parametrize("line", ["app_dry_run=true", "export APP_DRY_RUN='Yes' # stop"])
def test_a_server_that_runs_heeds_the_brake_at_once(
    empty: FunnelHome, brevo: BrevoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"{line}\n", "utf-8")
    done = empty.sync()  # its settings are of when it was started: APP_DRY_RUN=false
    assert done.logs[0] == "dry run (APP_DRY_RUN is true): nothing is written"
    assert done.made == {}
    (tmp_path / ".env").write_text("APP_DRY_RUN=false\n", "utf-8")
    assert empty.sync().made


@pytest.mark.parametrize(
    ("there", "here", "stops"),
    [
        ("true", None, True),
        ("true", "false", False),
        ("false", "true", True),
        (None, None, False),
        ("", "", False),
        (None, "treu", True),
        ("TRUE", None, True),
        (None, "1", True),
        ("1", "Off", False),
        (None, "0", False),
    ],
)
def test_of_two_files_the_one_that_counts_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str | None, here: str | None, stops: bool
) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    monkeypatch.chdir(tmp_path)
    for path, value in ((home.settings_file, there), (tmp_path / ".env", here)):
        if value is not None:
            path.write_text(f"APP_DRY_RUN={value}\n", "utf-8")
    assert braked(home) is stops


def test_what_is_for_information_only_makes_no_sync_red(empty: FunnelHome) -> None:
    class Slow(ModxSite):
        def taken_counts(self, since: datetime) -> LeftOut:
            raise SiteBusyError("the site does not answer now")

    settings = empty.settings
    assert settings.modx_url
    slow = Slow(settings.modx_url, parse_names(), settings.modx_zone)
    syncing = Syncing(settings, ledgers_of(empty.home, settings), lambda: empty.warehouse, lambda *_: None)
    assert syncing.left_out(slow) == ["tests left out: could not be counted (the site does not answer now)"]


def test_a_dry_run_says_what_is_wrong_with_brevo(empty: FunnelHome) -> None:
    done = empty.but(APP_DRY_RUN="true", BREVO_LANGUAGE_LIST_ID=70).sync()
    assert done.success
    [wrong] = [line for line in done.logs if line.startswith("no contact could be added: ")]
    assert "number 70" in wrong


def test_a_site_whose_clock_is_ahead_is_told_of(empty: FunnelHome) -> None:
    ledgers, past = ledgers_of(empty.home, empty.settings), now() - timedelta(days=20)
    entered, *_ = Syncing(empty.settings, ledgers, lambda: empty.warehouse, lambda *_: None, past).preview()
    [ahead] = [line for line in entered.lines if "minutes from now" in line]
    assert ahead.endswith("is MODX_TIMEZONE right?")


def test_a_dry_run_on_a_ledger_changes_nothing_in_it(story: Story, tmp_path: Path) -> None:
    place = FunnelHome(shutil.copytree(story.place.path, tmp_path / "home"), story.place.environment)
    before, standing = place.entries(), place.ledger.standing()
    assert place.but(APP_DRY_RUN="true").sync().success
    assert (place.entries(), place.ledger.standing()) == (before, standing)


def test_no_key_and_no_brevo_are_needed_for_a_dry_run(site: GeneratedSite, tmp_path: Path) -> None:
    settings = connected(site, None, APP_DRY_RUN="true", BREVO_LANGUAGE_LIST_ID=7)
    done = FunnelHome(tmp_path / "home", settings).sync()
    assert done.success
    assert any("would enter (list 7)" in line for line in done.logs)
    assert "non_language: nobody enters, as BREVO_NON_LANGUAGE_LIST_ID is 0" in done.logs


def test_funnels_may_keep_their_tables_in_a_database_of_their_own(
    empty: FunnelHome, brevo: BrevoServer, mariadb: MariaDB
) -> None:
    def tables() -> int:
        with mariadb.connect("funnels_own") as con, con.cursor() as ask:
            return ask.execute("SHOW TABLES")

    place = empty.but(FUNNEL_DATABASE_URL=mariadb.empty_database("funnels_own"), FUNNEL_BATCH=2)
    assert place.sync(dry_run=True).success
    assert tables() == 0
    done = place.sync()
    assert done.success, done.failures
    assert tables() > 3
    assert set(brevo.contacts) == {entry.email for entry in place.entries() if entry.customer_since is None}
    assert [row["entry_id"] for row in place.stored()] == sorted(entry.id for entry in place.entries())
    assert not any(secret in done.told for secret in place.settings.secrets)


# ----------------------------------------------------------------------- both lists 0


def test_without_lists_nobody_enters_and_no_key_is_needed(site: GeneratedSite, tmp_path: Path) -> None:
    place = FunnelHome(tmp_path / "home", connected(site, None))
    done = place.sync()
    assert done.success, done.failures
    assert "both lists are 0, so nobody enters a funnel; purchases of those who did are followed" in done.logs
    assert "outbox: nothing to be told" in done.logs
    assert place.entries() == []


def test_without_lists_purchases_are_still_followed(empty: FunnelHome, brevo: BrevoServer, site: GeneratedSite) -> None:
    assert empty.but(FUNNEL_BATCH=3).sync().success
    entered = [(e.email, e.funnel) for e in empty.entries() if e.customer_since is None]
    later = site.truth.later(entered, empty.entries()[0].entered_at)
    site.pay(*later.payments)
    off = empty.but(BREVO_LANGUAGE_LIST_ID=0, BREVO_NON_LANGUAGE_LIST_ID=0)
    keyless = off.but(BREVO_API_KEY=None).sync()
    lacking = (
        "outbox: BREVO_API_KEY is not set: without it no contact gets on a list (docs/funnels.md); "
        "nobody was told anything; all of it is kept for the next sync",
    )
    assert keyless.failures == lacking
    assert {(e.email, e.funnel): e.purchased_at for e in empty.entries() if e.purchased_at} == later.purchased
    assert len(empty.jobs(JobStatus.PENDING)) == len(later.purchased)
    assert off.but(BREVO_API_KEY=None).sync().failures == lacking, "and all the rest is done all the same"
    assert off.sync().success
    told = {email for email, kept in brevo.contacts.items() if kept.attributes.get("CERTIFICATE_PURCHASED") == 1}
    assert told == {email for email, _ in later.purchased}
    assert {job.operation for job in empty.jobs(JobStatus.SUCCESS)} == set(Operation)


# ----------------------------------------------------------------------- the schedule


def test_the_schedule_is_off_until_somebody_switches_it_on() -> None:
    [schedule] = funnel_schedules(Settings(funnel_every_minutes=30), funnel_job())
    assert schedule.name == "funnels_now_and_then"
    assert schedule.cron_schedule == "*/30 * * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_the_schedule_asks_for_one_sync_at_a_time() -> None:
    moment = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    job = funnel_job()
    [idle] = funnel_schedules(Settings(), job)
    [schedule] = funnel_schedules(Settings(modx_url=SecretStr("mysql://reader:word@db.example/site")), job)
    with (
        dg.instance_for_test() as instance,
        dg.build_schedule_context(instance=instance, scheduled_execution_time=moment) as context,
    ):
        assert idle.evaluate_tick(context).skip_message == "MODX_URL is not set"
        [request] = schedule.evaluate_tick(context).run_requests or []
        assert request.run_key == "funnel_sync@2026-11-22T10:15"
        run = dg.DagsterRun(JOB, str(uuid4()), status=dg.DagsterRunStatus.STARTED)
        instance.add_run(run)
        assert schedule.evaluate_tick(context).skip_message == f"run {run.run_id[:8]} is still at it"
        instance.report_run_failed(run)
        assert schedule.evaluate_tick(context).run_requests
