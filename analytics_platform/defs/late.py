"""Late data: past days whose events changed, or whose figures are older than what they come from, are computed again.

Belongs here: the sensor that looks and asks for runs. Does not: telling what changed (`warehouses/`), what hangs on a
day (`metrics/lineage.py`), corrections of delivered reports (`defs/followups.py`, which sees the new figures).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from analytics_platform.defs.claims import now
from analytics_platform.defs.followups import compute_request, computing
from analytics_platform.defs.instances import instance_of
from analytics_platform.defs.metrics import TABLES
from analytics_platform.metrics import facts
from analytics_platform.metrics.windows import days, gaps
from analytics_platform.queries import compose
from analytics_platform.settings import Settings
from analytics_platform.warehouses.base import Warehouse

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

SENSOR = "late_data"
# More scattered days than this wait for a later tick.
_RUNS = 5


@dataclass
class Late:
    """What a look at the past days found. `settled`: as of which state of the warehouse there was nothing to do."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    said: str = ""
    settled: str = ""


def look(
    warehouse: Warehouse, settings: Settings, instance: dg.DagsterInstance, moment: datetime, settled: str = ""
) -> Late:
    """Note which of the LATE_DATA_DAYS before today changed, and ask for runs over what is computed and outdated.

    Days that were never computed are nobody's figures and stay so. `settled` is what an earlier look left: while
    nothing was loaded or computed since, there is nothing to be found.
    """
    today = moment.astimezone(settings.zone).date()
    last = today - timedelta(days=1)
    first = max(settings.start_date, today - timedelta(days=settings.late_data_days))
    if settings.facts_keep_days:  # what is older cannot be computed: facts that it needs are gone, or go meanwhile
        first = max(first, today - timedelta(days=settings.facts_keep_days - facts.LOOKBACK_DAYS - 1))
    if first > last:
        return Late(said="no past day is watched", settled=settled)
    # The first of them take attributes from days before.
    changed = warehouse.note_changes(first - timedelta(days=facts.LOOKBACK_DAYS), last, settings.zone)
    [row] = warehouse.rows(compose("last_changes"))
    state = f"{row['loaded_at']} {row['computed_at']} {settings.basis} {first} {last}"
    if state == settled:
        return Late(said=f"{first} to {last}: nothing changed", settled=settled)
    outdated = outdated_days(warehouse, first, last)
    what = f"events of {_listed(changed)} changed; " if changed else ""
    if not outdated:
        return Late(said=f"{first} to {last}: {what}no computed day is outdated", settled=state)
    if running := computing(instance):
        return Late(said=f"{what}{_listed(outdated)} outdated, run {running[:8]} computes")
    spans = gaps(first, last, set(days(first, last)) - set(outdated))[-_RUNS:]  # newest news first
    requests = [compute_request(span.first, span.last, moment) for span in spans]
    return Late(requests, f"{what}{_listed(outdated)} outdated: computing")


def outdated_days(warehouse: Warehouse, first: date, last: date) -> Sequence[date]:
    """Days of first..last of which a computed table is older than its events, its settings or what it comes from.

    A table that is kept current anyway is no reason for a run, or yesterday's figures would be made before their time.
    """
    found: set[date] = set()
    for made in TABLES.values():
        if made.kept:
            continue
        computed = set(warehouse.computed_days(made.table, first, last))
        found |= computed.difference(warehouse.current_days(made.table, first, last))
    return sorted(found)


def late_data_sensor(
    settings: Settings, job: "UnresolvedAssetJobDefinition", warehouse: Callable[[], Warehouse]
) -> dg.SensorDefinition:
    """Every 15 minutes, from the tick itself: counting days costs milliseconds, a run seconds."""

    @dg.sensor(
        name=SENSOR,
        job=job,
        minimum_interval_seconds=900,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.late_data_days else dg.DefaultSensorStatus.STOPPED,
        description=f"Of the last {settings.late_data_days} days, computes those again whose events came late.",
    )
    def late_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        found = look(warehouse(), settings, instance_of(context), now(), context.cursor or "")
        if found.requests:
            context.log.info(found.said)
            return dg.SensorResult(run_requests=found.requests)
        return dg.SensorResult(skip_reason=found.said, cursor=found.settled)

    return late_data


def _listed(found: Collection[date]) -> str:
    ordered = sorted(found)
    return str(ordered[0]) if len(ordered) == 1 else f"{len(ordered)} days from {ordered[0]} to {ordered[-1]}"
