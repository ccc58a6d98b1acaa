"""The site of `funnels.py`, and everybody of it in a ledger.

Belongs here: rows of a MODX site by the million, made by the server itself; where ledgers are. Does not: measuring.

Results lie within the window. Person k took every test of its own, all of one kind, and the first people paid: of
every five payments two before the person entered.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import NewEntry

if TYPE_CHECKING:
    import pymysql
    from pymysql.cursors import Cursor

    from analytics_platform.sources.modx import ModxSite
    from analytics_platform.state.funnels import FunnelLedger
    from analytics_platform.state.owners import Owner

ZONE = ZoneInfo("Europe/Berlin")
AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
BATCH, NEW_BUYERS = 1_000, 2_000
PLAN = FunnelPlan({FunnelType.LANGUAGE: 7, FunnelType.NON_LANGUAGE: 8}, batch=BATCH)
_ENTERED = AS_OF - timedelta(days=10)
_OLDEST = AS_OF - timedelta(days=29)
_WRITTEN = 500
# With the keys that help whoever reads it, the replaced script too.
_TABLES = """
CREATE TABLE simpletest_users (Id INT AUTO_INCREMENT PRIMARY KEY, Email VARCHAR(255), TestId INT, Datep DATETIME,
  Status VARCHAR(20), KEY (Datep));
CREATE TABLE simpletest_lang (Id INT PRIMARY KEY);
CREATE TABLE simpletest_test (Id INT PRIMARY KEY, LangId INT);
CREATE TABLE modx_cert_users (id INT PRIMARY KEY, email VARCHAR(255), KEY (email));
CREATE TABLE modx_cert_test (id INT PRIMARY KEY, type INT);
CREATE TABLE modx_cert_result (id INT PRIMARY KEY, id_user INT, id_test INT, KEY (id_user));
CREATE TABLE modx_cert_payment (id INT AUTO_INCREMENT PRIMARY KEY, id_result INT, id_status INT,
  datetime_payment DATETIME, KEY (id_result))
"""
_ADDRESS = "CONCAT('person', {k}, '@example', {k} % 50, '.com')"
# Of a hundred addresses two are in capitals and one has a blank.
_WRITTEN_ADDRESS = f"""CASE s.seq % 100 WHEN 1 THEN UPPER({_ADDRESS}) WHEN 2 THEN UPPER({_ADDRESS})
  WHEN 3 THEN CONCAT({_ADDRESS}, ' ') ELSE {_ADDRESS} END"""
_FILLED = (
    "INSERT INTO simpletest_lang SELECT seq FROM seq_1_to_20",
    # Tests of even number are of a language.
    "INSERT INTO simpletest_test SELECT seq, IF(seq % 2 = 0, 1 + seq % 20, NULL) FROM seq_0_to_199",
    "INSERT INTO modx_cert_test VALUES (1, 1), (2, 2)",
    f"""INSERT INTO simpletest_users (Email, TestId, Datep, Status)
    SELECT {_WRITTEN_ADDRESS.format(k="(s.seq % %(entries)s)")},
      (s.seq * 7 % 100) * 2 + s.seq % %(entries)s % 2,
      DATE_ADD(%(oldest)s, INTERVAL FLOOR(s.seq * %(step)s) SECOND), 'done'
    FROM seq_0_to_%(last)s s""",
)
_PAID = (
    "INSERT INTO modx_cert_users SELECT s.seq, " + _ADDRESS.format(k="s.seq") + " FROM seq_%(first)s_to_%(last)s s",
    "INSERT INTO modx_cert_result SELECT s.seq, s.seq, 1 + s.seq %% 2 FROM seq_%(first)s_to_%(last)s s",
    """INSERT INTO modx_cert_payment (id_result, id_status, datetime_payment)
    SELECT s.seq, 2, DATE_ADD(IF(%(late)s OR s.seq %% 5 > 1, %(entered)s, %(long_ago)s),
      INTERVAL s.seq %% 86400 SECOND)
    FROM seq_%(first)s_to_%(last)s s""",
)


@dataclass(frozen=True)
class Site:
    """A MODX site in the database that the address names."""

    url: str = field(repr=False)

    def connect(self, database: str | None = None) -> "pymysql.Connection[Cursor]":
        """The driver's own connection, each statement a transaction of its own."""
        import pymysql
        from sqlalchemy import make_url

        to = make_url(self.url)
        return pymysql.connect(
            host=str(to.host),
            port=int(to.port or 3306),
            user=str(to.username),
            password=str(to.password),
            database=to.database if database is None else database or None,
            charset="utf8mb4",
            autocommit=True,
        )

    def source(self) -> "ModxSite":
        """The site as the product reads it."""
        from pydantic import SecretStr

        from analytics_platform.sources.modx import ModxSite
        from analytics_platform.sources.modx_names import parse_names

        return ModxSite(SecretStr(self.url), parse_names(), ZONE)

    def make(self, results: int, people: int, payments: int) -> None:
        """Write all of it into an empty database."""
        with self.connect("") as admin, admin.cursor() as ask:
            # What a server has that nobody has set up; the tests' own has less.
            ask.execute(f"SET GLOBAL innodb_buffer_pool_size = {128 * 1024 * 1024}")
        self.empty_database("site")
        with self.connect() as con, con.cursor() as ask:
            for statement in _TABLES.split(";"):
                ask.execute(statement)
            bound = {
                "entries": people,
                "last": results - 1,
                "oldest": _local(_OLDEST),
                "step": (AS_OF - _OLDEST) / timedelta(seconds=1) / results,
            }
            for statement in _FILLED:
                ask.execute(_put(statement, bound))
        self._pay(0, payments, late=False)

    def pay(self, first: int, number: int) -> None:
        """So many people pay, from this one on, after they entered."""
        self._pay(first, number, late=True)

    def _pay(self, first: int, number: int, *, late: bool) -> None:
        bound = {
            "first": first,
            "last": first + number - 1,
            "late": int(late),
            "entered": _local(_ENTERED + timedelta(days=1)),
            "long_ago": _local(_ENTERED - timedelta(days=60)),
        }
        with self.connect() as con, con.cursor() as ask:
            for statement in _PAID:
                ask.execute(_put(statement, bound))

    def without_key(self) -> None:
        """No key of the buyers' e-mails any more."""
        with self.connect() as con, con.cursor() as ask:
            ask.execute("ALTER TABLE modx_cert_users DROP KEY email")

    def empty_database(self, name: str) -> str:
        """The address of a database with nothing in it, on the site's server."""
        from sqlalchemy import make_url

        with self.connect("") as admin, admin.cursor() as ask:
            ask.execute(f"DROP DATABASE IF EXISTS `{name}`")
            ask.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def server_cpu(self) -> float:
        """Seconds of CPU that the server has taken so far; 0 where that cannot be known."""
        with self.connect("") as con, con.cursor() as ask:
            ask.execute("SELECT @@pid_file")
            [(path,)] = ask.fetchall()
        times = Path("/proc", Path(path).read_text().strip(), "stat")
        if not times.exists():
            return 0.0
        after_name = times.read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def funnel_of(test: int) -> str:
        """Which funnel a test leads to."""
        return (FunnelType.NON_LANGUAGE if test % 2 else FunnelType.LANGUAGE).value


@dataclass(frozen=True)
class Place:
    """Where a ledger is: the address of its database."""

    url: str = field(repr=False)

    def ledger(self) -> "FunnelLedger":
        """Opened."""
        from analytics_platform.state.database import Database
        from analytics_platform.state.funnels import FunnelLedger
        from analytics_platform.state.schema import FUNNELS

        return FunnelLedger(Database(self.url, FUNNELS))

    def owner(self) -> "Owner":
        """This process."""
        from analytics_platform.state.owners import Owner

        return Owner("benchmark", socket.gethostname(), os.getpid())


def enter_everybody(ledger: "FunnelLedger", owner: "Owner", people: int) -> None:
    """Every person of the site enters the funnel of its tests, in the ledger's own way."""
    from analytics_platform.state.held import held

    def new() -> Iterator[NewEntry]:
        for k in range(people):
            funnel = FunnelType.NON_LANGUAGE if k % 2 else FunnelType.LANGUAGE
            yield NewEntry(f"person{k}@example{k % 50}.com", funnel, k + 1, k % 200, PLAN.lists[funnel])

    everybody = new()
    with held(ledger, owner, lambda: _ENTERED, lambda _owner: False) as lease:
        while some := list(islice(everybody, _WRITTEN)):
            ledger.enter(lease.now(), some, _ENTERED)


def _local(moment: datetime) -> str:
    return f"'{moment.astimezone(ZONE):%Y-%m-%d %H:%M:%S}'"


def _put(statement: str, bound: dict[str, object]) -> str:
    """Numbers and moments of our own, which stand in names of tables as well."""
    for name, value in bound.items():
        statement = statement.replace(f"%({name})s", str(value))
    return statement.replace("%%", "%")
