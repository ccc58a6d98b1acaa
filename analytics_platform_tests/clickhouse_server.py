"""A ClickHouse server on this machine, for tests: the real engine (chDB) behind the real HTTP protocol.

Belongs here: HTTP, who may come in, faults on demand. Does not: the engine (`clickhouse_engine.py`), starting it in a
process of its own (`clickhouse_service.py`). Not to be had here: users and rights, clusters, TLS, `system.query_log`,
external data, answers in the making (each is sent when it is complete).

By hand: `python -m analytics_platform_tests.clickhouse_server --port 8123`.
"""

import argparse
import hmac
import json
import os
import secrets
import signal
import string
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event
from urllib.parse import parse_qsl, urlsplit

from analytics_platform_tests.clickhouse_engine import Answer, Engine
from analytics_platform_tests.clickhouse_faults import Desk, Fault, Received
from analytics_platform_tests.clickhouse_wire import (
    PIECE,
    Request,
    ServerError,
    body,
    chosen,
    credentials,
    deflated,
    refused,
    request,
)
from analytics_platform_tests.listening import Listener, Quiet, listening

DATABASE = "analytics"
PASSWORD_VARIABLE = "CLICKHOUSE_SERVER_PASSWORD"
_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "JSON": "application/json; charset=UTF-8",
    "Arrow": "application/vnd.apache.arrow.file",
    "ArrowStream": "application/vnd.apache.arrow.stream",
    "Native": "application/octet-stream",
    "Parquet": "application/octet-stream",
}


@dataclass
class ClickHouseServer:
    """The server's port, its engine, what it received and what is to go wrong (`desk`).

    `user` is the only one who may come in, with `password`; an empty password lets in whatever is given.
    """

    engine: Engine
    user: str = "default"
    password: str = field(default="", repr=False)
    port: int = 0
    desk: Desk = field(default_factory=Desk)
    released: Event = field(default_factory=Event)

    def admit(self, user: str, password: str) -> None:
        """Raises ServerError for everybody who may not come in."""
        known = not self.password or hmac.compare_digest(password.encode(), self.password.encode())
        if user != self.user or not known:
            said = "Authentication failed: password is incorrect, or there is no user with such name."
            raise refused(f"{user}: {said}")

    def handle(self, asked: Request) -> "tuple[Answer, _BrokenError | None]":
        """The answer, and what breaks it off half way. Raises ServerError, and `_BrokenError` for no answer at all."""
        noted = Received(
            asked.query_id,
            asked.statement,
            asked.settings,
            asked.params,
            asked.database,
            asked.user,
            asked.session,
        )
        released = self.released  # before it is noted: whoever has read of it can let it go
        faults = self.desk.enter(noted)
        try:
            with self.engine.admitted(asked):
                noted.admitted = True
                for fault in faults:
                    if fault.kind == "delay":
                        released.wait(fault.seconds)
                    elif fault.when == "before":
                        raise self._broken(fault)
                answer = self.engine.execute(asked)
                noted.executed = True
            late = [fault for fault in faults if fault.kind != "delay"]
            if late and late[0].when == "after":
                raise self._broken(late[0])
        except ServerError as error:
            noted.code = error.code
            raise
        if not late:
            return answer, None
        broken = self._broken(late[0])
        noted.code = broken.code if isinstance(broken, ServerError) else 0
        return answer, _BrokenError(broken)

    def release(self) -> None:
        """Whoever is delayed goes on; those that come later are delayed again."""
        waiting, self.released = self.released, Event()
        waiting.set()

    def _broken(self, fault: Fault) -> Exception:
        if fault.kind == "fail":
            return self.engine.error(fault.code, "Asked for by a test.")
        return _BrokenError(None)


class _BrokenError(Exception):
    """The connection ends here; `words` of the server stand at the end of what was sent."""

    def __init__(self, words: Exception | None) -> None:
        super().__init__("the connection ends")
        self.words = words if isinstance(words, ServerError) else None


def _handler(server: ClickHouseServer) -> type[BaseHTTPRequestHandler]:
    class Handler(Quiet, BaseHTTPRequestHandler):
        wbufsize = 1 << 16

        def do_GET(self) -> None:
            self._answer(readonly=True)

        def do_POST(self) -> None:
            self._answer(readonly=False)

        def _answer(self, *, readonly: bool) -> None:
            address = urlsplit(self.path)
            asked = dict(parse_qsl(address.query, keep_blank_values=True))
            pieces = body(self.rfile, self.headers)
            if address.path.startswith("/control/"):
                return self._control(address.path, b"".join(pieces))
            if address.path == "/ping" or (readonly and "query" not in asked and address.path == "/"):
                return self._send(200, b"Ok.\n")
            if address.path != "/":
                return self._send(404, f"There is no handle {address.path}\n".encode())
            query_id = asked.get("query_id") or self.headers.get("X-ClickHouse-Query-Id") or str(uuid.uuid4())
            try:
                self._run(asked, pieces, query_id, readonly=readonly)
            except (_BrokenError, ConnectionError):
                self.close_connection = True
            except ServerError as error:
                told = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
                text = f"{error} (version {server.engine.version} (official build))\n"
                self._send(error.status, text.encode(), **told)
            return None

        def _run(self, asked: dict[str, str], pieces: Iterator[bytes], query_id: str, *, readonly: bool) -> None:
            try:
                if not readonly and not {"Content-Length", "Transfer-Encoding"} & {*self.headers}:
                    text = "The Transfer-Encoding is not chunked and there is no Content-Length header for POST request"
                    raise ServerError(381, "HTTP_LENGTH_REQUIRED", text)
                user, password = credentials(asked, self.headers)
                server.admit(user, password)
                found = request(asked, self.headers, pieces, user=user, query_id=query_id, readonly=readonly)
                answer, broken = server.handle(found)
            finally:
                # What nobody read would be taken for the next request.
                for _ in pieces:
                    pass
            encoding = chosen(self.headers.get("Accept-Encoding", "")) if found.compressed and answer.body else ""
            tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
            head = {
                "Content-Type": _TYPES.get(answer.format, "text/plain; charset=UTF-8"),
                "X-ClickHouse-Query-Id": query_id,
                "X-ClickHouse-Timezone": answer.timezone,
                "X-ClickHouse-Exception-Tag": tag,
            }
            head |= {"X-ClickHouse-Format": answer.format} if answer.format else {}
            head |= {"Content-Encoding": encoding} if encoding else {}
            summary = {"X-ClickHouse-Summary": json.dumps(answer.summary)}
            if broken is None:
                self._stream(head | summary, deflated(_cut(answer.body), encoding))
                return
            words = f"{broken.words}\n" if broken.words else ""
            note = f"\r\n__exception__\r\n{tag}\r\n{words}{len(words.encode())} {tag}\r\n__exception__\r\n"
            half = [answer.body[: len(answer.body) // 2], note.encode() if words else b""]
            self._stream(head, deflated(half, encoding), whole=False)
            raise broken

        def _stream(self, head: dict[str, str], pieces: Iterable[bytes], *, whole: bool = True) -> None:
            self._head(200, {**head, "Transfer-Encoding": "chunked"})
            for piece in filter(None, pieces):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if whole:
                self.wfile.write(b"0\r\n\r\n")

        def _send(self, status: int, content: bytes, **head: str) -> None:
            kind = {"Content-Type": "text/plain; charset=UTF-8", "Content-Length": str(len(content))}
            self._head(status, kind | head)
            self.wfile.write(content)

        def _head(self, status: int, head: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in head.items():
                self.send_header(name, value)
            self.end_headers()

        def _control(self, path: str, content: bytes) -> None:
            told: object = {}
            match path.removeprefix("/control/"):
                case "log":
                    told = [asdict(received) for received in server.desk.received()]
                case "faults":
                    server.desk.add([Fault(**fault) for fault in json.loads(content)])
                case "clear":
                    server.desk.clear()
                case "release":
                    server.release()
                case "process":
                    told = os.getpid()
            self._send(200, json.dumps(told).encode())

    return Handler


def _cut(content: bytes) -> Iterator[bytes]:
    return (content[at : at + PIECE] for at in range(0, len(content), PIECE))


@contextmanager
def clickhouse_server(
    folder: Path, port: int = 0, *, threads: int | None = None, user: str = "default", password: str = ""
) -> Iterator[ClickHouseServer]:
    """A running server on 127.0.0.1, any free port by default, with its data in that folder.

    One a process: chDB has one engine in it. `threads`: of a statement, unless it sets its own.
    """
    engine = Engine(folder, threads)
    engine.create_database(DATABASE)
    server = ClickHouseServer(engine, user, password)
    listener = Listener(("127.0.0.1", port), _handler(server))
    server.port = listener.server_port

    def let_go() -> None:
        server.released.set()  # the one there is by then: each release puts another in its place

    try:
        with listening(listener, let_go):
            yield server
    finally:
        engine.close()


def _by_hand() -> None:
    told = argparse.ArgumentParser(description="A ClickHouse server on this machine, with the embedded engine.")
    told.add_argument("--port", type=int, default=8123, help="0: any free one")
    told.add_argument("--path", type=Path, help="folder of the data; without it they are gone at the end")
    told.add_argument("--threads", type=int, help="threads of a statement, unless it sets its own")
    told.add_argument("--user", help=f"who may come in, with the password in {PASSWORD_VARIABLE}; default: default")
    asked = told.parse_args()
    user, password = asked.user or "default", os.environ.get(PASSWORD_VARIABLE, "")
    if asked.user and not password:
        told.error(f"set {PASSWORD_VARIABLE} to the password of {asked.user}")
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        folder = asked.path or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clickhouse")))
        folder.mkdir(parents=True, exist_ok=True)
        server = stack.enter_context(
            clickhouse_server(folder, asked.port, threads=asked.threads, user=user, password=password)
        )
        who = f"{asked.user}@" if asked.user else ""
        print(f"WAREHOUSE_URL=clickhouse://{who}127.0.0.1:{server.port}/{DATABASE}", flush=True)
        signal.pause()


if __name__ == "__main__":
    _by_hand()
