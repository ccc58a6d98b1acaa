"""Syncs that are killed, stopped and started together, as real processes: nobody is lost, and nobody is added twice.

Each time the ledger knows Old, who was told of and has bought since; Ann and Bob (language) and Eve (another kind) took
a test, and so did Pam, who had bought before. Then one process syncs until it is ended, and another one after it.
"""

import json
import signal
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest

from analytics_platform.funnels.records import JobStatus, Operation
from analytics_platform_tests import forked, funnel_world
from analytics_platform_tests.brevo_kept import Kept, Request
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.funnel_process import LOST, TAKEN
from analytics_platform_tests.funnel_world import ANN, BOB, EVE, HOUR, MINUTE, NOW, SiteRows, World, new_ledger
from analytics_platform_tests.mysql_service import MariaDB
from analytics_platform_tests.services import until

OLD, PAM = "old@people.example", "pam@people.example"
KILLED = -signal.SIGKILL
NEVER = "never:-1:KILL"
# Above this many contacts for one list: one by one, or Ann and Bob in an import.
ALONE, TOGETHER = 500, 1
IN_MARIADB = "funnel_kills_ledger"

# The fixtures of these tests, and that of a stage.
tables, server = funnel_world.tables, funnel_world.server


@pytest.fixture(scope="module")
def parent() -> Iterator[forked.Parent]:
    """Whoever forks the syncs."""
    with forked.parent("analytics_platform_tests.funnel_process") as started:
        yield started


@dataclass
class Stage:
    """What each sync begins with, again and again."""

    site: SiteRows
    brevo: BrevoServer
    parent: forked.Parent
    folder: Path
    ledger: bytes = b""
    contacts: dict[str, Kept] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of the ledger's file."""
        return f"sqlite:///{self.folder / 'ledger.sqlite'}"

    def world(self, url: str = "", import_from: int = ALONE) -> World:
        """For a sync in this process, an hour after Old was told of."""
        key = self.brevo.api_key.get_secret_value()
        made = World(self.site.url, url or self.url, self.brevo.url, key, import_from=import_from)
        made.clock.moment = NOW + HOUR
        return made

    def begin(self, url: str = "") -> None:
        """Old is told of; the others come, and Old buys."""
        self.site.clear()
        self.brevo.contacts.clear()
        self.site.took(OLD)
        world = self.world(url)
        world.clock.moment = NOW
        world.run()
        world.close()
        self.site.paid(OLD, -MINUTE)
        self.site.took(ANN, BOB, PAM)
        self.site.took(EVE, test=4)
        self.site.paid(PAM, HOUR)
        self.brevo.requests.clear()

    def keep(self) -> None:
        """So it is each time."""
        self.ledger, self.contacts = (self.folder / "ledger.sqlite").read_bytes(), deepcopy(self.brevo.contacts)

    def again(self) -> None:
        """As it was kept."""
        for path in self.folder.glob("ledger.sqlite*"):
            path.unlink()
        (self.folder / "ledger.sqlite").write_bytes(self.ledger)
        self.brevo.contacts = deepcopy(self.contacts)
        self.brevo.requests.clear()
        self.brevo.processes.clear()
        self.brevo.hook = self.brevo.accepted_hook = None

    def start(self, at: str = NEVER, import_from: int = ALONE, url: str = "") -> forked.Process:
        """A sync in a process of its own."""
        world_of = {
            "site_url": self.site.url,
            "ledger_url": url or self.url,
            "brevo_url": self.brevo.url,
            "key": self.brevo.api_key.get_secret_value(),
            "import_from": import_from,
        }
        words = [json.dumps(world_of), (NOW + HOUR).isoformat(), at]
        return self.parent.start("analytics_platform_tests.funnel_process:sync", *words, folder=self.folder)

    def ended(self, code: int, at: str = NEVER, import_from: int = ALONE, url: str = "") -> str:
        """What a sync said that ended so."""
        process = self.start(at, import_from, url)
        assert process.wait() == code, process.stderr.read()
        said = process.stdout.read()
        process.end()
        return said

    def finish(self, import_from: int = ALONE, url: str = "") -> None:
        """The next sync, a minute later."""
        world = self.world(url, import_from)
        world.clock.moment += MINUTE
        world.run()
        world.close()

    def check(self, what: str, url: str = "") -> None:
        """All are told of and none twice, by Brevo's word and by the ledger's."""
        brevo = self.brevo
        assert (sorted(brevo.on(7)), brevo.on(8)) == ([ANN, BOB, OLD], [EVE]), what
        assert {times for kept in brevo.contacts.values() for times in kept.added.values()} == {1}, what
        assert brevo.contacts[OLD].attributes["CERTIFICATE_PURCHASED"] == 1, what
        world = self.world(url)
        entries, jobs = {entry.id: entry for entry in world.entries()}, world.jobs()
        world.close()
        assert sorted(entry.email for entry in entries.values()) == sorted([OLD, ANN, BOB, EVE, PAM]), what
        assert sorted((job.email, job.operation) for job in jobs) == sorted(
            [(email, Operation.UPSERT_CONTACT) for email in (OLD, ANN, BOB, EVE)]
            + [(OLD, Operation.UPDATE_AFTER_PURCHASE)]
        ), what
        assert {job.status for job in jobs} == {JobStatus.SUCCESS}, what
        assert [entry.email for entry in entries.values() if entry.purchased_at] == [OLD], what
        assert [entry.email for entry in entries.values() if entry.customer_since] == [PAM], what
        told = [request.body["email"] for request in brevo.asked("POST", "/contacts")]
        assert len(told) <= 4 + 1, f"{what}: one request is repeated at most"


@pytest.fixture(scope="module")
def kept_stage(
    tables: SiteRows, server: BrevoServer, parent: forked.Parent, tmp_path_factory: pytest.TempPathFactory
) -> Stage:
    """What is made once."""
    folder = tmp_path_factory.mktemp("kills")
    new_ledger(folder / "ledger.sqlite")
    made = Stage(tables, server, parent, folder)
    made.begin()
    made.keep()
    return made


@pytest.fixture
def stage(kept_stage: Stage) -> Stage:
    """As it begins."""
    kept_stage.again()
    return kept_stage


def numbered(number: int, action: Callable[[], object]) -> Callable[[Request], None]:
    """Does it at the so-manieth request."""
    left = iter(range(1, number + 1))

    def hook(_request: Request) -> None:
        if next(left, 0) == number:
            action()

    return hook


# ------------------------------------------------------------------------------------------------- killed


@pytest.mark.slow
@pytest.mark.parametrize("import_from", [ALONE, TOGETHER])
def test_killed_before_or_after_any_commit_nobody_is_lost_or_added_twice(stage: Stage, import_from: int) -> None:
    commits = int(stage.ended(0, NEVER, import_from))
    stage.check("nothing")
    assert commits >= 9
    # Up to here, both are the same.
    first = 1 if import_from == ALONE else 6
    for number in range(first, commits + 1):
        for when in ("before", "after"):
            stage.again()
            stage.ended(KILLED, f"{when}:{number}:KILL", import_from)
            stage.finish(import_from)
            stage.check(f"{when} commit {number} of {commits}")


@pytest.mark.slow
@pytest.mark.parametrize("import_from", [ALONE, TOGETHER])
def test_killed_before_or_after_brevo_took_any_request_nobody_is_lost_or_added_twice(
    stage: Stage, import_from: int
) -> None:
    stage.ended(0, NEVER, import_from)
    requests = len(stage.brevo.requests)
    assert requests == 4
    for number in range(1, requests + 1):
        for hook in ("hook", "accepted_hook"):
            stage.again()
            gate = Event()
            process: list[forked.Process] = []

            def kill(gate: Event = gate, process: list[forked.Process] = process) -> None:
                assert gate.wait(60)
                process[0].send_signal(signal.SIGKILL)

            setattr(stage.brevo, hook, numbered(number, kill))
            process.append(stage.start(NEVER, import_from))
            gate.set()
            assert process[0].wait() == KILLED
            process[0].end()
            stage.brevo.hook = stage.brevo.accepted_hook = None
            stage.finish(import_from)
            stage.check(f"{hook} of request {number}")


@pytest.mark.parametrize("at", ["before:2:KILL", "after:2:KILL", "before:6:KILL", "after:7:KILL"])
def test_killed_with_the_ledger_in_mariadb_nobody_is_lost_or_added_twice(
    stage: Stage, mariadb: MariaDB, at: str
) -> None:
    url = mariadb.cleared_database(IN_MARIADB, keep="funnel_revision") or mariadb.empty_database(IN_MARIADB)
    stage.begin(url)
    stage.ended(KILLED, at, url=url)
    stage.finish(url=url)
    stage.check(at, url)


# ------------------------------------------------------------------------------------------------- stopped


@pytest.mark.parametrize(("number", "code"), [(2, LOST), (4, 0), (6, LOST), (7, LOST)])
def test_a_process_that_wakes_up_after_its_time_writes_nothing_more(stage: Stage, number: int, code: int) -> None:
    """It sleeps through the turn of another, and believes by its own clock that nothing has happened.

    After the fourth commit it finds nothing left to do, and so does not notice.
    """
    process = stage.start(f"after:{number}:STOP")
    until_it_is(process, "T")
    world = stage.world()
    world.clock.moment += HOUR
    world.run()
    before = (world.entries(), world.jobs(), world.ledger.standing())
    asked = len(stage.brevo.requests)
    process.send_signal(signal.SIGCONT)
    assert process.wait() == code, process.stderr.read()
    assert ("lost its turn" in process.stdout.read()) == (code == LOST)
    process.end()
    assert (world.entries(), world.jobs(), world.ledger.standing()) == before
    # Between its last look at the lease and its next is one request at most, which changes nothing.
    assert len(stage.brevo.requests) - asked <= 1
    world.close()
    stage.check(f"stopped after {number}")


def state(process: forked.Process) -> str:
    """As the kernel has it: T for stopped, Z for one that has ended."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def until_it_is(process: forked.Process, wanted: str) -> None:
    """Stopped, or ended."""

    def reached() -> bool:
        found = state(process)
        assert found == wanted or found != "Z", process.stderr.read()
        return found == wanted

    until(reached)


# ------------------------------------------------------------------------------------------------- together


@pytest.mark.parametrize(("number", "place"), [(2, "sqlite"), (8, "sqlite"), (8, "mariadb")])
def test_of_processes_that_start_at_once_one_works_and_the_others_are_told_who(
    stage: Stage, mariadb: MariaDB, number: int, place: str
) -> None:
    url = ""
    if place == "mariadb":
        url = mariadb.cleared_database(IN_MARIADB, keep="funnel_revision") or mariadb.empty_database(IN_MARIADB)
        stage.begin(url)
    told = Event()
    # Whoever works waits for an answer until all others were told.
    stage.brevo.hook = numbered(1, lambda: told.wait(60))
    processes = [stage.start(url=url) for _ in range(number)]
    until(lambda: sum(state(one) == "Z" for one in processes) >= number - 1)
    told.set()
    codes = {one.pid: one.wait() for one in processes}
    [worker] = [pid for pid, code in codes.items() if code == 0]
    said = [one.stdout.read() for one in processes if one.pid != worker]
    for one in processes:
        one.end()
    assert sorted(codes.values()) == [0] + [TAKEN] * (number - 1)
    assert all(f"run of {worker} (process {worker} on here) has been at it since" in words for words in said), said
    assert len(stage.brevo.asked("POST", "/contacts")) == 4
    stage.check("all at once", url)
