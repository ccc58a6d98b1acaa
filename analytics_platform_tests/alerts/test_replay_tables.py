"""A replay as people and programs read it: rows of a small seeded history, letter by letter."""

from zoneinfo import ZoneInfo

import pytest

from analytics_platform.alerts.replay import Replayed, replay
from analytics_platform.alerts.replay_budget import Solved
from analytics_platform.alerts.replay_tables import budget, plain_rows, rows, summary
from analytics_platform.alerts.scoreboard import Planted
from analytics_platform.alerts.watch import Watch
from analytics_platform_tests.alerts.yesterday import LIKES, SENT, VIEWS, Yesterday, at, days

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def replayed() -> Replayed:
    """Messages double on the second evening; the feed is gone from noon of the third day on."""
    block = days(3, 800.0, 200.0, 150.0)
    block.values[2, at(1, 20) : at(1, 21)] *= 2.5
    block.values[:2, at(2, 12) :] = 0
    return replay(block, (VIEWS, LIKES, SENT), Watch(), at(0, 12), detectors=lambda _name, _metrics: Yesterday())


def test_the_table(replayed: Replayed) -> None:
    assert list(rows(replayed, BERLIN)) == [
        {
            "started": "2026-09-30 22:00",
            "told": "22:15",
            "what": "messenger messages_sent",
            "direction": "up",
            "size": "+197%",
            "sign": "jump",
            "lasted": "1 h",
            "messages": 1,
            "severity": "critical",
        },
        {
            "started": "2026-10-01 14:00",
            "told": "14:15",
            "what": "feed views and 1 more",
            "direction": "down",
            "size": "-100%",
            "sign": "zero",
            "lasted": "goes on",
            "messages": 2,
            "severity": "critical",
        },
    ]


def test_rows_for_programs(replayed: Replayed) -> None:
    surge, outage = plain_rows(replayed, BERLIN)
    assert (surge["started"], surge["ended"]) == ("2026-09-30T22:00:00+02:00", "2026-09-30T23:00:00+02:00")
    assert (outage["key"], outage["ended"], outage["metric"], outage["series"]) == (
        "2026-10-01 12:00 feed down views",
        "",
        "views",
        2,
    )
    assert (outage["value"], outage["planted"]) == (0.0, "")
    assert list(surge) == list(outage)


def test_the_truth_is_beside_what_it_is_about(replayed: Replayed) -> None:
    started = replayed.told[1].incident.started
    way = replayed.told[1].incident.direction
    assert way is not None
    outage = Planted("dark_city", started, replayed.last, ("feed_actions",), ("city=Moscow",), way)
    assert [row["planted"] for row in rows(replayed, BERLIN, [outage])] == ["", "dark city"]
    assert [row["planted"] for row in rows(replayed, BERLIN, [])] == ["", ""]


def test_the_summary(replayed: Replayed) -> None:
    assert summary(replayed, BERLIN) == (
        "2 incidents in 0.4 weeks, 5.6 a week; 3 messages with a sound, 8.4 a week.",
        "By the metric they are told by: messages_sent 1, views 1, likes 0.",
        "Before 2026-09-30 02:00 there was not enough history to judge by.",
    )


def test_what_a_budget_came_to() -> None:
    kept, not_kept = Solved("views", 1.0, 0.75, 0.5, True), Solved("ctr", 1.0, 0.1, 2.3, False)
    assert list(budget([kept, not_kept], 0.5)) == [
        "views: sensitivity 0.75 instead of 1 gives 0.5 false incidents a week.",
        "ctr: even sensitivity 0.1 gives more than 0.5 a week; raise min_change or min_base, or take another detector.",
    ]
