"""What a plan refuses, and what follows from it."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from analytics_platform.metrics.windows import Window
from analytics_platform.rankings.plan import FLOOR, WEIGHTS, Mode, Plan, parse_weights

AS_OF = datetime(2026, 11, 21, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_the_defaults_are_the_documented_ones() -> None:
    plan = Plan()
    assert dict(plan.weights) == {
        "video_view": 1.0,
        "video_share": 3.0,
        "video_favorite": 2.5,
        "video_replay": 2.0,
        "video_skip": -0.5,
        "cagnotte_detail_view": 1.5,
    }
    assert (plan.decay_days, plan.recent, plan.previous, plan.mode) == (1.0, 24 * HOUR, 48 * HOUR, Mode.NORMALISED)
    assert plan.slices == 2


def test_windows_touch_and_are_naive_utc_whatever_the_offset() -> None:
    recent = Window(datetime(2026, 11, 20, 2), datetime(2026, 11, 21, 2))  # noqa: DTZ001 - as event tables store times
    previous = Window(datetime(2026, 11, 18, 2), recent.start)  # noqa: DTZ001
    in_bamako_and_tokyo = AS_OF.astimezone(timezone(9 * HOUR))
    for moment in (AS_OF, AS_OF.replace(tzinfo=None), in_bamako_and_tokyo):
        assert Plan().windows(moment) == (recent, previous)


def test_ages_count_from_the_end_of_each_window_or_as_the_replaced_worker_did() -> None:
    end = AS_OF.replace(tzinfo=None)
    assert Plan().anchors(AS_OF) == (end, end - 24 * HOUR)
    assert Plan(mode=Mode.COMPAT).anchors(AS_OF) == (end, end)


@pytest.mark.parametrize("decay", [0.05, 0.3, 1.0, 7.0])
@pytest.mark.parametrize("days", [1, 2, 6])
def test_the_days_of_a_window_are_the_integral_of_its_decay(decay: float, days: int) -> None:
    plan = Plan(decay_days=decay, recent=days * 24 * HOUR, previous=2 * days * 24 * HOUR)
    steps = 20_000
    ages = ((k + 0.5) * days / steps for k in range(steps))
    expected = sum(max(math.exp(-age / decay), FLOOR) for age in ages) * days / steps
    assert plan.days("recent") == pytest.approx(expected, rel=1e-5)
    assert plan.days("previous") > plan.days("recent")
    assert Plan(decay_days=decay, mode=Mode.COMPAT).days("previous") == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weights": {"video_view": math.nan}}, "video_view cannot weigh nan; write a number from -1000 to 1000"),
        ({"weights": {"video_view": 1e9}}, "cannot weigh 1e.09"),
        ({"weights": {"": 1.0}}, "a weight has no event type"),
        ({"weights": {"video_view": 0.0}}, "no event type weighs anything"),
        ({"weights": {}}, "no event type weighs anything"),
        ({"decay_days": 0}, "over 0 days; write a number of days above 0"),
        ({"decay_days": math.inf}, "over inf days"),
        ({"recent": timedelta()}, "too short; write at least a minute"),
        ({"previous": 36 * HOUR}, "not a whole multiple"),
        ({"previous": timedelta()}, "not a whole multiple"),
        ({"smoothing": 0}, "smoothing of 0"),
        ({"min_audience": 0}, "smallest audience of 0"),
        ({"significance": 0}, "not between 0 and 1"),
        ({"significance": 1}, "not between 0 and 1"),
    ],
)
def test_an_impossible_plan_is_refused_in_a_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Plan(**wrong)


def test_a_plan_keeps_the_weights_it_was_given() -> None:
    mine = {"video_view": 1.0}
    plan = Plan(weights=mine)
    mine["video_view"] = 9.0
    assert plan.weights["video_view"] == 1.0
    assert hash(plan) == hash(Plan(weights={"video_view": 1.0}))
    with pytest.raises(TypeError):
        plan.weights["video_view"] = 2.0  # type: ignore[index]  # what mypy refuses is tried


def test_weights_that_are_named_replace_the_defaults_and_the_others_stay() -> None:
    assert parse_weights("") == WEIGHTS
    assert parse_weights(" video_view=2, shout = -1.5 ,") == {**WEIGHTS, "video_view": 2.0, "shout": -1.5}


def test_a_weight_of_zero_scores_nothing_and_is_known() -> None:
    assert parse_weights("video_skip=0")["video_skip"] == 0.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video_view", "'video_view' is not a weight; write entries such as video_view=1, video_share=3"),
        ("video_view=much", "'video_view=much' is not a weight"),
        ("video_view=nan", "is not a weight"),
        ("=1", "'=1' is not a weight"),
        ("video_view=inf", "video_view cannot weigh inf"),
        ("video_view=1,video_view=2", "the weight of video_view is given twice"),
        (", ".join(f"{name}=0" for name in WEIGHTS), "no event type weighs anything"),
    ],
)
def test_weights_that_cannot_be_read_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_weights(text)
