"""A home with ten days of small simulated events, loaded once, computed once, and copied for every test that writes."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from analytics_platform.definitions import build_definitions
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.defs.schedules import METRICS_JOB
from analytics_platform.defs.watching import Tower, look
from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS
from analytics_platform.settings import Home, Settings
from analytics_platform.simulate.generator import generate
from analytics_platform.simulate.incidents import outage, spike
from analytics_platform.simulate.scenario import Scenario
from analytics_platform.warehouses.base import EventLoad
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.defs import watched as watched_days
from analytics_platform_tests.drawn_once import Known, draw_once

FIRST = date(2026, 3, 2)
DAYS = 10
LAST = FIRST + timedelta(days=DAYS - 1)
ZONE = "Europe/Moscow"


@dataclass(frozen=True)
class Place:
    """A home, its settings and its warehouse."""

    home: Home
    settings: Settings
    warehouse: DuckDBWarehouse


def place(path: Path) -> Place:
    """The home at that path with the settings of these tests."""
    home = Home(path)
    settings = Settings(timezone=ZONE, start_date=FIRST, retry_pause_seconds=0)
    return Place(home, settings, DuckDBWarehouse(home.events, home.results, home.scratch))


@pytest.fixture(scope="package", autouse=True)
def charts_drawn_once() -> Iterator[Known]:
    """Those drawn already, to be cleared by whoever wants them anew."""
    with pytest.MonkeyPatch.context() as patch:
        yield draw_once(patch)


@pytest.fixture(scope="session")
def loaded_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events only; nothing computed."""
    made = place(tmp_path_factory.mktemp("home") / "home")
    days = list(generate(Scenario(first_day=FIRST, days=DAYS, users=200, seed=5, zone=ZoneInfo(ZONE))))
    loads = [
        EventLoad(FEED_ACTIONS, [b for d in days for b in d.feed.to_batches()]),
        EventLoad(MESSAGE_ACTIONS, [b for d in days for b in d.messages.to_batches()]),
    ]
    made.warehouse.load(loads, ZoneInfo(ZONE))
    return made.home.path


@pytest.fixture
def loaded(loaded_home: Path, tmp_path: Path) -> Place:
    """A copy of the loaded home, to be changed at will."""
    shutil.copytree(loaded_home, tmp_path / "home")
    return place(tmp_path / "home")


@dataclass(frozen=True)
class Backfill:
    """A home whose figures were all computed by one run, and that run."""

    home: Path
    result: dg.ExecuteInProcessResult


@pytest.fixture(scope="session")
def backfill(loaded_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Backfill:
    """All figures of all days, by the job that computes them."""
    made = place(shutil.copytree(loaded_home, tmp_path_factory.mktemp("computed") / "home"))
    definitions = build_definitions(made.home, made.settings, warehouse=made.warehouse)
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(METRICS_JOB).execute_in_process(
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": FIRST.isoformat(),
                "dagster/asset_partition_range_end": LAST.isoformat(),
            },
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    assert result.success
    return Backfill(made.home.path, result)


@pytest.fixture(scope="session")
def computed_home(backfill: Backfill) -> Path:
    """All figures of all days; not to be changed."""
    return backfill.home


@pytest.fixture
def computed(computed_home: Path, tmp_path: Path) -> Place:
    """A copy of the computed home, to be changed at will."""
    shutil.copytree(computed_home, tmp_path / "home")
    return place(tmp_path / "home")


@pytest.fixture(scope="session")
def watched_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two weeks, a spike of an hour, an outage of an hour and a half; the series of all days counted."""
    home = Home(tmp_path_factory.mktemp("watched") / "home")
    settings = Settings(start_date=watched_days.FIRST)
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    extra = (spike(watched_days.SPIKE, 60, 4.0), outage(FEED_ACTIONS.name, watched_days.OUTAGE, 90))
    scenario = Scenario(
        watched_days.FIRST, watched_days.DAYS, 6_000, seed=11, zone=ZoneInfo("UTC"), incidents=False, extra=extra
    )
    days = list(generate(scenario))
    loads = [
        EventLoad(FEED_ACTIONS, [b for d in days for b in d.feed.to_batches()]),
        EventLoad(MESSAGE_ACTIONS, [b for d in days for b in d.messages.to_batches()]),
    ]
    warehouse.load(loads, ZoneInfo("UTC"))
    tower = Tower.of(warehouse, settings, ledgers_of(home, settings))
    while look(tower, watched_days.SPIKE - timedelta(hours=6)).missing:
        pass
    home.state.unlink()
    return home.path


@pytest.fixture(scope="session")
def told_home(watched_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after the spike, of which everything was told."""
    copied = shutil.copytree(watched_home, tmp_path_factory.mktemp("told") / "home")
    home = watched_days.Watched(Home(copied), Settings(start_date=watched_days.FIRST))
    home.through(watched_days.SPIKE - watched_days.QUARTER, watched_days.SPIKE + timedelta(hours=4), tell=True)
    return home.home.path


@pytest.fixture
def watched(watched_home: Path, tmp_path: Path) -> watched_days.Make:
    def make(name: str = "home", **settings: object) -> watched_days.Watched:
        shutil.copytree(watched_home, tmp_path / name)
        chosen = {"start_date": watched_days.FIRST, **settings}
        return watched_days.Watched(Home(tmp_path / name), Settings(**chosen))  # type: ignore[arg-type]  # names and values as given

    return make


@pytest.fixture
def told(told_home: Path, tmp_path: Path) -> watched_days.Watched:
    """A home in which the spike is history; it is four hours later."""
    home = watched_days.Watched(
        Home(shutil.copytree(told_home, tmp_path / "told")), Settings(start_date=watched_days.FIRST)
    )
    home.moment = watched_days.SPIKE + timedelta(hours=4) + watched_days.SOON
    return home
