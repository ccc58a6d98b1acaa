"""Rankings in Dagster: a day's popular and trending videos, and their way to Redis.

Belongs here: as of when a day is ranked, what is stored and published, what the UI shows. Does not: formulas
(`rankings/`), Redis (`stores/`), when it starts by itself (`defs/ranking_times.py`).

A ranking replaces its day in the warehouse, a table in one transaction each, and only when there are events to rank:
an empty window or an error leaves the ranking that is there. What is published is written once, as documents, so that
Redis can be tried again without counting again; and nothing older ever takes the place of something newer there.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from pydantic import Field

from analytics_platform.artifacts import ArtifactError, Artifacts
from analytics_platform.defs.claims import now
from analytics_platform.defs.events import event_key
from analytics_platform.defs.liveness import Alive
from analytics_platform.defs.partitions import days_of
from analytics_platform.defs.resources import store_of
from analytics_platform.defs.shown import column_schema, picture
from analytics_platform.defs.tables import POOL, working
from analytics_platform.language import Language
from analytics_platform.metrics.events import USER_EVENTS
from analytics_platform.metrics.tables import RANKINGS_POPULAR, RANKINGS_TRENDING
from analytics_platform.rankings.counting import ranking_query
from analytics_platform.rankings.documents import METADATA, documents
from analytics_platform.rankings.ranked import rank
from analytics_platform.rankings.ranking import Ranking
from analytics_platform.rankings.rows import markdown_table, popular_rows, trending_rows
from analytics_platform.settings import Settings
from analytics_platform.stores.base import Store, StoreError
from analytics_platform.visitors.window import parse_moment
from analytics_platform.warehouses.base import Warehouse

POPULAR = dg.AssetKey(["rankings", "popular"])
TRENDING = dg.AssetKey(["rankings", "trending"])
PUBLISHED = dg.AssetKey(["rankings", "published"])
JOB, STEP = "daily_rankings", "rank_videos"
GROUP = "rankings"
EXPIRES = timedelta(hours=25)
STALE = timedelta(hours=24)
_FILE = "documents.json"
_SHOWN = 15


class RankingConfig(dg.Config):
    """As of which moment a day is ranked."""

    as_of: str = Field(
        default="",
        description="a moment of the partition's day, such as 2026-11-20T15:00+03:00, or: now. Empty: RANKING_TIME.",
    )


def ranking_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition per local day from START_DATE to today."""
    return dg.DailyPartitionsDefinition(
        start_date=settings.start_date.isoformat(), timezone=settings.timezone, end_offset=1
    )


def moment_of(day: date, settings: Settings, moment: datetime, wanted: str = "") -> datetime:
    """As of when that day is ranked (aware, UTC): at RANKING_TIME, or at another moment of the day, never ahead of now.

    Raises dg.Failure for a moment that is none, or not of that day.
    """
    if wanted.strip().lower() == "now":
        chosen = moment
    elif wanted.strip():
        try:
            chosen = parse_moment(wanted, settings.zone)
        except ValueError as error:
            raise dg.Failure(f"as_of {error}", allow_retries=False) from None
    else:
        chosen = datetime.combine(day, settings.ranking_time, tzinfo=settings.zone).astimezone(UTC)
    chosen = min(chosen, moment)
    if chosen.astimezone(settings.zone).date() != day:
        raise dg.Failure(
            f"as_of {chosen.astimezone(settings.zone):%Y-%m-%d %H:%M} is no moment of {day} (TIMEZONE "
            f"{settings.timezone}): choose the partition of that day, or leave as_of empty",
            allow_retries=False,
        )
    return chosen


def ranked(warehouse: Warehouse, settings: Settings, as_of: datetime) -> Ranking:
    """The ranking as of that moment (aware), counted now; nothing is stored."""
    plan, moment = settings.ranking_plan, as_of.astimezone(UTC)
    return rank(warehouse.table(ranking_query(plan, moment)), plan, moment)


def nothing_to_rank(ranking: Ranking, settings: Settings) -> str:
    """Why there is no ranking, in one sentence; empty when there is one."""
    if ranking.status == "ok":
        return ""
    plan = settings.ranking_plan
    recent, previous = plan.windows(ranking.as_of)
    window = recent if ranking.total_events_loaded else previous
    zone = settings.zone
    begin, end = (edge.replace(tzinfo=UTC).astimezone(zone) for edge in (window.start, recent.end))
    return (
        f"user_events has no event from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}: nothing was ranked, the "
        "ranking before stays; load what is missing, or look at why no events come"
    )


def ranking_assets(settings: Settings, engine: str) -> list[dg.AssetsDefinition]:
    """The ranking of a day, and the newest one where other programs read it."""
    partitions = ranking_partitions(settings)

    @dg.multi_asset(
        name=STEP,
        specs=[
            dg.AssetSpec(
                POPULAR,
                deps=[event_key(USER_EVENTS)],
                group_name=GROUP,
                kinds={engine, "table"},
                description="What is popular by country and by category, as of a moment of the day: scores, audience, "
                "completion rate, top videos.",
                metadata=column_schema(RANKINGS_POPULAR),
            ),
            dg.AssetSpec(
                TRENDING,
                deps=[event_key(USER_EVENTS)],
                group_name=GROUP,
                kinds={engine, "table"},
                description="What rises and falls against the days before, and is unlikely to be noise.",
                metadata=column_schema(RANKINGS_TRENDING),
            ),
        ],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=POOL,
    )
    def rank_videos(
        context: dg.AssetExecutionContext,
        config: RankingConfig,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        artifacts: dg.ResourceParam[Artifacts],
    ) -> Iterator[dg.MaterializeResult]:
        made: dict[date, Ranking] = {}
        missing: dict[date, str] = {}
        days = days_of(context)
        for day in days:
            as_of = moment_of(day, settings, now(), config.as_of)
            with working(context, POPULAR, settings):
                ranking = ranked(warehouse, settings, as_of)
                if why := nothing_to_rank(ranking, settings):
                    missing[day] = why
                    continue
                made[day] = ranking
                rows = keep(warehouse, artifacts, ranking, day, context.run.run_id)
            for key, count in zip((POPULAR, TRENDING), rows, strict=True):
                shown = _shown(ranking, count, settings) if day == days[-1] else {}
                context.add_asset_metadata(
                    {"as_of": dg.MetadataValue.timestamp(as_of), "dagster/row_count": count, **shown},
                    asset_key=key,
                    partition_key=day.isoformat(),
                )
        if missing:
            for day in made:  # what a step says before it fails is lost, unless it is recorded at once
                for key in (POPULAR, TRENDING):
                    done = dg.AssetMaterialization(key, partition=day.isoformat())
                    context.instance.report_runless_asset_event(done)
            lines = [f"{day}: {why}" for day, why in missing.items()]
            raise dg.Failure("\n".join(lines if len(days) > 1 else missing.values()), allow_retries=False)
        yield dg.MaterializeResult(asset_key=POPULAR)
        yield dg.MaterializeResult(asset_key=TRENDING)

    @dg.asset(
        key=PUBLISHED,
        deps=[POPULAR, TRENDING],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=GROUP,
        kinds={"redis"},
        description="The newest ranking in Redis: five keys, written together, gone after 25 hours. Without REDIS_URL "
        "rankings stay in the warehouse.",
    )
    def published(
        context: dg.AssetExecutionContext,
        alive: dg.ResourceParam[Alive],
        settings: dg.ResourceParam[Settings],
        artifacts: dg.ResourceParam[Artifacts],
    ) -> dg.MaterializeResult:
        day = max(days_of(context))
        try:
            told = publish(store_of(settings), artifacts, day, now(), settings)
        except StoreError as error:
            # No waiting here, which would keep the next ranking from being made: the sensor publishes it as soon as
            # Redis answers.
            raise dg.Failure(str(error), allow_retries=False) from None
        except ArtifactError:
            raise dg.Failure(
                f"there is no ranking of {day} to publish: materialise rankings/popular of that day first",
                allow_retries=False,
            ) from None
        context.log.info(told.said)
        for key in context.partition_keys:
            said = told.said if key == day.isoformat() else f"the ranking of {day} is newer: this one is not published"
            context.add_asset_metadata({"published": dg.MetadataValue.text(said)}, partition_key=key)
        return dg.MaterializeResult(metadata=told.metadata)

    return [rank_videos, published]


def keep(warehouse: Warehouse, artifacts: Artifacts, ranking: Ranking, day: date, run_id: str) -> tuple[int, int]:
    """Replace the day's ranking, and write down what is to be published. Rows of the two tables."""
    text = json.dumps(documents(ranking, run_id, ranking.as_of + EXPIRES), ensure_ascii=False, allow_nan=False)
    # Killed in between, the tables are not both of this moment, and the ranking counts as not made.
    artifacts.save(GROUP, day, _FILE, text.encode())
    trending = warehouse.store_day(RANKINGS_TRENDING, day, trending_rows(ranking, day))
    popular = warehouse.store_day(RANKINGS_POPULAR, day, popular_rows(ranking, day))
    return popular, trending


@dataclass(frozen=True)
class Published:
    """What became of publishing."""

    said: str
    done: bool
    metadata: Mapping[str, dg.MetadataValue]


def written_as_of(artifacts: Artifacts, day: date) -> datetime | None:
    """As of when the ranking is that was written down to be published on that day (aware); None when none was."""
    try:
        return _as_of(json.loads(artifacts.load(GROUP, day, _FILE)).get(METADATA))
    except ArtifactError:
        return None


def lifetime(settings: Settings, moment: datetime) -> timedelta:
    """For how long documents that are published now stay: 25 hours, and where clocks are set back until an hour after
    the next ranking is due."""
    tomorrow = moment.astimezone(settings.zone).date() + timedelta(days=1)
    due = datetime.combine(tomorrow, settings.ranking_time, tzinfo=settings.zone).astimezone(UTC)
    return max(EXPIRES, min(due - moment, timedelta(hours=25)) + timedelta(hours=1))


def publish(store: Store | None, artifacts: Artifacts, day: date, moment: datetime, settings: Settings) -> Published:
    """Put that day's ranking where other programs read it, unless it is old or a newer one is there.

    Raises ArtifactError when the day was not ranked, StoreError when Redis does not take it.
    """
    kept: dict[str, object] = json.loads(artifacts.load(GROUP, day, _FILE))
    as_of = _as_of(kept.get(METADATA))
    if store is None:
        return Published("REDIS_URL is not set: the ranking stays in the warehouse", done=False, metadata={})
    if as_of is None or moment - as_of >= STALE:
        said = f"the ranking of {day} is older than a day: what is in Redis stays"
        return Published(said, done=False, metadata={})
    there = _as_of(store.read(METADATA))
    if there is not None and there > as_of:
        said = f"Redis has a newer ranking, as of {there:%Y-%m-%d %H:%M} UTC: it stays"
        return Published(said, done=False, metadata={})
    stay = lifetime(settings, moment)
    expires = moment + stay
    about = kept[METADATA]
    if isinstance(about, dict):
        about["expires_at"] = expires.isoformat()
    store.publish(kept, int(stay.total_seconds()))
    sizes = {name: len(json.dumps(document, ensure_ascii=False).encode()) for name, document in kept.items()}
    said = f"{len(kept)} keys in {store.place}, until {expires:%Y-%m-%d %H:%M} UTC"
    metadata: dict[str, dg.MetadataValue] = {
        "as_of": dg.MetadataValue.timestamp(as_of),
        "expires": dg.MetadataValue.timestamp(expires),
        "place": dg.MetadataValue.text(store.place),
        "bytes": dg.MetadataValue.json(sizes),
    }
    return Published(said, done=True, metadata=metadata)


def _as_of(document: object) -> datetime | None:
    """The moment of a ranking by its metadata document."""
    if not isinstance(document, dict) or not isinstance(document.get("as_of"), str):
        return None
    try:
        moment = datetime.fromisoformat(document["as_of"])
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def published_as_of(store: Store) -> datetime | None:
    """As of when the published ranking is (aware); None when there is none."""
    return _as_of(store.read(METADATA))


def _shown(ranking: Ranking, count: int, settings: Settings) -> dict[str, dg.MetadataValue]:
    from analytics_platform.charts import rankings as chart

    language = Language(settings.locale)
    unknown = ", ".join(f"{name} {n:,}" for name, n in ranking.unknown_types.items())
    shown: dict[str, dg.MetadataValue] = {
        "events_analyzed": dg.MetadataValue.int(ranking.events_analyzed),
        "total_events_loaded": dg.MetadataValue.int(ranking.total_events_loaded),
        "mode": dg.MetadataValue.text(settings.ranking_mode.value),
        "by country": dg.MetadataValue.md(markdown_table(ranking, "country", _SHOWN)),
        "by category": dg.MetadataValue.md(markdown_table(ranking, "category", _SHOWN)),
        "chart": picture(chart.draw(ranking, language), "ranking"),
        "rows": dg.MetadataValue.int(count),
    }
    if unknown:
        shown["event types without a weight"] = dg.MetadataValue.text(f"{unknown}: they score 0 (RANKING_WEIGHTS)")
    if ranking.odd_completions:
        shown["completion rates outside 0 to 1"] = dg.MetadataValue.int(ranking.odd_completions)
    return shown
