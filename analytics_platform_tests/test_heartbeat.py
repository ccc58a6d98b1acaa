"""The sign of life over real HTTP: it is given, and what keeps it from being given is told without the secret."""

import logging
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from analytics_platform.heartbeat import beat

SECRET = "d2b6a2f0-token"
NOW = datetime(2026, 11, 21, 11, 0, 5, 250_000, tzinfo=timezone(timedelta(hours=3)))


class Watcher(ThreadingHTTPServer):
    """Answers each call with `status`, or not at all for 0; keeps the paths."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.paths, self.closing = 200, list[str](), Event()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Watcher)
        self.server.paths.append(self.path)
        if not self.server.status:
            self.server.closing.wait(10)
            return
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silence."""


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    with Watcher() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def test_the_sign_is_given(tmp_path: Path, watcher: Watcher, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "alive"
    assert beat(file, f"{watcher.host}/{SECRET}?x=1", NOW) is None
    assert beat(file, f"{watcher.host}/{SECRET}?x=1", NOW + timedelta(minutes=1)) is None
    assert file.read_text() == "2026-11-21T08:01:05+00:00\n"
    assert list(tmp_path.iterdir()) == [file]
    assert watcher.paths == [f"/{SECRET}?x=1"] * 2
    assert SECRET not in caplog.text


def test_nothing_wanted_is_nothing_done(tmp_path: Path) -> None:
    assert beat(None, None, NOW) is None
    with pytest.raises(ValueError, match="needs a zone"):
        beat(tmp_path / "alive", None, NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "answered with status 500."),
        (404, "answered with status 404."),
        (301, "write the address that it leads to"),
    ],
)
def test_an_answer_that_is_not_yes(watcher: Watcher, status: int, words: str) -> None:
    watcher.status = status
    trouble = beat(None, f"{watcher.host}/{SECRET}?key={SECRET}", NOW)
    assert trouble is not None
    assert trouble.startswith(f"HEARTBEAT_URL: {watcher.host} answered")
    assert words in trouble
    assert SECRET not in trouble
    assert len(watcher.paths) == 1  # a secret is not carried elsewhere


def test_silence(watcher: Watcher) -> None:
    watcher.status = 0
    trouble = beat(None, f"{watcher.host}/{SECRET}", NOW, timeout_seconds=0.3)
    assert trouble == f"HEARTBEAT_URL: {watcher.host} gave no answer within 0.3 s."


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
    trouble = beat(None, f"http://{SECRET}:{SECRET}@{place}/{SECRET}#{SECRET}", NOW)
    assert trouble == f"HEARTBEAT_URL: http://{place} cannot be reached (ConnectError)."
    trouble = beat(None, f"https://watcher.invalid/{SECRET}", NOW)
    assert trouble == "HEARTBEAT_URL: https://watcher.invalid cannot be reached (ConnectError)."


@pytest.mark.parametrize(
    "url", [SECRET, f"ftp://host/{SECRET}", f"http:///{SECRET}", f"http://[::1/{SECRET}", f"http://h:port/{SECRET}"]
)
def test_what_is_no_address(url: str) -> None:
    trouble = beat(None, url, NOW)
    assert trouble == "HEARTBEAT_URL is not an address: it begins with http:// or https:// and names a host."


def test_an_address_with_a_sign_that_cannot_be(watcher: Watcher) -> None:
    trouble = beat(None, f"{watcher.host}/{SECRET}\x00", NOW)
    assert trouble == f"HEARTBEAT_URL: what follows {watcher.host} is not an address."


def test_a_file_that_cannot_be_written_does_not_keep_the_call_from_going_out(tmp_path: Path, watcher: Watcher) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    for file, why in (
        (tmp_path / "none" / "alive", "No such file or directory"),
        (tmp_path / "there", "Is a directory"),
        (tmp_path / "file" / "alive", "Not a directory"),
    ):
        trouble = beat(file, f"{watcher.host}/{SECRET}", NOW)
        assert trouble == f"HEARTBEAT_FILE {file} cannot be written: {why}."
    assert beat(Path("/"), None, NOW) == "HEARTBEAT_FILE / is not a file's name."
    assert len(watcher.paths) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]
    watcher.status = 500
    trouble = beat(tmp_path / "there", watcher.host, NOW)
    assert trouble is not None
    assert trouble.count("HEARTBEAT_") == 2
