"""When visitor reports are made: jobs whose form takes a window, schedules to be switched on.

Belongs here: windows by moment of planning, what was missed. Does not: making a report (`defs/visitors.py`).
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from analytics_platform.defs.visitors import DELIVERED, EVENT_KEY, STEP, VISITOR_KEY, config_of
from analytics_platform.settings import Settings
from analytics_platform.visitors.window import last_minutes

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

JOB, WINDOW_JOB = "visitor_report", "visitor_report_window"
# Of which planned moment a run is, so that the next tick finds what was missed.
PLANNED = "analytics_platform/planned"
# What was missed for longer is not made by itself: whoever stops a schedule for days wants no days of reports.
_CATCH_UP = timedelta(hours=3)


def visitor_jobs(settings: Settings) -> "dict[str, UnresolvedAssetJobDefinition]":
    """The job whose form takes any window, and the one that has a window saved."""
    selection = dg.AssetSelection.assets(VISITOR_KEY, EVENT_KEY, DELIVERED)
    start, _, end = settings.visitor_window.partition("..")
    return {
        JOB: dg.define_asset_job(
            JOB,
            selection,
            # What the launchpad shows to begin with.
            config={"ops": {STEP: {"config": {"last_minutes": 10, "deliver": True}}}},
            description="Visitors of the last minutes, or from a start to an end: fill in the form and launch.",
        ),
        WINDOW_JOB: dg.define_asset_job(
            WINDOW_JOB,
            selection,
            config={"ops": {STEP: {"config": {"start": start, "end": end, "deliver": True}}}},
            description=f"Visitors of one window (VISITOR_WINDOW: {settings.visitor_window}).",
        ),
    }


def visitor_schedules(settings: Settings, job: "UnresolvedAssetJobDefinition") -> list[dg.ScheduleDefinition]:
    """Visitors of the last minutes every so many minutes; each is switched on in the UI."""
    return [_schedule(settings, job, every, last) for every, last in settings.visitor_pace.items()]


def _schedule(settings: Settings, job: "UnresolvedAssetJobDefinition", every: int, last: int) -> dg.ScheduleDefinition:
    delay, pace = timedelta(minutes=settings.visitor_delay_minutes), timedelta(minutes=every)
    name = f"visitors_every_{every}_minutes"

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron_of(every),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Every {every} minutes: visitors of {last} minutes, up to {settings.visitor_delay_minutes} "
        "minutes before (VISITOR_SCHEDULES, VISITOR_DELAY_MINUTES).",
    )
    def visitors_of_the_last_minutes(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        # Of moments that were planned, not of when a busy daemon comes to them; Dagster itself plans only the last.
        planned = context.scheduled_execution_time.astimezone(UTC)
        before = _last_planned(context.instance, name)
        requests = []
        for moment in missed(before, planned, pace):
            window = last_minutes(last, moment - delay)
            requests.append(
                dg.RunRequest(
                    run_key=f"{name}/{window.key}",
                    run_config=config_of(window, deliver=settings.visitor_schedules_deliver),
                    tags={PLANNED: moment.isoformat()},
                )
            )
        return requests

    return visitors_of_the_last_minutes


def missed(before: datetime | None, planned: datetime, pace: timedelta) -> list[datetime]:
    """The planned moments after `before` up to `planned` (included), oldest first, three hours back at most."""
    found = [planned]
    while before is not None and before < found[0] - pace and planned - found[0] + pace <= _CATCH_UP:
        found.insert(0, found[0] - pace)
    return found


def _last_planned(instance: dg.DagsterInstance, schedule: str) -> datetime | None:
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": schedule}), limit=1)
    return datetime.fromisoformat(runs[0].tags[PLANNED]) if runs and PLANNED in runs[0].tags else None


def cron_of(every: int) -> str:
    """Every so many minutes (a divisor of an hour, or whole hours that divide a day), from midnight UTC."""
    if every < 60:
        return f"*/{every} * * * *"
    return f"0 */{every // 60} * * *" if every < 24 * 60 else "0 0 * * *"
