"""What goes wrong with a real Redis: old documents or new ones, never a mix; one sentence each; no secret anywhere."""

import logging
import os
import signal
import socketserver
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from analytics_platform.stores.base import StoreBusyError, StoreError
from analytics_platform.stores.redis import RedisStore
from analytics_platform.stores.redis_address import RedisAddress, parse
from analytics_platform.stores.redis_answers import Spoken, code_and_text, refused
from analytics_platform_tests import services
from analytics_platform_tests.services import until
from analytics_platform_tests.stores.conftest import KEYS, Made, documents
from analytics_platform_tests.stores.cutting import When, cutting

QUICK = (0.0, 0.0)
PASSWORD = "correct-horse"
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "always")


def said_by(store: RedisStore) -> str:
    """What publishing raises; the documents have no secret, and neither has what leads to the error."""
    with pytest.raises(StoreError) as raised:
        store.publish(documents(), 60)
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None
    assert store.check(KEYS)[0] == str(raised.value)
    return str(raised.value)


def editions(store: RedisStore) -> list[object]:
    """Which edition each document is of, 0 for one that is not there."""
    found = [store.read(key) for key in KEYS]
    return [d["Côte d'Ivoire"]["edition"] if isinstance(d, dict) else 0 for d in found]


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_connection_cut_at_exec_is_made_again(redis: services.Redis, when: When) -> None:
    with cutting(redis.port) as between:
        between.when, between.times = when, 2
        store = RedisStore(SecretStr(between.url()), pauses=QUICK)
        store.publish(documents(7), 60)
        assert between.connections == 3
    assert editions(RedisStore(SecretStr(redis.url()))) == [7] * 5


@pytest.mark.parametrize(("when", "there"), [("during", 1), ("after", 2)])
def test_a_connection_that_is_cut_each_time_leaves_old_or_new(
    redis: services.Redis, store: Made, when: When, there: int
) -> None:
    store().publish(documents(1), 60)
    with cutting(redis.port) as between:
        between.when, between.times = when, 99
        with pytest.raises(StoreBusyError, match="broke off the connection: try again later"):
            RedisStore(SecretStr(between.url()), pauses=QUICK).publish(documents(2), 60)
        assert between.connections == len(QUICK) + 1, "the library tries on its own"
    assert editions(store()) == [there] * 5


def test_a_server_that_is_killed_and_comes_back_in_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    # While it reads its files it looks after its clients every thousand commands: it is given some, and time for them.
    slowly = ("--key-load-delay", 300)  # microseconds for each
    reading = "is still reading its files after a start: try again later; publish is tried again"
    with services.redis(*PERSISTENT) as server:
        fill(server, 12_000)
        store = RedisStore(SecretStr(server.url()), pauses=(0.05,) * 2000)
        store.publish(documents(1), 600)
        server.kill()
        with ThreadPoolExecutor(2) as pool:
            published = pool.submit(store.publish, documents(2), 600)
            until(lambda: "nobody listens" in caplog.text)
            assert not published.done(), "it gave up, or published to nobody"
            hurried = pool.submit(hurry, server, lambda: reading in caplog.text)
            with services.redis(*PERSISTENT, *slowly, again=server):
                hurried.result(60)
                published.result(60)
                assert editions(store) == [2] * 5


def hurry(server: services.Redis, when: Callable[[], bool]) -> None:
    """From then on, it reads without pauses."""
    until(when)
    server.ask("CONFIG", "SET", "key-load-delay", 0)


def fill(server: services.Redis, keys: int) -> None:
    """Keys of others."""
    import redis

    with redis.Redis(port=server.port) as client, client.pipeline(transaction=False) as pipeline:
        for number in range(keys):
            pipeline.set(f"other-{number}", "")
        pipeline.execute()


@pytest.mark.parametrize("after", [0.01, 0.03, 0.05])
def test_a_server_that_is_killed_in_the_middle_has_whole_documents_when_it_is_back(after: float) -> None:
    with services.redis(*PERSISTENT) as server:
        store = RedisStore(SecretStr(server.url()), pauses=())
        store.publish(documents(1), 600)
        edition = 1
        with ThreadPoolExecutor(1) as pool:
            killed = pool.submit(server.kill, after)
            with suppress(StoreBusyError):
                while True:
                    edition += 1
                    store.publish(documents(edition), 600)
            killed.result()
        with services.redis(*PERSISTENT, again=server):
            # The last that was confirmed, or the one on its way.
            assert editions(store) in ([edition - 1] * 5, [edition] * 5)


def test_a_server_that_stays_away() -> None:
    store = RedisStore(SecretStr(f"redis://127.0.0.1:{services.free_port()}"), pauses=QUICK)
    with pytest.raises(StoreBusyError, match=r"nobody listens at 127.0.0.1:\d+: start Redis, or check host and port"):
        store.read("key")
    said_by(store)


def test_a_server_that_hangs(redis: services.Redis) -> None:
    store, process = RedisStore(SecretStr(redis.url()), timeout_seconds=0.05, pauses=QUICK), redis.process()
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(StoreBusyError, match=r"does not answer within 0.05 s"):
            store.publish(documents(), 60)
    finally:
        os.kill(process, signal.SIGCONT)


def test_no_memory_left_writes_nothing(redis: services.Redis, store: Made) -> None:
    store().publish(documents(1), 60)
    redis.ask("CONFIG", "SET", "maxmemory", 1)
    assert "has used all the memory it may use (OOM), nothing was written" in said_by(store())
    redis.ask("CONFIG", "SET", "maxmemory", 0)
    assert editions(store()) == [1] * 5


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_drops_keys_is_complained_of(redis: services.Redis, store: Made, policy: str) -> None:
    redis.ask("CONFIG", "SET", "maxmemory-policy", policy)
    try:
        assert store().check(KEYS) == []  # as long as its memory has no limit
        redis.ask("CONFIG", "SET", "maxmemory", "100mb")
        [found] = store().check(KEYS)
        assert f"drops keys when its memory runs short (maxmemory-policy {policy})" in found
    finally:
        redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_check_changes_nothing(redis: services.Redis, store: Made) -> None:
    store().publish({KEYS[0]: 1}, 60)
    assert store().check(KEYS) == []
    assert redis.ask("KEYS", "*") == [KEYS[0]]
    assert store().read(KEYS[0]) == 1


def test_rights_that_are_missing_are_named_once_with_the_command_that_gives_them(
    redis: services.Redis, store: Made
) -> None:
    redis.ask("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~stage:a*", "+get")
    reader = store(f"reader:{PASSWORD}@", prefix="stage:")
    redis.ask("ACL", "SETUSER", "reader", "+set")  # without a transaction: trying it must not carry it out
    [found] = reader.check(KEYS)
    assert redis.ask("DBSIZE") == 0
    assert "does not let the user of REDIS_URL do it" in found
    assert found.endswith("grant ~stage:* +set +get +ttl +multi +exec with ACL SETUSER")
    redis.ask("ACL", "SETUSER", "reader", "~stage:*", "+set", "+get", "+ttl", "+multi", "+exec")
    assert reader.check(KEYS) == []
    reader.publish(documents(), 60)
    beside = store(f"reader:{PASSWORD}@", database=1, prefix="stage:")
    assert said_by(beside).endswith("grant ~stage:* +set +get +ttl +multi +exec +select with ACL SETUSER")
    redis.ask("ACL", "SETUSER", "reader", "+select")
    beside.publish(documents(2), 60)
    assert (editions(reader), editions(beside)) == ([1] * 5, [2] * 5)


def test_a_replica_takes_no_writes(redis: services.Redis) -> None:
    with services.redis("--replicaof", f"127.0.0.1 {redis.port}") as replica:
        store = RedisStore(SecretStr(replica.url()), pauses=QUICK)
        assert said_by(store).endswith("is a replica, which takes no writes: name the primary in REDIS_URL")


def test_a_cluster_wants_a_hash_tag_and_the_right_node() -> None:
    bus, alone = services.free_port(), services.free_port()
    with clustered(bus) as node, clustered(alone) as other:
        plain = RedisStore(SecretStr(node.url()), pauses=())
        assert "CLUSTERDOWN" in said_by(plain)
        node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        other.ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        wait_for_cluster(node, other)
        with pytest.raises(StoreError, match=r"different slots.* set REDIS_PREFIX to a hash tag such as {analytics}:"):
            plain.publish(documents(), 60)
        assert plain.check(KEYS)[0].endswith("set REDIS_PREFIX to a hash tag such as {analytics}:")
        assert node.ask("DBSIZE") == 0
        tagged = RedisStore(SecretStr(node.url()), prefix="{analytics}:")
        assert tagged.check(KEYS) == []
        tagged.publish(documents(3), 60)
        assert editions(tagged) == [3] * 5
        with pytest.raises(StoreError, match="a cluster, which has database 0 alone"):
            RedisStore(SecretStr(node.url(database=1))).read("key")
        beside = RedisStore(SecretStr(other.url()), prefix="{analytics}:")
        assert said_by(beside).endswith(f"whose node 127.0.0.1:{node.port} keeps the keys: name that node in REDIS_URL")
        assert "set REDIS_PREFIX to a hash tag" in said_by(RedisStore(SecretStr(other.url())))


def clustered(bus: int) -> AbstractContextManager[services.Redis]:
    """A node that knows no other."""
    return services.redis("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", 500)


def wait_for_cluster(*nodes: services.Redis) -> None:
    """They agree by gossip, two seconds after their start at the earliest; then none gives the other up so soon."""

    def agreed() -> bool:
        return all("cluster_state:ok" in str(node.ask("CLUSTER", "INFO")) for node in nodes)

    until(agreed)
    for node in nodes:
        node.ask("CONFIG", "SET", "cluster-node-timeout", 10_000)
    until(agreed)


def test_a_database_that_is_not_there(store: Made) -> None:
    assert "has no database 99: end REDIS_URL with a smaller number" in said_by(store(database=99))


def test_a_name_that_no_server_has() -> None:
    store = RedisStore(SecretStr("redis://no-such-host.invalid/0"), pauses=())
    # Without a resolver the answer is that of one that does not answer.
    assert any(part in said_by(store) for part in ("no server of the name no-such-host.invalid", "broke off"))


def test_an_authority_that_is_not_trusted(redis: services.Redis) -> None:
    store = RedisStore(SecretStr(f"rediss://127.0.0.1:{redis.tls_port}"), pauses=QUICK)
    assert "shows a certificate that cannot be trusted" in said_by(store)
    assert "REDIS_CA_FILE" in said_by(store)
    elsewhere = RedisStore(SecretStr(f"rediss://127.0.0.2:{redis.tls_port}"), ca_file=redis.authority, pauses=QUICK)
    assert any(part in said_by(elsewhere) for part in ("name the server as", "nobody listens", "cannot be trusted"))


def test_tls_on_one_side_alone(redis: services.Redis) -> None:
    plain = RedisStore(SecretStr(f"redis://127.0.0.1:{redis.tls_port}"), pauses=())
    assert said_by(plain).endswith("if it wants TLS, write rediss:// in REDIS_URL")
    secure = RedisStore(SecretStr(f"rediss://127.0.0.1:{redis.port}"), pauses=(), timeout_seconds=0.2)
    assert "redis://" in said_by(secure)


def test_a_server_that_speaks_another_protocol() -> None:
    class Web(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1024)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        store = RedisStore(SecretStr(f"redis://127.0.0.1:{server.server_address[1]}"), pauses=QUICK)
        assert said_by(store).endswith("is not Redis: check host and port in REDIS_URL")
        server.shutdown()


def test_too_many_clients(redis: services.Redis, store: Made) -> None:
    import redis as library

    with library.Redis(port=redis.port) as other:
        allowed = other.config_get("maxclients")["maxclients"]
        other.config_set("maxclients", 1)
        try:
            with pytest.raises(StoreBusyError):
                store(pauses=QUICK).publish(documents(), 60)
        finally:
            other.config_set("maxclients", allowed)
    assert redis.ask("DBSIZE") == 0


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    store = RedisStore(SecretStr(f"unix://{tmp_path}/redis.sock"), pauses=QUICK)
    assert "redis.sock cannot be opened (No such file or directory)" in said_by(store)


@pytest.fixture(scope="module")
def guarded() -> Iterator[services.Redis]:
    """A server that asks for a password."""
    with services.redis("--requirepass", PASSWORD) as server:
        yield server


def test_a_password_that_is_missing_is_called_that(guarded: services.Redis) -> None:
    store = RedisStore(SecretStr(guarded.url()))
    assert "needs a password: write it into REDIS_URL" in said_by(store)


def test_a_password_that_nobody_asked_for(store: Made) -> None:
    assert "has no password, but REDIS_URL gives one" in said_by(store(f":{PASSWORD}@"))


def whole_traceback(error: BaseException) -> str:
    """With what is in the variables of each frame but the test's own, and of all errors behind it."""
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@pytest.mark.parametrize("login", [f":{PASSWORD}-1@", f"nobody:{PASSWORD}-1@", f"{PASSWORD}-1@"])
def test_a_wrong_password_is_in_no_log_no_repr_and_no_traceback(
    guarded: services.Redis, login: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store = RedisStore(SecretStr(guarded.url(login)), pauses=QUICK)
    with pytest.raises(StoreError, match=r"refuses the user or the password|needs a password") as raised:
        store.publish(documents(), 60)
    error = raised.value
    told = [whole_traceback(error), repr(error), repr(store), str(vars(store)), store.place, caplog.text]
    assert [text for text in told if PASSWORD in text] == []
    assert [sentence for sentence in store.check(KEYS) if PASSWORD in sentence] == []


def test_a_lost_connection_is_told_to_the_log_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = RedisStore(SecretStr(f"redis://:{PASSWORD}@127.0.0.1:{services.free_port()}"), pauses=(0.0,))
    with pytest.raises(StoreBusyError) as raised:
        store.publish(documents(), 60)
    assert "publish is tried again in 0 s" in caplog.text
    assert PASSWORD not in caplog.text + whole_traceback(raised.value)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ("LOADING Redis is loading the dataset in memory", StoreBusyError, "is still reading its files after a start"),
        ("BUSY Redis is busy running a script.", StoreBusyError, "is held up by a script"),
        ("NOREPLICAS Not enough good replicas to write.", StoreBusyError, "fewer replicas"),
        ("ERR max number of clients reached", StoreBusyError, "as many connections as its maxclients allows"),
        ("MISCONF Redis is configured to save RDB snapshots", StoreError, "see its log, and its disk for space"),
        ("DENIED Redis is running in protected mode because", StoreError, "lets nobody in from other machines"),
        ("NOAUTH HELLO must be called with the client already authenticated", StoreError, "needs a password"),
        ("ERR unknown command 'SET', with args", StoreError, "refuses it: ERR unknown command 'SET', with args; see"),
        (
            'Command # 1 (SET k "a of pipeline caused error: b" EX 5) of pipeline caused error: OOM x',
            StoreError,
            "(OOM)",
        ),
    ],
)
def test_answers_that_are_hard_to_provoke(answer: str, kind: type[StoreError], said: str) -> None:
    address = parse(SecretStr("redis://host"))
    assert isinstance(address, RedisAddress)
    found = refused(*code_and_text(None, answer), Spoken(address, ""))
    assert type(found) is kind
    assert str(found).startswith("Redis at host:6379 ")
    assert said in str(found)
