"""A real MariaDB for tests, started from its own program on this machine; it stands for MySQL as well.

Belongs here: starting and stopping one, its users, databases with nothing in them. Does not: what is tested with it.

A server that is not installed skips the tests that need it and names the package; with REQUIRE_SERVICES=1 they fail.
"""

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pymysql
import pytest
from pymysql.cursors import Cursor

from analytics_platform_tests import services

_PACKAGE = "mariadb-server"
_INSTALL = "mariadb-install-db"
# Nothing here outlives the tests, so nothing waits for a disk.
_OPTIONS = (
    "--no-defaults",
    "--skip-log-bin",
    "--debug-no-sync",
    "--innodb-flush-method=nosync",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=24M",
    "--innodb-log-file-size=8M",
    "--innodb-data-file-path=ibdata1:4M:autoextend",
    "--innodb-autoextend-increment=1",
    "--performance-schema=0",
)


@dataclass
class MariaDB:
    """A running MariaDB. `password` is real: the server asks for it, over TCP.

    Its time zone is +09:00: whoever forgets to say which one is meant reads wrong moments. Its users: `tester` may do
    everything, `reader` only read.
    """

    port: int
    password: str = field(repr=False)

    def url(self, database: str = "", user: str = "tester") -> str:
        """The address of a database on it, as SQLAlchemy reads it."""
        return f"mysql+pymysql://{user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str | None = None, user: str = "tester") -> "pymysql.Connection[Cursor]":
        """A connection, each statement a transaction of its own, that speaks utf8mb4."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=user,
            password=self.password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
        )

    def empty_database(self, name: str = "tests", charset: str = "utf8mb4", collation: str = "") -> str:
        """The address of a database with nothing in it; whoever still used it is thrown out. `collation`: the
        server's own for the charset, if it is not given."""
        with self.connect() as admin, admin.cursor() as ask:
            self._throw_out(ask, name)
            ask.execute(f"DROP DATABASE IF EXISTS `{name}`")
            ask.execute(f"CREATE DATABASE `{name}` CHARACTER SET {charset}{collation and f' COLLATE {collation}'}")
        return self.url(name)

    def cleared_database(self, name: str, keep: str) -> str | None:
        """The address of a database whose tables are emptied, all but `keep`; None when there is none.

        Making the tables anew costs the server more than most tests of them do.
        """
        found = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_name <> %s"
        with self.connect() as admin, admin.cursor() as ask:
            self._throw_out(ask, name)
            ask.execute(found, [name, keep])
            tables = [table for (table,) in ask.fetchall()]
            ask.execute("SET foreign_key_checks = 0")
            for table in tables:
                ask.execute(f"TRUNCATE `{name}`.`{table}`")
        return self.url(name) if tables else None

    def answers(self) -> bool:
        """Whether it lets us in."""
        try:
            self.connect().close()
        except pymysql.OperationalError:
            return False
        return True

    @staticmethod
    def _throw_out(ask: Cursor, name: str) -> None:
        ask.execute("SELECT id FROM information_schema.processlist WHERE db = %s", [name])
        for (number,) in ask.fetchall():
            ask.execute(f"KILL CONNECTION {number:d}")


@contextmanager
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB of its own, empty, gone at the end. Half a second of CPU, three of waiting."""
    install, server = services.program(_INSTALL, _PACKAGE), services.program("mariadbd", _PACKAGE)
    with services.short_folder() as folder:
        found = MariaDB(services.free_port(), secrets.token_urlsafe(12))
        data = folder / "data"
        options = [*_OPTIONS, f"--datadir={data}", *(["--user=root"] if os.geteuid() == 0 else [])]
        method = "--auth-root-authentication-method=normal"
        made = subprocess.run(
            [install, *options, method, "--skip-test-db"], cwd=folder, capture_output=True, text=True, check=False
        )
        if made.returncode:
            pytest.fail(f"{_INSTALL} failed: {made.stdout[-2000:]}{made.stderr[-2000:]}")
        users = folder / "users.sql"
        users.write_text(_users(found.password))
        command = [
            server,
            *options,
            f"--port={found.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--init-file={users}",
            "--default-time-zone=+09:00",
            "--max-connections=200",
        ]
        # Killed: what it would tidy up on its way out is deleted anyway.
        with services.running(command, folder / "log", found.answers, stop=signal.SIGKILL):
            yield found


def _users(password: str) -> str:
    """One statement a line. Those that come with the server ask for no password."""
    return "\n".join(
        [
            "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');",
            "FLUSH PRIVILEGES;",
            f"CREATE USER tester@'%' IDENTIFIED BY '{password}';",
            "GRANT ALL ON *.* TO tester@'%' WITH GRANT OPTION;",
            f"CREATE USER reader@'%' IDENTIFIED BY '{password}';",
            "GRANT SELECT ON *.* TO reader@'%';",
            "",
        ]
    )
