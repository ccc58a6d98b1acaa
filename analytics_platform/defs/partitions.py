"""Daily partitions in the configured time zone.

Belongs here: partition definitions, and the days of a run. Does not: windows in UTC (`metrics/windows.py`).
"""

from datetime import date

import dagster as dg

from analytics_platform.settings import Settings


def daily(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition per local day from START_DATE to yesterday."""
    return dg.DailyPartitionsDefinition(start_date=settings.start_date.isoformat(), timezone=settings.timezone)


def days_of(context: dg.AssetExecutionContext) -> list[date]:
    """The days this run is for, oldest first: one, or all of a single-run backfill."""
    return sorted(date.fromisoformat(key) for key in context.partition_keys)
