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
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    import httpx

# Debian puts servers where PATH does not lead, PostgreSQL's one folder a version.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin")
_POSTGRESQL = "/usr/lib/postgresql"
_STARTS_WITHIN_SECONDS = 60.0
_NO_GROUPS: tuple[int, ...] = ()  # root's other groups are not for a server that runs as somebody else
# Below those of the system's choice; each process of the tests begins somewhere else, far from the others.
_ports = (12_000 + (os.getpid() * 331 + turn) % 20_000 for turn in count())
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
    """A port of the loopback interface that nobody listens on, and that nobody else is given before it is listened on.

    Not one of those that the system gives to whoever asks for any, each connection included.
    """
    while True:
        port = next(_ports)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(there: Callable[[], bool]) -> None:
    """Wait for it, asked again and again, not for ever: a busy machine has a minute."""
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def first_answer(ask: "Callable[[], httpx.Response]", process: "subprocess.Popen[str]") -> "httpx.Response":
    """What it gives as soon as somebody listens, which is to be that process."""
    import httpx

    found: list[httpx.Response] = []

    def there() -> bool:
        try:
            found.append(ask())
        except httpx.ConnectError:
            assert process.poll() is None, process.communicate()[0]
        return bool(found)

    until(there)
    return found[0]


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

    def cleared_database(self, name: str, prepare: Callable[[str], None], keep: str) -> str:
        """The address of a database whose tables `prepare` made, without rows but those of the table `keep`; whoever
        still used it is thrown out.

        Making the tables anew costs the server a tenth of a second, more than most tests of state do.
        """
        import psycopg

        url = self.url(name)
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                prepare(self.empty_database(name))
                return url
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        found = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> %s"
        with psycopg.connect(url, autocommit=True) as connection:
            tables = ", ".join(f'"{table}"' for (table,) in connection.execute(found, [keep]).fetchall())
            connection.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE".encode())
        return url

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


@dataclass
class Redis:
    """A running Redis; `port` asks for no password unless it was started with one, and so does `socket`.

    With TLS: `tls_port`, `authority` (the certificate that its own is checked against) and, for a server that asks for
    one, `certificate` and `key` of a client.
    """

    port: int
    folder: Path
    tls_port: int = 0

    @property
    def socket(self) -> Path:
        """Where it listens besides."""
        return self.folder / "redis.sock"

    @property
    def authority(self) -> Path:
        """To be trusted."""
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        """Of the server, and good for a client as well."""
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        """Of the certificate."""
        return self.folder / "key.pem"

    def url(self, login: str = "", database: int = 0) -> str:
        """The address of a database on it; `login` is `user:password@`."""
        return f"redis://{login}127.0.0.1:{self.port}/{database}"

    def ask(self, *command: str | int) -> Any:
        """Its answer to a command of the user without a password."""
        import redis

        with redis.Redis(port=self.port, decode_responses=True) as client:
            return client.execute_command(*command)

    def empty(self) -> "Redis":
        """It without keys, in any database, and with no limit of memory."""
        self.ask("CONFIG", "SET", "maxmemory", 0)
        self.ask("FLUSHALL")
        return self

    def process(self) -> int:
        """The number of its process."""
        return int(self.ask("INFO", "server")["process_id"])

    def kill(self, after: float = 0) -> None:
        """Gone at once, in so many seconds, as by a loss of power; `redis` with `again` starts it once more."""
        time.sleep(after)
        os.kill(self.process(), signal.SIGKILL)
        while self.answers():
            time.sleep(0.005)

    def answers(self) -> bool:
        """Whether it is ready, be it to ask for a password."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


@contextmanager
def redis(*options: str | int, tls: bool = False, again: Redis | None = None) -> Iterator[Redis]:
    """A Redis of its own, empty, gone at the end; `options` are those of its command line (`--requirepass`).

    `again`: one that was killed, started on its port with the files that it left.
    """
    server = program("redis-server", "redis-server")
    with short_folder() if again is None else nullcontext(again.folder) as folder:
        found = again or Redis(free_port(), folder, free_port() if tls else 0)
        command = [server, "--port", found.port, "--bind", "127.0.0.1", "--dir", folder, "--unixsocket", found.socket]
        command += ["--save", "", "--appendonly", "no"]
        if tls:
            if again is None:
                _certify(found)
            command += ["--tls-port", found.tls_port, "--tls-ca-cert-file", found.authority]
            command += ["--tls-cert-file", found.certificate, "--tls-key-file", found.key, "--tls-auth-clients", "no"]
        with running([str(word) for word in (*command, *options)], folder / "log", found.answers):
            yield found


def _certify(server: Redis) -> None:
    import trustme

    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(str(server.authority))
    own.private_key_pem.write_to_path(str(server.key))
    server.certificate.write_bytes(b"".join(blob.bytes() for blob in own.cert_chain_pems))


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
