"""What only MySQL and MariaDB need of a database of state.

Belongs here: how a connection is set up, how one process at a time changes the schema. Does not: the same for the other
kinds (`database.py`). Imported only when such a database is used: SQLAlchemy is heavy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text

# A process that hangs inside a transaction must not stop everybody else for ever.
_IDLE_SECONDS = 300
# Locks of this kind are the whole server's, and a name has at most 64 signs.
_LOCK = "CONCAT('analytics_platform ', MD5(DATABASE()))"


def engine(url: URL, *, wait_seconds: int, migration_seconds: int) -> Engine:
    """A small pool of connections that speak UTC and utf8mb4 whatever the server's own settings are."""
    query = {**url.query, "charset": "utf8mb4"}
    made = create_engine(
        url.set(drivername="mysql+pymysql", query=query),
        pool_size=2,
        max_overflow=20,
        pool_timeout=wait_seconds,
        pool_pre_ping=True,
        hide_parameters=True,
        # What another has committed is seen at once: whoever waited for a lock must not go by an older picture.
        isolation_level="READ COMMITTED",
        connect_args={
            # SQLAlchemy's own flag makes an insert that found its key there count as one row.
            "client_flag": 0,
            "conv": _conversions(),
            **{
                name: seconds
                for name, seconds in (("connect_timeout", 10), ("read_timeout", migration_seconds + wait_seconds))
                if name not in url.query
            },
        },
    )

    @event.listens_for(made, "connect")
    def connected(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SET time_zone = '+00:00', "
                # A value that does not fit is an error, whatever this server does for others.
                "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO', "
                f"innodb_lock_wait_timeout = {wait_seconds}, lock_wait_timeout = {wait_seconds}, "
                f"wait_timeout = {_IDLE_SECONDS}"
            )

    return made


def _conversions() -> dict[Any, Any]:
    """PyMySQL's own, with times read by Python's library, in a tenth of the time of the driver's regular expression."""
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import conversions, convert_datetime

    def read(value: str) -> Any:
        try:
            return datetime.fromisoformat(value)
        except ValueError:  # a date of zeros: as the driver has it
            return convert_datetime(value)

    return {**conversions, FIELD_TYPE.DATETIME: read, FIELD_TYPE.TIMESTAMP: read}


@contextmanager
def alone(engine: Engine, seconds: int) -> Iterator[Connection | None]:
    """A transaction during which no other process migrates this database; None when that took longer.

    A change of the schema commits whatever came before it; the lock lasts as long as the connection.
    """
    with engine.connect() as con:
        got = con.execute(text(f"SELECT GET_LOCK({_LOCK}, :seconds)"), {"seconds": seconds}).scalar()
        con.commit()
        if not got:
            yield None
            return
        try:
            with con.begin():
                yield con
        finally:
            # Undone: a statement that failed half-way may have left its transaction behind.
            con.rollback()
            con.execute(text(f"SELECT RELEASE_LOCK({_LOCK})"))
            con.commit()
