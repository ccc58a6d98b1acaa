"""How metrics are watched: the words of a rule, inheritance, and what a wrong word says."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.watch import SLICE_SENSITIVITY, Rule, Watch, parse_rule, parse_rules
from analytics_platform.metrics.series import SeriesKey

LIKES, CTR = SeriesKey("feed", "likes"), SeriesKey("feed", "ctr")


def test_no_words_are_the_defaults() -> None:
    assert parse_rule("") == Rule()


def test_every_word_is_read() -> None:
    words = "detector=corridor sensitivity=1.5 direction=down min_change=0.2 min_base=50 quiet=23:00-07:00 slices=off"
    assert parse_rule(words) == Rule("corridor", 1.5, Direction.DOWN, 0.2, 50.0, (time(23), time(7)), slices=False)
    assert parse_rule("direction=both quiet=none", Rule(direction=Direction.UP)).direction is None


def test_a_metric_inherits_what_its_own_words_do_not_say() -> None:
    default = parse_rule("min_change=0.2 direction=down")
    rules = parse_rules("ctr: min_change=0.05; likes: sensitivity=2", default)
    assert rules == {
        "ctr": Rule(min_change=0.05, direction=Direction.DOWN),
        "likes": Rule(sensitivity=2, min_change=0.2, direction=Direction.DOWN),
    }
    watch = Watch(default, rules)
    assert watch.rule("views") is default
    assert watch.rule("ctr").min_change == 0.05


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sensitivty=1", "'sensitivty=1' is not known; the words are detector="),
        ("sensitivity=0", "'sensitivity=0' cannot be read; sensitivity= needs a number from 0.1 to 10"),
        ("sensitivity=nan", "'sensitivity=nan' cannot be read"),
        ("direction=sideways", "direction= needs up, down or both"),
        ("quiet=23-7", "quiet= needs hours such as 23:00-07:00, or none"),
        ("quiet=07:00-07:00", "quiet= needs hours"),
        ("quiet=25:00-07:00", "quiet= needs hours"),
        ("min_base=1 min_base=2", "min_base is there twice"),
        ("detector=magic", "detector= needs one of seasonal"),
        ("slices", "slices= needs on or off"),
    ],
)
def test_a_wrong_word_is_named(words: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_rule(words)
    assert said in str(error.value)


def test_a_wrong_word_of_a_metric_is_named_with_it() -> None:
    with pytest.raises(ValueError, match=r"likes: 'x=1' is not known"):
        parse_rules("likes: x=1", Rule())
    with pytest.raises(ValueError, match="likes is there twice"):
        parse_rules("likes: direction=up; likes: direction=down", Rule())
    with pytest.raises(ValueError, match="write `metric: words; metric: words`"):
        parse_rules("likes direction=up", Rule())


def test_quiet_hours_may_span_midnight_and_are_local() -> None:
    rule = Rule(quiet=(time(23), time(7)))
    moscow = ZoneInfo("Europe/Moscow")
    assert rule.is_quiet(datetime(2026, 11, 20, 20, 0, tzinfo=UTC), moscow)  # 23:00 there
    assert not rule.is_quiet(datetime(2026, 11, 20, 4, 0, tzinfo=UTC), moscow)  # 07:00 there
    assert not Rule().is_quiet(datetime(2026, 11, 20, 3, 0, tzinfo=UTC), moscow)


def test_slices_are_judged_with_less_than_the_total() -> None:
    watch = Watch(Rule(sensitivity=2.0))
    assert watch.sensitivity(LIKES) == 2.0
    assert watch.sensitivity(SeriesKey("feed", "likes", "os", "iOS")) == 2.0 * SLICE_SENSITIVITY


def test_feedback_moves_the_sensitivity_of_its_metric_within_bounds() -> None:
    watch = Watch(metrics={"ctr": Rule(min_change=0.05)}).with_sensitivity({"ctr": 0.5, "likes": 0.001})
    assert watch.rule("ctr") == Rule(sensitivity=0.5, min_change=0.05)
    assert watch.rule("likes").sensitivity == 0.1
    assert watch.rule("views").sensitivity == 1.0
