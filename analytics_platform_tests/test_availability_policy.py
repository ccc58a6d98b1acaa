"""Policies as people write them: what is read, what is written, and what is said of a mistake."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.availability import Policy, parse_policy

HOUR, ONE_DAY = timedelta(hours=1), timedelta(days=1)
CANONICAL = "grace=-30m latency=0m hours=on empty_hours=none volume=0.5 max_wait=24h"


@pytest.mark.parametrize(
    ("text", "policy", "canonical"),
    [
        ("", Policy(), CANONICAL),
        (CANONICAL, Policy(), CANONICAL),
        (
            "grace=-30m latency=1h hours=on empty_hours=2-5,23 volume=0.5 max_wait=24h",
            Policy(latency=HOUR, empty_hours=frozenset((2, 3, 4, 5, 23))),
            "grace=-30m latency=1h hours=on empty_hours=2-5,23 volume=0.5 max_wait=24h",
        ),
        (
            "  Hours=OFF volume=0\tempty_hours=22-1,5,4 max_wait=48h grace=+90m latency=1d",
            Policy(timedelta(minutes=90), ONE_DAY, False, frozenset((22, 23, 0, 1, 4, 5)), 0, timedelta(days=2)),
            "grace=90m latency=24h hours=off empty_hours=0,1,4,5,22,23 volume=0 max_wait=2d",
        ),
        ("empty_hours=0-23", Policy(empty_hours=frozenset(range(24))), CANONICAL.replace("none", "0-23")),
        ("grace=-1d", Policy(grace=-ONE_DAY), CANONICAL.replace("-30m", "-24h")),
    ],
)
def test_policies_are_written_in_words(text: str, policy: Policy, canonical: str) -> None:
    assert parse_policy(text) == policy
    assert str(policy) == canonical


_MINUTES = st.integers(0, 31 * 1440)


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(
    policy=st.builds(
        Policy,
        st.integers(-31 * 1440, 31 * 1440).map(lambda m: timedelta(minutes=m)),
        _MINUTES.map(lambda m: timedelta(minutes=m)),
        st.booleans(),
        st.frozensets(st.integers(0, 23)),
        st.integers(0, 10_000).map(lambda n: n / 10_000) | st.just(1e-05),
        _MINUTES.map(lambda m: timedelta(minutes=m)),
    )
)
def test_a_policys_text_is_the_policy(policy: Policy) -> None:
    assert parse_policy(str(policy)) == policy
    assert str(parse_policy(str(policy))) == str(policy)


_WORDS = "grace=, latency=, hours=, empty_hours=, volume=, max_wait="


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slack=1h", f"'slack=1h' is not known; the words are {_WORDS}"),
        ("1h", f"'1h' is not known; the words are {_WORDS}"),
        (
            "grace=-1h volume=0 grace=1h",
            "grace is there twice; write each of grace, latency, hours, empty_hours, volume, max_wait at most once",
        ),
        ("grace=soon", "'grace=soon' cannot be read; grace= needs a duration such as -30m, 1h or 1d"),
        ("grace = -1h", "'grace' cannot be read; grace= needs a duration such as -30m, 1h or 1d"),
        ("latency=1.5h", "'latency=1.5h' cannot be read; latency= needs a duration such as 30m, 2h or 1d"),
        ("latency=-1h", "latency must be whole minutes, from 0 up to 31 days"),
        ("max_wait=99999d", "max_wait must be whole minutes, from 0 up to 31 days"),
        ("max_wait=", "'max_wait=' cannot be read; max_wait= needs a duration such as 30m, 24h or 2d"),
        ("grace=-32d", "grace must be whole minutes, up to 31 days"),
        ("hours=yes", "'hours=yes' cannot be read; hours= needs on or off"),
        (
            "empty_hours=24",
            "'empty_hours=24' cannot be read; empty_hours= needs hours of the day such as 2-5,23, or none",
        ),
        (
            "empty_hours=2-",
            "'empty_hours=2-' cannot be read; empty_hours= needs hours of the day such as 2-5,23, or none",
        ),
        ("volume=50%", "'volume=50%' cannot be read; volume= needs a share such as 0.5, or 0 for off"),
        ("volume=50", "volume must be a share from 0 (off) to 1, not 50"),
        ("volume=nan", "'volume=nan' cannot be read; volume= needs a share such as 0.5, or 0 for off"),
    ],
)
def test_what_is_wrong_with_a_policy_is_one_sentence(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r"^.") as error:
        parse_policy(text)
    assert str(error.value) == expected


def test_a_policy_made_in_code_is_checked_too() -> None:
    with pytest.raises(ValueError, match="grace must be whole minutes"):
        Policy(grace=timedelta(seconds=90))
    with pytest.raises(ValueError, match="empty_hours must be hours from 0 to 23"):
        Policy(empty_hours=frozenset((24,)))
    with pytest.raises(ValueError, match="volume must be a share"):
        Policy(volume=float("nan"))
