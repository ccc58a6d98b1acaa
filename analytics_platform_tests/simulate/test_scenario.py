"""Spans, windows and the parameters' limits."""

import subprocess
import sys
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from analytics_platform.simulate.activity import feed_curve
from analytics_platform.simulate.clock import local_day
from analytics_platform_tests.simulate.history import FIRST, History, scenario, seconds

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("field", "value"), [("days", 0), ("days", 401), ("users", 49), ("users", 10**7), ("seed", -1)]
)
def test_parameters_out_of_range_are_named(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field} must"):
        scenario(**({"days": 3, "users": 100} | {field: value}))


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 6, 1), 24), (date(2026, 10, 25), 25)])
def test_a_day_of_changed_clocks_has_its_own_length_and_events_all_through(day: date, hours: int) -> None:
    around = scenario(3, 3_000, first_day=day - timedelta(days=1), zone=BERLIN)
    assert local_day(day, BERLIN).seconds == hours * 3600
    history = History.of(around)
    for side in (history.feed, history.messages):
        for index, local in enumerate(around.dates):
            low, high = seconds(local_day(local, BERLIN))
            inside = side["second"][side["day"] == index]
            assert inside.min() >= low
            assert inside.max() < high
    low, _ = seconds(local_day(day, BERLIN))
    by_hour = np.bincount((history.feed["second"][history.feed["day"] == 1] - low) // 3600)
    assert by_hour.size == hours
    assert np.all(by_hour > 0)


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 6, 1), date(2026, 10, 25)])
def test_people_live_by_the_clock_on_the_wall(day: date) -> None:
    rng = np.random.default_rng(3)
    moments = feed_curve(scenario(1, 50, first_day=day, zone=BERLIN).day(0), rng).draw(rng, 200_000)
    start = local_day(day, BERLIN).start
    wall = [(start + timedelta(hours=h, minutes=30)).astimezone(BERLIN).hour for h in range(25)]
    by_hour = np.bincount((moments // 3600).astype(int))
    assert wall[int(np.argmin(by_hour))] == 4
    assert wall[int(np.argmax(by_hour))] == 20


def test_empty_days_and_days_of_messages_only() -> None:
    empty, silent = FIRST + timedelta(days=2), FIRST + timedelta(days=4)
    history = History.of(
        scenario(6, 2_000, empty_days=frozenset({empty}), messages_only_days=frozenset({silent})),
    )
    assert (history.daily_rows(history.feed) == 0).tolist() == [False, False, True, False, True, False]
    assert (history.daily_rows(history.messages) == 0).tolist() == [False, False, True, False, False, False]
    plain = History.of(scenario(6, 2_000))
    for day in (1, 3, 5):  # the others are what they would have been
        assert np.array_equal(
            history.feed["second"][history.feed["day"] == day], plain.feed["second"][plain.feed["day"] == day]
        )


def test_the_smallest_population_works() -> None:
    history = History.of(scenario(30, 50))
    assert 0 < history.feed["day"].size < 20_000
    assert np.unique(history.feed["user_id"]).size <= 100


def test_the_population_is_as_large_as_asked_for(months: History) -> None:
    everybody = [months.feed["user_id"], months.messages["user_id"], months.messages["receiver_id"]]
    assert 0.85 * 12_000 < np.unique(np.concatenate(everybody)).size < 1.15 * 12_000


def test_a_scenario_is_light_to_import() -> None:
    code = (
        "import sys, analytics_platform.simulate.scenario; sys.exit('numpy' in sys.modules or 'pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
