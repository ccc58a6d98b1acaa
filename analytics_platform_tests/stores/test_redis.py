"""Documents reach a real Redis: whole, as they are, for their time, over each kind of connection."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from analytics_platform.stores.base import Store, StoreError
from analytics_platform.stores.redis import RedisStore
from analytics_platform_tests import services
from analytics_platform_tests.stores.conftest import DAY_AND_HOUR, KEYS, Made, documents

LIMITED = ["~analytics_*", "~comprehensive_*", "+set", "+get", "+ttl", "+multi", "+exec"]


def client(server: services.Redis) -> Any:
    """A reader of another program."""
    import redis

    return redis.Redis(port=server.port)


def test_all_documents_are_there_for_a_day_and_an_hour(redis: services.Redis, store: Made) -> None:
    publisher: Store = store()
    publisher.publish(documents(), DAY_AND_HOUR)
    assert {key: publisher.read(key) for key in KEYS} == documents()
    assert {publisher.remaining_seconds(key) for key in KEYS} <= {DAY_AND_HOUR, DAY_AND_HOUR - 1}
    assert sorted(redis.ask("KEYS", "*")) == sorted(KEYS)


def test_other_programs_read_compact_json_with_names_as_they_are_written(redis: services.Redis, store: Made) -> None:
    store().publish({"key": {"Côte d'Ivoire": 1.0, "Мали 🇲🇱": [None, True]}}, 60)
    assert redis.ask("GET", "key") == """{"Côte d'Ivoire":1.0,"Мали 🇲🇱":[null,true]}"""


def test_a_prefix_stands_before_every_key_and_is_not_said_again(redis: services.Redis, store: Made) -> None:
    staging = store(prefix="stage:")
    staging.publish(documents(), 60)
    assert sorted(redis.ask("KEYS", "*")) == sorted(f"stage:{key}" for key in KEYS)
    assert staging.read(KEYS[0]) is not None
    assert store().read(KEYS[0]) is None


def test_publishing_again_replaces_and_begins_the_time_anew(redis: services.Redis, store: Made) -> None:
    publisher = store()
    publisher.publish({**documents(1), "other": 1}, 60)
    publisher.publish(documents(2), DAY_AND_HOUR)
    assert {key: publisher.read(key) for key in KEYS} == documents(2)
    assert (publisher.remaining_seconds(KEYS[0]) or 0) > DAY_AND_HOUR - 60
    assert publisher.read("other") == 1  # what is not named stays


def test_a_key_of_another_type_is_replaced(redis: services.Redis, store: Made) -> None:
    redis.ask("LPUSH", KEYS[2], "a")
    redis.ask("HSET", KEYS[3], "a", "b")
    store().publish(documents(), 60)
    assert {key: store().read(key) for key in KEYS} == documents()


def test_nothing_there_and_nothing_that_goes_are_none(redis: services.Redis, store: Made) -> None:
    redis.ask("SET", "kept", "1")
    assert store().read("absent") is None
    assert store().remaining_seconds("absent") is None
    assert store().remaining_seconds("kept") is None


def test_null_is_a_document(store: Made) -> None:
    store().publish({"key": None}, 60)
    assert store().read("key") is None
    assert store().remaining_seconds("key") == 60


def test_another_programs_value_is_named_as_such(redis: services.Redis, store: Made) -> None:
    redis.ask("LPUSH", "list", "a")
    redis.ask("SET", "words", "not json")
    with pytest.raises(StoreError, match=r"holds something else than text .* choose a REDIS_PREFIX, or remove the key"):
        store().read("list")
    with pytest.raises(StoreError, match="holds no JSON under that key") as raised:
        store().read("words")
    assert raised.value.__context__ is None


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "\ud800", [1, {"a": float("-inf")}]])
def test_what_json_cannot_say_is_refused_before_anything_is_sent(redis: services.Redis, wrong: object) -> None:
    nowhere = RedisStore(SecretStr(f"redis://127.0.0.1:{services.free_port()}/0"))
    with pytest.raises(ValueError, match=r"the document bad cannot be written as JSON: \w+"):
        nowhere.publish({"good": 1, "bad": wrong}, 60)


def test_no_documents_and_no_time_are_refused(store: Made) -> None:
    with pytest.raises(ValueError, match="no document"):
        store().publish({}, 60)
    with pytest.raises(ValueError, match="at least one second"):
        store().publish(documents(), 0)


def test_a_reader_sees_all_old_or_all_new(redis: services.Redis, store: Made) -> None:
    publisher, done = store(), threading.Event()
    # So much that the server takes it in several pieces, and looks after other clients in between.
    filler = "х" * 100_000

    def publish(edition: int) -> None:
        publisher.publish({key: {"edition": edition, "filler": filler} for key in KEYS}, 60)

    publish(0)
    seen: list[set[int]] = []

    def read() -> None:
        with client(redis) as reader:
            while not done.is_set():
                seen.append({json.loads(value)["edition"] for value in reader.mget(KEYS)})

    reading = threading.Thread(target=read)
    reading.start()
    for edition in range(1, 1000):
        publish(edition)
        if len(set().union(*seen)) > 20:
            break
    done.set()
    reading.join()
    assert [editions for editions in seen if len(editions) > 1] == []
    assert len(set().union(*seen)) > 20, "it did not read in between"


def test_a_user_with_rights_to_the_five_keys_over_tls(redis: services.Redis) -> None:
    redis.ask("ACL", "SETUSER", "publisher", "on", ">p@ss/word:1", *LIMITED)
    url = SecretStr(f"rediss://publisher:p%40ss%2Fword%3A1@127.0.0.1:{redis.tls_port}/0")
    publisher = RedisStore(url, ca_file=redis.authority)
    assert publisher.check(KEYS) == []
    publisher.publish(documents(), DAY_AND_HOUR)
    assert {key: publisher.read(key) for key in KEYS} == documents()
    assert publisher.remaining_seconds(KEYS[0]) is not None
    with pytest.raises(StoreError, match=r"permissions to access .* grant ~other \+set \+get"):
        publisher.publish({"other": 1}, 60)


def test_a_server_that_asks_its_clients_for_a_certificate() -> None:
    with services.redis("--tls-auth-clients", "yes", tls=True) as server:
        url = f"rediss://localhost:{server.tls_port}"
        without = RedisStore(SecretStr(url), ca_file=server.authority, pauses=())
        assert "wants a certificate from its clients" in without.check()[0]
        own = f"{url}?ssl_certfile={server.certificate}&ssl_keyfile={server.key}"
        assert RedisStore(SecretStr(own), ca_file=server.authority).check(KEYS) == []
        with pytest.raises(StoreError, match="ssl_certfile and ssl_keyfile of REDIS_URL cannot be used: No such file"):
            RedisStore(SecretStr(f"{url}?ssl_certfile=/absent"))
        with pytest.raises(StoreError, match="are no pair in PEM form"):
            RedisStore(SecretStr(f"{url}?ssl_certfile={server.key}&ssl_keyfile={server.key}"))


def test_a_socket(redis: services.Redis) -> None:
    publisher = RedisStore(SecretStr(f"unix://{redis.socket}?db=3"))
    publisher.publish(documents(), 60)
    assert publisher.place == f"Redis at {redis.socket}, database 3"
    assert redis.ask("DBSIZE") == 0
    assert RedisStore(SecretStr(redis.url(database=3))).read(KEYS[0]) == documents()[KEYS[0]]


def test_a_password_alone_and_with_the_users_name() -> None:
    with services.redis("--requirepass", "opensesame") as server:
        for login in (":opensesame@", "default:opensesame@"):
            publisher = RedisStore(SecretStr(server.url(login)))
            publisher.publish(documents(), 60)
            assert publisher.read(KEYS[0]) == documents()[KEYS[0]]
            assert publisher.check(KEYS) == []


def test_its_place_names_server_database_and_prefix_and_no_login(tmp_path: Path) -> None:
    made = RedisStore(SecretStr("rediss://hidden-user:hidden-pass@Example.COM/2"), prefix="stage:")
    assert made.place == "Redis at example.com:6379, database 2, prefix stage:"
    assert repr(made) == f"RedisStore({made.place})"
    assert RedisStore(SecretStr("redis://[::1]:7000")).place == "Redis at [::1]:7000, database 0"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://hidden@host", "begins with none of redis://, rediss:// and unix://"),
        ("redis://:hidden/x@host", "write / as %2F"),
        ("redis://:hidden#x@host", "write / as %2F"),
        ("redis://user:hidden:host", "it is no address"),
        ("redis://host:hidden/0", "it is no address"),
        ("redis://[hidden", "it is no address"),
        ("redis://" + "hidden" * 20, "it is no address"),
        ("redis:///0", "names no host"),
        ("unix://", "names no socket"),
        ("redis://host/hidden", "the database is a number"),
        ("redis://host/-1", "the database is a number"),
        ("redis://host?hidden=1", "option that is not known; there are db, ssl_certfile"),
        ("", "begins with none"),
    ],
)
def test_an_address_that_cannot_be_used_is_not_repeated(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=r"^REDIS_URL cannot be used: ") as raised:
        RedisStore(SecretStr(url))
    assert said in str(raised.value)
    assert "hidden" not in str(raised.value)
    assert raised.value.__context__ is None


def test_a_file_of_authorities_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    with pytest.raises(StoreError, match=r"REDIS_CA_FILE .*ca\.pem cannot be used: No such file"):
        RedisStore(SecretStr("rediss://host"), ca_file=wrong)
    wrong.write_text("none")
    with pytest.raises(StoreError, match="holds no certificates in PEM form"):
        RedisStore(SecretStr("rediss://host"), ca_file=wrong)
