"""Users who only received are looked for in the last days first and then in the rest of the month: no seam shows."""

from datetime import timedelta
from itertools import combinations

import pytest

from analytics_platform.metrics.facts import RECENT_DAYS
from analytics_platform_tests.metrics.oracle import Oracle
from analytics_platform_tests.metrics.product import Events, InMemory, Product, feed, message
from analytics_platform_tests.metrics.test_daily_slices import BERLIN, DAY, MOMENT, NOON, at, before

SEAM = (RECENT_DAYS - 1, RECENT_DAYS, RECENT_DAYS + 1)  # days before DAY
SEEN = [seen for count in range(4) for seen in combinations((*SEAM, 30, 31), count)]


def known() -> Events:
    """User 10 + n was there on the days SEEN[n]; all receive on DAY, and the messages are all that DAY has.

    On each day two events of one moment differ in os and age, so that a tie stands on both sides of the seam.
    """
    rows = []
    for user, seen in enumerate(SEEN, 10):
        for days in seen:
            rows.append(feed(user, before(days), age=days, os="Android"))
            rows.append(feed(user, before(days), age=days, os="iOS"))
            rows.append(feed(user, before(days) - MOMENT, age=99))
    # The first and the last moment of the seam's own day.
    first, after = at(DAY - timedelta(days=RECENT_DAYS)), at(DAY - timedelta(days=RECENT_DAYS - 1))
    edges = (first - MOMENT, first, after - MOMENT, after)
    rows += [feed(900 + n, moment, age=n, country="Ghana") for n, moment in enumerate(edges)]
    receivers = [*range(10, 10 + len(SEEN)), *range(900, 900 + len(edges))]
    return Events(rows, [message(1, user, NOON) for user in receivers])


@pytest.mark.parametrize(
    "computed", [days for count in range(4) for days in combinations(SEAM, count)], ids=lambda days: str(list(days))
)
def test_what_is_known_around_the_seam_is_found_from_facts_and_from_events(
    memory: InMemory, computed: tuple[int, ...]
) -> None:
    events = known()
    memory.start(events)
    product = Product(memory, BERLIN)
    product.compute(*(DAY - timedelta(days=days) for days in sorted(computed, reverse=True)), DAY)
    product.assert_right(Oracle(events.feed, events.messages, BERLIN), DAY)


def test_with_the_whole_month_computed_the_events_are_not_needed(memory: InMemory) -> None:
    events = known()
    memory.start(events)
    product = Product(memory, BERLIN)
    product.compute(*(DAY - timedelta(days=days) for days in range(31, -1, -1)))
    product.assert_right(Oracle(events.feed, events.messages, BERLIN), DAY)
