"""REDIS_URL and what it means.

Belongs here: reading the address. Does not: connecting to what it names (`redis.py`).
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

_PORT = 6379
_OPTIONS = ("db", "ssl_certfile", "ssl_keyfile")
_SHAPES = "redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path/to/redis.sock?db=0"
_SIGNS = "in the user and the password write / as %2F, ? as %3F, # as %23, @ as %40, : as %3A"


@dataclass(frozen=True)
class RedisAddress:
    """A server and one of its numbered databases. `path` is a socket's; then there is no host. Says itself without the
    user and the password: who forgets the colon writes the password as the user.
    """

    host: str
    port: int
    path: str
    database: int
    user: SecretStr
    password: SecretStr
    secure: bool
    # Of this client, where the server asks for it.
    certificate: str | None = None
    certificate_key: str | None = None

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(url: SecretStr) -> RedisAddress | str:
    """What the address names, or a sentence on what is wrong with it that never repeats it: it may hold a secret.

    Not raised: the errors of urllib quote pieces of the address, and would be in the chain.
    """
    try:
        parts = urlsplit(url.get_secret_value().strip())
        port, host = parts.port, (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError:  # UnicodeError, of names that cannot be one, is one too
        return f"it is no address; write {_SHAPES}; {_SIGNS}"
    if parts.scheme not in ("redis", "rediss", "unix"):
        return f"it begins with none of redis://, rediss:// and unix://; write {_SHAPES}"
    if parts.fragment or "@" in parts.path + parts.query:
        # What stands before the sign would pass for a host, and the rest of the password for a database.
        return f"a sign in the user or the password ends it there: {_SIGNS}"
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if set(options) - set(_OPTIONS):
        return f"it has an option that is not known; there are {', '.join(_OPTIONS)}"
    unix = parts.scheme == "unix"
    written = options.get("db") or ("" if unix else unquote(parts.path.strip("/"))) or "0"
    if not (written.isascii() and written.isdigit()):
        return "the database is a number; write it last, as in redis://host:6379/0"
    if unix and not parts.path.strip("/"):
        return f"it names no socket; write {_SHAPES}"
    if not unix and not host:
        return f"it names no host; write {_SHAPES}"
    return RedisAddress(
        host="" if unix else host,
        port=port or _PORT,
        path=unquote(parts.path) if unix else "",
        database=int(written),
        user=SecretStr(unquote(parts.username or "")),
        password=SecretStr(unquote(parts.password or "")),
        secure=parts.scheme == "rediss",
        certificate=options.get("ssl_certfile"),
        certificate_key=options.get("ssl_keyfile"),
    )
