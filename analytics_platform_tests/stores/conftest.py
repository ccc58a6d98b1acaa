"""What the stores' tests share: one Redis, and stores on it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from analytics_platform.stores.redis import RedisStore
from analytics_platform_tests import services

# `store("user:password@", prefix=...)`
Made = Callable[..., RedisStore]

KEYS = (
    "analytics_popularity_by_country",
    "analytics_popularity_by_category",
    "analytics_trending_by_country",
    "analytics_trending_by_category",
    "comprehensive_analytics_metadata",
)
DAY_AND_HOUR = 90_000


def documents(edition: int = 1) -> dict[str, object]:
    """Five documents that say of which edition they are."""
    return {key: {"Côte d'Ivoire": {"score": 1.5, "edition": edition}, "Мали 🇲🇱": []} for key in KEYS}


@pytest.fixture(scope="session")
def redis_process() -> Iterator[services.Redis]:
    """One server for all tests of a worker."""
    with services.redis(tls=True) as server:
        yield server


@pytest.fixture
def redis(redis_process: services.Redis) -> services.Redis:
    """The worker's Redis, empty, with no users but the one that needs no password."""
    for user in redis_process.ask("ACL", "USERS"):
        if user != "default":
            redis_process.ask("ACL", "DELUSER", user)
    return redis_process.empty()


@pytest.fixture
def store(redis: services.Redis) -> Made:
    """A store on it."""

    def make(login: str = "", database: int = 0, **options: Any) -> RedisStore:
        return RedisStore(SecretStr(redis.url(login, database)), **options)

    return make
