"""When rankings are made by themselves, and whether they are stale: the sensor, the checks, what the owner is told.

Belongs here: when a ranking is due, and what is asked for. Does not: making or publishing it (`defs/rankings.py`).

A sensor and no cron: at RANKING_TIME, and as soon as somebody looks when that moment was missed. It asks for a run only
when there is something to rank; when there is not, the tick says so, the checks turn red and the owner is told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from analytics_platform.artifacts import Artifacts
from analytics_platform.availability import last_event
from analytics_platform.defs.claims import now
from analytics_platform.defs.deliveries import UNFINISHED
from analytics_platform.defs.instances import instance_of
from analytics_platform.defs.rankings import (
    JOB,
    POPULAR,
    PUBLISHED,
    STALE,
    STEP,
    TRENDING,
    published_as_of,
    written_as_of,
)
from analytics_platform.defs.resources import Ledgers, store_of
from analytics_platform.metrics.events import USER_EVENTS
from analytics_platform.metrics.windows import EPOCH
from analytics_platform.queries import compose
from analytics_platform.settings import Settings
from analytics_platform.stores.base import Store, StoreError
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

SENSOR, SUBJECT = "keep_rankings", "rankings"
FRESH = "fresh"
# A run that begins so soon after RANKING_TIME ranks as of it: the same whenever it is repeated.
_ON_TIME = timedelta(hours=1)
# Made once a day, a ranking is a day old when the next one begins, which takes its time.
_GRACE = timedelta(minutes=15)
# After a failure.
_AGAIN, _PUBLISH_AGAIN = timedelta(hours=1), timedelta(minutes=5)
_REPORTED_EVERY = timedelta(hours=1)
_LATELY = timedelta(days=3)


@dataclass
class Standing:
    """How rankings stand: as of when (aware) the stored and the published one are, when the newest event happened that
    is over: events that claim to come from the future tell nothing.

    `trouble`: why Redis cannot be used; `published` is None then, and where there is no Redis.
    """

    stored: datetime | None
    published: datetime | None
    newest: datetime | None
    trouble: str = ""
    redis: bool = False

    @property
    def used(self) -> bool:
        """Whether there are events to rank at all."""
        return self.newest is not None


@dataclass(frozen=True)
class Shelf:
    """Where rankings are published: `store` is None without REDIS_URL, and when that cannot be used (`trouble`)."""

    store: Store | None = None
    trouble: str = ""


def shelf_of(settings: Settings) -> Shelf:
    """As the settings say; what is wrong with REDIS_URL keeps no ranking from the warehouse."""
    try:
        return Shelf(store_of(settings))
    except StoreError as error:
        return Shelf(trouble=str(error))


def standing(warehouse: Warehouse, shelf: Shelf, moment: datetime) -> Standing:
    """Ask the warehouse, and Redis if there is one. `moment`: aware."""
    # Recent ones first: a look a minute is not to read years.
    newest = _newest(warehouse, moment - _LATELY, moment) or _newest(warehouse, EPOCH.replace(tzinfo=UTC), moment)
    [row] = warehouse.rows(compose("rankings_as_of"))
    redis = bool(shelf.store or shelf.trouble)
    found = Standing(_aware(row["as_of"]), None, newest, shelf.trouble, redis=redis)
    if shelf.store is not None and (found.used or found.stored):
        try:
            found.published = published_as_of(shelf.store)
        except StoreError as error:
            found.trouble = str(error)
    return found


def _newest(warehouse: Warehouse, since: datetime, before: datetime) -> datetime | None:
    """The newest event of [since, before), aware; None without one."""
    bounds = (moment.astimezone(UTC).replace(tzinfo=None) for moment in (since, before))
    [row] = warehouse.rows(last_event(USER_EVENTS.name, *bounds))
    return _aware(row["last_time"])


@dataclass
class Due:
    """What is to be done now: make the ranking `as_of`, or `publish` the stored one; or nothing, and `said` why."""

    as_of: datetime | None = None
    publish: bool = False
    said: str = ""


def due(found: Standing, settings: Settings, moment: datetime) -> Due:
    """Whether a ranking is to be made or published, as far as it depends on the moments alone. `moment`: aware."""
    if not found.used:
        return Due(said="user_events is empty: there is nothing to rank")
    slot = _newest_slot(settings, moment)
    if found.stored is None or found.stored < slot:
        # What was missed is made as of now: nobody waits for the ranking of a moment long gone.
        return Due(as_of=slot if moment - slot < _ON_TIME else moment)
    if found.trouble:
        return Due(said=found.trouble)
    behind = found.redis and (found.published is None or found.published < found.stored)
    if behind and moment - found.stored < STALE:
        return Due(publish=True)
    return Due(said=f"ranked as of {found.stored.astimezone(settings.zone):%Y-%m-%d %H:%M}")


def _slot(day: date, settings: Settings) -> datetime:
    """RANKING_TIME of that local day, UTC."""
    return datetime.combine(day, settings.ranking_time, tzinfo=settings.zone).astimezone(UTC)


def _newest_slot(settings: Settings, moment: datetime) -> datetime:
    """The last RANKING_TIME that is not after the moment, UTC."""
    today = moment.astimezone(settings.zone).date()
    slots = [_slot(today + timedelta(days=k), settings) for k in (-1, 0)]
    return max(slot for slot in slots if slot <= moment)


def stale(found: Standing, settings: Settings, moment: datetime) -> tuple[str, str]:
    """Why the stored and the published ranking are stale, in a sentence each; empty when they are not.

    Stale is what is a day old, and was to be replaced a quarter of an hour ago: where clocks are set back, a day has 25
    hours.
    """
    if not found.used and found.stored is None:
        return "", ""
    replaced_by = _newest_slot(settings, moment - _GRACE)

    def judged(as_of: datetime | None, what: str) -> str:
        if as_of is None:
            return f"there is no {what}"
        if moment - as_of < STALE or as_of >= replaced_by:
            return ""
        return f"the newest {what} is as of {as_of:%Y-%m-%d %H:%M} UTC, a day and more ago"

    stored = judged(found.stored, "ranking")
    if stored and found.newest and found.newest < moment - STALE:
        stored += f"; user_events has no event since {found.newest:%Y-%m-%d %H:%M} UTC"
    published = (found.trouble or judged(found.published, "ranking in Redis")) if found.redis else ""
    return stored, published


def ranking_checks(settings: Settings, warehouse: Callable[[], Warehouse]) -> list[dg.AssetChecksDefinition]:
    """Whether the rankings are less than a day old; the sensor reports them, too."""

    @dg.asset_check(asset=POPULAR, name=FRESH, description="The newest ranking is less than a day old.")
    def stored_is_fresh() -> dg.AssetCheckResult:
        moment = now()
        return _result(stale(standing(warehouse(), Shelf(), moment), settings, moment)[0])

    @dg.asset_check(asset=PUBLISHED, name=FRESH, description="What Redis holds is less than a day old.")
    def published_is_fresh() -> dg.AssetCheckResult:
        moment = now()
        return _result(stale(standing(warehouse(), shelf_of(settings), moment), settings, moment)[1])

    return [stored_is_fresh, published_is_fresh]


def _result(why: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=not why, severity=dg.AssetCheckSeverity.ERROR, description=why or None)


def _evaluations(why: tuple[str, str]) -> list[dg.AssetCheckEvaluation]:
    return [
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=FRESH,
            passed=not text,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={},
            description=text or None,
        )
        for key, text in zip((POPULAR, PUBLISHED), why, strict=True)
    ]


def ranking_job() -> "UnresolvedAssetJobDefinition":
    """Rank a day and publish it."""
    return dg.define_asset_job(
        JOB,
        dg.AssetSelection.assets(POPULAR, TRENDING, PUBLISHED),
        description="Popular and trending videos of a day, stored and published.",
    )


def config_of(as_of: datetime) -> dict[str, Any]:
    """Run config of the job for a ranking as of that moment."""
    return {"ops": {STEP: {"config": {"as_of": as_of.isoformat()}}}}


@dataclass
class Memory:
    """What a process knows between looks: what it reported of the checks and when, since when Redis is in trouble."""

    why: tuple[str, str] | None = None
    at: datetime | None = None
    trouble_since: datetime | None = None


@dataclass
class Tick:
    """What a look came to."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    said: str = ""
    why: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Watch:
    """What a look needs: where rankings are, are published and written down, and what the owner is told by."""

    warehouse: Warehouse
    shelf: Shelf
    artifacts: Artifacts
    settings: Settings
    ledgers: Ledgers


def look(watch: Watch, instance: dg.DagsterInstance, moment: datetime, memory: Memory | None = None) -> Tick:
    """What is to be run now; what is stale is the owner's to know of."""
    memory, settings = memory or Memory(), watch.settings
    found = standing(watch.warehouse, watch.shelf, moment)
    wanted, why = due(found, settings, moment), stale(found, settings, moment)
    memory.trouble_since = (memory.trouble_since or moment) if found.trouble else None
    _tell_owner(watch.ledgers, found, why, moment, memory)
    if wanted.publish and found.stored and written_as_of(watch.artifacts, _day(found.stored, settings)) != found.stored:
        # Nothing to publish was written down here, or something else: made once more, as of the same moment.
        wanted = Due(as_of=found.stored)
    if wanted.as_of and not _newest(watch.warehouse, wanted.as_of - settings.ranking_plan.recent, wanted.as_of):
        since = f" since {found.newest:%Y-%m-%d %H:%M} UTC" if found.newest else ""
        wanted = Due(said=f"no event in user_events{since}: the ranking before stays")
    if wanted.as_of is None and not wanted.publish:
        return Tick(said=wanted.said, why=why)
    if instance.get_runs(dg.RunsFilter(job_name=JOB, statuses=UNFINISHED), limit=1):
        return Tick(said="a run is at it", why=why)
    pause = _AGAIN if wanted.as_of else _PUBLISH_AGAIN
    failed = dg.RunsFilter(job_name=JOB, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=moment - pause)
    if instance.get_runs(failed, limit=1):
        minutes = pause // timedelta(minutes=1)
        return Tick(said=f"the last run failed; it is tried again {minutes} minutes after it", why=why)
    stamp = moment.isoformat(timespec="seconds")
    if wanted.as_of is not None:
        key, config = f"{JOB}@{stamp}", config_of(wanted.as_of)
        request = dg.RunRequest(run_key=key, partition_key=_day(wanted.as_of, settings).isoformat(), run_config=config)
        return Tick([request], f"ranking as of {wanted.as_of:%Y-%m-%d %H:%M} UTC", why)
    day = _day(found.stored or moment, settings).isoformat()
    request = dg.RunRequest(run_key=f"{JOB}/publish@{stamp}", partition_key=day, asset_selection=[PUBLISHED])
    return Tick([request], f"publishing the ranking of {day}", why)


def _day(moment: datetime, settings: Settings) -> date:
    return moment.astimezone(settings.zone).date()


def _tell_owner(ledgers: Ledgers, found: Standing, why: tuple[str, str], moment: datetime, memory: Memory) -> None:
    """A ranking that is stale is a problem until it is not; one that was never made is none yet, nor a server that does
    not answer once."""
    blip = memory.trouble_since is not None and moment - memory.trouble_since < _GRACE
    for kind, text in (("stale", why[0]), ("unpublished", "" if blip else why[1])):
        if text and found.stored is not None:
            ledgers.problems.record(SUBJECT, kind, text, moment)
        elif not (blip and kind == "unpublished"):
            ledgers.problems.resolve(SUBJECT, moment, "fresh again", kind=kind)


def rankings_sensor(
    settings: Settings,
    ledgers: Ledgers,
    job: "dg.JobDefinition | UnresolvedAssetJobDefinition",
    warehouse: Callable[[], Warehouse],
    artifacts: Artifacts,
) -> dg.SensorDefinition:
    """Every minute a look whether a ranking is due, unpublished or stale."""
    memory = Memory()

    @dg.sensor(
        name=SENSOR,
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"At {settings.ranking_time:%H:%M} {settings.timezone}, and whenever that was missed: ranks videos "
        "and publishes the ranking; says when it is stale.",
    )
    def keep_rankings(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        moment = now()
        watch = Watch(warehouse(), shelf_of(settings), artifacts, settings, ledgers)
        tick = look(watch, instance_of(context), moment, memory)
        events: list[dg.AssetCheckEvaluation] = []
        if tick.why != memory.why or memory.at is None or moment - memory.at >= _REPORTED_EVERY:
            # A home that ranks nothing has nothing to be judged.
            events = _evaluations(tick.why) if tick.said and "nothing to rank" not in tick.said else []
            memory.why, memory.at = tick.why, moment
        if tick.requests:
            return dg.SensorResult(run_requests=tick.requests, asset_events=events)
        return dg.SensorResult(skip_reason=tick.said, asset_events=events)

    return keep_rankings


def _aware(moment: object) -> datetime | None:
    return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) else None
