"""A site, a ledger and a mailing service to sync between, on a clock of their own.

Belongs here: rows of the site, the pieces that a sync is made of, what came of it; fixtures of these, which a module of
tests takes by name (`brevo = funnel_world.brevo`). Does not: assertions, killing (`funnel_process.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from analytics_platform.contacts.brevo import Brevo
from analytics_platform.funnel_outbox import Outbox, Worked
from analytics_platform.funnel_sync import Entered, FunnelSync, Preview, Purchased
from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import Change, Entry, Job, JobStatus, NewEntry, Operation
from analytics_platform.sources.modx import ModxSite, parse_names
from analytics_platform.state.database import Database, sqlite_url
from analytics_platform.state.funnels import FunnelLedger
from analytics_platform.state.held import LENGTH, Held, held
from analytics_platform.state.owners import Owner, is_gone
from analytics_platform.state.schema import FUNNELS

if TYPE_CHECKING:
    import pymysql
    from pymysql.cursors import Cursor

    from analytics_platform_tests.brevo_server import BrevoServer
    from analytics_platform_tests.mysql_service import MariaDB

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LANGUAGE, OTHER = FunnelType.LANGUAGE, FunnelType.NON_LANGUAGE
LISTS = {LANGUAGE: 7, OTHER: 8}
PLAN = FunnelPlan(LISTS)
ME = Owner("me", "here", 1)
ANN, BOB, EVE = (f"{name}@people.example" for name in ("ann", "bob", "eve"))

_TABLES = (
    "simpletest_users (Id INT PRIMARY KEY AUTO_INCREMENT, Email VARCHAR(255), TestId INT, Datep DATETIME,"
    " Status VARCHAR(20) DEFAULT 'done', KEY (Datep))",
    "simpletest_test (Id INT PRIMARY KEY, LangId INT)",
    "simpletest_lang (Id INT PRIMARY KEY)",
    "modx_cert_payment (id INT PRIMARY KEY AUTO_INCREMENT, id_result INT, id_status INT, datetime_payment DATETIME)",
    "modx_cert_result (id INT PRIMARY KEY AUTO_INCREMENT, id_user INT, id_test INT)",
    "modx_cert_users (id INT PRIMARY KEY AUTO_INCREMENT, email VARCHAR(255))",
    "modx_cert_test (id INT PRIMARY KEY, type INT)",
)
# Tests 1 to 3 are of a language, 4 and 5 are not; certificates 1 and 2 are of those kinds.
_FILLED = (
    "INSERT INTO simpletest_lang VALUES (1)",
    "INSERT INTO simpletest_test VALUES (1, 1), (2, 1), (3, 1), (4, NULL), (5, 0)",
    "INSERT INTO modx_cert_test VALUES (1, 1), (2, 2)",
)
_GROWING = ("simpletest_users", "modx_cert_payment", "modx_cert_result", "modx_cert_users")


@dataclass
class SiteRows:
    """The site's tables, to be filled. Moments are UTC, as is the site's zone here."""

    con: "pymysql.Connection[Cursor]"
    url: str = field(repr=False)

    def create(self) -> None:
        """The tables, with tests and certificates."""
        self._run(*(f"CREATE TABLE {table}" for table in _TABLES), *_FILLED)

    def clear(self) -> None:
        """Nobody took a test, nobody paid."""
        self._run(*(f"DELETE FROM {table}" for table in _GROWING))

    def took(self, *emails: str, ago: timedelta = HOUR, test: int = 1) -> None:
        """They took a test so long before NOW."""
        with self.con.cursor() as ask:
            ask.executemany(
                "INSERT INTO simpletest_users (Email, TestId, Datep) VALUES (%s, %s, %s)",
                [(email, test, _written(NOW - ago)) for email in emails],
            )

    def paid(self, email: str, ago: timedelta, funnel: FunnelType = LANGUAGE) -> None:
        """They paid for a certificate so long before NOW."""
        with self.con.cursor() as ask:
            ask.execute("INSERT INTO modx_cert_users (email) VALUES (%s)", [email])
            kind = 1 if funnel is LANGUAGE else 2
            ask.execute("INSERT INTO modx_cert_result (id_user, id_test) VALUES (%s, %s)", [ask.lastrowid, kind])
            ask.execute(
                "INSERT INTO modx_cert_payment (id_result, id_status, datetime_payment) VALUES (%s, 2, %s)",
                [ask.lastrowid, _written(NOW - ago)],
            )

    def _run(self, *statements: str) -> None:
        with self.con.cursor() as ask:
            for statement in statements:
                ask.execute(statement)


def people(number: int, start: int = 0) -> list[str]:
    """So many addresses."""
    return [f"p{which:05}@people.example" for which in range(start, start + number)]


def told(brevo: "BrevoServer") -> list[str]:
    """Whom Brevo was told of one by one, in that order, however it answered."""
    return [request.body["email"] for request in brevo.asked("POST", "/contacts")]


def new_ledger(path: Path) -> str:
    """The URL of a ledger with nobody in it, copied: faster than taking the steps that lead to its tables."""
    path.write_bytes(_empty_ledger())
    return f"sqlite:///{path}"


@cache
def _empty_ledger() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        database = Database(sqlite_url(path), FUNNELS)
        database.prepare()
        database.close()
        return path.read_bytes()


def _written(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


@dataclass
class Clock:
    """A moment that goes on when somebody waits, and when it is told to."""

    moment: datetime = NOW
    waited: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        """Nobody really waits."""
        self.waited.append(seconds)
        self.moment += timedelta(seconds=seconds)

    def seconds(self) -> float:
        """For whoever wants a clock that only goes on."""
        return self.moment.timestamp()


@dataclass
class World:
    """Everything that a sync is made of. `said` is what progress was told."""

    site_url: str
    ledger_url: str
    brevo_url: str
    key: str
    plan: FunnelPlan = PLAN
    import_from: int = 500
    clock: Clock = field(default_factory=Clock)
    said: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = Database(self.ledger_url, FUNNELS)
        self.ledger = FunnelLedger(self.database)
        self.brevo = Brevo(
            SecretStr(self.key), self.brevo_url, sleep=self.clock.sleep, clock=self.clock.seconds, jitter=lambda: 0.0
        )

    def sync(self) -> FunnelSync:
        """A new one."""
        site = ModxSite(SecretStr(self.site_url), parse_names(), ZoneInfo("UTC"))
        return FunnelSync(site, self.ledger, self.plan, self.clock, self._tell)

    def outbox(self) -> Outbox:
        """The outbox, with Brevo."""
        lists = self.plan.lists
        return Outbox(self.ledger, self.brevo, self.import_from, self.clock, self._tell, lists, self.clock.sleep)

    @contextmanager
    def held(self, owner: Owner = ME, length: timedelta = LENGTH) -> Iterator[Held]:
        """The lease; that of a process which has provably ended is free."""
        with held(self.ledger, owner, self.clock, lambda other: is_gone(other, host=ME.host), length) as kept:
            yield kept

    def run(self, until: timedelta = 15 * MINUTE, owner: Owner = ME) -> tuple[Entered, Purchased, Worked]:
        """A whole sync."""
        end = self.clock() + until
        with self.held(owner) as kept:
            sync = self.sync()
            return sync.enter(kept), sync.purchases(kept), self.outbox().work(kept, end)

    def work(self, until: timedelta = 15 * MINUTE) -> Worked:
        """One go at the outbox."""
        with self.held() as kept:
            return self.outbox().work(kept, self.clock() + until)

    def preview(self) -> Preview:
        """A dry run."""
        return self.sync().preview()

    def entries(self) -> list[Entry]:
        """All of them, by id."""
        return sorted(self.ledger.rows(None, None), key=lambda entry: entry.id)

    def jobs(self, *statuses: JobStatus) -> list[Job]:
        """Those of a status, or all, by id."""
        return sorted(self.ledger.jobs(statuses or tuple(JobStatus), 10_000), key=lambda job: job.id)

    def enter(self, *emails: str, list_id: int = 7, funnel: FunnelType = LANGUAGE) -> None:
        """They are in the funnel without a site's word, and Brevo is to be told."""
        with self.held() as kept:
            new = [NewEntry(email, funnel, 1, 1, list_id) for email in emails]
            assert self.ledger.enter(kept.now(), new, self.clock()) == len(new)

    def buy(self, *emails: str) -> None:
        """They bought a minute after they entered."""
        bought = [Change(e.id, e.funnel, e.entered_at + MINUTE) for e in self.entries() if e.email in emails]
        with self.held() as kept:
            assert self.ledger.settle(kept.now(), bought, self.clock()) == len(bought)

    def job(self, email: str) -> Job:
        """The one that adds somebody to a list."""
        [found] = [one for one in self.jobs() if (one.email, one.operation) == (email, Operation.UPSERT_CONTACT)]
        return found

    def close(self) -> None:
        """No connection is left."""
        self.brevo.close()
        self.database.close()

    def _tell(self, what: str, done: int, total: int) -> None:
        self.said.append((what, done, total))


# ------------------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="module")
def tables(mariadb: "MariaDB", request: pytest.FixtureRequest) -> Iterator[SiteRows]:
    """The site's tables, in a database of the module's own, with nobody in them."""
    name = f"{request.path.stem}_site"
    mariadb.empty_database(name)
    with mariadb.connect(name) as con:
        rows = SiteRows(con, mariadb.url(name, user="reader"))
        rows.create()
        yield rows


@pytest.fixture
def site(tables: SiteRows) -> SiteRows:
    """A site where nobody has taken a test."""
    tables.clear()
    return tables


@pytest.fixture(scope="module")
def server() -> Iterator["BrevoServer"]:
    """Brevo, for all tests of the module: people are told apart by their addresses."""
    from analytics_platform_tests.brevo_server import brevo_server

    with brevo_server() as running:
        yield running


@pytest.fixture
def brevo(server: "BrevoServer") -> "BrevoServer":
    """Brevo with nobody in it, and nothing to go wrong."""
    for kept in (server.contacts, server.requests, server.faults, server.ignored, server.unwelcome, server.processes):
        kept.clear()
    server.polls, server.hook, server.accepted_hook, server.reports_at = 1, None, None, ""
    return server


@pytest.fixture
def world(site: SiteRows, brevo: "BrevoServer", tmp_path: Path) -> Iterator[World]:
    """That site, Brevo, and a ledger with nobody in it."""
    with _world(site.url, brevo, tmp_path) as made:
        yield made


@pytest.fixture
def without_site(brevo: "BrevoServer", tmp_path: Path) -> Iterator[World]:
    """A ledger with nobody in it, and Brevo; no site is asked."""
    with _world("", brevo, tmp_path) as made:
        yield made


@contextmanager
def _world(site_url: str, brevo: "BrevoServer", folder: Path) -> Iterator[World]:
    made = World(site_url, new_ledger(folder / "ledger.sqlite"), brevo.url, brevo.api_key.get_secret_value())
    yield made
    made.close()
