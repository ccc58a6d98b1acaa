"""Sends statements to a ClickHouse server and says what went wrong.

Belongs here: the connection, its settings and limits, query ids, what is tried again, errors as one sentence. Does not:
any statement (`clickhouse.py` and its parts).

Reads are tried again when the connection is lost; what writes is not: nobody knows whether it was carried out.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from analytics_platform.redaction import redact
from analytics_platform.warehouses.address import ClickHouseAddress
from analytics_platform.warehouses.base import WarehouseBusyError, WarehouseError, origin
from analytics_platform.warehouses.clickhouse_text import ANSI

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

# Codes of the server, see its ErrorCodes.cpp.
UNKNOWN_TABLE, UNKNOWN_DATABASE = 60, 81
_TIME_LIMIT, _MEMORY_LIMIT, _DENIED, _NO_ENTRY, _READ_ONLY = 159, 241, 497, 516, 164
# Only waiting helps: too many queries or parts at once, no connection to a shard or to Keeper, shutting down; and a
# read that the client sent once more, under the same id, before the server noticed that its connection was lost.
_PASSING = frozenset({202, 209, 210, 216, 225, 236, 242, 252, 279, 285, 319, 425, 439, 999})
_TRIES = 4
_Answer = TypeVar("_Answer")
_UNSAFE = re.compile(r"[^A-Za-z0-9_./:-]+")
# What the client and the server put around the words that matter.
_HEAD = re.compile(r"^(?:.*?server response: )?(?:Code: \d+\. )?(?:DB::Exception: )*", re.DOTALL)
_TAIL = re.compile(r"\s*(?:\(version [^()]*(?:\([^()]*\))?[^()]*\))?\s*(?:\(for url [^()]*\))?\s*$")


class DeniedError(WarehouseError):
    """The user may not do it."""


@dataclass(frozen=True)
class Limits:
    """What one statement may take, and how long to wait for a connection."""

    memory_bytes: int = 4_000_000_000
    time_seconds: int = 900
    connect_seconds: float = 10.0


class Server:
    """One server. Threads share it; the connection opens on first use."""

    def __init__(
        self, address: ClickHouseAddress, limits: Limits, connect: "Callable[[Mapping[str, Any]], Client] | None" = None
    ) -> None:
        self.address, self.limits = address, limits
        self._connect = connect or self._over_http
        self._client: Client | None = None
        self._opening = threading.Lock()

    def rows(self, text: str, parameters: Mapping[str, object] | None = None, *, name: str) -> list[dict[str, object]]:
        """The answer, a dictionary a row, as the client reads the types. Tried again when the connection is lost."""

        def ask() -> list[dict[str, object]]:
            found = self._open().query(text, parameters=dict(parameters or {}), settings=_marked(name))
            return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]

        return self._again(name, ask)

    def table(self, text: str, parameters: Mapping[str, object], *, name: str) -> "pa.Table":
        """The answer as Arrow. Tried again when the connection is lost."""
        return self._again(
            name,
            lambda: self._open().query_arrow(
                text, parameters=dict(parameters), settings=_marked(name), use_strings=True
            ),
        )

    def batches(self, text: str, parameters: Mapping[str, object], *, name: str) -> "Iterator[pa.RecordBatch]":
        """The answer as it comes, in record batches; not tried again once it has begun."""
        import pyarrow as pa

        try:
            with (
                said(name, self),
                self._open().query_arrow_stream(
                    text, parameters=dict(parameters), settings=_marked(name), use_strings=True
                ) as stream,
            ):
                yield from stream
        except pa.ArrowInvalid as error:
            # Older servers write an error that comes half way into the answer itself.
            raise WarehouseBusyError(f"{self.address}: {name} broke off: {_sentence(str(error))}") from None

    def command(self, text: str, parameters: Mapping[str, object] | None = None, *, name: str) -> None:
        """Carry out a statement once."""
        with said(name, self):
            self._open().command(text, parameters=dict(parameters or {}), settings=_marked(name))

    def insert(self, database: str, table: str, rows: "pa.Table", *, name: str) -> None:
        """Add rows to a table once."""
        with said(name, self):
            self._open().insert_arrow(table, rows, database=database, settings=_marked(name))

    def insert_rows(
        self, database: str, table: str, types: Mapping[str, str], rows: Sequence[Sequence[object]], *, name: str
    ) -> None:
        """Add a few rows, without Arrow, which costs a process a quarter of a second to import.

        The client sends them again when the connection is lost: for tables where the same rows twice are one.
        """
        with said(name, self):
            self._open().insert(
                table,
                rows,
                column_names=list(types),
                database=database,
                column_type_names=list(types.values()),
                settings=_marked(name),
            )

    def _again(self, name: str, ask: Callable[[], _Answer]) -> _Answer:
        for attempt in Retrying(
            retry=retry_if_exception_type(WarehouseBusyError),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_attempt(_TRIES),
            reraise=True,
        ):
            with attempt, said(name, self):
                return ask()
        raise AssertionError("tenacity returns or raises")

    def _open(self) -> "Client":
        with self._opening:
            if self._client is None:
                self._client = self._connect(
                    {
                        **ANSI,
                        "max_memory_usage": self.limits.memory_bytes,
                        "max_execution_time": self.limits.time_seconds,
                    }
                )
            return self._client

    def _over_http(self, settings: Mapping[str, Any]) -> "Client":
        import clickhouse_connect

        # It logs what it raises as well, with a traceback each time a read is tried again.
        logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
        at = self.address
        return clickhouse_connect.get_client(
            host=at.host,
            port=at.port,
            username=at.user,
            password=at.password,
            secure=at.secure,
            verify=at.verify,
            ca_cert=at.ca_cert,
            client_cert=at.client_cert,
            client_cert_key=at.client_cert_key,
            settings=dict(settings),
            # Whole seconds, of which none would be no time at all.
            connect_timeout=ceil(self.limits.connect_seconds),
            # The server ends a statement first and says why.
            send_receive_timeout=self.limits.time_seconds + 30,
            # Statements of several threads may run at once, each with an id of its own, and reads are repeated here.
            autogenerate_session_id=False,
            query_retries=0,
            client_name="analytics_platform",
        )


def _marked(name: str) -> dict[str, Any]:
    """What `system.query_log` shows of a statement: run and asset, or the verb, and the statement's name."""
    mark = _UNSAFE.sub("_", f"{origin.get()}/{name}")
    return {"query_id": f"{mark}/{uuid4().hex[:12]}", "log_comment": f"analytics_platform {mark}"}


@contextmanager
def said(name: str, server: Server) -> Iterator[None]:
    """The client's errors as ours, one sentence each, without secrets."""
    from clickhouse_connect.driver.exceptions import ClickHouseError, Error
    from urllib3.exceptions import HTTPError

    try:
        yield
    except Error as error:
        raise _error(name, server, error) from None
    except (ClickHouseError, HTTPError, OSError) as error:
        raise WarehouseBusyError(f"{server.address}: {name} broke off: {_sentence(_reason(error))}") from None


def _error(name: str, server: Server, error: Any) -> WarehouseError:
    from clickhouse_connect.driver.exceptions import NotSupportedError, ProgrammingError

    code = error.code
    text = _sentence(_reason(error))
    limits = server.limits
    if code is None and isinstance(error, (ProgrammingError, NotSupportedError)):
        # The client refuses: most often a setting that the user's profile keeps from being changed.
        return WarehouseError(f"{name} cannot be sent to ClickHouse: {text}; docs/clickhouse.md lists what it needs")
    if code is None:
        # Of the client, not of the server: no connection, or one that was lost.
        return WarehouseBusyError(f"ClickHouse at {server.address} does not answer ({name}): {text}")
    if code == _TIME_LIMIT:
        remedy = "raise CLICKHOUSE_TIME_LIMIT_SECONDS or compute fewer days at once"
        return WarehouseError(f"{name} took longer than {limits.time_seconds} s on ClickHouse: {remedy}")
    if code == _MEMORY_LIMIT:
        needed = f"{limits.memory_bytes / 1e9:.3g} GB"
        return WarehouseError(f"{name} needs more than {needed} on ClickHouse: raise CLICKHOUSE_MEMORY_LIMIT ({text})")
    if code == _NO_ENTRY:
        return DeniedError(
            f"ClickHouse at {server.address} refuses the user {server.address.user!r}: check WAREHOUSE_URL"
        )
    if code in (_DENIED, _READ_ONLY):
        return DeniedError(f"the ClickHouse user may not do it ({name}): {text}; docs/clickhouse.md lists the grants")
    if code == UNKNOWN_DATABASE:
        return WarehouseError(f"{text}; create it, or grant the user CREATE DATABASE (docs/clickhouse.md)")
    kind = WarehouseBusyError if code in _PASSING else WarehouseError
    return kind(f"query {name} failed on ClickHouse: {text}")


def _reason(error: BaseException) -> str:
    """What lies at the bottom of it: the client's words around a lost connection hold the whole request."""
    found: BaseException | None = error
    while found is not None:
        error = found
        reason = getattr(error, "reason", None)
        found = reason if isinstance(reason, BaseException) else error.__cause__
    # Of the HTTP library: `Connection aborted.` and what did it, or an object's name before the words.
    inner = [a for a in error.args if isinstance(a, BaseException)]
    return re.sub(r"^\w+\(.*?\): ", "", str(inner[0] if inner else error))


def _sentence(text: str) -> str:
    text = _TAIL.sub("", _HEAD.sub("", redact(text).strip()))
    return " ".join(text.split())[:600]
