"""Jobs, and every cron string on one screen.

Belongs here: what runs together and when. Does not: what it does. Reports have no cron: the data-availability sensor
starts each when its cadence says that it is due and its data is there (`defs/availability.py`).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from analytics_platform.defs.metrics import TABLES
from analytics_platform.defs.reports import keys_of
from analytics_platform.reports.base import Report
from analytics_platform.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

METRICS_JOB = "daily_metrics"


def report_job(report: Report[Any]) -> str:
    """The name of the job that builds and delivers the report."""
    return f"report_{report.name}"


def jobs(reports: Mapping[str, Report[Any]]) -> "dict[str, UnresolvedAssetJobDefinition]":
    """The jobs by name: the figures of a day, and each report."""
    figures = dg.AssetSelection.assets(*(table.key for table in TABLES.values()))
    made = [dg.define_asset_job(METRICS_JOB, figures, description="Facts, slices and frames of a day.")]
    made += [
        dg.define_asset_job(
            report_job(report),
            dg.AssetSelection.assets(*keys_of(report)),
            description=f"{report.title}: build and deliver one period. {report.about}",
        )
        for report in reports.values()
    ]
    return {job.name: job for job in made}


def schedules(settings: Settings, metrics: "UnresolvedAssetJobDefinition") -> list[dg.ScheduleDefinition]:
    """When jobs start by themselves, in TIMEZONE."""
    at = settings.report_time

    @dg.schedule(
        name="daily_metrics_schedule",
        job=metrics,
        cron_schedule=f"{at.minute} {at.hour} * * *",
        execution_timezone=settings.timezone,
        # The sensor computes what the scheduled reports read; this is for homes that want figures without reports.
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"At {at:%H:%M} {settings.timezone}: the figures of the day before, needed by a report or not.",
    )
    def daily_metrics_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(settings.zone).date() - timedelta(days=1)
        if day < settings.start_date:
            return dg.SkipReason(f"{day} is before START_DATE ({settings.start_date})")
        # The key makes a tick that is evaluated twice, after a restart, start one run.
        return dg.RunRequest(run_key=f"{METRICS_JOB}/{day}", partition_key=day.isoformat())

    return [daily_metrics_schedule]
