"""When rankings are made by themselves, and whether they are stale: the sensor, the checks, what the owner is told.

Belongs here: when a ranking is due, and what is asked for. Does not: making or publishing it (`defs/rankings.py`).

A sensor and no cron: at RANKING_TIME, and as soon as somebody looks when that moment was missed. It asks for a run only
when there is something to rank; when there is not, the tick says so, the checks turn red and the owner is told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from analytics_platform.defs.claims import now
from analytics_platform.defs.deliveries import UNFINISHED
from analytics_platform.defs.instances import instance_of
from analytics_platform.defs.rankings import JOB, POPULAR, PUBLISHED, STALE, STEP, TRENDING, published_as_of
from analytics_platform.defs.resources import Ledgers, store_of
from analytics_platform.metrics.events import USER_EVENTS
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
# After a failure, and while Redis does not answer.
_AGAIN = timedelta(hours=1)
_REPORTED_EVERY = timedelta(hours=1)


@dataclass
class Standing:
    """How rankings stand: as of when (aware) the stored and the published one are, when the newest event happened.

    `used`: whether there are events to rank at all. `trouble`: why Redis cannot be read; `published` is None then, and
    where there is no Redis.
    """

    used: bool
    stored: datetime | None
    published: datetime | None
    newest: datetime | None
    trouble: str = ""
    redis: bool = False


def standing(warehouse: Warehouse, store: Store | None) -> Standing:
    """Ask the warehouse, and Redis if there is one."""
    [span] = warehouse.rows(compose("event_span", table=USER_EVENTS.name))
    [row] = warehouse.rows(compose("rankings_as_of"))
    found = Standing(bool(span["rows"]), _aware(row["as_of"]), None, _aware(span["last_time"]), redis=store is not None)
    if store is not None and (found.used or found.stored):
        try:
            found.published = published_as_of(store)
        except StoreError as error:
            found.trouble = str(error)
    return found


@dataclass
class Due:
    """What is to be done now: make the ranking `as_of`, or `publish` the stored one; or nothing, and `said` why."""

    as_of: datetime | None = None
    publish: bool = False
    said: str = ""


def due(found: Standing, settings: Settings, moment: datetime) -> Due:
    """Whether a ranking is to be made or published. `moment`: aware."""
    if not found.used:
        return Due(said="user_events is empty: there is nothing to rank")
    today = moment.astimezone(settings.zone).date()
    slots = [_slot(day, settings) for day in (today - timedelta(days=1), today)]
    slot = max(slot for slot in slots if slot <= moment)
    if found.stored is None or found.stored < slot:
        # What was missed is made as of now: nobody waits for the ranking of a moment long gone.
        as_of = slot if slot == slots[-1] and moment - slot < _ON_TIME else moment
        newest = found.newest
        if newest is None or newest < as_of - settings.ranking_plan.recent:
            since = f" since {newest:%Y-%m-%d %H:%M} UTC" if newest else ""
            return Due(said=f"no event in user_events{since}: the ranking before stays")
        return Due(as_of=as_of)
    behind = found.redis and (found.published is None or found.published < found.stored)
    if behind and moment - found.stored < STALE:
        return Due(publish=True, said=found.trouble)
    return Due(said=f"ranked as of {found.stored.astimezone(settings.zone):%Y-%m-%d %H:%M}")


def _slot(day: date, settings: Settings) -> datetime:
    """RANKING_TIME of that local day, UTC."""
    return datetime.combine(day, settings.ranking_time, tzinfo=settings.zone).astimezone(UTC)


def stale(found: Standing, moment: datetime) -> tuple[str, str]:
    """Why the stored and the published ranking are stale, in a sentence each; empty when they are not."""
    if not found.used and found.stored is None:
        return "", ""

    def judged(as_of: datetime | None, what: str) -> str:
        if as_of is None:
            return f"there is no {what}"
        if moment - as_of < STALE + _GRACE:
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
        return _result(stale(standing(warehouse(), None), now())[0])

    @dg.asset_check(asset=PUBLISHED, name=FRESH, description="What Redis holds is less than a day old.")
    def published_is_fresh() -> dg.AssetCheckResult:
        return _result(stale(standing(warehouse(), store_of(settings)), now())[1])

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
class _Seen:
    """What a process has reported of the checks, and when."""

    why: tuple[str, str] | None = None
    at: datetime | None = None


@dataclass
class Tick:
    """What a look came to."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    said: str = ""
    why: tuple[str, str] = ("", "")


def look(
    warehouse: Warehouse,
    store: Store | None,
    settings: Settings,
    ledgers: Ledgers,
    *,
    instance: dg.DagsterInstance,
    moment: datetime,
) -> Tick:
    """What is to be run now; what is stale is the owner's to know of."""
    found = standing(warehouse, store)
    wanted, why = due(found, settings, moment), stale(found, moment)
    _tell_owner(ledgers, found, why, moment)
    if wanted.as_of is None and not wanted.publish:
        return Tick(said=wanted.said, why=why)
    if instance.get_runs(dg.RunsFilter(job_name=JOB, statuses=UNFINISHED), limit=1):
        return Tick(said="a run is at it", why=why)
    failed = dg.RunsFilter(job_name=JOB, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=moment - _AGAIN)
    if instance.get_runs(failed, limit=1):
        return Tick(said="the last run failed; it is tried again an hour after it", why=why)
    stamp = moment.isoformat(timespec="seconds")
    if wanted.as_of is not None:
        day = wanted.as_of.astimezone(settings.zone).date().isoformat()
        request = dg.RunRequest(run_key=f"{JOB}@{stamp}", partition_key=day, run_config=config_of(wanted.as_of))
        return Tick([request], f"ranking as of {wanted.as_of:%Y-%m-%d %H:%M} UTC", why)
    if found.stored is None:  # never: only a stored ranking is to be published
        return Tick(said=wanted.said, why=why)
    day = found.stored.astimezone(settings.zone).date().isoformat()
    request = dg.RunRequest(run_key=f"{JOB}/publish@{stamp}", partition_key=day, asset_selection=[PUBLISHED])
    return Tick([request], f"publishing the ranking of {day}", why)


def _tell_owner(ledgers: Ledgers, found: Standing, why: Sequence[str], moment: datetime) -> None:
    """A ranking that is stale is a problem until it is not; one that was never made is none yet."""
    for kind, text, as_of in (("stale", why[0], found.stored), ("unpublished", why[1], found.stored)):
        if text and as_of is not None:
            ledgers.problems.record(SUBJECT, kind, text, moment)
        else:
            ledgers.problems.resolve(SUBJECT, moment, "fresh again", kind=kind)


def rankings_sensor(
    settings: Settings,
    ledgers: Ledgers,
    job: "dg.JobDefinition | UnresolvedAssetJobDefinition",
    warehouse: Callable[[], Warehouse],
) -> dg.SensorDefinition:
    """Every 5 minutes a look whether a ranking is due, unpublished or stale."""
    seen = _Seen()

    @dg.sensor(
        name=SENSOR,
        job=job,
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"At {settings.ranking_time:%H:%M} {settings.timezone}, and whenever that was missed: ranks videos "
        "and publishes the ranking; says when it is stale.",
    )
    def keep_rankings(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        moment = now()
        tick = look(warehouse(), store_of(settings), settings, ledgers, instance=instance_of(context), moment=moment)
        events: list[dg.AssetCheckEvaluation] = []
        if tick.why != seen.why or seen.at is None or moment - seen.at >= _REPORTED_EVERY:
            # A home that ranks nothing has nothing to be judged.
            events = _evaluations(tick.why) if tick.said and "nothing to rank" not in tick.said else []
            seen.why, seen.at = tick.why, moment
        if tick.requests:
            return dg.SensorResult(run_requests=tick.requests, asset_events=events)
        return dg.SensorResult(skip_reason=tick.said, asset_events=events)

    return keep_rankings


def _aware(moment: object) -> datetime | None:
    return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) else None
