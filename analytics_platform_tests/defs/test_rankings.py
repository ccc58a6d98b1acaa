"""Rankings as runs: what a day is ranked as of, what is stored and published, what never replaces a good ranking."""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from analytics_platform.artifacts import ArtifactError, Artifacts
from analytics_platform.definitions import build_definitions
from analytics_platform.defs.ranking_times import Memory, Shelf, Tick, Watch, config_of, look, shelf_of
from analytics_platform.defs.rankings import EXPIRES, JOB, STEP, keep, moment_of, publish, ranked
from analytics_platform.defs.resources import ledgers_of
from analytics_platform.metrics.tables import RANKINGS_POPULAR, RANKINGS_TRENDING
from analytics_platform.queries import compose
from analytics_platform.rankings.rows import trending_rows
from analytics_platform.settings import Home, Settings
from analytics_platform.stores.base import Store, StoreBusyError
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.defs.videos import load_videos, views

NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = NOW.date()
SETTINGS = Settings(start_date=TODAY - timedelta(days=5), ranking_time=time(0, 0), retry_pause_seconds=0)
STEADY = {0: 40, 1: 40, 2: 40}


@dataclass
class Kept:
    """A store that is a dictionary; `broken`: it does not answer."""

    kept: dict[str, object] = field(default_factory=dict)
    expires: int = 0
    broken: bool = False
    place: str = "a shelf"

    def publish(self, documents: Mapping[str, object], expires_seconds: int) -> None:
        if self.broken:
            raise StoreBusyError("the shelf does not answer; wait")
        self.kept |= json.loads(json.dumps(documents))
        self.expires = expires_seconds

    def read(self, key: str) -> object | None:
        if self.broken:
            raise StoreBusyError("the shelf does not answer; wait")
        return self.kept.get(key)

    def remaining_seconds(self, key: str) -> int | None:
        return self.expires if key in self.kept else None

    def check(self, keys: Collection[str] = ()) -> Sequence[str]:
        return []


@dataclass(frozen=True)
class Ranked:
    """A home with video events up to a moment."""

    home: Home
    warehouse: DuckDBWarehouse
    artifacts: Artifacts

    def run(self, day: date, as_of: datetime | None = None, settings: Settings = SETTINGS) -> dg.ExecuteInProcessResult:
        definitions = build_definitions(self.home, settings, warehouse=self.warehouse)
        config = {**(config_of(as_of) if as_of else {}), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with dg.DagsterInstance.ephemeral() as instance:
            return definitions.resolve_job_def(JOB).execute_in_process(
                instance=instance, partition_key=day.isoformat(), run_config=config, raise_on_error=False
            )

    def stored(self) -> datetime | None:
        [row] = self.warehouse.rows(compose("rankings_as_of"))
        found = row["as_of"]
        return found.replace(tzinfo=UTC) if isinstance(found, datetime) else None


@pytest.fixture
def place(tmp_path: Path) -> Ranked:
    """Steady traffic in Mali, a doubling in Togo, until now."""
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    naive = NOW.replace(tzinfo=None)
    load_videos(warehouse, [*views(naive, STEADY), *views(naive, {0: 160, 1: 40, 2: 40}, country="Togo", video="v2")])
    return Ranked(home, warehouse, Artifacts(home.artifacts))


def reason(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed."""
    [failed] = [e for e in result.all_events if e.is_step_failure]
    data = failed.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    assert data.error is not None
    assert data.error.cause is not None
    return data.error.cause.message


def test_a_day_is_ranked_as_of_its_time_or_another_moment_of_it() -> None:
    settings = Settings(timezone="Asia/Tokyo", ranking_time=time(2, 0))
    day = date(2026, 3, 10)
    moment = datetime(2026, 3, 20, tzinfo=UTC)
    assert moment_of(day, settings, moment) == datetime(2026, 3, 9, 17, tzinfo=UTC)
    assert moment_of(day, settings, moment, "2026-03-10T15:00") == datetime(2026, 3, 10, 6, tzinfo=UTC)
    assert moment_of(day, settings, moment, "2026-03-09T20:00Z") == datetime(2026, 3, 9, 20, tzinfo=UTC)
    early = datetime(2026, 3, 9, 16, 30, tzinfo=UTC)  # 01:30 of the day
    assert moment_of(day, settings, early) == early, "not ahead of now"
    assert moment_of(day, settings, early, "now") == early


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("soon", "as_of 'soon' is no moment; write a day such as"),
        ("0001-01-01T00:00", "as_of '0001-01-01T00:00' is no moment; write"),
        ("0001-01-01T00:00Z", "as_of '0001-01-01T00:00Z' is outside the years 1970 to 2261"),
        ("2026-03-29T02:30", "as_of 2026-03-29T02:30 does not exist in Europe/Berlin, .*; write it with its offset"),
        ("2025-10-26T02:30", "as_of 2025-10-26T02:30 is there twice in Europe/Berlin"),
        ("2026-03-11T02:00", "is no moment of 2026-03-10"),
    ],
)
def test_a_moment_that_does_not_fit_is_refused_in_a_sentence(wanted: str, said: str) -> None:
    with pytest.raises(dg.Failure, match=said):
        moment_of(date(2026, 3, 10), Settings(timezone="Europe/Berlin"), datetime(2026, 4, 20, tzinfo=UTC), wanted)


def test_a_run_stores_the_ranking_and_shows_it(place: Ranked) -> None:
    result = place.run(TODAY, NOW)
    assert result.success
    popular = place.warehouse.stored_rows(RANKINGS_POPULAR, TODAY).to_pylist()
    groups = [(r["ranked_by"], r["name"], r["users"]) for r in popular if r["video_id"] is None]
    assert groups == [("country", "Togo", 160), ("country", "Mali", 40), ("category", "school", 200)]
    trending = place.warehouse.stored_rows(RANKINGS_TRENDING, TODAY).to_pylist()
    moves = {r["name"]: r["trend_direction"] for r in trending if r["video_id"] is None and r["ranked_by"] == "country"}
    assert moves == {"Togo": "up", "Mali": "stable"}
    [shown] = [m for m in result.asset_materializations_for_node(STEP) if m.asset_key.path[-1] == "popular"]
    assert {"by country", "by category", "chart", "as_of", "events_analyzed"} <= shown.metadata.keys()
    [told] = result.asset_materializations_for_node("rankings__published")
    assert "REDIS_URL is not set" in str(told.metadata["published"].value)


def test_a_day_that_is_ranked_again_is_replaced(place: Ranked) -> None:
    assert place.run(TODAY, NOW).success
    assert place.run(TODAY, NOW).success
    rows = place.warehouse.stored_rows(RANKINGS_POPULAR, TODAY)
    assert rows.num_rows == len({(r["ranked_by"], r["name"], r["video_id"]) for r in rows.to_pylist()})


def test_an_empty_window_is_red_and_leaves_the_ranking_that_is_there(place: Ranked) -> None:
    assert place.run(TODAY, NOW).success
    before = place.warehouse.stored_rows(RANKINGS_POPULAR, TODAY)
    load_videos(place.warehouse, views(NOW.replace(tzinfo=None) - timedelta(days=1), STEADY))
    recent = NOW.replace(tzinfo=None)
    load_videos(place.warehouse, views(recent - timedelta(days=30), {0: 1}))
    early = TODAY - timedelta(days=5)
    result = place.run(early)
    assert not result.success
    assert reason(result).startswith("user_events has no event from ")
    assert "the ranking before stays" in reason(result)
    assert place.warehouse.stored_rows(RANKINGS_POPULAR, TODAY).equals(before)
    assert place.warehouse.stored_rows(RANKINGS_POPULAR, early).num_rows == 0


def kept(place: Ranked, as_of: datetime, day: date = TODAY) -> None:
    """Rank the day as of that moment."""
    keep(place.warehouse, place.artifacts, ranked(place.warehouse, SETTINGS, as_of), day, "run")


def test_five_keys_are_published_for_25_hours(place: Ranked) -> None:
    kept(place, NOW)
    shelf = Kept()
    told = publish(shelf, place.artifacts, TODAY, NOW, SETTINGS)
    assert told.done
    assert told.said.startswith("5 keys in a shelf, until ")
    assert shelf.expires == 90_000
    assert set(shelf.kept) == {
        "analytics_popularity_by_country",
        "analytics_popularity_by_category",
        "analytics_trending_by_country",
        "analytics_trending_by_category",
        "comprehensive_analytics_metadata",
    }
    about = shelf.kept["comprehensive_analytics_metadata"]
    assert isinstance(about, dict)
    assert datetime.fromisoformat(about["expires_at"]) == NOW + EXPIRES
    countries = shelf.kept["analytics_popularity_by_country"]
    assert isinstance(countries, dict)
    assert list(countries) == ["Togo", "Mali"]


def test_an_older_ranking_never_takes_the_place_of_a_newer_one(place: Ranked) -> None:
    shelf = Kept()
    kept(place, NOW)
    publish(shelf, place.artifacts, TODAY, NOW, SETTINGS)
    before = dict(shelf.kept)
    kept(place, NOW - timedelta(hours=2))
    told = publish(shelf, place.artifacts, TODAY, NOW, SETTINGS)
    assert not told.done
    assert "Redis has a newer ranking" in told.said
    assert shelf.kept == before


def test_what_is_a_day_old_is_not_published(place: Ranked) -> None:
    kept(place, NOW)
    shelf = Kept()
    assert not publish(shelf, place.artifacts, TODAY, NOW + timedelta(hours=24), SETTINGS).done
    assert shelf.kept == {}


def test_what_was_not_ranked_cannot_be_published(place: Ranked) -> None:
    with pytest.raises(ArtifactError):
        publish(Kept(), place.artifacts, TODAY, NOW, SETTINGS)


def watch(place: Ranked, shelf: Store | None = None, trouble: str = "") -> Watch:
    """What a look needs."""
    return Watch(place.warehouse, Shelf(shelf, trouble), place.artifacts, SETTINGS, ledgers_of(place.home, SETTINGS))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Without runs."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def asked(tick: Tick) -> dict[str, object]:
    """What the one request of a tick is for."""
    [request] = tick.requests
    if request.asset_selection:
        return {"publish": request.partition_key}
    return {"rank": request.run_config["ops"][STEP]["config"]["as_of"], "day": request.partition_key}


def test_a_look_asks_for_the_ranking_then_for_publishing_it_then_for_nothing(
    place: Ranked, instance: dg.DagsterInstance
) -> None:
    store = Kept()
    wanted = asked(look(watch(place, store), instance, NOW))
    kept(place, datetime.fromisoformat(str(wanted["rank"])))
    assert asked(look(watch(place, store), instance, NOW)) == {"publish": TODAY.isoformat()}
    publish(store, place.artifacts, TODAY, NOW, SETTINGS)
    done = look(watch(place, store), instance, NOW)
    assert done.requests == []
    assert done.said.startswith("ranked as of")
    assert watch(place).ledgers.problems.open() == []


def test_a_ranking_that_was_cut_off_counts_as_not_made(place: Ranked, instance: dg.DagsterInstance) -> None:
    made = ranked(place.warehouse, SETTINGS, NOW)
    place.warehouse.store_day(RANKINGS_TRENDING, TODAY, trending_rows(made, TODAY))
    assert place.stored() is None
    assert "rank" in asked(look(watch(place), instance, NOW))
    kept(place, NOW - timedelta(hours=1))
    place.warehouse.store_day(RANKINGS_TRENDING, TODAY, trending_rows(made, TODAY))
    assert place.stored() == NOW - timedelta(hours=1)


def test_what_cannot_be_published_for_want_of_documents_is_ranked_again(
    place: Ranked, instance: dg.DagsterInstance
) -> None:
    kept(place, NOW)
    shutil.rmtree(place.artifacts.root)
    wanted = asked(look(watch(place, Kept()), instance, NOW))
    assert wanted == {"rank": NOW.isoformat(), "day": TODAY.isoformat()}


def test_events_of_the_future_start_no_runs(place: Ranked, instance: dg.DagsterInstance) -> None:
    load_videos(place.warehouse, views(datetime(2031, 1, 1), {0: 1}))  # noqa: DTZ001 - naive UTC, as it is stored
    tick = look(watch(place), instance, NOW + timedelta(days=9))
    assert tick.requests == []
    assert tick.said.startswith("no event in user_events since ")


def test_a_redis_url_that_cannot_be_used_keeps_no_ranking_from_the_warehouse(
    place: Ranked, instance: dg.DagsterInstance
) -> None:
    shelf = shelf_of(SETTINGS.model_copy(update={"redis_url": SecretStr("localhost:6379")}))
    assert shelf.store is None
    assert shelf.trouble.startswith("REDIS_URL")
    tick = look(watch(place, trouble=shelf.trouble), instance, NOW)
    assert "rank" in asked(tick)
    assert tick.why[1] == shelf.trouble


def test_a_server_that_does_not_answer_once_is_no_problem_yet(place: Ranked, instance: dg.DagsterInstance) -> None:
    kept(place, NOW)
    seen, memory = watch(place, Kept(broken=True)), Memory()
    for minutes, problems in ((0, []), (5, []), (16, ["unpublished"])):
        tick = look(seen, instance, NOW + timedelta(minutes=minutes), memory)
        assert (tick.requests, tick.said) == ([], "the shelf does not answer; wait")
        assert [problem.kind for problem in seen.ledgers.problems.open()] == problems


def test_a_stale_ranking_is_the_owners_problem_until_it_is_fresh(place: Ranked, instance: dg.DagsterInstance) -> None:
    kept(place, NOW)
    later = NOW + timedelta(hours=50)
    tick = look(watch(place, Kept()), instance, later)
    assert tick.why[0].startswith("the newest ranking is as of")
    problems = watch(place).ledgers.problems
    assert sorted(problem.kind for problem in problems.open()) == ["stale", "unpublished"]
    load_videos(place.warehouse, views(later.replace(tzinfo=None), STEADY))
    store = Kept()
    kept(place, later, later.date())
    publish(store, place.artifacts, later.date(), later, SETTINGS)
    look(watch(place, store), instance, later)
    assert problems.open() == []


def test_a_home_without_video_events_hears_nothing_of_rankings(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    home = Home(tmp_path / "home")
    warehouse = DuckDBWarehouse(home.events, home.results, home.scratch)
    warehouse.prepare()
    empty = Ranked(home, warehouse, Artifacts(home.artifacts))
    tick = look(watch(empty, Kept(broken=True)), instance, NOW)
    assert (tick.requests, tick.why) == ([], ("", ""))
    assert watch(empty).ledgers.problems.open() == []
