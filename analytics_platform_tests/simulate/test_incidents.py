"""What is planted is in the truth, and what the truth says is in the events."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from analytics_platform.metrics.events import FEED_ACTIONS, MESSAGE_ACTIONS
from analytics_platform.simulate.clock import local_day
from analytics_platform.simulate.incidents import (
    CYCLE_DAYS,
    Incident,
    IncidentKind,
    campaign,
    read_truth,
    spike,
    write_truth,
)
from analytics_platform_tests.simulate.history import FIRST, MOSCOW, History, scenario

WEEK = timedelta(days=7)


def only(incidents: Iterable[Incident], kind: IncidentKind, metric: str = "") -> list[Incident]:
    """The incidents of that kind and metric; never none."""
    found = [i for i in incidents if i.kind is kind and metric in ("", i.metric)]
    assert found
    return found


def index_of(history: History, moment: datetime) -> int:
    """The index of the local day of that moment."""
    return (moment.astimezone(history.scenario.zone).date() - history.scenario.first_day).days


def test_two_months_hold_every_kind() -> None:
    truth = scenario(60, 6_000).truth()
    assert {i.kind for i in truth} == set(IncidentKind)
    assert len(only(truth, IncidentKind.SPIKE)) == 2
    assert {i.slice for i in only(truth, IncidentKind.DARK_CITY)} == {"city=Moscow", "city=Saint Petersburg"}
    assert list(truth) == sorted(truth, key=lambda i: i.start)


def test_the_first_two_weeks_are_calm() -> None:
    assert scenario(17, 6_000).truth() == ()
    assert scenario(60, 6_000, incidents=False).truth() == ()


def test_a_longer_run_keeps_the_incidents_of_a_shorter_one() -> None:
    long = scenario(400, 6_000).truth()
    assert [i for i in long if i.start < scenario(60, 6_000).window.end] == list(scenario(60, 6_000).truth())
    assert len(long) > 6 * len(scenario(CYCLE_DAYS, 6_000).truth())


def test_another_seed_places_them_elsewhere() -> None:
    assert scenario(60, 6_000, seed=1).truth() != scenario(60, 6_000, seed=2).truth()


def test_outages_leave_nothing_of_their_table_alone(months: History) -> None:
    tables = {FEED_ACTIONS.name: months.feed, MESSAGE_ACTIONS.name: months.messages}
    for table, other in ((FEED_ACTIONS.name, MESSAGE_ACTIONS.name), (MESSAGE_ACTIONS.name, FEED_ACTIONS.name)):
        (outage,) = only(months.scenario.truth(), IncidentKind.OUTAGE, table)
        assert outage.size == 0
        assert outage.end - outage.start == timedelta(minutes=90)
        assert outage.start.minute % 15 == 0
        assert months.rows_in(tables[table], outage.window) == 0
        assert months.rows_in(tables[table], outage.window, -WEEK) > 20
        assert months.rows_in(tables[other], outage.window) > 10


def test_spikes_multiply_the_feed_and_its_users(months: History) -> None:
    for found in only(months.scenario.truth(), IncidentKind.SPIKE):
        assert timedelta(minutes=45) <= found.end - found.start <= timedelta(minutes=60)
        weeks = [months.rows_in(months.feed, found.window, -k * WEEK) for k in (1, 2, 3)]
        usual = np.median(weeks)
        assert months.rows_in(months.feed, found.window) / usual == pytest.approx(found.size, rel=0.4)


def test_a_spike_is_exact_where_the_same_day_without_it_is_known() -> None:
    start = local_day(FIRST, MOSCOW).start + timedelta(hours=13)
    planted = spike(start, minutes=45)
    plain = History.of(scenario(1, 30_000))
    spiked = History.of(scenario(1, 30_000, extra=(planted,)))
    low, high = (int(moment.timestamp()) for moment in (planted.start, planted.end))
    users = []
    for history in (plain, spiked):
        inside = (history.feed["second"] >= low) & (history.feed["second"] < high)
        users.append(np.unique(history.feed["user_id"][inside]).size)
    factor = spiked.rows_in(spiked.feed, planted.window) / plain.rows_in(plain.feed, planted.window)
    assert factor == pytest.approx(2.2, rel=0.001)
    assert users[1] / users[0] > 1.7
    rest = spiked.feed["day"].size - spiked.rows_in(spiked.feed, planted.window)
    assert rest == plain.feed["day"].size - plain.rows_in(plain.feed, planted.window)


def test_a_campaign_brings_many_who_do_not_come_back(months: History) -> None:
    (arrivals,) = only(months.scenario.truth(), IncidentKind.CAMPAIGN, "new_users")
    (retention,) = only(months.scenario.truth(), IncidentKind.CAMPAIGN, "retention_day_1")
    day = index_of(months, arrivals.start)
    ads = np.unique(months.feed["user_id"][months.having(months.feed, "source", "ads")])
    users, first = months.first_days()
    users, first = users[np.isin(users, ads)], first[np.isin(users, ads)]
    around = [d for d in range(day - 7, day + 8) if d != day]
    usual = np.mean([np.count_nonzero(first == d) for d in around])
    assert np.count_nonzero(first == day) / usual == pytest.approx(arrivals.size, rel=0.25)
    usually_back = np.mean([months.returned(users[first == d], d + 1) for d in around])
    back = months.returned(users[first == day], day + 1)
    assert back / usually_back == pytest.approx(retention.size, abs=0.13)
    assert back < 0.18


def test_dark_cities_are_silent_for_that_day_only(months: History) -> None:
    tables = {FEED_ACTIONS.name: months.feed, MESSAGE_ACTIONS.name: months.messages}
    for dark in only(months.scenario.truth(), IncidentKind.DARK_CITY):
        assert dark.end - dark.start == timedelta(days=1)
        side = tables[dark.metric]
        days = side["day"][months.having(side, "city", dark.city)]
        per_day = np.bincount(days, minlength=61)
        day = index_of(months, dark.start)
        assert per_day[day] == 0
        assert per_day[day - 1] > 0
        assert per_day[day + 1] > 0
        assert np.count_nonzero(side["day"] == day) > 0


def test_the_slide_lowers_likes_per_view_step_by_step(months: History) -> None:
    (slide,) = only(months.scenario.truth(), IncidentKind.CTR_SLIDE)
    likes = np.bincount(months.feed["day"], weights=months.feed["like"])
    ctr = likes / (np.bincount(months.feed["day"]) - likes)
    day = index_of(months, slide.start)
    before, after = ctr[day - 7 : day].mean(), ctr[day + 5 : day + 8].mean()
    expected = [
        1 + (slide.size - 1) * (d + 0.55) / 5 for d in range(5)
    ]  # most of a day's activity is in its second half
    assert ctr[day : day + 5] / before == pytest.approx(expected, rel=0.05)
    assert after == pytest.approx(before, rel=0.05)


def test_days_without_events_have_no_truth() -> None:
    plain = scenario(60, 6_000)
    blank = {i.start.astimezone(MOSCOW).date() for i in only(plain.truth(), IncidentKind.OUTAGE)}
    without = replace(plain, empty_days=frozenset(blank)).truth()
    assert [i for i in without if i.kind is IncidentKind.OUTAGE] == []
    messages_only = replace(plain, messages_only_days=frozenset(blank)).truth()
    assert [i.metric for i in only(messages_only, IncidentKind.OUTAGE)] == [MESSAGE_ACTIONS.name]


def test_a_slide_cut_by_the_end_is_told_as_far_as_it_went() -> None:
    (whole,) = only(scenario(60, 6_000).truth(), IncidentKind.CTR_SLIDE)
    days = (whole.start.astimezone(MOSCOW).date() - FIRST).days + 2
    (part,) = only(scenario(days, 6_000).truth(), IncidentKind.CTR_SLIDE)
    assert part.end == scenario(days, 6_000).window.end
    assert part.size == pytest.approx(1 - 0.18 * 2 / 5)


def test_the_truth_survives_its_file(tmp_path: Path) -> None:
    truth = scenario(60, 6_000).truth()
    write_truth(truth, tmp_path / "truth.csv")
    lines = (tmp_path / "truth.csv").read_text("utf-8").splitlines()
    assert lines[0] == "kind,metric,slice,start,end,size"
    assert all(line.count("+00:00") == 2 for line in lines[1:])
    assert read_truth(tmp_path / "truth.csv") == truth


def test_what_cannot_be_planted_is_refused() -> None:
    day = local_day(FIRST, MOSCOW)
    with pytest.raises(ValueError, match="cannot be planted in ctr"):
        Incident(IncidentKind.OUTAGE, "ctr", "", day.start, day.end, 0.0)
    with pytest.raises(ValueError, match="starts before it ends"):
        Incident(IncidentKind.OUTAGE, FEED_ACTIONS.name, "", day.end, day.start, 0.0)
    with pytest.raises(ValueError, match="slice of a dark_city"):
        Incident(IncidentKind.DARK_CITY, FEED_ACTIONS.name, "", day.start, day.end, 0.0)
    with pytest.raises(ValueError, match="slice of a spike"):
        Incident(IncidentKind.SPIKE, FEED_ACTIONS.name, "os=iOS", day.start, day.end, 2.0)
    with pytest.raises(ValueError, match="size of 1 or more"):
        spike(day.start, minutes=30, size=0.5)
    with pytest.raises(ValueError, match="local midnight"):
        History.of(scenario(1, 500, extra=campaign(replace(day, start=day.start + timedelta(hours=1)))))
