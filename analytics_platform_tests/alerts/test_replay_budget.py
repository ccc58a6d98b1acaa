"""A budget of false alarms: kept, as sensitive as it allows, and said as a setting."""

from dataclasses import replace
from datetime import UTC, datetime, time

import numpy as np
import pytest

from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.incident import Policy
from analytics_platform.alerts.replay import Replayed, judge_all, run
from analytics_platform.alerts.replay_budget import STEPS, Solved, Span, rules_line, solve, with_solved, words
from analytics_platform.alerts.watch import SENSITIVITY, Rule, Watch, parse_rule, parse_rules
from analytics_platform.detectors.base import Block
from analytics_platform_tests.alerts.yesterday import LIKES, START, VIEWS, Yesterday, at, days

KEYS, WATCH = (VIEWS, LIKES), Watch(Rule(min_change=0))


def replayed(watch: Watch, block: Block) -> Replayed:
    verdicts = judge_all(block, KEYS, watch, at(1, 0), lambda _name, _metrics: Yesterday())
    return run(verdicts, block.columns(at(1, 0), block.buckets), KEYS, watch, Policy())


@pytest.fixture(scope="module")
def noisy() -> Replayed:
    """Two weeks of chance, judged with far too sensitive an eye."""
    return replayed(WATCH, days(15, 800.0, 200.0))


@pytest.mark.parametrize("a_week", [0, 1, 3])
def test_the_budget_is_kept_and_the_next_step_would_break_it(noisy: Replayed, a_week: float) -> None:
    solved = solve(noisy, WATCH, a_week)
    assert [one.metric for one in solved] == ["views", "likes"]
    for one in solved:
        assert one.kept
        assert one.false <= a_week
        assert openings(noisy, one) <= a_week * noisy.weeks
        next_one = replace(one, sensitivity=STEPS[STEPS.index(one.sensitivity) + 1])
        assert openings(noisy, next_one) > a_week * noisy.weeks


def openings(noisy: Replayed, one: Solved) -> int:
    """Incidents of that metric alone."""
    watch = with_solved(WATCH, [one])
    key = next(key for key in KEYS if key.metric == one.metric)
    row = [KEYS.index(key)]
    verdicts = replace(noisy.verdicts, **{n: getattr(noisy.verdicts, n)[row] for n in vars(noisy.verdicts)})
    return len(run(verdicts, noisy.columns.rows(np.array([k == key for k in KEYS])), [key], watch, Policy()).told)


def test_what_was_real_does_not_count() -> None:
    block = days(15, 800.0, 200.0)
    for day in range(2, 14, 2):
        block.values[:, at(day, 12) : at(day, 13)] = 0
    found = replayed(WATCH, block)
    moments = [datetime.fromtimestamp(START + 86400 * day + 43200, UTC) for day in range(2, 15)]
    spans = [Span(moment, moment.replace(hour=13)) for moment in moments]
    assert not any(one.kept for one in solve(found, WATCH, 0))
    assert all(one.kept for one in solve(found, WATCH, 0, real=spans))
    elsewhere = [replace(span, services=("messenger",)) for span in spans]
    assert not any(one.kept for one in solve(found, WATCH, 0, real=elsewhere))


def test_a_negative_budget_is_refused(noisy: Replayed) -> None:
    with pytest.raises(ValueError, match="a budget of -1 false alarms a week cannot be kept; use 0 or more"):
        solve(noisy, WATCH, -1)


def test_the_line_for_the_settings_says_all_rules_that_are_there() -> None:
    default = parse_rule("min_change=0.2 quiet=23:00-07:00")
    text = "ctr: min_change=0.05 direction=down; views: quiet=none slices=off min_base=5"
    watch = Watch(default, parse_rules(text, default))
    solved = [Solved("views", 1, 0.75, 0.5, True), Solved("likes", 1, 1.0, 0, True), Solved("ctr", 1, 0.1, 9, False)]
    line = rules_line(watch, solved)
    assert line == (
        "ALERT_RULES=ctr: direction=down min_change=0.05; views: sensitivity=0.75 min_base=5 quiet=none slices=off"
    )
    after = parse_rules(line.removeprefix("ALERT_RULES="), default)
    assert after["views"] == replace(watch.rule("views"), sensitivity=0.75)
    assert after["ctr"] == watch.rule("ctr")


def test_words_of_a_rule_are_read_back_as_the_rule() -> None:
    rule = Rule("corridor", 0.5, Direction.UP, 0.3, 4, (time(22), time(6, 30)), slices=False)
    assert parse_rule(words(rule, Rule())) == rule
    assert words(Rule(), Rule()) == ""


def test_steps_are_within_what_a_rule_allows() -> None:
    assert (STEPS[0], STEPS[-1]) == SENSITIVITY
    assert list(STEPS) == sorted(set(STEPS))
