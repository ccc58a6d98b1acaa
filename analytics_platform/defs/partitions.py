"""Partitions in the configured time zone: days of facts and metrics, periods of reports.

Belongs here: partition definitions, and the days or periods of a run. Does not: windows in UTC (`metrics/windows.py`),
when a period is due (`cadence.py`).
"""

import math
from datetime import date
from typing import Any

import dagster as dg

from analytics_platform.cadence import Cadence, Frequency, Period, containing, is_period
from analytics_platform.reports.base import Report
from analytics_platform.settings import Settings

_DAILY = (Frequency.DAILY, Frequency.WOW_DAILY)
_MONTHLY_DAYS = 28  # beyond, no cron expression says "the 31st, or the last day of a shorter month"


def daily(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition per local day from START_DATE to yesterday."""
    return dg.DailyPartitionsDefinition(start_date=settings.start_date.isoformat(), timezone=settings.timezone)


def of_report(report: Report[Any], settings: Settings) -> dg.TimeWindowPartitionsDefinition:
    """One partition per period. The key is its first day; for monthly reports of the 29th to 31st its last."""
    start, zone, cadence = settings.start_date.isoformat(), settings.timezone, report.cadence
    if cadence.frequency is Frequency.WEEKLY:
        return dg.WeeklyPartitionsDefinition(start_date=start, timezone=zone, day_offset=(cadence.weekday + 1) % 7)
    if _by_month(cadence):
        return dg.MonthlyPartitionsDefinition(start_date=start, timezone=zone, day_offset=cadence.day)
    return daily(settings)


def key_of(report: Report[Any], period: Period) -> str:
    """The partition key of that period."""
    keyed_by_first = report.cadence.frequency is Frequency.WEEKLY or _by_month(report.cadence)
    return (period.first if keyed_by_first else period.last).isoformat()


def period_of_key(report: Report[Any], key: str) -> Period:
    """The period of that partition. Raises dg.Failure for a day on which no period of the report ends."""
    day = date.fromisoformat(key)
    period = containing(day, report.cadence)
    if key_of(report, period) != key:
        raise dg.Failure(
            f"no period of {report.name} ends on {day}: the nearest ends on {period.last}.", allow_retries=False
        )
    return period


def lookback_periods(report: Report[Any]) -> int:
    """How many of the report's own periods its lookback covers: the unit in which Dagster counts it."""
    length = {Frequency.WEEKLY: 7}.get(report.cadence.frequency, 28 if _by_month(report.cadence) else 1)
    return math.ceil(report.lookback_days / length)


def days_of(context: dg.AssetExecutionContext) -> list[date]:
    """The days this run is for, oldest first: one, or all of a single-run backfill."""
    return sorted(date.fromisoformat(key) for key in context.partition_keys)


def periods_of(context: dg.AssetExecutionContext, report: Report[Any]) -> list[Period]:
    """The report's periods that this run is for, oldest first."""
    return sorted(period_of_key(report, key) for key in context.partition_keys)


def chosen_period(report: Report[Any], day: date) -> Period:
    """The period that a person means by a date: the one that ends on it, else the one in which it lies."""
    period = Period(day, day) if report.cadence.frequency in _DAILY else containing(day, report.cadence)
    if not is_period(period, report.cadence):  # pragma: no cover - what `containing` gives always is one
        raise ValueError(f"{period} is no period of {report.name}")
    return period


def _by_month(cadence: Cadence) -> bool:
    return cadence.frequency in (Frequency.MONTHLY, Frequency.YOY_MONTHLY) and cadence.day <= _MONTHLY_DAYS
