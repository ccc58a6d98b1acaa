"""A look at what a sync would do: the same figures, and nothing written anywhere."""

from dataclasses import replace
from pathlib import Path

from analytics_platform.funnel_sync import Entries, Settled
from analytics_platform.funnels.person import hashed
from analytics_platform.funnels.records import JobStatus
from analytics_platform_tests import funnel_world
from analytics_platform_tests.brevo_server import BrevoServer
from analytics_platform_tests.funnel_world import DAY, HOUR, LANGUAGE, MINUTE, OTHER, PLAN, SiteRows, World, people
from analytics_platform_tests.mysql_service import MariaDB

SUCCESS = JobStatus.SUCCESS

# The fixtures of these tests.
server, brevo = funnel_world.server, funnel_world.brevo
tables, site, world = funnel_world.tables, funnel_world.site, funnel_world.world


def test_a_preview_says_what_the_sync_then_does(world: World, site: SiteRows) -> None:
    site.took(*people(3))
    world.run()
    site.took(*people(4, start=2), "no address", "dan@people.example")
    site.took("eve@people.example", test=5)
    site.paid(people(1)[0], -MINUTE)
    site.paid("dan@people.example", DAY)
    world.clock.moment += HOUR
    world.plan = replace(PLAN, batch=4)
    before = (world.entries(), world.jobs())
    seen = world.preview()
    assert (world.entries(), world.jobs()) == before
    assert seen.began
    assert seen.jobs.get(SUCCESS) == 3
    assert (seen.upserts, seen.updates) == (4, 1)
    assert seen.persons[OTHER] == (hashed("eve@people.example"),)
    assert len(seen.persons[LANGUAGE]) == 3
    entered, purchased, worked = world.run()
    assert (seen.entered, seen.purchased) == (entered, purchased)
    assert worked.sent == seen.upserts + seen.updates
    assert "@" not in repr(seen)


def test_a_preview_before_the_first_sync_creates_nothing(
    site: SiteRows, brevo: BrevoServer, tmp_path: Path, mariadb: MariaDB
) -> None:
    site.took(*people(12))
    path = tmp_path / "ledger.sqlite"
    in_mariadb = mariadb.empty_database("funnel_preview_none")
    for url in (f"sqlite:///{path}", in_mariadb):
        world = World(site.url, url, brevo.url, brevo.api_key.get_secret_value())
        seen = world.preview()
        assert not seen.began
        assert seen.entered.by_funnel[LANGUAGE] == Entries(12, looked_at=12)
        assert seen.purchased.by_funnel[LANGUAGE] == Settled(open=12)
        assert (seen.upserts, seen.jobs, len(seen.persons[LANGUAGE])) == (12, {}, 10)
        world.close()
    assert list(tmp_path.iterdir()) == []
    with mariadb.connect("funnel_preview_none") as con, con.cursor() as ask:
        assert ask.execute("SHOW TABLES") == 0
    assert brevo.requests == []


def test_a_preview_needs_no_turn(world: World, site: SiteRows) -> None:
    site.took("ann@people.example")
    with world.held():
        assert world.preview().upserts == 1
