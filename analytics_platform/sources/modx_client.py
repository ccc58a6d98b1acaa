"""The connection to the site's database: where it is, sessions that only read, errors as one sentence.

Belongs here: the address, SQLAlchemy's engine, what errors mean. Does not: statements (`modx_sql.py`),
rows (`modx.py`).

Imports SQLAlchemy and pymysql when a session is opened.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

if TYPE_CHECKING:
    from sqlalchemy import URL, BindParameter, Connection, Engine, Executable

_SHAPE: Final = "mysql://reader:password@host:3306/database"
_OPTIONS: Final = ("charset", "ssl_ca", "ssl_cert", "ssl_key", "unix_socket")
_CONNECT_SECONDS: Final = 10
_CHUNK: Final = 5_000  # rows that are held at once
# Names are quoted in one way, nothing is refused for being lax, TIMESTAMP comes in UTC. The server waits while the
# rows it has sent are worked on: a look into the ledger between two chunks must not end the session.
_SESSION: Final = (
    "SET SESSION sql_mode = '', SESSION time_zone = '+00:00', SESSION net_write_timeout = 600, "
    "SESSION wait_timeout = 3600"
)
_ISOLATION: Final = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_SNAPSHOT: Final = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
# Of the server: too many connections, shutting down, locks, statements that took too long or were ended, lines that
# broke; from 2000 on of the client.
_BUSY: Final = frozenset(
    {1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317, 1927, 1969, 3024, 4031}
    | {0, 2002, 2003, 2006, 2013, 2014, 2055}
)
_REMEDIES: Final[Mapping[int, str]] = {
    1044: "its account may not use the database; grant it SELECT, or correct MODX_URL",
    1045: "the user or the password is not accepted; correct MODX_URL (in it, a sign such as @ is written %40)",
    1049: "there is no such database; correct MODX_URL",
    1054: "a column is not there; name it in MODX_MAPPING (`doctor` says which)",
    1142: "its account may not read a table; grant it SELECT on the tables of the site",
    1143: "its account may not read a column; grant it SELECT on the tables of the site",
    1146: "a table is not there; name it in MODX_MAPPING or MODX_PREFIX (`doctor` says which)",
    1698: "the user is not accepted without the server's own socket; write another one into MODX_URL",
}


class SiteError(Exception):
    """The site's database cannot be read. One sentence; it holds no secret and nobody's address."""


class SiteBusyError(SiteError):
    """Only waiting helps: it cannot be reached, the connection was lost, something took too long or was locked."""


class Client:
    """One database of a site, not opened before the first session. Raises SiteError for an address that is none."""

    def __init__(self, url: SecretStr, timeout_seconds: float) -> None:
        self._url = _parsed(url)
        self._timeout = timeout_seconds

    @property
    def place(self) -> str:
        """The database, host and port, in words that hold no secret."""
        return f"database {self._url.database} on {self._url.host or 'localhost'}:{self._url.port or 3306}"

    @property
    def database(self) -> str:
        """The database's name."""
        return str(self._url.database)

    @contextmanager
    def session(self) -> "Iterator[Session]":
        """A transaction that cannot write, of one moment of all InnoDB tables. Raises SiteError.

        What the block raises goes through as it is.
        """
        with self.said():
            con = self._engine.connect()
        try:
            with self.said():
                con.exec_driver_sql(_ISOLATION)
                con.exec_driver_sql(_SNAPSHOT)
            yield Session(self, con)
        finally:
            with self.said():
                con.close()

    @contextmanager
    def said(self) -> Iterator[None]:
        """Errors of database and driver as one sentence. Their cause is left out: it may hold the address."""
        from pymysql import err
        from sqlalchemy import exc

        try:
            yield
        except exc.DBAPIError as error:
            raise self._error(error.orig or error) from None
        except (err.Error, OSError, UnicodeError, RuntimeError) as error:
            raise self._error(error) from None

    @cached_property
    def _engine(self) -> "Engine":
        from pymysql.constants import FIELD_TYPE
        from pymysql.converters import conversions
        from sqlalchemy import NullPool, create_engine

        times = {FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP, FIELD_TYPE.TIME}
        return create_engine(
            self._url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "connect_timeout": min(_CONNECT_SECONDS, self._timeout),
                "read_timeout": self._timeout,
                "write_timeout": self._timeout,
                # Before SQLAlchemy asks for the mode: it would quote names as ANSI_QUOTES of the server wants them.
                "init_command": _SESSION,
                # Times come as text, zero dates too: what they mean is not the driver's to say.
                "conv": {key: convert for key, convert in conversions.items() if key not in times},
            },
        )

    def _error(self, error: BaseException) -> SiteError:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else -1
        if isinstance(error, UnicodeError):
            return SiteError(
                f"the site in {self.place} sends text in another charset than asked for; take ?charset= out of MODX_URL"
            )
        if "'cryptography'" in str(error):
            # MySQL 8's own way to sign in; the driver encrypts the password by it where the line is not.
            remedy = "install cryptography, or write ?ssl_ca= into MODX_URL"
            return SiteError(f"the site in {self.place} asks for a password that is encrypted: {remedy}")
        if isinstance(error, FileNotFoundError):
            return SiteError(
                "MODX_URL names a file of a certificate that is not there; correct ssl_ca, ssl_cert, ssl_key"
            )
        if code in _REMEDIES:
            return SiteError(f"the site in {self.place} cannot be read: {_REMEDIES[code]}")
        said = " ".join(str(error.args[1] if code >= 0 and len(error.args) > 1 else error).split())
        said = self._clean(said) or type(error).__name__
        if "[SSL" in said:
            return SiteError(f"the site in {self.place} cannot be read safely: {said}; correct ssl_ca in MODX_URL")
        if code in _BUSY or isinstance(error, OSError):
            return SiteBusyError(f"the site in {self.place} does not answer now: {said}")
        return SiteError(f"the site in {self.place} cannot be read: {said}")

    def _clean(self, said: str) -> str:
        from analytics_platform.funnels.person import masked

        if password := str(self._url.password or ""):
            for form in sorted({password, quote(password, safe=""), quote_plus(password)}, key=len, reverse=True):
                said = said.replace(form, "<password>")
        return masked(said)


class Session:
    """What a client's `session` gives. Does one thing after the other."""

    def __init__(self, client: Client, con: "Connection") -> None:
        self.client = client
        self._con = con

    def rows(self, statement: "Executable") -> list[Any]:
        """All rows of a small result. Raises SiteError."""
        with self.client.said():
            return list(self._con.execute(statement))

    def ask(self, statement: str, **values: str | list[str]) -> list[Any]:
        """The same for a statement in SQL; values are `:name` in it, lists follow IN. Raises SiteError."""
        from sqlalchemy import bindparam, text

        lists: list[BindParameter[Any]] = [
            bindparam(name, expanding=True) for name, value in values.items() if isinstance(value, list)
        ]
        with self.client.said():
            return list(self._con.execute(text(statement).bindparams(*lists), values))

    def chunks(self, statement: "Executable") -> Generator[Sequence[Any]]:
        """The rows of a large result, as the server sends them: a few thousand are held. Raises SiteError.

        Closed early, the rest is read and dropped.
        """
        with self.client.said():
            result = self._con.execute(statement, execution_options={"stream_results": True, "max_row_buffer": _CHUNK})
        try:
            while True:
                with self.client.said():
                    rows = result.fetchmany(_CHUNK)
                if not rows:
                    return
                yield rows
        finally:
            with self.client.said():
                result.close()


def _parsed(url: SecretStr) -> "URL":
    """The address; always of the driver that comes with us."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parts = make_url(url.get_secret_value().strip())
        named = parts.get_backend_name()
    except (ArgumentError, ValueError):
        raise SiteError(f"MODX_URL is no address; write one such as {_SHAPE}") from None
    if named not in ("mysql", "mariadb"):
        raise SiteError(f"MODX_URL begins with neither mysql:// nor mariadb://; write one such as {_SHAPE}")
    if "@" in f"{parts.host}{parts.database}":
        # Read as it stands, a part of the password would pass for the host and be shown.
        raise SiteError("the password in MODX_URL has signs such as @ or /; write them as %40, %2F")
    if not parts.host or not parts.database:
        raise SiteError(f"MODX_URL names no {'host' if not parts.host else 'database'}; write one such as {_SHAPE}")
    if set(parts.query) - set(_OPTIONS):
        raise SiteError(f"MODX_URL has an option that is not known; there are {', '.join(_OPTIONS)}")
    return parts.set(drivername="mysql+pymysql", query={"charset": "utf8mb4", **parts.query})
