"""Real servers for tests, started from their own programs on this machine.

Belongs here: finding, starting and stopping a server. Does not: what is tested with it.

A program that is not installed skips the tests that need it and names the package; with REQUIRE_SERVICES=1 they fail.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

# Debian puts servers where PATH does not lead, PostgreSQL's one folder a version.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin")
_POSTGRESQL = "/usr/lib/postgresql"
_STARTS_WITHIN_SECONDS = 60.0
_NO_GROUPS: tuple[int, ...] = ()  # root's other groups are not for a server that runs as somebody else
_TAIL = 20  # lines of its log that a server which does not start is shown by


def absent(message: str) -> NoReturn:
    """Skips the test, or fails it with REQUIRE_SERVICES=1, for what the message names."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


def program(name: str, package: str) -> str:
    """The path of an installed program. Skips the test, or fails it with REQUIRE_SERVICES=1, naming the package."""
    newest_first = sorted(Path(_POSTGRESQL).glob("*/bin"), key=lambda p: (len(p.parent.name), p.parent.name))[::-1]
    for folder in (None, *_FOLDERS, *map(str, newest_first)):
        if found := shutil.which(name, path=folder):
            return found
    absent(f"{name} not installed (apt-get install {package})")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def short_folder(user: str | None = None) -> Iterator[Path]:
    """An empty folder with a short path (a socket's is at most 107 bytes), that user's if given; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ap", dir="/tmp"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(
    command: list[str],
    log: Path,
    ready: Callable[[], bool],
    *,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """The server, from when it is `ready` to the end. Fails with the end of its log when it does not start.

    `environment` is added to this process's own.
    """
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            user=user,
            group=_group(user),
            extra_groups=_NO_GROUPS if user else None,
            env={**os.environ, **(environment or {})},
        )
    try:
        deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text("utf-8", errors="replace").splitlines()[-_TAIL:]
                pytest.fail("\n".join([f"{Path(command[0]).name} did not start; its log ends with", *tail]))
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Postgres:
    """A running PostgreSQL. `password` is real: the server asks for it."""

    port: int
    password: str = field(repr=False)

    def url(self, database: str) -> str:
        """The address of a database on it."""
        return f"postgresql://tester:{self.password}@127.0.0.1:{self.port}/{database}"

    def empty_database(self, name: str = "tests") -> str:
        """The address of a database with nothing in it; whoever still used it is thrown out.

        Emptied and not created anew: each creation copies 7 MB, which a hundred tests wait for.
        """
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                admin.execute(f'CREATE DATABASE "{name}"'.encode())
                return self.url(name)
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url(name)

    def answers(self) -> bool:
        """Whether it lets us in."""
        import psycopg

        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of its own, empty, gone at the end. It refuses to run as root, so root starts it as another user."""
    initdb, server = program("initdb", "postgresql"), program("postgres", "postgresql")
    user = _unprivileged() if os.geteuid() == 0 else None
    with short_folder(user) as folder:
        found = Postgres(free_port(), secrets.token_urlsafe(12))
        word = folder / "password"
        word.write_text(found.password)
        data = folder / "data"
        if user is not None:
            shutil.chown(word, user)
        options = ["-U", "tester", "-A", "scram-sha-256", "--pwfile", str(word), "-E", "UTF8", "--locale", "C"]
        made = subprocess.run(
            [initdb, "-D", str(data), "--no-sync", *options],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            user=user,
            group=_group(user),
            extra_groups=_NO_GROUPS if user else None,
        )
        if made.returncode:
            pytest.fail(f"initdb failed: {made.stderr}")
        configuration = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",  # nothing here outlives the tests
            "shared_buffers": "16MB",
            "TimeZone": "Asia/Tokyo",  # moments must come back as UTC whatever the server thinks
        }
        command = [server, "-D", str(data), "-p", str(found.port)]
        command += [word for name, value in configuration.items() for word in ("-c", f"{name}={value}")]
        # SIGINT: without waiting for clients that are still connected.
        with running(command, folder / "log", found.answers, user=user, stop=signal.SIGINT):
            yield found


def _unprivileged() -> str:
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.fail("PostgreSQL does not run as root, and there is no user postgres or nobody to start it as")


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid
