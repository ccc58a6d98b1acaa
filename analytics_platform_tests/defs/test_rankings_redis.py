"""A ranking on its way to a real Redis: published by the run, kept when the server dies, there when it is back."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from analytics_platform.artifacts import Artifacts
from analytics_platform.defs.rankings import publish
from analytics_platform.defs.resources import store_of
from analytics_platform.settings import Home
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.defs.test_rankings import NOW, SETTINGS, STEADY, TODAY, Ranked, reason
from analytics_platform_tests.defs.videos import load_videos, views
from analytics_platform_tests.services import Redis, redis

PASSWORD = "never-to-be-seen"
LASTING = ("--appendonly", "yes", "--appendfsync", "always")
KEY = "analytics_popularity_by_country"


def with_user(server: Redis) -> Redis:
    """With a publisher that may do no more than is documented."""
    rights = ["~test:*", "+set", "+get", "+ttl", "+multi", "+exec", "+ping"]
    server.ask("ACL", "SETUSER", "publisher", "on", f">{PASSWORD}", *rights)
    return server


@pytest.fixture
def server() -> Iterator[Redis]:
    """Its writes survive it."""
    with redis(*LASTING) as found:
        yield with_user(found)


@pytest.mark.slow
def test_a_run_publishes_and_a_dead_server_costs_nothing_but_time(
    server: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    load_videos(warehouse, views(NOW.replace(tzinfo=None), STEADY))
    place = Ranked(home, warehouse, Artifacts(home.artifacts))
    url = SecretStr(server.url(f"publisher:{PASSWORD}@"))
    settings = SETTINGS.model_copy(update={"redis_url": url, "redis_prefix": "test:"})

    first = place.run(TODAY, NOW, settings)
    assert first.success
    [told] = first.asset_materializations_for_node("rankings__published")
    assert str(told.metadata["published"].value).startswith("5 keys in Redis at 127.0.0.1")
    assert server.ask("DBSIZE") == 5
    assert 89_000 <= server.ask("TTL", f"test:{KEY}") <= 90_000

    server.kill()
    second = place.run(TODAY, NOW, settings)
    assert not second.success
    assert "nobody listens at 127.0.0.1" in reason(second)
    assert place.stored() == NOW, "the warehouse has it all the same"

    with redis(*LASTING, again=server) as back:
        with_user(back)
        store = store_of(settings)
        assert store is not None
        kept = store.read(KEY)
        assert isinstance(kept, dict)
        assert list(kept) == ["Mali"], "what was published is whole"
        assert publish(store, place.artifacts, TODAY, NOW, settings).done
    assert PASSWORD not in caplog.text
    assert PASSWORD not in "".join(str(event) for event in (*first.all_events, *second.all_events))
