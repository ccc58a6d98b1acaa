"""`funnel sync` and `funnel outbox`: what they do and print, what they leave alone, what a kill leaves."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from analytics_platform.defs.claims import gone, now
from analytics_platform.defs.funnels import KEYS
from analytics_platform.defs.liveness import alive
from analytics_platform.defs.running import instance_of
from analytics_platform.funnels.person import hashed
from analytics_platform.funnels.records import JobStatus
from analytics_platform.state.held import held
from analytics_platform_tests import funnel_home
from analytics_platform_tests.brevo_faults import Fault
from analytics_platform_tests.brevo_server import BrevoServer, brevo_server
from analytics_platform_tests.cli.conftest import Done, Run, aside, table
from analytics_platform_tests.funnel_home import NOWHERE, FunnelHome, GeneratedSite, connected, written

# The fixtures of these tests.
site, brevo, place = funnel_home.site, funnel_home.brevo, funnel_home.place


@dataclass(frozen=True)
class Story:
    """A dry run, a sync and another one; `first` as it was after the sync."""

    place: FunnelHome
    dry: Done
    first: Done
    again: Done
    requests: int


@pytest.fixture(scope="module")
def story(site: GeneratedSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    with brevo_server() as brevo:
        made = FunnelHome(folder / "home", connected(site, brevo, FUNNEL_BATCH=3, BREVO_IMPORT_FROM=500))
        place = made.settled()
        dry = aside(folder, "funnel", "sync", "--dry-run", "--home", place.path)
        files = place.files()
        assert files == {place.home.settings_file.name}, "nothing was written"
        first = aside(folder, "funnel", "sync", "--home", place.path)
        requests = len(written(brevo))
        again = aside(folder, "funnel", "sync", "--home", place.path)
        yield Story(place, dry, first, again, requests)


# -------------------------------------------------------------------------------- sync


def test_a_dry_run_says_what_would_be_done(story: Story, site: GeneratedSite) -> None:
    lines = story.dry.out.splitlines()
    assert story.dry.code == 0
    assert lines[0].startswith(f"site: database {site.name} on 127.0.0.1:")
    assert lines[0].endswith("; dry run (--dry-run): nothing was written")
    assert lines[1].startswith("language: 3 would enter (list 7)") or "already customers" in lines[1]
    assert any(line.startswith("tests left out: ") and " without an e-mail" in line for line in lines)
    assert lines[-3].endswith(" wait already")
    assert lines[-2:] == ["language: list 7 is Language tests", "non_language: list 8 is Other tests"]


def test_a_sync_says_what_it_did_and_the_ui_shows_it(story: Story) -> None:
    assert story.first.code == 0, story.first.err
    lines = story.first.out.splitlines()
    assert not lines[0].endswith("nothing was written")
    assert lines[1].startswith("APP_DRY_RUN is false, and this is the first sync that writes")
    assert f"outbox: {story.requests} sent" in lines
    assert lines[-1].startswith("conversions: 1 day brought up to date in the warehouse, ")
    with instance_of(story.place.home) as instance:
        for key in KEYS.values():
            event = instance.get_latest_materialization_event(key)
            assert event
            assert event.asset_materialization
            assert event.asset_materialization.metadata
    assert "this is the first sync" not in story.again.out


def test_no_address_and_no_secret_is_printed_or_kept_in_the_ui(story: Story, run: Run) -> None:
    listed = run("funnel", "outbox", "list", "--status", "success", "--home", story.place.path)
    counted = run("funnel", "conversions", "--from-date", "2026-01-01", "--home", story.place.path)
    for done in (story.dry, story.first, story.again, listed, counted):
        assert "@" not in done.out + done.err
        assert not any(secret in done.out + done.err for secret in story.place.settings.secrets)
    files = [path for path in story.place.home.dagster.rglob("*") if path.is_file()]
    files += [story.place.home.results]
    assert len(files) > 3
    for path in files:
        content = path.read_bytes()
        assert b"@example.org" not in content, path
        assert not any(secret.encode() in content for secret in story.place.settings.secrets), path


def test_while_it_is_not_switched_on_a_sync_only_says(place: FunnelHome, brevo: BrevoServer, run: Run) -> None:
    place.but(APP_DRY_RUN=None).settled()
    done = run("funnel", "sync", "--home", place.path)
    assert done.code == 0
    assert "dry run (APP_DRY_RUN is true): nothing was written" in done.out
    assert done.err.endswith("to do it: APP_DRY_RUN=false (docs/funnels.md)\n")
    assert place.files() == {place.home.settings_file.name}
    assert {request.method for request in brevo.requests} == {"GET"}


def test_a_home_without_a_site_says_which_setting_names_it(tmp_path: Path, run: Run) -> None:
    done = run("funnel", "sync", "--home", tmp_path / "home")
    assert done.code == 1
    assert done.err.endswith("Error: MODX_URL is not set: it names the site's database (docs/funnels.md).\n")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("MODX_URL", "http://reader:of-the-site@host/site", "MODX_URL begins with neither mysql:// nor mariadb://"),
        ("MODX_URL", "mysql://reader:of-the-site@host", "MODX_URL names no database"),
        ("MODX_MAPPING", "visitors=people", "MODX_MAPPING: 'visitors' is no table or column"),
        ("FUNNEL_DATABASE_URL", "mysql://own:of-the-site@host", "needs the name of a database"),
        ("BREVO_BASE_URL", "api", "BREVO_BASE_URL"),
    ],
)
def test_settings_that_cannot_be_right_are_one_sentence(
    tmp_path: Path, run: Run, setting: str, value: str, said: str
) -> None:
    settings = connected(None, None, MODX_URL=NOWHERE)
    place = FunnelHome(tmp_path / "home", settings).but(**{setting: value}).settled()
    done = run("funnel", "sync", "--home", place.path)
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert last.startswith("Error: ")
    assert last.count(setting) <= 1
    assert said in last
    assert "of-the-site" not in done.err


def test_a_site_that_does_not_answer_keeps_nobody_else_waiting(place: FunnelHome, brevo: BrevoServer, run: Run) -> None:
    place.but(BREVO_API_KEY="xkeysib-of-somebody-else").settled()
    wrong = run("funnel", "sync", "--home", place.path)
    assert wrong.code == 1
    assert wrong.err.count("Error: ") == 1
    assert "outbox: " in wrong.err
    assert "nobody was told anything; all of it is kept for the next sync" in wrong.err
    assert written(brevo) == []
    place.but(MODX_URL=NOWHERE).settled()
    done = run("funnel", "sync", "--home", place.path)
    assert done.code == 1
    assert "Error: entries: " in done.err
    assert "of-the-site" not in done.err
    assert any(line.startswith("outbox: ") and line.endswith(" sent") for line in done.out.splitlines())
    assert place.jobs(JobStatus.PENDING) == []


def test_two_syncs_at_once_are_refused_in_a_sentence(place: FunnelHome, brevo: BrevoServer, run: Run) -> None:
    with alive(place.home, "terminal-other") as owner, held(place.ledger, owner, now, gone):
        done = run("funnel", "sync", "--home", place.path)
    assert done.code == 1
    assert "Error: e-mail funnels: run terminal-other (process " in done.err
    assert done.err.endswith("wait until it is done\n")
    assert brevo.requests == []


def test_a_sync_that_was_killed_is_taken_over_at_once(place: FunnelHome, brevo: BrevoServer, run: Run) -> None:
    telling = Event()
    brevo.hook = lambda request: telling.set() if request.method == "POST" else None
    brevo.faults.append(Fault("stall", path="/contacts", method="POST", times=0))
    program = "from analytics_platform.cli.main import run; run()"
    words = [sys.executable, "-c", program, "funnel", "sync", "--home", str(place.path)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place.path) as process:
        try:
            assert telling.wait(120)
        finally:
            process.send_signal(signal.SIGKILL)
    brevo.faults.clear()
    waiting = {job.email for job in place.jobs(JobStatus.PENDING)}
    assert waiting
    assert brevo.contacts == {}
    done = run("funnel", "sync", "--home", place.path)
    assert done.code == 0, done.err
    assert waiting <= set(brevo.contacts)
    assert {entry.id for entry in place.entries()} == {row["entry_id"] for row in place.stored()}


# ------------------------------------------------------------------------------- outbox


def test_what_brevo_refused_is_listed_and_told_once_more(place: FunnelHome, brevo: BrevoServer, run: Run) -> None:
    nothing = run("funnel", "outbox", "list", "--home", place.path)
    assert nothing.out == "no sync has written yet, so there is nothing to be told\n"
    assert run("funnel", "outbox", "retry", "--all", "--home", place.path).out == "0 jobs handed to the next sync\n"
    assert place.files() == {place.home.settings_file.name}

    brevo.faults.append(Fault("invalid", path="/contacts", method="POST"))
    done = run("funnel", "sync", "--home", place.path)
    assert done.code == 0
    assert "1 refused" in done.out
    [job] = place.jobs(JobStatus.FAILED)
    listed = run("funnel", "outbox", "list", "--home", place.path)
    counts, _, rest = listed.out.partition("\n")
    assert "1 failed" in counts
    [row] = table(Done(0, rest, ""))
    assert (row["id"], row["person"], row["status"]) == (str(job.id), hashed(job.email), "failed")
    assert "Invalid email address" in row["last trouble"]
    assert "@" not in done.out + done.err + listed.out

    other = run("funnel", "outbox", "retry", 999, "--home", place.path)
    assert other.code == 1
    assert "1 of the ids are not among those that failed" in other.err
    for words in ((), (job.id, "--all")):
        assert run("funnel", "outbox", "retry", *words, "--home", place.path).code == 2
    again = run("funnel", "outbox", "retry", job.id, "--home", place.path)
    assert (again.code, again.out) == (0, "1 job handed to the next sync\n")
    assert run("funnel", "sync", "--home", place.path).code == 0
    assert job.email in brevo.contacts
    assert table(Done(0, run("funnel", "outbox", "list", "--home", place.path).out.partition("\n")[2], "")) == []
