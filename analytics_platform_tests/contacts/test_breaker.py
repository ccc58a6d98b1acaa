"""A service that fails again and again is left alone for a while."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics_platform.contacts.breaker import Breaker

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def failing(breaker: Breaker, times: int) -> list[bool]:
    return [breaker.failed(NOW) for _ in range(times)]


def test_it_opens_at_the_fifth_failure_in_a_row_for_a_minute() -> None:
    breaker = Breaker()
    assert failing(breaker, 5) == [False] * 4 + [True]
    assert breaker.open_until == after(60)
    assert (breaker.is_open(NOW), breaker.is_open(after(59.9)), breaker.is_open(after(60))) == (True, True, False)


def test_a_success_breaks_the_row() -> None:
    breaker = Breaker()
    failing(breaker, 4)
    breaker.succeeded()
    assert failing(breaker, 4) == [False] * 4
    assert breaker.open_until is None


def test_after_the_minute_one_more_failure_opens_it_anew_and_a_success_closes_it() -> None:
    breaker = Breaker()
    failing(breaker, 5)
    assert breaker.failed(after(61))
    assert breaker.open_until == after(121)

    breaker.succeeded()
    assert not breaker.is_open(after(62))
    assert not breaker.failed(after(62))


def test_what_an_earlier_process_left_open_stays_open_and_opens_anew_at_the_first_failure() -> None:
    breaker = Breaker(open_until=after(30))
    assert (breaker.is_open(NOW), breaker.is_open(after(30))) == (True, False)
    assert breaker.failed(after(31))


def test_a_service_that_asks_for_longer_gets_longer() -> None:
    breaker = Breaker(threshold=1)
    breaker.failed(NOW, 600)
    assert breaker.open_until == after(600)
    assert Breaker(threshold=1).failed(NOW, 1)


@pytest.mark.parametrize(("threshold", "seconds"), [(0, 60), (5, 0)])
def test_limits_below_one_are_refused(threshold: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Breaker(threshold, seconds)
