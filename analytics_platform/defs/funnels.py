"""E-mail funnels in Dagster: a sync as one step, four assets, a job and its schedule.

Belongs here: what the UI shows, what is red, when it starts by itself. Does not: what a sync does
(`defs/funnel_syncs.py`), the terminal (`cli/funnel.py`).

While APP_DRY_RUN is true a run reads and says what it would do, and writes nothing. Two syncs never work at once: a
lease in the funnels' own database keeps the second one out, wherever it was started.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

import dagster as dg
from pydantic import Field

from analytics_platform.defs.claims import gone, now
from analytics_platform.defs.failures import later
from analytics_platform.defs.funnel_syncs import Stage, Syncing, braked
from analytics_platform.defs.liveness import Alive, alive
from analytics_platform.defs.resources import Ledgers
from analytics_platform.defs.running import instance_of
from analytics_platform.defs.shown import column_schema
from analytics_platform.defs.tables import working
from analytics_platform.defs.visitor_times import cron_of
from analytics_platform.funnels.person import masked
from analytics_platform.metrics.tables import FUNNEL_CONVERSIONS
from analytics_platform.redaction import redact
from analytics_platform.settings import Home, Settings, SettingsError, home_folder
from analytics_platform.sources.modx_client import SiteError
from analytics_platform.state.database import StateError
from analytics_platform.state.held import held
from analytics_platform.state.leases import LeaseTakenError
from analytics_platform.warehouses.base import Warehouse, WarehouseError

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

JOB, STEP = "funnel_sync", "sync_funnels"
# Not its pace: with another one it would be another schedule, and off.
SCHEDULE = "funnels_now_and_then"
_GROUP = "funnels"
_ABOUT = {
    "entries": "Who entered: people who took a test within FUNNEL_WINDOW_DAYS and were not in that funnel yet.",
    "purchases": "Who of them bought a certificate since: all open entries are looked at, every time.",
    "outbox": "What Brevo was told of them. What it could not take waits here and goes later.",
    "conversions": "Entries and what came of them in the warehouse, one row each, without addresses.",
}
KEYS = {name: dg.AssetKey(["funnels", name]) for name in _ABOUT}
CONVERSIONS = KEYS["conversions"]
# Rows between two words of progress in a run's log.
_LOG_EVERY = 50_000


class FunnelConfig(dg.Config):
    """How a sync runs."""

    dry_run: bool = Field(
        default=False, description="read and say what would be done, write nothing; APP_DRY_RUN=true does so always"
    )


def funnel_assets(engine: str) -> list[dg.AssetsDefinition]:
    """The four tables of a sync, made by one step."""
    before: dict[str, Sequence[str]] = {
        "entries": (),
        "purchases": ("entries",),
        "outbox": ("entries", "purchases"),
        "conversions": ("entries", "purchases"),
    }

    @dg.multi_asset(
        name=STEP,
        specs=[
            dg.AssetSpec(
                KEYS[name],
                deps=[KEYS[other] for other in before[name]],
                group_name=_GROUP,
                skippable=True,
                description=about,
                kinds={engine, "table"} if name == "conversions" else {"brevo"} if name == "outbox" else {"mysql"},
                metadata=column_schema(FUNNEL_CONVERSIONS) if name == "conversions" else None,
            )
            for name, about in _ABOUT.items()
        ],
        pool=_GROUP,
    )
    def sync_funnels(
        context: dg.AssetExecutionContext,
        config: FunnelConfig,
        alive: dg.ResourceParam[Alive],
        warehouse: dg.ResourceParam[Warehouse],
        settings: dg.ResourceParam[Settings],
        ledgers: dg.ResourceParam[Ledgers],
    ) -> Iterator[dg.MaterializeResult]:
        syncing = Syncing(settings, ledgers, lambda: warehouse, _logged(context))
        failures: list[Stage] = []
        try:
            with working(context, CONVERSIONS, settings):
                stopped = settings.app_dry_run or braked(home_folder())
                if stopped or config.dry_run:
                    _look(context, syncing, "APP_DRY_RUN" if stopped else "dry_run")
                    return
                with held(ledgers.funnels, alive.owner, now, gone) as lease:
                    for stage in syncing.stages(lease):
                        _say(context, stage)
                        if stage.failure:
                            failures.append(stage)
                        else:
                            yield dg.MaterializeResult(asset_key=KEYS[stage.name], metadata=dict(stage.figures))
        except LeaseTakenError as taken:
            # The other one does what this one would have done.
            context.log.warning(f"nothing was done: {taken}")
            return
        except (SettingsError, SiteError, StateError, WarehouseError) as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        except dg.RetryRequested:
            raise
        except Exception as error:  # noqa: BLE001 - raised again: its own words, which are kept, may name an address
            context.log.error(masked(redact(traceback.format_exc())))
            raise dg.Failure(masked(redact(f"{type(error).__name__}: {error}")), allow_retries=False) from None
        if failures:
            text = "\n".join(f"{stage.name}: {stage.failure}" for stage in failures)
            if all(stage.busy for stage in failures):
                raise later(context, RuntimeError(text), settings.retry_pause_seconds)
            raise dg.Failure(text, allow_retries=False)

    return [sync_funnels]


def _look(context: dg.AssetExecutionContext, syncing: Syncing, why: str) -> None:
    """A dry run: what would be done is in the log and, as an observation, in each asset's page."""
    context.log.info(f"dry run ({why} is true): nothing is written")
    for stage in syncing.preview():
        _say(context, stage)
        shown = {"dry run": dg.MetadataValue.md("\n".join(f"- {line}" for line in stage.lines)), **stage.figures}
        context.log_event(dg.AssetObservation(KEYS[stage.name], metadata=shown))


def _say(context: dg.AssetExecutionContext, stage: Stage) -> None:
    for line in stage.lines:
        context.log.info(line)
    if stage.failure:
        context.log.error(f"{stage.name}: {stage.failure}")


def _logged(context: dg.AssetExecutionContext) -> Callable[[str, int, int], None]:
    """Progress in the run's log: a line now and then, not one for each of thousands."""
    said: dict[str, int] = {}

    def tell(what: str, done: int, total: int) -> None:
        if done // _LOG_EVERY > said.get(what, 0):
            said[what] = done // _LOG_EVERY
            context.log.info(f"{what}: {done:,}{f' of {total:,}' if total else ''}")

    return tell


def at_the_terminal(home: Home, syncing: Syncing) -> Iterator[Stage]:
    """A sync in this process, without a run; what it came to shows in the UI as that of runs does.

    Raises LeaseTakenError when another one is at it, SettingsError, StateError.
    """
    with (
        alive(home, f"terminal-{uuid4()}") as owner,
        held(syncing.ledgers.funnels, owner, now, gone) as lease,
        instance_of(home) as instance,
    ):
        for stage in syncing.stages(lease):
            if not stage.failure:
                done = dg.AssetMaterialization(KEYS[stage.name], metadata=dict(stage.figures))
                instance.report_runless_asset_event(done)
            yield stage


def funnel_job() -> "UnresolvedAssetJobDefinition":
    """One sync, as a form."""
    return dg.define_asset_job(
        JOB,
        dg.AssetSelection.assets(*KEYS.values()),
        config={"ops": {STEP: {"config": {"dry_run": False}}}},
        description="People of the site enter funnels, purchases are followed, Brevo is told; APP_DRY_RUN: only said.",
    )


def funnel_schedules(settings: Settings, job: "UnresolvedAssetJobDefinition") -> list[dg.ScheduleDefinition]:
    """A sync every so many minutes; to be switched on in the UI, after dry runs that were looked at."""
    every = settings.funnel_every_minutes

    @dg.schedule(
        name=SCHEDULE,
        job=job,
        cron_schedule=cron_of(every),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Every {every} minutes (FUNNEL_EVERY_MINUTES): one sync of the e-mail funnels.",
    )
    def sync_now_and_then(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if settings.modx_url is None:
            return dg.SkipReason("MODX_URL is not set")
        waiting = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]
        under_way = dg.RunsFilter(job_name=JOB, statuses=[*waiting, dg.DagsterRunStatus.STARTED])
        if runs := context.instance.get_runs(under_way, limit=1):
            return dg.SkipReason(f"run {runs[0].run_id[:8]} is still at it")
        return dg.RunRequest(run_key=f"{JOB}@{context.scheduled_execution_time:%Y-%m-%dT%H:%M}")

    return [sync_now_and_then]
