"""What Redis answers and how connections to it fail, each as one sentence with its remedy.

Belongs here: the words. Does not: the client library (`redis.py`), which gives the code and the text of an error.
"""

import re
import socket
import ssl
from collections.abc import Collection
from dataclasses import dataclass

from analytics_platform.redaction import redact
from analytics_platform.stores.base import StoreBusyError, StoreError
from analytics_platform.stores.redis_address import RedisAddress

RIGHTS = "+set +get +ttl +multi +exec"
OTHER_DATABASE = "+select"  # only 0 is chosen without saying so
HASH_TAG = "{analytics}:"
# Only waiting helps: reading its files, no primary yet, a script running, slots on their way, too few replicas.
_PASSING = {
    "LOADING": "is still reading its files after a start",
    "MASTERDOWN": "is a replica without a connection to its primary",
    "BUSY": "is held up by a script",
    "CLUSTERDOWN": "belongs to a cluster that is down (CLUSTERDOWN): not all slots are served",
    "TRYAGAIN": "is moving the keys to another node of the cluster",
    "ASK": "is moving the keys to another node of the cluster",
    "CLIENTS": "has as many connections as its maxclients allows",
    "NOREPLICAS": "has fewer replicas at hand than its min-replicas-to-write",
}
# Of the sentence that begins with the server.
_REFUSED = {
    "NOAUTH": "needs a password: write it into REDIS_URL, as redis://user:password@host:6379/0",
    "WRONGPASS": "refuses the user or the password, or the user is disabled: check REDIS_URL; without a user write "
    "redis://:password@host:6379/0",
    "DENIED": "lets nobody in from other machines (protected mode): give it a password or a user, and write them into "
    "REDIS_URL",
    "OOM": "has used all the memory it may use (OOM), nothing was written: raise its maxmemory, or remove other keys",
    "READONLY": "is a replica, which takes no writes: name the primary in REDIS_URL",
    "MISCONF": "takes no writes because it cannot save them to its disk: see its log, and its disk for space",
}
# Without a code of their own; what they are treated as.
_BY_WORDS = {
    "max number of clients reached": "CLIENTS",
    "HELLO must be called": "NOAUTH",
    "invalid password": "WRONGPASS",
    "without any password": "OPEN",
    "no password is set": "OPEN",
    "DB index is out of range": "DATABASE",
    "SELECT is not allowed in cluster mode": "CLUSTER",
}
# What the client puts around the server's words: the command, with the document in it.
_COMMAND = re.compile(r"^Command # \d+ .* of pipeline caused error: ", re.DOTALL)
_LONGEST = 300


@dataclass(frozen=True)
class Spoken:
    """The server, the prefix and the keys that an error is about, as its sentence names them."""

    address: RedisAddress
    prefix: str
    keys: Collection[str] = ()

    @property
    def server(self) -> str:
        """The beginning of every sentence."""
        return f"Redis at {self.address}"

    @property
    def rights(self) -> str:
        """The commands as ACL SETUSER wants them."""
        return f"{RIGHTS} {OTHER_DATABASE}" if self.address.database else RIGHTS

    @property
    def patterns(self) -> str:
        """The keys as ACL SETUSER wants them."""
        return f"~{self.prefix}*" if self.prefix else " ".join(f"~{key}" for key in sorted(self.keys)) or "~*"


def code_and_text(status: str | None, text: str) -> tuple[str, str]:
    """The first word of the server's answer, in capitals (`NOPERM`), and the rest of it.

    `status`: that word where the client library took it off the text. Empty for what is no answer of the server.
    """
    text = _COMMAND.sub("", text)
    if not status:
        first, _, rest = text.partition(" ")
        status, text = (first, rest) if first.isupper() and first.isalpha() else ("", text)
    known = [code for words, code in _BY_WORDS.items() if words in text]
    return (known[0] if known else status), text


def refused(code: str, text: str, about: Spoken) -> StoreError:
    """What the server's answer means; `code` and `text` from `code_and_text`."""
    server, address = about.server, about.address
    if code in _PASSING:
        return StoreBusyError(f"{server} {_PASSING[code]}: try again later")
    if code in _REFUSED:
        return StoreError(f"{server} {_REFUSED[code]}")
    if code == "OPEN":
        return StoreError(f"{server} has no password, but REDIS_URL gives one: take it out, or set one on the server")
    if code == "NOPERM":
        return StoreError(
            f"{server} does not let the user of REDIS_URL do it ({_short(text)}): grant {about.patterns} "
            f"{about.rights} with ACL SETUSER"
        )
    if code == "WRONGTYPE":
        return StoreError(f"{server} holds something else than text under that key: {_another(about)}")
    if code in ("CROSSSLOT", "MOVED"):
        return _cluster(text, about)
    if code == "DATABASE":
        return StoreError(
            f"{server} has no database {address.database}: end REDIS_URL with a smaller number, or raise the server's "
            "`databases`"
        )
    if code == "CLUSTER":
        return StoreError(f"{server} belongs to a cluster, which has database 0 alone: end REDIS_URL with /0")
    return StoreError(f"{server} refuses it: {_short(f'{code} {text}')}; see the server's log")


def no_redis(about: Spoken) -> StoreError:
    """What answers speaks another protocol."""
    return StoreError(f"what answers at {about.address} is not Redis: check host and port in REDIS_URL")


def no_json(about: Spoken) -> StoreError:
    """What stands under a key of ours was not published by us."""
    return StoreError(f"{about.server} holds no JSON under that key: {_another(about)}")


def slots_differ(about: Spoken) -> str:
    """The keys cannot be written at one moment."""
    return (
        f"{about.server} belongs to a cluster, which keeps the keys on different slots and cannot replace them at one "
        f"moment: set REDIS_PREFIX to a hash tag such as {HASH_TAG}"
    )


def may_drop(policy: str, about: Spoken) -> str:
    """All keys that are published expire, so that a policy of the kind volatile-* means them as well."""
    return (
        f"{about.server} drops keys when its memory runs short (maxmemory-policy {policy}), and the published ones may "
        "be among them: set it to noeviction, or use a server whose memory nobody else fills"
    )


def lost(error: BaseException, about: Spoken, seconds: float) -> StoreError:
    """No connection, or one that broke off. `seconds`: how long each step of it was waited for."""
    address, server = about.address, about.server
    below = error.__cause__ or error.__context__
    if isinstance(below, ssl.SSLCertVerificationError):
        return StoreError(
            f"{server} shows a certificate that cannot be trusted ({_short(below.verify_message)}): name the file of "
            "the authority that issued it in REDIS_CA_FILE, and the server as the certificate does in REDIS_URL"
        )
    if isinstance(below, ssl.SSLError) and "CERTIFICATE_REQUIRED" in (below.reason or ""):
        return StoreError(
            f"{server} wants a certificate from its clients: end REDIS_URL with ?ssl_certfile=/path&ssl_keyfile=/path, "
            "or set its tls-auth-clients to no"
        )
    if isinstance(below, ssl.SSLError):
        return StoreError(
            f"{server} agrees to no TLS connection ({_short(below.reason or '')}): without TLS write redis:// in "
            "REDIS_URL"
        )
    if isinstance(below, socket.gaierror) and below.errno != socket.EAI_AGAIN:
        return StoreError(f"there is no server of the name {address.host}: check the host in REDIS_URL")
    if isinstance(below, (FileNotFoundError, PermissionError)) and address.path:
        return StoreError(
            f"the socket {address.path} cannot be opened ({below.strerror}): check the path in REDIS_URL, that Redis "
            "runs, and the rights to the file (unixsocketperm)"
        )
    if isinstance(below, ConnectionRefusedError):
        return StoreBusyError(f"nobody listens at {address}: start Redis, or check host and port in REDIS_URL")
    if isinstance(below, TimeoutError) or "imeout" in str(error):
        tls = " or speaks no TLS (then write redis://)" if address.secure else ""
        return StoreBusyError(
            f"{server} does not answer within {seconds:g} s: it is busy{tls}, or a firewall keeps the connection; "
            "try again later, or check host and port in REDIS_URL"
        )
    tls = "" if address.secure or address.path else "; if it wants TLS, write rediss:// in REDIS_URL"
    return StoreBusyError(f"{server} broke off the connection: try again later{tls}")


def _cluster(text: str, about: Spoken) -> StoreError:
    moved = re.search(r"\d+ (\S+:\d+)$", text)
    tagged = re.search(r"\{[^}]+\}", about.prefix)
    if moved and tagged:
        return StoreError(
            f"{about.server} belongs to a cluster whose node {moved[1]} keeps the keys: name that node in REDIS_URL"
        )
    return StoreError(slots_differ(about))


def _another(about: Spoken) -> str:
    chosen = f"another REDIS_PREFIX than {about.prefix!r}" if about.prefix else "a REDIS_PREFIX"
    return f"another program uses it, so choose {chosen}, or remove the key"


def _short(text: str) -> str:
    return " ".join(redact(text).split()).rstrip(".")[:_LONGEST]
