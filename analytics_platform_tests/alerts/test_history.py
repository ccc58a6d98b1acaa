"""From stored series to a block: local time when the clocks change, what is not learned from, days with more room."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from analytics_platform.alerts.history import between, block_of, offsets, widened
from analytics_platform.alerts.occasions import Occasion, OccasionKind
from analytics_platform.detectors.base import Verdicts
from analytics_platform.metrics.series_grid import Grid
from analytics_platform_tests.alerts.yesterday import CTR, SENT, VIEWS

# The clocks of Berlin go back at 01:00 UTC.
NIGHT = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)


def grid() -> Grid:
    times = int(NIGHT.timestamp()) + 900 * np.arange(8, dtype=np.int64)
    values = np.arange(24, dtype=float).reshape(3, 8)
    return Grid((VIEWS, CTR, SENT), times, values, np.full((3, 8), np.nan))


def test_local_time_goes_back_with_the_clocks() -> None:
    assert offsets(grid().times, ZoneInfo("Europe/Berlin")).tolist() == [7200] * 4 + [3600] * 4
    assert offsets(grid().times, ZoneInfo("UTC")).tolist() == [0] * 8


def test_a_span_covers_the_buckets_it_touches() -> None:
    touched = between(grid().times, NIGHT + timedelta(minutes=20), NIGHT + timedelta(minutes=45))
    assert np.flatnonzero(touched).tolist() == [1, 2]


def test_what_is_excluded_or_on_the_calendar_is_not_learned_from() -> None:
    release = Occasion(
        "2.0", OccasionKind.RELEASE, NIGHT + timedelta(hours=1), NIGHT + timedelta(hours=2), ("messenger",)
    )
    block = block_of(
        grid(),
        ZoneInfo("UTC"),
        excluded={VIEWS: [(NIGHT, NIGHT + timedelta(minutes=30))]},
        occasions=[release],
    )
    assert block.learn.tolist() == [[False] * 2 + [True] * 6, [True] * 8, [True] * 4 + [False] * 4]
    assert block.slack.tolist() == [1.0] * 8, "an entry of one service gives no room to all"
    assert block.ratio.tolist() == [False, True, False]
    assert not block.accepted.any()
    assert block.buckets == 8


def test_a_holiday_of_everything_has_more_room() -> None:
    holiday = Occasion("holiday", OccasionKind.HOLIDAY, NIGHT, NIGHT + timedelta(minutes=30), slack=3)
    assert block_of(grid(), ZoneInfo("UTC"), occasions=[holiday]).slack.tolist() == [3.0, 3.0] + [1.0] * 6


def test_an_entry_of_one_metric_gives_room_to_that_metric_alone() -> None:
    launch = Occasion("ads", OccasionKind.EXPECTED, NIGHT, NIGHT + timedelta(minutes=15), metrics=("views",), slack=2)
    everything = Occasion("holiday", OccasionKind.HOLIDAY, NIGHT, NIGHT + timedelta(hours=1), slack=3)
    block = block_of(grid(), ZoneInfo("UTC"))
    ones = np.ones((3, 8))
    verdicts = Verdicts(2 * ones, 100 * ones, 80 * ones, 110 * ones, np.zeros((3, 8), np.int8))
    after = widened(verdicts, block, grid().keys, [launch, everything])
    assert after.score.tolist() == [[1.0] + [2.0] * 7, [2.0] * 8, [2.0] * 8]
    assert (after.low[0, 0], after.high[0, 0], after.low[0, 1]) == (60, 120, 80)
    assert verdicts.score[0, 0] == 2, "what was judged stays as it was"
    assert widened(verdicts, block, grid().keys, [everything]) is verdicts
