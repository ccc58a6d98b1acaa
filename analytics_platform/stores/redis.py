"""Documents in Redis: JSON under keys that expire, all replaced in one transaction.

Belongs here: the conversation with the server, and what is tried again. Does not: what REDIS_URL may say
(`redis_address.py`), what answers mean (`redis_answers.py`), what is published (`rankings/`).
"""

import json
import logging
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_chain, wait_fixed

from analytics_platform.redaction import register_secret
from analytics_platform.stores.base import StoreBusyError, StoreError
from analytics_platform.stores.redis_address import RedisAddress, parse
from analytics_platform.stores.redis_answers import (
    Spoken,
    code_and_text,
    lost,
    may_drop,
    no_json,
    no_redis,
    refused,
    slots_differ,
)

if TYPE_CHECKING:
    from redis import Redis

# Between tries: a restarted server is back within a second, a failover takes a few.
PAUSES = (0.1, 0.3, 1.0, 3.0)
_KEEPS_ALL = "noeviction"
_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)


class RedisStore:
    """One database of one server. Each call has a connection of its own: a kept one would mostly be found dead, at a
    run a day, and cost as long to replace.
    """

    def __init__(
        self,
        url: SecretStr,
        *,
        prefix: str = "",
        ca_file: Path | None = None,
        timeout_seconds: float = 5,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """Connects to nothing yet. StoreError for an address or a file of certificates that cannot be used.

        `prefix` stands before every key; a hash tag such as `{analytics}:` keeps them together on a cluster. `ca_file`:
        certificates in PEM form to trust besides the system's. `timeout_seconds`: for connecting, and for each answer.
        `pauses`: seconds between tries when the connection is lost; so many tries and one more.
        """
        address = parse(url)
        if not isinstance(address, RedisAddress):
            raise StoreError(f"REDIS_URL cannot be used: {address}")
        if reason := _unusable(ca_file) or _unusable_client(address):
            raise StoreError(reason)
        self._address, self._prefix, self._ca_file = address, prefix, ca_file
        self._timeout, self._pauses = timeout_seconds, tuple(pauses)
        register_secret(address.password.get_secret_value())

    def __repr__(self) -> str:
        return f"RedisStore({self.place})"

    @property
    def place(self) -> str:
        """Server, port, database and prefix."""
        prefix = f", prefix {self._prefix}" if self._prefix else ""
        return f"Redis at {self._address}, database {self._address.database}{prefix}"

    def publish(self, documents: Mapping[str, object], expires_seconds: int) -> None:
        """All documents in one MULTI/EXEC of plain SETs, which overwrite whatever type a key holds.

        Nothing in it can fail at EXEC: rights, memory and type of server are looked at when each SET is queued, and one
        refusal there keeps all from being carried out.
        """
        if not documents:
            raise ValueError("there is no document to publish")
        if expires_seconds < 1:
            raise ValueError(f"documents expire after {expires_seconds} s: give at least one second")
        values = {self._prefix + key: _json(key, document) for key, document in documents.items()}

        def exchange(client: "Redis") -> None:
            with client.pipeline(transaction=True) as transaction:
                for key, value in values.items():
                    transaction.set(key, value, ex=expires_seconds)
                transaction.execute()

        self._run("publish", exchange, values)

    def read(self, key: str) -> object | None:
        """The document under that key; None where there is none."""
        stored = self._run("read", lambda client: client.get(self._prefix + key), [self._prefix + key])
        if stored is None:
            return None
        try:
            found: object = json.loads(stored)
        except ValueError:
            pass
        else:
            return found
        raise no_json(self._about([key]))

    def remaining_seconds(self, key: str) -> int | None:
        """Whole seconds until the document is gone; None where there is none, or it never goes."""
        seconds = int(self._run("look", lambda client: client.ttl(self._prefix + key), [self._prefix + key]))
        return None if seconds < 0 else seconds

    def check(self, keys: Collection[str] = ()) -> Sequence[str]:
        """What is wrong, tried once. Commands are queued in a transaction that is never carried out, so that rights,
        memory and a replica show without a key being touched; what the user may not look at is not looked at.
        """
        names = [self._prefix + key for key in keys]
        found = self._try(lambda client: [*self._refusals(client, names), *self._risks(client, names)], names)
        return [str(found)] if isinstance(found, StoreError) else found

    def _refusals(self, client: "Redis", keys: list[str]) -> list[str]:
        from redis.exceptions import ResponseError

        connection: Any = client.connection_pool.get_connection()
        found: dict[str, str] = {}  # the first of each kind tells the remedy for all

        def taken(*command: object) -> bool:
            connection.send_command(*command)
            try:
                connection.read_response()
            except ResponseError as error:
                code, text = code_and_text(error.status_code, str(error))
                found.setdefault(code, str(refused(code, text, self._about(keys))))
                return False
            return True

        # Outside of a transaction the commands would be carried out. A refused EXEC leaves it open.
        if taken("MULTI") and (not taken("EXEC") or taken("MULTI")):
            for key in keys:
                taken("SET", key, "", "EX", 1)
                taken("GET", key)
                taken("TTL", key)
        connection.disconnect()  # what was queued goes with it
        return list(found.values())

    def _risks(self, client: "Redis", keys: list[str]) -> list[str]:
        from redis.crc import key_slot
        from redis.exceptions import NoPermissionError

        try:
            memory, cluster = client.info("memory"), client.info("cluster")
        except NoPermissionError:
            return []
        about, found = self._about(keys), []
        policy = str(memory.get("maxmemory_policy", _KEEPS_ALL))
        if policy != _KEEPS_ALL and memory.get("maxmemory"):
            found.append(may_drop(policy, about))
        if cluster.get("cluster_enabled") and len({key_slot(key.encode()) for key in keys}) > 1:
            found.append(slots_differ(about))
        return found

    def _run(self, what: str, job: Callable[["Redis"], _Answer], keys: Collection[str]) -> _Answer:
        """Do it, and again while only waiting helps: each job gives the same whether it is done once or twice."""

        def tell(state: RetryCallState) -> None:
            _log.info("%s; %s is tried again in %g s", _outcome(state), what, state.upcoming_sleep)

        tries = Retrying(
            stop=stop_after_attempt(len(self._pauses) + 1),
            wait=wait_chain(*map(wait_fixed, self._pauses or (0,))),
            retry=retry_if_result(lambda found: isinstance(found, StoreBusyError)),
            before_sleep=tell,
            retry_error_callback=_outcome,
        )
        found: _Answer | StoreError = tries(self._try, job, keys)
        if isinstance(found, StoreError):
            # Raised here and not where the library's error is at hand, so that no traceback can lead to that one.
            raise found
        return found

    def _try(self, job: Callable[["Redis"], _Answer], keys: Collection[str]) -> _Answer | StoreError:
        from redis.exceptions import ConnectionError, InvalidResponse, RedisError, TimeoutError  # noqa: A004 (its names)

        try:
            with self._client() as client:
                return job(client)
        except InvalidResponse:
            return no_redis(self._about(keys))
        except RedisError as error:
            code, text = code_and_text(error.status_code, str(error))
            if not code and isinstance(error, (ConnectionError, TimeoutError)):
                return lost(error, self._about(keys), self._timeout)
            return refused(code, text, self._about(keys))

    @contextmanager
    def _client(self) -> "Iterator[Redis]":
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        address = self._address
        client = Redis(
            host=address.host,
            port=address.port,
            unix_socket_path=address.path or None,
            db=address.database,
            username=address.user.get_secret_value() or None,
            password=address.password.get_secret_value() or None,
            ssl=address.secure,
            ssl_ca_certs=str(self._ca_file) if self._ca_file else None,
            ssl_certfile=address.certificate,
            ssl_keyfile=address.certificate_key,
            socket_timeout=self._timeout,
            socket_connect_timeout=self._timeout,
            # The library would try each of our tries several times, unseen and with pauses of its own.
            retry=Retry(NoBackoff(), 0),
            # The older protocol asks for no HELLO and the name of no library: the user needs no rights to more than
            # what is done here, and a missing password is called that.
            protocol=2,
            driver_info=None,
        )
        try:
            yield client
        finally:
            client.close()

    def _about(self, keys: Collection[str]) -> Spoken:
        return Spoken(self._address, self._prefix, keys)


def _outcome(state: RetryCallState) -> Any:
    """What the last try came to: an answer, or why there is none."""
    return state.outcome.result() if state.outcome else None


def _json(key: str, document: object) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        # UnicodeEncodeError is one too, and would quote the whole document.
        reason = "half of a surrogate pair" if isinstance(error, UnicodeError) else str(error)
    raise ValueError(f"the document {key} cannot be written as JSON: {reason}")


def _unusable(ca_file: Path | None) -> str:
    if ca_file is None:
        return ""
    try:
        ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # ssl.SSLError is one
        reason = "it holds no certificates in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        return f"REDIS_CA_FILE {ca_file} cannot be used: {reason}"
    return ""


def _unusable_client(address: RedisAddress) -> str:
    if not address.certificate:
        return ""
    try:
        # A pass phrase: without one the key's would be asked for on the terminal.
        ssl.create_default_context().load_cert_chain(address.certificate, address.certificate_key, password="")
    except OSError as error:
        reason = (
            "they are no pair in PEM form without a pass phrase" if isinstance(error, ssl.SSLError) else error.strerror
        )
        return f"ssl_certfile and ssl_keyfile of REDIS_URL cannot be used: {reason}"
    return ""
