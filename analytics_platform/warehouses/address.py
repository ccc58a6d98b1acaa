"""WAREHOUSE_URL and what it means.

Belongs here: reading the address. Does not: opening what it names.
"""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

_HTTP, _HTTPS = 8123, 8443
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_OPTIONS = ("secure", "verify", "ca_cert", "client_cert", "client_cert_key")
_SHAPES = "clickhouse://user:password@host:8123/database?secure=true or duckdb:///folder"


@dataclass(frozen=True)
class DuckDBAddress:
    """A folder with `events.duckdb` and `results.duckdb`."""

    folder: Path


@dataclass(frozen=True)
class ClickHouseAddress:
    """A server's HTTP interface and the database of the results. Says itself without the password."""

    host: str
    port: int
    database: str
    user: str = "default"
    password: str = field(default="", repr=False)
    secure: bool = False
    verify: bool = True
    ca_cert: str | None = None
    client_cert: str | None = None
    client_cert_key: str | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse(url: str) -> DuckDBAddress | ClickHouseAddress:
    """What the address names. Raises ValueError with a sentence that never repeats it: it may hold a secret."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValueError(f"it is no address; write {_SHAPES}") from None
    if parts.scheme == "duckdb":
        return _duckdb(parts.netloc, unquote(parts.path))
    if parts.scheme != "clickhouse":
        raise ValueError(f"it begins with neither clickhouse:// nor duckdb:///; write {_SHAPES}")
    if parts.fragment or "@" in parts.path + parts.query:
        # What stands before the sign would pass for a host, and the rest of the password for a database.
        raise ValueError("a sign in the user or password ends it there: write / as %2F, ? as %3F, # as %23, @ as %40")
    if not parts.hostname:
        raise ValueError(f"it names no host; write {_SHAPES}")
    database = unquote(parts.path.strip("/"))
    if not database or "/" in database:
        raise ValueError("it names no database for the results; write clickhouse://user:password@host:8123/database")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    strange = [name for name in options if name not in _OPTIONS]
    if strange:
        raise ValueError(f"there is no option {strange[0]!r}; there are {', '.join(_OPTIONS)}")
    secure = _flag(options, "secure", default=False)
    return ClickHouseAddress(
        host=parts.hostname,
        port=port or (_HTTPS if secure else _HTTP),
        database=database,
        user=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        secure=secure,
        verify=_flag(options, "verify", default=True),
        ca_cert=options.get("ca_cert"),
        client_cert=options.get("client_cert"),
        client_cert_key=options.get("client_cert_key"),
    )


def _duckdb(netloc: str, path: str) -> DuckDBAddress:
    if netloc or not path.strip("/"):
        raise ValueError(
            "it names no folder; write duckdb:// and a path from the root, such as duckdb:///data/warehouse"
        )
    if path.endswith(".duckdb"):
        raise ValueError("name the folder that holds events.duckdb and results.duckdb, not a file")
    # As in every URL, the path is from the root; one slash more, as SQLAlchemy's users write it, means the same.
    return DuckDBAddress(Path("/" + path.lstrip("/")))


def _flag(options: dict[str, str], name: str, *, default: bool) -> bool:
    value = options.get(name, "").lower()
    if value in _YES:
        return True
    if value in _NO:
        return False
    if value:
        raise ValueError(f"{name} is true or false")
    return default
