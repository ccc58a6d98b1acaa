"""Writes a simulated site into a MySQL or MariaDB database, for the demo, tests and benchmarks.

Belongs here: the seven tables, rows in bulk, payments that come later. Does not: what the rows are (`modx_site.py`),
reading them (`sources/modx.py`). Imported lazily only: numpy is imported by `modx_site.py`.

A real site is never touched: where one of the tables exists, nothing is written.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.simulate.modx_site import FINISHED, Later, Paid, Person, Row, Site

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "FINISHED",
    "Later",
    "Paid",
    "Person",
    "Site",
    "SiteExistsError",
    "SiteWriteError",
    "Tables",
    "add_payments",
    "write_site",
]

_KEY: Final = "INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY"
_TIMES: Final = {"datetime": "DATETIME NULL", "timestamp": "TIMESTAMP NULL", "seconds": "INT UNSIGNED NULL"}
_CHUNK: Final = 20_000


class Named(Protocol):
    """Names of the site's tables and columns by ours; `sources/modx.py` has them."""

    def table(self, ours: str) -> str: ...
    def column(self, ours: str) -> str: ...


class SiteWriteError(Exception):
    """The site cannot be written. One sentence, without a secret."""


class SiteExistsError(SiteWriteError):
    """The database has one of the tables; nothing was written."""


@dataclass(frozen=True)
class Tables:
    """How the tables are made. `charset` and `collation` ("" for the charset's own), of the certificates' tables
    `cert_charset` and `cert_collation` if given; `times`: datetime, timestamp or seconds; `index`: on Datep.
    """

    charset: str = "utf8mb4"
    collation: str = ""
    cert_charset: str = ""
    cert_collation: str = ""
    engine: str = "InnoDB"
    times: str = "datetime"
    index: bool = True
    status: bool = True

    def suffix(self, table: str) -> str:
        """What follows the columns of a table in CREATE TABLE."""
        certificate = table.startswith("cert_") and bool(self.cert_charset)
        charset = self.cert_charset if certificate else self.charset
        collation = self.cert_collation if certificate else self.collation
        return f"ENGINE={self.engine} DEFAULT CHARSET={charset}{collation and f' COLLATE={collation}'}"


def write_site(
    url: SecretStr,
    site: Site,
    names: Named,
    tables: Tables | None = None,
    *,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> None:
    """Creates the seven tables and fills them; a million results take some fifteen seconds.

    `progress` is called with (results written, results). Raises SiteExistsError where one of the tables is there,
    SiteWriteError for what the server refuses.
    """
    made = tables or Tables()
    with _writing(url) as con:
        columns = _columns(made)
        there = {str(name).lower() for (name,) in con.exec_driver_sql("SHOW TABLES")}
        for table in columns:
            if names.table(table).lower() in there:
                raise SiteExistsError(
                    f"the database has a table {names.table(table)} already, which may be a real site's; "
                    "name an empty database"
                )
        for table, types in columns.items():
            listed = [f"`{names.column(f'{table}.{name}')}` {kind}" for name, kind in types.items()]
            con.exec_driver_sql(f"CREATE TABLE `{names.table(table)}` ({', '.join(listed)}) {made.suffix(table)}")
        _insert(con, names, "simpletest_lang", columns, [site.language_rows()])
        _insert(con, names, "simpletest_test", columns, [site.test_rows()])
        written = 0
        for part in site.result_rows():
            rows: list[Row] = [
                (key, email, test, _time(made.times, wall, site.zone, key), *((status,) if made.status else ()))
                for key, email, test, wall, status in part
            ]
            _insert(con, names, "simpletest_users", columns, [rows])
            written += len(rows)
            progress(written, site.results)
        if made.index:
            # Afterwards: sorted once, not row by row.
            users, taken = names.table("simpletest_users"), names.column("simpletest_users.Datep")
            con.exec_driver_sql(f"CREATE INDEX `when` ON `{users}` (`{taken}`)")
        tests, accounts, results, payments = site.certificate_rows()
        _insert(con, names, "cert_test", columns, [tests])
        _insert(con, names, "cert_users", columns, [accounts])
        _insert(con, names, "cert_result", columns, [results])
        timed = [(*row[:3], _time(made.times, row[3], site.zone, 1)) for row in payments]
        _insert(con, names, "cert_payment", columns, [timed])


def add_payments(
    url: SecretStr, names: Named, payments: Iterable[Paid], zone: ZoneInfo, tables: Tables | None = None
) -> int:
    """Adds payments to what `write_site` wrote (with the same `tables`), and says how many. `zone`: the site's.

    In an hour of autumn that its clock shows twice, they are of the first time. Raises SiteWriteError.
    """
    made = tables or Tables()
    columns = _columns(made)
    kinds = {FunnelType.LANGUAGE: 1, FunnelType.NON_LANGUAGE: 2}
    added = 0
    with _writing(url) as con:
        keys = (
            f"SELECT MAX(`{names.column(f'{table}.id')}`) FROM `{names.table(table)}`"  # noqa: S608  (names are checked)
            for table in ("cert_users", "cert_result", "cert_payment")
        )
        first = 1 + max(con.exec_driver_sql(statement).scalar_one() or 0 for statement in keys)
        for part in _parts(payments):
            keyed = list(enumerate(part, first + added))
            _insert(con, names, "cert_users", columns, [[(key, paid.email) for key, paid in keyed]])
            _insert(con, names, "cert_result", columns, [[(key, key, kinds[paid.funnel]) for key, paid in keyed]])
            walls = ((key, paid, paid.paid_at.astimezone(zone).replace(tzinfo=None, fold=0)) for key, paid in keyed)
            timed: list[Row] = [
                (key, key, paid.status, _time(made.times, wall, zone, key)) for key, paid, wall in walls
            ]
            _insert(con, names, "cert_payment", columns, [timed])
            added += len(part)
    return added


def _columns(made: Tables) -> dict[str, dict[str, str]]:
    when = _TIMES[made.times]
    return {
        "simpletest_lang": {"Id": _KEY},
        "simpletest_test": {"Id": _KEY, "LangId": "INT NULL"},
        "simpletest_users": {
            "Id": _KEY,
            "Email": "VARCHAR(255) NULL",
            "TestId": "INT NULL",
            "Datep": when,
            **({"Status": "VARCHAR(20) NULL"} if made.status else {}),
        },
        "cert_test": {"id": _KEY, "type": "INT NULL"},
        "cert_users": {"id": _KEY, "email": "VARCHAR(255) NOT NULL"},
        "cert_result": {"id": _KEY, "id_user": "INT NULL", "id_test": "INT NULL"},
        "cert_payment": {"id": _KEY, "id_result": "INT NULL", "id_status": "INT NULL", "datetime_payment": when},
    }


def _time(times: str, wall: object, zone: ZoneInfo, key: int) -> object:
    """A time of the site's clock as the column holds it; none of it: a zero date, or NULL."""
    if not isinstance(wall, datetime):
        return None if key % 2 else 0 if times == "seconds" else "0000-00-00 00:00:00"
    if times == "datetime":
        return wall
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return int(moment.timestamp()) if times == "seconds" else moment.replace(tzinfo=None)


def _insert(
    con: "Connection", names: Named, table: str, columns: dict[str, dict[str, str]], parts: Iterable[Sequence[Row]]
) -> None:
    listed = ", ".join(f"`{names.column(f'{table}.{name}')}`" for name in columns[table])
    places = ", ".join(["%s"] * len(columns[table]))
    statement = f"INSERT INTO `{names.table(table)}` ({listed}) VALUES ({places})"  # noqa: S608  (names are checked)
    for rows in parts:
        if rows:
            # The driver makes few statements of them, of up to a megabyte.
            con.exec_driver_sql(statement, list(rows))
            con.commit()


def _parts(payments: Iterable[Paid]) -> Iterator[list[Paid]]:
    left = iter(payments)
    while part := list(islice(left, _CHUNK)):
        yield part


@contextmanager
def _writing(url: SecretStr) -> "Iterator[Connection]":
    from sqlalchemy import NullPool, create_engine, exc, make_url

    engine = create_engine(
        make_url(url.get_secret_value()).set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"}),
        poolclass=NullPool,
        hide_parameters=True,
        # Zero dates and other things that old sites have are refused in a strict mode.
        connect_args={"init_command": "SET SESSION sql_mode = '', SESSION time_zone = '+00:00'"},
    )
    try:
        with engine.connect() as con:
            yield con
    except exc.DBAPIError as error:
        # Without its cause, which may hold the address; the driver's own words do not.
        said = " ".join(str(error.orig.args[-1] if error.orig and error.orig.args else "").split())
        raise SiteWriteError(
            f"the simulated site cannot be written: {said}; name a server that answers and an account that may write"
        ) from None
