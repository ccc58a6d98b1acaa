"""However many processes reserve, a limit is kept to, and nobody waits for longer than it demands."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from sqlalchemy import select

from analytics_platform.pace import Limit, Slot, Turn, Window, earliest
from analytics_platform.state.database import Database
from analytics_platform.state.models import SLOTS
from analytics_platform.state.slots import Slots
from analytics_platform_tests.forked import answer, tell
from analytics_platform_tests.state.conftest import Started
from analytics_platform_tests.state.worker import PER_SECOND

NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
HOUR = 3600.0


class Clock:
    """Stands still until it is put elsewhere; `read` is what it said last."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Later, or earlier when negative."""
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    """Eleven o'clock."""
    return Clock()


@pytest.fixture
def slots(database: Database, clock: Clock) -> Slots:
    """Nothing reserved yet."""
    return Slots(database, clock)


def wait(slots: Slots, bucket: str, weight: int, *, spacing: float = 0.0, window: Window | None = None) -> float:
    """Seconds until the moment that is then reserved."""
    return slots.reserve(weight, Limit(bucket, spacing, window)).seconds


def buckets(database: Database) -> set[str]:
    """The names of those that are stored."""
    with database.read() as con:
        return set(con.execute(select(SLOTS.c.bucket)).scalars())


# ------------------------------------------------------------------ arithmetic


def allowed(history: list[Slot], spacing: float, window: Window | None) -> bool:
    """Whether all of it, in order, keeps to the limits: the definition, tried on every window."""
    if any(after < before + units * spacing for (before, units), (after, _) in pairwise(history)):
        return False
    if window is None:
        return True
    limit, seconds = window
    for start, _ in history:
        within = [units for moment, units in history if start <= moment < start + seconds]
        if sum(within) > limit and len(within) > 1:
            return False
    return True


@pytest.mark.parametrize("seed", range(60))
def test_a_moment_is_the_first_that_the_limits_allow(seed: int) -> None:
    random = Random(seed)
    # Whole seconds: every moment is one, so trying them all finds the first.
    spacing = random.choice([0, 0, 1, 3])
    window = random.choice([None, (3, 4), (5, 10), (20, 60)])
    now, free_at, taken = 0, 0, list[Slot]()
    history: list[Slot] = []
    for _ in range(40):
        now += random.choice([0, 0, 0, 1, 2, 30])
        if random.random() < 0.1:
            free_at = max(free_at, now + random.randrange(20))
        weight = random.choice([1, 1, 1, 2, 4, 10])

        moment, taken = earliest(taken, free_at, now, weight, spacing=spacing, window=window)

        tried = max(now, free_at, *(int(begin) for begin, _ in history), 0)
        while not allowed([*history, (tried, weight)], spacing, window):
            tried += 1
        assert moment == tried
        history.append((moment, weight))
        assert taken[-1] == history[-1]
        assert taken == history[-len(taken) :]
    assert allowed(history, spacing, window)


def test_what_no_longer_matters_is_dropped() -> None:
    taken = [(0.0, 1), (5.0, 10), (9.0, 1)]
    assert earliest(taken, 0, 10, 1, window=(20, 10.0))[1] == [(5, 10), (9, 1), (10, 1)]
    assert earliest(taken, 0, 10, 1, spacing=1.0)[1] == [(5, 10), (15, 1)]
    assert earliest(taken, 0, 10, 1) == (10, [(10, 1)])


# --------------------------------------------------------------- reserving it


def test_reservations_follow_each_other_at_the_pace_of_their_weight(slots: Slots, clock: Clock) -> None:
    assert wait(slots, "chat", 1, spacing=1.0) == 0
    assert wait(slots, "chat", 10, spacing=1.0) == 1
    assert wait(slots, "chat", 1, spacing=1.0) == 11
    clock.pass_by(11.5)
    assert wait(slots, "chat", 1, spacing=1.0) == 0.5
    clock.pass_by(60)
    assert wait(slots, "chat", 1, spacing=1.0) == 0


def test_a_window_has_room_again_when_its_first_have_left_it(slots: Slots, clock: Clock) -> None:
    assert [wait(slots, "group", 10, window=(20, 60.0)) for _ in range(5)] == [0, 0, 60, 60, 120]
    clock.pass_by(130)
    assert [wait(slots, "group", 10, window=(20, 60.0)) for _ in range(2)] == [0, 50]


def test_what_weighs_more_than_the_limit_has_a_window_to_itself(slots: Slots) -> None:
    assert [wait(slots, "group", weight, window=(20, 60.0)) for weight in (1, 25, 1, 1)] == [0, 60, 120, 120]


def test_buckets_do_not_wait_for_each_other(slots: Slots) -> None:
    assert wait(slots, "one", 1, spacing=5.0) == 0
    assert wait(slots, "other", 1, spacing=5.0) == 0


def test_other_processes_see_what_is_reserved(slots: Slots, url: str, clock: Clock) -> None:
    wait(slots, "chat", 1, spacing=0.1)
    other = Database(url)
    assert wait(Slots(other, clock), "chat", 1, spacing=0.1) == pytest.approx(0.1, abs=1e-6)
    other.close()


@pytest.mark.parametrize(
    ("weight", "spacing", "window"), [(0, 0.0, None), (1, -1.0, None), (1, 0.0, (0, 1.0)), (1, 0.0, (1, 0.0))]
)
def test_what_cannot_be_reserved_is_refused(slots: Slots, weight: int, spacing: float, window: Window | None) -> None:
    with pytest.raises(ValueError, match="reserved"):
        wait(slots, "chat", weight, spacing=spacing, window=window)


# ----------------------------------------------------------------------- holds


def test_nothing_is_reserved_before_the_end_of_a_hold(slots: Slots, clock: Clock) -> None:
    wait(slots, "bot", 1, window=PER_SECOND)
    slots.hold("bot", 2 * HOUR)
    slots.hold("bot", 5)
    slots.hold("bot", -5)
    assert wait(slots, "bot", 1, window=PER_SECOND) == 2 * HOUR
    clock.pass_by(HOUR)
    assert [wait(slots, "bot", 1, window=PER_SECOND) for _ in range(30)] == [HOUR] * 29 + [HOUR + 1]
    clock.pass_by(2 * HOUR)
    assert wait(slots, "bot", 1, window=PER_SECOND) == 0


def test_a_longer_hold_counts_and_one_of_another_bucket_does_not(slots: Slots) -> None:
    slots.hold("chat", 5)
    slots.hold("chat", 30)
    assert wait(slots, "chat", 1, spacing=1.0) == 30
    assert wait(slots, "other", 1, spacing=1.0) == 0


# ---------------------------------------------------------------------- clocks


def test_a_clock_that_is_put_back_keeps_nobody_waiting(slots: Slots, clock: Clock) -> None:
    clock.pass_by(3 * HOUR)
    assert [wait(slots, "bot", 1, window=(1, 60.0)) for _ in range(3)] == [0, 60, 120]
    slots.hold("bot", 5)
    slots.hold("chat", 5)
    clock.pass_by(-3 * HOUR)

    assert [wait(slots, "bot", 1, window=(1, 60.0)) for _ in range(3)] == [0, 60, 120]
    assert wait(slots, "chat", 1, spacing=1.0) == 0
    slots.hold("chat", 5)
    assert wait(slots, "chat", 1, spacing=1.0) == 5


def test_a_clock_that_is_put_back_a_little_keeps_the_pace(slots: Slots, clock: Clock) -> None:
    wait(slots, "chat", 1, spacing=3.0)
    clock.pass_by(-2)
    assert wait(slots, "chat", 1, spacing=3.0) == 5


def test_a_queue_of_an_hour_is_no_wrong_clock(slots: Slots, clock: Clock) -> None:
    waits = [wait(slots, "group", 10, window=(20, 60.0)) for _ in range(130)]
    assert waits == [60.0 * (number // 2) for number in range(130)]
    clock.pass_by(30)
    assert wait(slots, "group", 10, window=(20, 60.0)) == 65 * 60 - 30
    # Eleven of twenty: the most time that a unit can take.
    waits = [wait(slots, "albums", 11, window=(20, 60.0)) for _ in range(60)]
    assert waits == [60.0 * number for number in range(60)]
    waits = [wait(slots, "chat", 100, spacing=1.0) for _ in range(20)]
    assert waits == [100.0 * number for number in range(20)]


# ------------------------------------------------------------ two limits at once

CHAT, BOT = Limit("chat", 1.0), Limit("bot", window=(2, 60.0))


def test_one_moment_is_reserved_in_both_buckets(slots: Slots, clock: Clock) -> None:
    wait(slots, "bot", 2, window=(2, 60.0))
    turn = slots.reserve(1, BOT, free=CHAT)
    assert (turn.reserved, turn.seconds, turn.buckets) == (True, 60, ("chat", "bot"))
    # It is the moment at which the chat is taken, and not the one at which that was asked for.
    clock.pass_by(60)
    assert wait(slots, "chat", 1, spacing=1.0) == 1


def test_who_has_to_rest_takes_nothing_from_the_others(slots: Slots, clock: Clock) -> None:
    slots.hold("chat", 5)
    turn = slots.reserve(1, BOT, free=CHAT)
    assert (turn.reserved, turn.seconds) == (False, 5)
    assert [wait(slots, "bot", 1, window=(2, 60.0)) for _ in range(2)] == [0, 0]
    clock.pass_by(5)
    assert slots.reserve(1, BOT, free=CHAT).seconds == 55


def test_what_arrives_later_counts_later(slots: Slots, clock: Clock) -> None:
    turn = slots.reserve(1, BOT, free=CHAT)
    slots.reserve(1, BOT)
    late = slots.put_off(turn, 20)
    assert (late.moment, late.seconds) == (turn.moment + 20, 20)
    clock.pass_by(10)
    # The other one leaves its window after a minute, this one 20 seconds after that.
    assert [wait(slots, "bot", 1, window=(2, 60.0)) for _ in range(2)] == [50, 70]
    assert wait(slots, "chat", 1, spacing=1.0) == 11


def test_a_reservation_that_took_its_time_has_so_much_less_to_wait(database: Database) -> None:
    moments = [NOW, NOW + timedelta(seconds=0.25)]
    turn: Turn = Slots(database, lambda: moments.pop(0)).reserve(1, BOT)
    assert (turn.moment, turn.seconds) == (NOW.timestamp(), -0.25)


# ------------------------------------------------------------------ forgetting


def test_buckets_that_nobody_uses_are_forgotten(slots: Slots, database: Database, clock: Clock) -> None:
    wait(slots, "idle", 1, spacing=1.0)
    wait(slots, "queue", 1, spacing=2 * HOUR)
    wait(slots, "queue", 1, spacing=2 * HOUR)
    slots.hold("held", 2 * HOUR)
    clock.pass_by(HOUR)
    wait(slots, "used", 1, spacing=1.0)

    slots.forget(NOW)
    assert buckets(database) == {"idle", "queue", "held", "used"}
    slots.forget(clock.now)
    assert buckets(database) == {"queue", "held", "used"}
    assert wait(slots, "held", 1) == HOUR
    assert wait(slots, "queue", 1, spacing=2 * HOUR) == 3 * HOUR


# ------------------------------------------------------------------- processes

_EACH = 30


def test_four_processes_share_one_pace_without_gaps(url: str, started: Started) -> None:
    # The database does not exist yet: they also create it, and the bucket, at the same moment.
    with started(url, *[["reserve", str(_EACH)]] * 4) as processes:
        moment = time.time() + 0.05
        for process in processes:
            tell(process, str(moment))
        results = [answer(process) for process in processes]

    given = sorted((moment, asked) for result in results for asked, moment in result)
    moments = [moment for moment, _ in given]
    assert len(moments) == 4 * _EACH
    error = 1e-5  # seconds; what is left of them as a number since 1970
    assert all(after - before >= 1 - error for before, after in zip(moments, moments[30:], strict=False))
    for number, (moment, asked) in enumerate(given):
        needed = max(asked, moments[number - 30] + 1) if number >= 30 else asked
        assert moment == pytest.approx(needed, abs=error, rel=0)
    for result in results:
        assert result == sorted(result)
    assert moments[-1] > time.time() - 60
