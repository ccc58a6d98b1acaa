"""What goes over the wire to and from a ClickHouse server's HTTP interface.

Belongs here: bodies in pieces, compression, statements and the data behind them, credentials, errors in its words.
Does not: running a statement (`clickhouse_engine.py`), connections (`clickhouse_server.py`).
"""

import base64
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from io import BufferedIOBase
from itertools import chain
from typing import Any

from analytics_platform_tests.telegram_wire import read_form

PIECE = 1 << 20  # bytes read and written at once

# Parameters of the address that are no settings, by the server's own list.
_RESERVED = {
    "query", "database", "default_format", "user", "password", "quota_key", "role", "query_id", "compress",
    "decompress", "stacktrace", "buffer_size", "wait_end_of_query", "session_id", "session_timeout",
    "session_check", "close_session", "client_protocol_version",
}  # fmt: skip
# HTTP statuses that the server chooses by the error; all others are 500.
_STATUSES = {
    400: (6, 15, 25, 26, 27, 36, 38, 41, 43, 44, 53, 62, 72, 117, 158, 190, 321, 427, 467, 675, 676),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    404: (16, 46, 47, 50, 56, 60, 63, 73, 78, 81, 83, 115, 511),
    408: (159,),
    411: (381,),
    413: (168,),
    501: (48,),
    503: (76, 209, 439),
}
_STATUS = {code: status for status, codes in _STATUSES.items() for code in codes}
_TOLD = re.compile(r"(?:Code: (?P<code>\d+)\. DB::Exception: )+(?P<text>.*)", re.DOTALL)
_VERSION = re.compile(r"\s*\(version [^()]*\)\.?")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)\s*$")

# An INSERT whose data stands behind its FORMAT: quoted names are skipped, SELECT and VALUES end the search.
_INSERT = re.compile(
    rb"""(?P<head>(?:\s|--[^\n]*\n|/\*.*?\*/)*INSERT\s+INTO\b
    (?:(?!\b(?:SELECT|VALUES|WITH)\b)(?:'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`|"(?:\\.|[^"\\])*"|[^'`"]))*?)
    \bFORMAT\s+(?P<format>\w+)(?:[ \t]*\r?\n|\s*;?\s*$|[ \t]+)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


class ServerError(Exception):
    """An answer other than success; `str` is the body the server sends, without its version."""

    def __init__(self, code: int, name: str, text: str, status: int | None = None) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text} ({name})")
        self.code = code
        self.status = status or _STATUS.get(code, 500)

    @classmethod
    def of(cls, complaint: str) -> "ServerError":
        """The engine's complaint: it repeats its head for every layer that it came through."""
        found = _TOLD.search(complaint)
        if found is None:
            return cls(1002, "UNKNOWN_EXCEPTION", complaint)
        text = _VERSION.sub("", found["text"]).strip()
        name = _NAME.search(text)
        if name is None:
            return cls(int(found["code"]), "UNKNOWN_EXCEPTION", text)
        return cls(int(found["code"]), name[1], re.sub(rf"(?:\s*\({name[1]}\)\.?)+$", "", text))


@dataclass
class Request:
    """One statement as it came. `data` is what stands behind the FORMAT of an INSERT, in pieces, not yet read."""

    statement: str
    settings: dict[str, str]
    params: dict[str, str]
    query_id: str
    user: str
    database: str = ""
    session: str = ""
    session_check: bool = False
    default_format: str = "TabSeparated"
    readonly: bool = False
    input_format: str = ""
    data: Iterator[bytes] = field(default_factory=lambda: iter(()))

    @property
    def compressed(self) -> bool:
        """Whether the answer may be compressed."""
        return self.settings.get("enable_http_compression") in ("1", "true")


def body(stream: BufferedIOBase, headers: "Message[str, str]") -> Iterator[bytes]:
    """A request's body in pieces. Raises ConnectionError where the client leaves in the middle of it."""
    if "chunked" not in headers.get("Transfer-Encoding", ""):
        yield from _exactly(stream, int(headers.get("Content-Length") or 0))
        return
    while True:
        line = stream.readline()
        if not line.endswith(b"\n"):
            raise ConnectionAbortedError("the client left")
        size = int(line.split(b";")[0], 16)
        yield from _exactly(stream, size)
        stream.readline()
        if not size:
            return


def _exactly(stream: BufferedIOBase, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(size, PIECE))
        if not piece:
            raise ConnectionAbortedError("the client left")
        size -= len(piece)
        yield piece


def inflated(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Without the compression. A client compresses each of its blocks for itself, so many frames may follow each other.

    Raises ServerError for an unknown encoding and for data that are not of it.
    """
    if encoding in ("", "identity"):
        yield from pieces
        return
    current: Any = None
    for piece in pieces:
        left = piece
        while left:
            current = current or _inflator(encoding)
            try:
                yield current.decompress(left)
            except Exception as error:  # four libraries, each with an error of its own
                raise ServerError(354, "CANNOT_DECOMPRESS", f"{encoding}: {error}.") from error
            left = (current.unused_data or b"") if current.eof else b""
            current = None if current.eof else current
    if current is not None:
        raise ServerError(354, "CANNOT_DECOMPRESS", f"{encoding}: the stream is cut.")


def _inflator(encoding: str) -> Any:
    if encoding == "lz4":
        import lz4.frame  # type: ignore[import-untyped]

        return lz4.frame.LZ4FrameDecompressor()
    if encoding == "zstd":
        from backports.zstd import ZstdDecompressor

        return ZstdDecompressor()
    if encoding in ("gzip", "deflate"):
        return zlib.decompressobj(31 if encoding == "gzip" else 15)
    raise ServerError(48, "NOT_IMPLEMENTED", f"Unknown compression method: {encoding}.")


def chosen(accepted: str) -> str:
    """The compression of the answer for an Accept-Encoding; empty for none."""
    names = {name.split(";")[0].strip() for name in accepted.split(",")}
    return next((name for name in ("lz4", "zstd", "gzip", "deflate") if name in names), "")


def deflated(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Compressed; unchanged where the encoding is empty."""
    if not encoding:
        yield from pieces
        return
    compressor: Any
    if encoding == "lz4":
        import lz4.frame

        compressor = lz4.frame.LZ4FrameCompressor()
        yield compressor.begin()
    elif encoding == "zstd":
        from backports.zstd import ZstdCompressor

        compressor = ZstdCompressor()
    else:
        compressor = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


def request(
    address: Mapping[str, str],
    headers: "Message[str, str]",
    pieces: Iterator[bytes],
    *,
    user: str,
    query_id: str,
    readonly: bool,
) -> Request:
    """The statement of a request. Its parts come from the address, a form or the body, whichever the client prefers.

    Raises ServerError.
    """
    pieces = inflated(pieces, headers.get("Content-Encoding", ""))
    asked = dict(address)
    kind = headers.get("Content-Type", "")
    if kind.startswith("multipart/form-data"):
        fields, files = read_form(kind, b"".join(pieces))
        if files:
            raise ServerError(48, "NOT_IMPLEMENTED", "External data are not there in the embedded engine.")
        asked |= fields
        pieces = iter(())
    if asked.get("decompress") == "1" or asked.get("compress") == "1":
        raise ServerError(48, "NOT_IMPLEMENTED", "The native compression is not there; use Content-Encoding.")
    statement, input_format, data = _parts(asked.get("query", "").encode(), pieces)
    return Request(
        statement=statement,
        settings={n: v for n, v in asked.items() if n and n not in _RESERVED and not n.startswith("param_")},
        params={n.removeprefix("param_"): v for n, v in asked.items() if n.startswith("param_")},
        query_id=query_id,
        user=user,
        database=headers.get("X-ClickHouse-Database") or asked.get("database", ""),
        session=asked.get("session_id", ""),
        session_check=asked.get("session_check") == "1",
        default_format=headers.get("X-ClickHouse-Format") or asked.get("default_format") or "TabSeparated",
        readonly=readonly,
        input_format=input_format,
        data=data,
    )


def _parts(query: bytes, pieces: Iterator[bytes]) -> tuple[str, str, Iterator[bytes]]:
    # The data may be of any size, so only their beginning is looked at for the end of the statement.
    head = query + b"\n" if query else b""
    for piece in pieces:
        head += piece
        if len(head) >= PIECE:
            break
    if found := _INSERT.match(head):
        text = found["head"].decode("utf-8", errors="replace").rstrip()
        return text, found["format"].decode(), chain([head[found.end() :]], pieces)
    try:
        return b"".join([head, *pieces]).decode().strip(), "", iter(())
    except UnicodeDecodeError as error:
        raise ServerError(48, "NOT_IMPLEMENTED", f"The embedded engine reads statements as UTF-8: {error}.") from error


def credentials(address: Mapping[str, str], headers: "Message[str, str]") -> tuple[str, str]:
    """User and password of a request, by whichever of the three ways they come. Raises ServerError for two at once."""
    scheme, _, word = headers.get("Authorization", "").partition(" ")
    own = headers.get("X-ClickHouse-User"), headers.get("X-ClickHouse-Key")
    given = "user" in address or "password" in address
    if (scheme and (any(own) or given)) or (any(own) and given):
        raise refused("Invalid authentication: it is not allowed to use two ways of it simultaneously")
    if scheme:
        if scheme.lower() != "basic":
            raise refused(f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported")
        user, _, password = base64.b64decode(word).decode().partition(":")
        return user, password
    if any(own):
        return own[0] or "default", own[1] or ""
    return address.get("user", "default"), address.get("password", "")


def refused(text: str) -> ServerError:
    """The answer to somebody who may not come in."""
    return ServerError(516, "AUTHENTICATION_FAILED", text)
