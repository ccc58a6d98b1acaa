"""Jobs, and every cron string on one screen.

Belongs here: what runs together and when. Does not: what it does.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from analytics_platform.defs.metrics import DAILY_SLICES, FEED_FRAME, USER_DAY
from analytics_platform.defs.reports import CHART, DELIVERY, REPORT
from analytics_platform.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

METRICS_JOB, REPORT_JOB, DAILY_JOB = "daily_metrics", "feed_report", "feed_daily"

_METRICS = (USER_DAY, DAILY_SLICES, FEED_FRAME)
_REPORT = (CHART, REPORT, DELIVERY)


def jobs() -> "dict[str, UnresolvedAssetJobDefinition]":
    """The jobs by name."""
    made = (
        dg.define_asset_job(METRICS_JOB, dg.AssetSelection.assets(*_METRICS), description="Facts, slices and frames."),
        dg.define_asset_job(
            REPORT_JOB, dg.AssetSelection.assets(*_REPORT), description="Chart, report and delivery of one day."
        ),
        dg.define_asset_job(
            DAILY_JOB, dg.AssetSelection.assets(*_METRICS, *_REPORT), description="Everything from events to delivery."
        ),
    )
    return {job.name: job for job in made}


def schedules(settings: Settings, daily: "UnresolvedAssetJobDefinition") -> list[dg.ScheduleDefinition]:
    """When jobs start by themselves, in TIMEZONE."""
    # With nobody to tell, a daily report would only fill the folder: switch it on in the UI when that is wanted.
    delivers = settings.delivers_to == "telegram"
    at = settings.report_time

    @dg.schedule(
        name="feed_daily_schedule",
        job=daily,
        cron_schedule=f"{at.minute} {at.hour} * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if delivers else dg.DefaultScheduleStatus.STOPPED,
        description=f"At {at:%H:%M} {settings.timezone}: events to delivered feed report, for the day before.",
    )
    def feed_daily_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(settings.zone).date() - timedelta(days=1)
        if day < settings.start_date:
            return dg.SkipReason(f"{day} is before START_DATE ({settings.start_date})")
        # The key makes a tick that is evaluated twice, after a restart, start one run.
        return dg.RunRequest(run_key=f"feed_daily/{day}", partition_key=day.isoformat())

    return [feed_daily_schedule]
