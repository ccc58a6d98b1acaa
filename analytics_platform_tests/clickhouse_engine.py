"""The real ClickHouse engine (chDB), asked as its HTTP interface would ask it.

Belongs here: one statement with its database, settings and parameters; sessions; running query ids. Does not: HTTP.

The engine is one a process and takes 260 MiB, so only the server's own process imports chDB. Every request has a
connection of its own (0.1 ms): settings and databases cannot leak, and neither can the rows of a statement that failed
half way, which chDB hands to the next statement of the same connection.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from analytics_platform_tests.clickhouse_wire import Request, ServerError

_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^'\"]*)?;?\s*$", re.IGNORECASE)
_SETTING = re.compile(r"[A-Za-z_]\w*")
_LASTING = re.compile(r"\s*(?:SET|USE)\s", re.IGNORECASE)
_TEMPORARY = re.compile(r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?TEMPORARY\s", re.IGNORECASE)
_SELECT = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:SELECT|WITH|\()", re.IGNORECASE | re.DOTALL)
_PLAIN_TIME = b"\x08DateTime"  # a type in the Native format, its length before it
_VALUES = re.compile(r"\bVALUES\b", re.IGNORECASE)
_KILL = re.compile(
    r"\s*KILL\s+QUERY\s+WHERE\s+query_id\s*=\s*(?P<id>'(?:[^'\\]|\\.)*'|\{\s*\w+\s*:\s*String\s*\})", re.IGNORECASE
)


@dataclass(frozen=True)
class Answer:
    """What a statement gave. `format` is empty for statements without a result; `summary` counts as the server does."""

    body: bytes = field(repr=False)
    format: str
    summary: dict[str, str]
    timezone: str


@dataclass
class _Session:
    # What lasts in it: SET and USE, said again on the connection of each request.
    said: list[str] = field(default_factory=list)
    busy: bool = False


class Engine:
    """One engine in a folder. Safe to use from several threads; statements run side by side."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        import chdb

        self._chdb: Any = chdb
        self._folder = str(folder)
        # The engine ends with its last connection.
        self._open: Any = self._chdb.connect(self._folder)
        # An embedded engine reads "foo" as SELECT foo; a server does not.
        self._own = {"implicit_select": "0", **({"max_threads": str(threads)} if threads else {})}
        self._lock = Lock()
        self._running: set[str] = set()
        self._sessions: dict[str, _Session] = {}
        self.version, self.timezone = self._ask("SELECT version(), serverTimezone()").split("\t")

    def close(self) -> None:
        """End the engine."""
        self._open.close()

    def create_database(self, name: str) -> None:
        """Create a database where there is none of that name."""
        self._ask(f"CREATE DATABASE IF NOT EXISTS {_quoted(name, '`')}")

    def error(self, code: int, text: str) -> ServerError:
        """The error of that number, by the name that the engine has for it."""
        return ServerError(code, self._ask(f"SELECT errorCodeToName({code:d})"), text)

    def _ask(self, statement: str) -> str:
        connection = self._chdb.connect(self._folder)
        try:
            return str(connection.query(statement, "TabSeparated").bytes().decode().strip())
        finally:
            connection.close()

    @contextmanager
    def admitted(self, request: Request) -> Iterator[None]:
        """The request's id and session are taken meanwhile. Raises ServerError where somebody else has them."""
        with self._lock:
            if request.query_id in self._running:
                text = f"Query with id = {request.query_id} is already running."
                raise ServerError(216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", text)
            session = self._sessions.get(request.session)
            if session is None:
                if request.session_check:
                    raise ServerError(372, "SESSION_NOT_FOUND", "Session not found.")
                session = _Session()
            if session.busy:
                raise ServerError(373, "SESSION_IS_LOCKED", "Session is locked by a concurrent client.")
            if request.session:
                self._sessions[request.session] = session
                session.busy = True
            self._running.add(request.query_id)
        try:
            yield
        finally:
            with self._lock:
                session.busy = False
                self._running.discard(request.query_id)

    def execute(self, request: Request) -> Answer:
        """Run it. Raises ServerError, and ConnectionError where the data of an INSERT end too early: it is undone."""
        request = self._killing(request)
        session = self._sessions.get(request.session) or _Session()
        connection = self._chdb.connect(self._folder)
        try:
            for statement in (*session.said, *self._before(request)):
                connection.query(statement)
            answer = self._insert(connection, request) if request.input_format else self._query(connection, request)
        except RuntimeError as error:
            raise ServerError.of(str(error)) from error
        finally:
            connection.close()
        if request.session and _LASTING.match(request.statement):
            session.said.append(request.statement)
        return answer

    def _before(self, request: Request) -> list[str]:
        settings = self._own | request.settings | ({"readonly": "2"} if request.readonly else {})
        if request.input_format:
            settings |= {f"param_{name}": value for name, value in request.params.items()}
        for name in settings:
            if not _SETTING.fullmatch(name):
                raise ServerError(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'.")
        use = [f"USE {_quoted(request.database, '`')}"] if request.database else []
        return [*use, "SET " + ", ".join(f"{name} = {_quoted(value, chr(39))}" for name, value in settings.items())]

    def _insert(self, connection: Any, request: Request) -> Answer:
        with connection.send_insert(request.statement, request.input_format) as insert:
            for piece in request.data:
                insert.append(piece)
            done = insert.finish()
        rows, size = str(done.rows_written), str(done.bytes_written)
        summary = {"read_rows": rows, "read_bytes": size, "written_rows": rows, "written_bytes": size}
        return self._answer(request, b"", "", summary, done.elapsed)

    def _query(self, connection: Any, request: Request) -> Answer:
        text = request.statement.rstrip().removesuffix(";")
        if not text:
            raise ServerError(62, "SYNTAX_ERROR", "Empty query.")
        kind = connection._conn.classify_query(text)
        if kind["statement_count"] > 1:
            raise ServerError(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed).")
        if request.session and _TEMPORARY.match(text):
            raise ServerError(48, "NOT_IMPLEMENTED", "Temporary tables do not last in this server's sessions.")
        found = _FORMAT.search(text)
        form = found[1] if found else request.default_format
        bare = _FORMAT.sub("", text)
        if not _VALUES.search(text):  # behind them, a comment would be read as data
            text = f"{text}\n{_mark(request.query_id)}"
        result = connection.query(text, form, params=request.params)
        content = result.bytes() or b""
        if form == "Native" and _PLAIN_TIME in content and _SELECT.match(bare):
            content = self._zoned(content, connection, bare, request.params)
        summary = {
            "read_rows": str(result.storage_rows_read()),
            "read_bytes": str(result.storage_bytes_read()),
            "written_rows": str(result.rows_written()),
            "written_bytes": str(result.bytes_written()),
            "result_rows": str(result.rows_read()),
            "result_bytes": str(len(content)),
        }
        reads = kind["query_class"].name == "READ_ONLY"
        return self._answer(request, content, form if content or reads else "", summary, result.elapsed())

    def _zoned(self, content: bytes, connection: Any, select: str, params: dict[str, str]) -> bytes:
        # The embedded engine writes for a client that named no protocol version: without the zones of columns. A server
        # is told the version, by every client, and writes them.
        columns = connection.query(f"DESCRIBE TABLE ({select})", "JSONCompact", params=params).bytes()
        for name, kind, *_ in json.loads(columns)["data"]:
            if kind.startswith("DateTime("):
                head = _counted(name.encode())
                content = content.replace(head + _PLAIN_TIME, head + _counted(kind.encode()))
        return content

    def _answer(self, request: Request, body: bytes, form: str, summary: dict[str, str], seconds: float) -> Answer:
        summary |= {"total_rows_to_read": summary["read_rows"], "elapsed_ns": str(int(seconds * 1e9))}
        return Answer(body, form, summary, request.settings.get("session_timezone") or self.timezone)

    def _killing(self, request: Request) -> Request:
        # The engine gives ids of its own, so a statement carries the client's at its end.
        found = _KILL.match(request.statement)
        if found is None:
            return request
        condition = f"endsWith(query, concat('/* ', {found['id']}, ' */')) AND query NOT ILIKE 'KILL%'"
        return replace(request, statement=f"KILL QUERY WHERE {condition}{request.statement[found.end() :]}")


def _counted(text: bytes) -> bytes:
    size, length = len(text), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return length + bytes([size]) + text


def _mark(query_id: str) -> str:
    return f"/* {query_id.replace('*/', '')} */"


def _quoted(text: str, sign: str) -> str:
    return sign + text.replace("\\", "\\\\").replace(sign, "\\" + sign) + sign
