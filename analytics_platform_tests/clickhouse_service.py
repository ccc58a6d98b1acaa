"""A ClickHouse for tests in a process of its own: the embedded engine behind HTTP, or the server of CLICKHOUSE_URL.

Belongs here: starting, emptying, asking for faults. Does not: the server itself (`clickhouse_server.py`).

A statement that fails needs no fault: ask for too much. Faults are for what no statement can bring about.
"""

import importlib.util
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import pytest

from analytics_platform_tests.clickhouse_faults import Fault, Received, When
from analytics_platform_tests.clickhouse_server import PASSWORD_VARIABLE
from analytics_platform_tests.services import absent, free_port, running, short_folder

URL_VARIABLE = "CLICKHOUSE_URL"
_ROOT = Path(__file__).parents[1]


@dataclass
class ClickHouse:
    """A running ClickHouse. What only the embedded engine can do skips the test on a real server, saying so.

    `own` is the server that CLICKHOUSE_URL names; without it, `folder` holds the data and survives `kill`.
    """

    port: int
    folder: Path | None = None
    user: str = "default"
    password: str = field(default="", repr=False)
    own: str = field(default="", repr=False)
    stack: ExitStack = field(default_factory=ExitStack, repr=False)

    def url(self, database: str) -> str:
        """The address of a database on it, whether it is there or not."""
        if self.own:
            return urlunsplit(urlsplit(self.own)._replace(path=f"/{quote(self.name(database))}"))
        who = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.password else ""
        return f"clickhouse://{who}127.0.0.1:{self.port}/{quote(database)}"

    def name(self, database: str) -> str:
        """The database's name on the server: workers that share a real server have databases of their own."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        return f"{database}_{worker}" if self.own and worker else database

    def empty_database(self, name: str = "tests") -> str:
        """The address of a database with nothing in it."""
        client = self.client()
        try:
            client.command(f"DROP DATABASE IF EXISTS `{self.name(name)}` SYNC")
            client.command(f"CREATE DATABASE `{self.name(name)}`")
        finally:
            client.close()
        return self.url(name)

    def client(self, database: str = "", **options: Any) -> Any:
        """An ordinary clickhouse-connect client over HTTP, in that database or the user's; close it."""
        import clickhouse_connect

        parts = urlsplit(self.own or self.url("default"))
        return clickhouse_connect.get_client(
            **{
                "host": parts.hostname,
                "port": parts.port,
                "username": unquote(parts.username or "default"),
                "password": unquote(parts.password or ""),
                "database": self.name(database) if database else "__default__",
                "secure": parts.scheme == "https" or "secure=true" in parts.query,
                "autogenerate_session_id": False,
                **options,
            }
        )

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=5).close()
        except OSError:
            return False
        return True

    # What goes wrong: see `clickhouse_faults.Fault`.

    def drop(self, pattern: str = "", *, when: When = "before", times: int = 1) -> None:
        """The connection ends for the next requests whose statement matches. The client itself tries reads again."""
        self._wrong(Fault("drop", pattern, when=when, times=times))

    def delay(self, pattern: str = "", *, seconds: float, times: int = 1) -> None:
        """The next matching requests take that much longer."""
        self._wrong(Fault("delay", pattern, seconds=seconds, times=times))

    def release(self) -> None:
        """Requests that are delayed at this moment go on."""
        self._control("release")

    def fail(self, pattern: str = "", *, code: int, when: When = "before", times: int = 1) -> None:
        """The next matching requests are answered by that error of the server."""
        self._wrong(Fault("fail", pattern, code=code, when=when, times=times))

    def log(self) -> list[Received]:
        """What the server received, in order, the statements that a client says when it connects included."""
        return [Received(**one) for one in self._control("log")]

    def clear(self) -> None:
        """Forget the log and the faults that did not come about."""
        self._control("clear")

    def renew(self) -> None:
        """Up, with no faults and an empty log, whatever a test before did to it."""
        if not self.own:
            if not self.answers():
                self.start()
            self.clear()

    def kill(self) -> None:
        """The server is gone at once, as if the machine had lost its power; nobody listens on its port."""
        os.kill(int(self._control("process")), signal.SIGKILL)
        while self.answers():
            time.sleep(0.01)

    def start(self) -> None:
        """Up again after `kill`, on the same port with the same data."""
        assert self.folder is not None
        command = [sys.executable, "-m", "analytics_platform_tests.clickhouse_server"]
        command += ["--port", str(self.port), "--path", str(self.folder / "data")]
        if self.password:
            command += ["--user", self.user]
        # The server's time zone is far off: moments must come back as UTC whatever it thinks.
        given = {"TZ": "Asia/Tokyo", "PYTHONPATH": str(_ROOT), PASSWORD_VARIABLE: self.password}
        self.stack.enter_context(running(command, self.folder / "log", self.answers, environment=given))

    def _wrong(self, fault: Fault) -> None:
        self._control("faults", [asdict(fault)])

    def _control(self, verb: str, content: object = None) -> Any:
        if self.own:
            pytest.skip(f"faults and the log are the embedded engine's; {URL_VARIABLE} names a real server")
        address = f"http://127.0.0.1:{self.port}/control/{verb}"
        with urllib.request.urlopen(address, data=json.dumps(content).encode(), timeout=10) as answer:
            return json.load(answer)


@contextmanager
def clickhouse(user: str = "default", password: str = "") -> Iterator[ClickHouse]:
    """A ClickHouse with nothing in it, gone at the end; the server of CLICKHOUSE_URL where that is set.

    With a password, only that user may come in; a real server has its own users, so there the test is skipped.
    """
    if own := os.environ.get(URL_VARIABLE, ""):
        if password:
            pytest.skip(f"users are the embedded engine's; {URL_VARIABLE} names a real server")
        yield ClickHouse(urlsplit(own).port or 8123, own=own)
        return
    if importlib.util.find_spec("chdb") is None:
        absent("ClickHouse's embedded engine not installed (pip install chdb)")
    with short_folder() as folder, ExitStack() as stack:
        found = ClickHouse(free_port(), folder, user, password, stack=stack)
        found.start()
        yield found
