"""Days computed again: the same rows once, and no trace of events that a reload has replaced."""

from datetime import timedelta

from analytics_platform.metrics.events import FEED_ACTIONS
from analytics_platform.metrics.tables import user_day_table
from analytics_platform.warehouses.duckdb import DuckDBWarehouse
from analytics_platform_tests.metrics.conftest import Stored
from analytics_platform_tests.metrics.oracle import Oracle
from analytics_platform_tests.metrics.product import Events, Product, feed, load, message
from analytics_platform_tests.metrics.test_daily_slices import BERLIN, DAY, HOSTILE, NOON, before

BEFORE = [DAY - timedelta(days=k) for k in range(4)]  # DAY, the day before it, ...


def test_a_recomputed_day_is_the_same_and_stands_once(stored: Stored) -> None:
    events = Events()
    for part in HOSTILE.values():
        events.feed.extend(part.feed)
        events.messages.extend(part.messages)
    product = stored(events, BERLIN)
    days = [DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)]
    product.compute(*days)
    first = [(product.user_day(day), product.daily_slices(day)) for day in days]
    product.compute(DAY, *days, DAY)
    assert [(product.user_day(day), product.daily_slices(day)) for day in days] == first
    assert product.engine.computed_days(user_day_table(), days[0], days[-1]) == set(days)
    product.assert_right(Oracle(events.feed, events.messages, BERLIN), *days)


def reloaded(stored: Stored) -> tuple[Product, Oracle]:
    """User 2 is known from three days before and receives on the two last; then those three-day-old events change.

    All days are computed from the events as they were first; the oracle knows the events as they are now.
    """
    first = Events([feed(2, before(3, 18), age=41)], [message(1, 2, before(1)), message(1, 2, NOON)])
    now = Events([feed(2, before(3, 9), age=42)], first.messages)
    product = stored(first, BERLIN)
    product.compute(*BEFORE[::-1])
    product.assert_right(Oracle(first.feed, first.messages, BERLIN), *BEFORE)
    assert isinstance(product.engine, DuckDBWarehouse)
    load(product.engine, Events(now.feed), BERLIN, only=FEED_ACTIONS)
    return product, Oracle(now.feed, now.messages, BERLIN)


def test_days_recomputed_in_order_after_a_reload_are_right(stored: Stored) -> None:
    product, right = reloaded(stored)
    product.compute(*BEFORE[::-1])
    product.assert_right(right, *BEFORE)


def test_a_recomputed_day_does_not_read_its_own_former_row(stored: Stored) -> None:
    product, right = reloaded(stored)
    product.compute(BEFORE[3], BEFORE[1], BEFORE[1])
    product.assert_right(right, BEFORE[1])


def test_a_day_recomputed_before_the_reloaded_one_is_right(stored: Stored) -> None:
    product, right = reloaded(stored)
    product.compute(BEFORE[1], BEFORE[3])
    product.assert_right(right, BEFORE[1])


def test_days_recomputed_in_any_order_after_a_reload_are_right(stored: Stored) -> None:
    product, right = reloaded(stored)
    product.compute(BEFORE[3], BEFORE[0], BEFORE[1], BEFORE[2])
    product.assert_right(right, *BEFORE)
