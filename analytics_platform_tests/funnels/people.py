"""Tests, payments and entries written short.

Belongs here: what the tests of funnels share. Does not: the tests.
"""

from datetime import UTC, datetime, timedelta

from analytics_platform.funnels.plan import FunnelPlan, FunnelType
from analytics_platform.funnels.records import Entry, Payment, Taken

LANGUAGE, OTHER = FunnelType.LANGUAGE, FunnelType.NON_LANGUAGE
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLAN = FunnelPlan({LANGUAGE: 7, OTHER: 8})
DAY = timedelta(days=1)


def taken(result_id: int, email: str, days_ago: float, funnel: FunnelType = LANGUAGE, test_id: int = 1) -> Taken:
    """A test, taken so many days before NOW."""
    return Taken(result_id, email, test_id, NOW - days_ago * DAY, funnel)


def paid(email: str, days_ago: float, funnel: FunnelType = LANGUAGE) -> Payment:
    """A payment, made so many days before NOW."""
    return Payment(email, funnel, NOW - days_ago * DAY)


def entry(entry_id: int, email: str, days_ago: float, funnel: FunnelType = LANGUAGE) -> Entry:
    """An open entry, made so many days before NOW."""
    return Entry(entry_id, email, funnel, 1, 1, NOW - days_ago * DAY)
