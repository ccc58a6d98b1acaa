"""The two histories most tests look at, made once: two months of a small product, three days of a real one."""

import pytest

from analytics_platform_tests.simulate.history import History, scenario


@pytest.fixture(scope="package")
def months() -> History:
    """61 days of 12,000 users with every default incident: about four million rows."""
    return History.of(scenario(61, 12_000), "source", "city")


@pytest.fixture(scope="package")
def calm() -> History:
    """Six weeks of 12,000 users without incidents."""
    return History.of(scenario(42, 12_000, incidents=False))


@pytest.fixture(scope="package")
def big_days() -> History:
    """Three days at the size of the documented product: 140,000 users."""
    return History.of(scenario(3, 140_000), "os", "age", "gender", "country", "city", "source", "exp_group")
