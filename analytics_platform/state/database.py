"""The database itself: one URL, connections that wait for their turn, the schema brought up to date.

Belongs here: what differs between the kinds of database. Does not: what is stored (`models.py`, `funnel_models.py` and
the modules that use them), which schemas there are and their steps (`schema.py`), what only MySQL needs (`mysql.py`).

SQLite: a connection is opened for each transaction (0.1 ms), so none is ever shared with a forked process; the file is
in WAL mode, so readers never wait; a writer takes the lock before it reads (BEGIN IMMEDIATE), so two of them queue
instead of failing half-way. WAL needs a local disk. PostgreSQL and MySQL: a small pool, forgotten by a forked child.
"""

import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from analytics_platform.state.schema import STATE, Schema

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Table

# A transaction here lasts milliseconds; sixteen writers at once wait for less than a second.
_WAIT_SECONDS = 30
_MIGRATION_SECONDS = 300
# Any number, the same for every version of this package: "analytic" in ASCII.
_ADVISORY_LOCK = 0x616E616C79746963
# The other names that addresses have for a kind.
_ALIASES = {"postgres": "postgresql", "mariadb": "mysql"}


class StateError(Exception):
    """The state cannot be read or written. One sentence, without any secret."""


def sqlite_url(path: Path) -> "URL":
    """The URL of an SQLite file; it and its folder are created on first use."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path))


class Database:
    """One database of state. Threads may share it; nothing is opened before it is first used.

    `url`: `sqlite:///path`, `postgresql://user:password@host/name` or, for a schema that allows it,
    `mysql://user:password@host/name` (MySQL 8, MariaDB 10.6 or newer). Raises StateError for any other. `schema`: the
    tables that are meant; two schemas may share a database, each by a Database of its own.
    """

    def __init__(self, url: "str | URL", schema: Schema = STATE) -> None:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        self._schema = schema
        what = schema.what
        try:
            self._url = make_url(url)
        except (ArgumentError, ValueError):
            raise StateError(
                f"the address of {what}'s database cannot be read; "
                "write one such as sqlite:////var/lib/state.db or postgresql://user:password@host/name"
            ) from None
        named = self._url.get_backend_name()
        self._kind = _ALIASES.get(named, named)
        if self._kind not in schema.kinds:
            kinds = f"{', '.join(schema.kinds[:-1])} or {schema.kinds[-1]}"
            raise StateError(f"{what} can be kept in {kinds}, not in {self._kind}")
        if self._kind == "sqlite" and self._url.database in (None, "", ":memory:"):
            raise StateError(f"{what} needs a file; write a path after sqlite:///")
        if self._kind != "sqlite" and "@" in f"{self._url.host}{self._url.database}":
            # Read as it stands, a part of the password would pass for the host and be shown.
            raise StateError(f"the password of {what}'s database has signs such as @ or /; write them as %40, %2F")
        if self._kind == "mysql" and not self._url.database:
            raise StateError(f"{what} needs the name of a database; write it after the host, mysql://user@host/name")
        self._ready = False
        self._turns: AbstractContextManager[Any] = threading.Lock() if self._kind == "sqlite" else nullcontext()

    def __repr__(self) -> str:
        return f"Database({self.place})"

    @property
    def place(self) -> str:
        """Where it is, for messages: the file, or the database, host and port; never a user's password."""
        if self._kind == "sqlite":
            return str(self._path)
        port = f":{self._url.port}" if self._url.port else ""
        return f"database {self._url.database} on {self._url.host or 'localhost'}{port}"

    def prepare(self) -> None:
        """Bring the schema up to date. Done by itself on first use; safe when several processes do it at once.

        Raises StateError when the database was written by a newer version, whose schema this one does not know.
        """
        if self._ready:
            return
        try:
            with self._said():
                if not self._is_current():
                    self._upgrade()
        except OSError as error:
            raise StateError(f"{self._schema.what} cannot be kept in {self.place}: {error.strerror or error}") from None
        self._ready = True

    def exists(self) -> bool:
        """Whether the tables are there, as this version knows them. Changes nothing, and creates no file.

        Raises StateError for tables of another version, which could not be read as they are, or of another program.
        """
        if self._ready:
            return True
        if self._kind == "sqlite" and not self._path.exists():  # connecting would create it
            return False
        with self._said(), self._engine.connect() as con:
            stored = self._schema.revision(con)
            self._check(con, stored)
        if stored not in (None, self._schema.newest):
            raise StateError(
                f"{self._schema.what} in {self.place} was written by an older version of analytics_platform "
                f"(schema {stored}, this version has {self._schema.newest}); whatever writes to it next updates it"
            )
        self._ready = stored is not None
        return self._ready

    @contextmanager
    def read(self) -> "Iterator[Connection]":
        """A transaction that only reads and never waits for writers: on SQLite of one moment of the whole database.

        On a server each statement is of a moment of its own.
        """
        self.prepare()
        with self._said(), self._engine.connect() as con:
            yield con

    @contextmanager
    def write(self) -> "Iterator[Connection]":
        """A transaction that writes: committed at the end, undone by any exception.

        On SQLite it is the only one while it lasts; on a server rows are locked as they are read `with_for_update`.
        """
        self.prepare()
        # SQLite's own queue is a guess: whoever finds it locked looks again after up to 100 ms.
        with self._turns, self._said(), self._writer.begin() as con:
            yield con

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Many short transactions are to come.

        SQLite: whoever closes the file's last connection writes the whole log back and deletes it, several waits for
        the disk; with an idle one open, a transaction takes a fifth. Not to be forked meanwhile.
        """
        self.prepare()
        if self._kind != "sqlite":
            yield
            return
        with self._said(), self._engine.connect() as con:
            con.exec_driver_sql("SELECT 1 FROM sqlite_master").all()
            con.rollback()
            yield

    def close(self) -> None:
        """Close idle connections; the next use opens new ones."""
        self._engine.dispose()

    # ------------------------------------------------------------ connections

    @property
    def _path(self) -> Path:
        return Path(self._url.database or "")

    @cached_property
    def _engine(self) -> "Engine":
        if self._kind == "sqlite":
            return self._sqlite()
        engine = self._mysql() if self._kind == "mysql" else self._postgresql()
        os.register_at_fork(after_in_child=partial(_forget, weakref.ref(engine)))
        weakref.finalize(self, engine.dispose)
        return engine

    @cached_property
    def _writer(self) -> "Engine":
        return self._engine.execution_options(immediate=True)

    def _sqlite(self) -> "Engine":
        from sqlalchemy import NullPool, create_engine, event

        engine = create_engine(
            self._url, poolclass=NullPool, hide_parameters=True, connect_args={"timeout": _WAIT_SECONDS}
        )

        @event.listens_for(engine, "connect")
        def connected(connection: Any, _record: object) -> None:
            # Python's own BEGIN comes late and never before a read; ours is below.
            connection.isolation_level = None
            connection.execute("PRAGMA foreign_keys = ON")
            # A commit is on the disk when it returns: "delivery has begun" must survive a power cut.
            connection.execute("PRAGMA synchronous = FULL")

        @event.listens_for(engine, "begin")
        def begun(con: "Connection") -> None:
            con.exec_driver_sql("BEGIN IMMEDIATE" if con.get_execution_options().get("immediate") else "BEGIN")

        return engine

    def _postgresql(self) -> "Engine":
        from sqlalchemy import create_engine, event

        try:
            engine = create_engine(
                self._url.set(drivername="postgresql+psycopg"),
                pool_size=2,
                max_overflow=20,
                pool_timeout=_WAIT_SECONDS,
                pool_pre_ping=True,
                hide_parameters=True,
                connect_args={} if "connect_timeout" in self._url.query else {"connect_timeout": 10},
            )
        except ImportError:
            raise StateError("a PostgreSQL database needs psycopg; install analytics-platform[postgres]") from None

        @event.listens_for(engine, "connect")
        def connected(connection: Any, _record: object) -> None:
            # As patient as SQLite; a process that hangs inside a transaction must not stop everybody else for ever.
            connection.execute(f"SET lock_timeout = '{_WAIT_SECONDS}s'")
            connection.execute("SET idle_in_transaction_session_timeout = '300s'")
            connection.commit()

        return engine

    def _mysql(self) -> "Engine":
        from analytics_platform.state import mysql

        return mysql.engine(self._url, wait_seconds=_WAIT_SECONDS, migration_seconds=_MIGRATION_SECONDS)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """The engine's own errors as one sentence. Their cause is left out: it may hold the address."""
        from sqlalchemy import exc

        try:
            yield
        except (exc.DBAPIError, exc.TimeoutError) as error:
            cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
            # PyMySQL's errors are a number and a text.
            text = cause.args[1] if self._kind == "mysql" and len(cause.args) == 2 else cause
            said = " ".join(str(text).split())
            for secret in self._secrets():
                said = said.replace(secret, "<password>")
            if self._schema.personal:
                from analytics_platform.funnels.person import masked

                said = masked(said)
            if said == "database is locked":
                said = f"another process kept it locked for {_WAIT_SECONDS} s"
            raise StateError(f"{self._schema.what} in {self.place} cannot be used: {said}") from None

    def _secrets(self) -> list[str]:
        query: Mapping[str, object] = self._url.query
        values = [str(value) for name, value in query.items() if "pass" in name]
        values += [str(self._url.password)] if self._url.password else []
        forms = {form for value in values for form in (value, quote(value, safe=""), quote_plus(value)) if value}
        return sorted(forms, key=len, reverse=True)

    # ----------------------------------------------------------------- schema

    def _is_current(self) -> bool:
        if self._kind == "sqlite" and not self._path.exists():  # connecting would create it
            return False
        with self._engine.connect() as con:
            return self._schema.revision(con) == self._schema.newest

    def _upgrade(self) -> None:
        with self._alone() as con:
            stored = self._schema.revision(con)
            self._check(con, stored)
            if stored != self._schema.newest:
                self._schema.migrate(con)

    def _check(self, con: "Connection", stored: str | None) -> None:
        if foreign := self._schema.foreign(con):
            raise StateError(
                f"{self._schema.what} cannot be kept in {self.place}: its {', '.join(foreign)} is another program's; "
                "rename that, or name another database"
            )
        known = self._schema.revisions()
        if stored is not None and stored not in known:
            raise StateError(
                f"{self._schema.what} in {self.place} was written by a newer version of analytics_platform "
                f"(schema {stored}, this version knows up to {known[-1]}); update the package"
            )

    def _alone(self) -> "AbstractContextManager[Connection]":
        """A transaction during which no other process migrates this database."""
        if self._kind == "sqlite":
            return self._alone_in_file()
        return self._alone_on_mysql() if self._kind == "mysql" else self._alone_on_postgresql()

    @contextmanager
    def _alone_in_file(self) -> "Iterator[Connection]":
        from filelock import FileLock, Timeout

        self._path.parent.mkdir(parents=True, exist_ok=True)
        alone = FileLock(f"{self._path}.lock")
        try:
            alone.acquire(timeout=_MIGRATION_SECONDS)
        except Timeout:
            raise StateError(
                f"another process was changing the schema of {self.place} for {_MIGRATION_SECONDS} s; try again"
            ) from None
        try:
            connection = self._engine.raw_connection()
            try:
                # Stays with the file; cannot be set inside a transaction.
                connection.cursor().execute("PRAGMA journal_mode = WAL")
            finally:
                connection.close()
            with self._writer.begin() as con:
                yield con
        finally:
            alone.release()

    @contextmanager
    def _alone_on_postgresql(self) -> "Iterator[Connection]":
        from sqlalchemy import text

        with self._engine.begin() as con:
            con.execute(text(f"SET LOCAL lock_timeout = '{_MIGRATION_SECONDS}s'"))
            con.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            yield con

    @contextmanager
    def _alone_on_mysql(self) -> "Iterator[Connection]":
        from analytics_platform.state import mysql

        with mysql.alone(self._engine, _MIGRATION_SECONDS) as con:
            if con is None:
                raise StateError(
                    f"another process was changing the schema of {self.place} for {_MIGRATION_SECONDS} s; try again"
                )
            yield con


def add_if_absent(con: "Connection", table: "Table", values: Mapping[str, object]) -> bool:
    """Insert the row unless its key is there; whether it was inserted. Waits for another's uncommitted insert."""
    return add_absent(con, table, [values]) == 1


def add_absent(con: "Connection", table: "Table", rows: "Sequence[Mapping[str, object]]") -> int:
    """Insert the rows whose keys are not there; how many were inserted. All have the same columns."""
    from sqlalchemy import Insert
    from sqlalchemy.dialects import mysql, postgresql, sqlite

    statement: Insert
    if con.dialect.name == "mysql":
        # Not INSERT IGNORE: that also swallows values that do not fit and references that lead nowhere.
        key = next(iter(table.primary_key.columns))
        statement = mysql.insert(table).on_duplicate_key_update({key.name: key})
    else:
        insert = postgresql.insert if con.dialect.name == "postgresql" else sqlite.insert
        statement = insert(table).on_conflict_do_nothing()
    # Without the option, the number of inserted rows is not kept for PostgreSQL and reads -1.
    done = con.execute(statement, [dict(row) for row in rows], execution_options={"preserve_rowcount": True})
    return done.rowcount


def _forget(engine: "weakref.ref[Engine]") -> None:
    # The child has the parent's sockets; without closing them, it starts with a pool of its own.
    if (found := engine()) is not None:
        found.dispose(close=False)
