"""Jobs, and every cron string on one screen.

Belongs here: what runs together and when. Does not: what it does.
"""

import dagster as dg

from analytics_platform.defs.metrics import DAILY_SLICES, FEED_FRAME, USER_DAY
from analytics_platform.defs.reports import CHART, DELIVERY, REPORT
from analytics_platform.settings import Settings

METRICS_JOB, REPORT_JOB, DAILY_JOB = "daily_metrics", "feed_report", "feed_daily"

_METRICS = (USER_DAY, DAILY_SLICES, FEED_FRAME)
_REPORT = (CHART, REPORT, DELIVERY)


def jobs() -> dict[str, "dg.UnresolvedAssetJobDefinition"]:
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


def schedules(settings: Settings, daily: "dg.UnresolvedAssetJobDefinition") -> list[dg.ScheduleDefinition]:
    """When jobs start by themselves, in TIMEZONE."""
    # With nobody to tell, a daily report would only fill the folder: switch it on in the UI when that is wanted.
    delivers = settings.delivers_to == "telegram"
    return [
        dg.build_schedule_from_partitioned_job(
            daily,
            name="feed_daily_schedule",
            hour_of_day=settings.report_time.hour,
            minute_of_hour=settings.report_time.minute,
            default_status=dg.DefaultScheduleStatus.RUNNING if delivers else dg.DefaultScheduleStatus.STOPPED,
            description=f"At {settings.report_time:%H:%M} {settings.timezone}, the day before.",
        )
    ]
