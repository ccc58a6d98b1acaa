"""`funnel adopt`: whoever the replaced script let in is let in and told of no second time, and nobody is lost."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.defs import funnel_adoption
from analytics_platform.defs.claims import gone, now
from analytics_platform.defs.funnel_adoption import Adopting, former_of, waiting
from analytics_platform.defs.liveness import alive
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.funnels.person import hashed
from analytics_platform.funnels.records import Entry, JobStatus
from analytics_platform.state.database import Database
from analytics_platform.state.held import held
from analytics_platform.state.schema import FUNNELS
from analytics_platform_tests import funnel_home
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.cli.conftest import Run
from analytics_platform_tests.former_script import FormerScript
from analytics_platform_tests.funnel_home import LANGUAGE, FunnelHome, GeneratedSite, connected
from analytics_platform_tests.mysql_service import MariaDB

# The fixtures of these tests.
site, brevo, place = funnel_home.site, funnel_home.brevo, funnel_home.place

# The server's own zone, by whose clock the script wrote when people entered.
TOKYO = ZoneInfo("Asia/Tokyo")
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.fixture
def script(site: GeneratedSite) -> Iterator[FormerScript]:
    """The script's tables beside the site's, empty."""
    with site.server.connect(site.name) as con:
        yield FormerScript(con).create()


def wall(moment: datetime) -> datetime:
    """As the script wrote it."""
    return moment.astimezone(TOKYO).replace(tzinfo=None)


def plain(moment: datetime) -> datetime:
    """As the site wrote it, whose zone is UTC here."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def test_nobody_enters_twice_and_nobody_is_lost(
    place: FunnelHome, site: GeneratedSite, script: FormerScript, brevo: BrevoServer, run: Run
) -> None:
    bought = site.truth.bought(site.truth.until)[LANGUAGE]
    everybody = site.truth.candidates(site.truth.until, timedelta(days=40))[LANGUAGE]
    people = sorted(everybody, key=lambda one: one.email in bought)
    taken = {one.email: one.taken_at for one in people}
    fresh, to_add, failed, purged, twice, buyer, untold, customer = list(taken)[:8]
    script.entered(fresh, None)
    script.entered(to_add, wall(taken[to_add]), added="pending")
    script.entered(failed, wall(taken[failed]), added="failed")
    script.entered(purged, wall(taken[purged]), added=None)
    script.entered(f" {twice.upper()}", wall(taken[twice] + MINUTE), added="pending")
    script.entered(twice, wall(taken[twice]))
    after, before = plain(taken[buyer] + MINUTE), plain(taken[customer] - MINUTE)
    script.entered(buyer, wall(taken[buyer]), bought=after, updated="success")
    script.entered(untold, wall(taken[untold]), bought=plain(taken[untold]), updated="failed")
    script.entered(customer, wall(taken[customer]), bought=before, added="pending", updated="pending")
    for other in list(taken)[8:]:
        script.entered(other, wall(taken[other]))
    nobody = script.entered("nobody at example", wall(site.truth.until))
    unknown = script.entered("somebody@example.org", wall(site.truth.until), funnel="german")
    timeless = script.entered("timeless@example.org", "0000-00-00 00:00:00")
    script.job(9_999, "upsert_contact", "pending", "gone@example.org")

    words = ("funnel", "adopt", "--zone", "Asia/Tokyo", "--home", place.path)
    look = run(*words)
    assert look.code == 0, look.err
    rows, number = len(taken) + 4, len(taken)
    assert look.out.splitlines() == [
        f"site: database {site.name} on 127.0.0.1:{site.server.port}; dry run (without --apply): nothing was written",
        f"funnel_entries: {rows} rows, times of entry in Asia/Tokyo; brevo_sync_outbox: {rows + 3} rows",
        f"language: {number} people would be adopted ({number + 1} rows), 2 with a purchase, 1 already customers "
        "(bought before they entered); 0 in the ledger already",
        "non_language: 0 people would be adopted; 0 in the ledger already",
        "outbox: 2 contacts would be added, 1 updated after a purchase; Brevo knows of the others",
        "rows of funnel_entries left out: 1 without a valid address, 1 of an unknown funnel, "
        "1 without a time of entry that can be right",
        f"those rows by id: {nobody} ({hashed('nobody at example')}, without a valid address), "
        f"{unknown} ({hashed('somebody@example.org')}, of an unknown funnel), "
        f"{timeless} ({hashed('timeless@example.org')}, without a time of entry that can be right)",
        "rows of brevo_sync_outbox left out: those of 1 entries that are not there (9999)",
    ]
    assert look.err.endswith("to do it: funnel adopt --apply (docs/funnels.md)\n")

    place.but(APP_DRY_RUN=None).settled()
    braked = run(*words, "--apply")
    assert braked.code == 1
    assert "dry run (APP_DRY_RUN is true): nothing was written" in braked.out
    assert "Error: nothing was adopted, as APP_DRY_RUN is true: APP_DRY_RUN=false does it" in braked.err
    place.settled()
    astray = run("funnel", "adopt", "--apply", "--home", place.path)
    assert astray.code == 1
    assert "Error: nothing was adopted: the newest entry was made 5" in astray.err
    assert place.files() == {place.home.settings_file.name}, "nothing was written"

    said = f"funnels: funnel_entries in database {site.name} on 127.0.0.1:{site.server.port} of a former script"
    assert said in run("doctor", "--home", place.path).out
    assert said.removeprefix("funnels: ") in run("funnel", "sync", "--dry-run", "--home", place.path).out
    done, again = run(*words, "--apply"), run(*words, "--apply")
    assert (done.code, again.code) == (0, 0), done.err + again.err
    assert f"language: {number} people adopted ({number + 1} rows), 2 with a purchase, 1 already customers" in done.out
    assert "rows of funnel_entries: done in " in done.err
    assert f"language: 0 people adopted; {number} in the ledger already" in again.out
    assert "outbox: 0 contacts are to be added, 0 updated" in again.out
    for one in (look, braked, astray, done, again):
        assert "@" not in one.out + one.err
    entries = {entry.email: entry for entry in place.entries()}
    assert len(entries) == number
    assert abs(entries.pop(fresh).entered_at - datetime.now(UTC)) < DAY
    assert all(entry.entered_at == taken[email] for email, entry in entries.items())
    assert entries[buyer].purchased_at == taken[buyer] + MINUTE
    assert entries[untold].purchased_at == taken[untold]
    assert entries[customer].customer_since == taken[customer] - MINUTE
    assert jobs(place) == {(to_add, "upsert_contact"), (failed, "upsert_contact"), (untold, "update_after_purchase")}

    assert not waiting(place.settings, ledgers_of(place.home, place.settings))
    synced = run("funnel", "sync", "--home", place.path)
    assert synced.code == 0, synced.err
    assert "language: 0 entered (list 7); " in synced.out
    assert {email for email, contact in brevo.contacts.items() if 7 in contact.lists} == {to_add, failed}
    assert brevo.contacts[untold].attributes["CERTIFICATE_PURCHASED"] == 1
    assert {row["entry_id"] for row in place.stored()} == {entry.id for entry in place.entries()}
    assert not place.jobs(JobStatus.PENDING)


def jobs(place: FunnelHome) -> set[tuple[str, str]]:
    return {(job.email, job.operation.value) for job in place.jobs()}


class Killed(BaseException):
    """Nobody catches it."""


def test_killed_half_way_it_goes_on_also_in_several_parts(
    place: FunnelHome, script: FormerScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime.now(UTC).replace(microsecond=0) - 20 * DAY
    for k in range(30):
        bought = plain(start + k * MINUTE) if k % 3 == 0 else None
        script.entered(f"p{k % 25}@example.org", wall(start + k * MINUTE), bought=bought, added="failed", updated="x")

    def adopting(home: FunnelHome, patience: int) -> Adopting:
        def tell(what: str, done: int, _total: int) -> None:
            if what == "people looked up" and done > patience:
                raise Killed

        settings = home.settings
        former = former_of(settings, TOKYO, script.entries, script.outbox)
        return Adopting(settings, ledgers_of(home.home, settings), former, tell)

    other = FunnelHome(tmp_path / "other", place.environment).settled()
    adopting(other, 99).apply(other.home)
    monkeypatch.setattr(funnel_adoption, "_WRITTEN", 3)
    monkeypatch.setattr(funnel_adoption, "_AT_ONCE", 12)
    with pytest.raises(Killed):
        adopting(place, 12).apply(place.home)
    some = place.entries()
    assert 0 < len(some) < 25
    assert {job.entry_id for job in place.jobs()} == {entry.id for entry in some}, "no entry without its jobs"
    said = waiting(place.settings, ledgers_of(place.home, place.settings))
    assert f"of a former script, {25 - len(some)} of whose people are not adopted: a first sync would let" in said
    adopting(place, 99).apply(place.home)
    assert not waiting(place.settings, ledgers_of(place.home, place.settings))
    assert place.entries()[: len(some)] == some
    assert {known(entry) for entry in place.entries()} == {known(entry) for entry in other.entries()}
    assert jobs(place) == jobs(other)
    assert len(jobs(place)) == 25 + 10


def known(entry: Entry) -> tuple[object, ...]:
    return entry.email, entry.funnel, entry.entered_at, entry.purchased_at, entry.customer_since


def test_what_cannot_be_the_scripts_is_one_sentence(mariadb: MariaDB, tmp_path: Path, run: Run) -> None:
    name = "funnel_adopt_refused"
    url = mariadb.empty_database(name)
    settings = connected(None, None, MODX_URL=mariadb.url(name, "reader"))
    place = FunnelHome(tmp_path / "home", settings).settled()

    def refused(*words: str, **changes: object) -> str:
        place.but(**changes).settled()
        done = run("funnel", "adopt", *words, "--home", place.path)
        assert (done.code, done.out) == (1, "")
        last = done.err.splitlines()[-1]
        assert last.startswith("Error: ")
        assert not any(secret in done.err for secret in place.settings.secrets)
        return last.removeprefix("Error: ")

    assert "table funnel_entries is not in database funnel_adopt_refused on " in refused("--apply")
    with mariadb.connect(name) as con:
        script = FormerScript(con).create()
        script.entered("ann@people.example", "2026-11-01 10:00:00")
        said = refused("--entries", "funnel_entrys")
        assert said.startswith("table funnel_entrys is not in database")
        assert said.endswith("name it by --entries, or grant SELECT on it")
        assert "--outbox: 'x;y' is no name of a table" in refused("--outbox", "x;y")
        assert "table funnel_entries in" in (said := refused("--outbox", "funnel_entries"))
        assert "has no column funnel_entry_id" in said
        script.run("ALTER TABLE funnel_entries MODIFY entered_at VARCHAR(20)")
        assert "column funnel_entries.entered_at (varchar) in" in refused("--apply")
        script.create()
        assert "FUNNEL_DATABASE_URL names database funnel_adopt_refused" in refused("--apply", FUNNEL_DATABASE_URL=url)
        assert not place.home.state.exists()

        # As that sentence advises: under other names, beside our own.
        script.run("RENAME TABLE funnel_entries TO old_entries, brevo_sync_outbox TO old_outbox")
        FormerScript(con, "old_entries", "old_outbox").entered("ann@people.example", "2026-11-01 10:00:00")
        beside = place.but(FUNNEL_DATABASE_URL=url).settled()
        Database(url, FUNNELS).prepare()
        said = refused("--apply", FUNNEL_DATABASE_URL=None)
        assert said.startswith("funnel_entries and brevo_sync_outbox in database funnel_adopt_refused on ")
        assert "the funnels' own, not the script's, as funnel_revision beside says" in said
        words = ("funnel", "adopt", "--apply", "--entries", "old_entries", "--outbox", "old_outbox")
        beside.settled()
        with alive(beside.home, "terminal-other") as owner, held(beside.ledger, owner, now, gone):
            taken = run(*words, "--home", beside.path)
        assert (taken.code, taken.out) == (1, "")
        assert "Error: e-mail funnels: run terminal-other (process " in taken.err
        assert beside.entries() == []
        assert run(*words, "--home", beside.path).code == 0
        assert [entry.entered_at for entry in beside.entries()] == [datetime(2026, 11, 1, 10, tzinfo=UTC)]
    wrong = run("funnel", "adopt", "--zone", "Mars", "--home", place.path)
    assert wrong.code == 2
    assert "'Mars' is not an IANA time zone" in wrong.err
