"""The simulated events look like a product's: rhythm, people, posts, conversations."""

import numpy as np

from analytics_platform_tests.simulate.history import History


def test_the_day_is_lowest_at_four_and_highest_in_the_evening(calm: History) -> None:
    feed, messages = calm.local_hours(calm.feed), calm.local_hours(calm.messages)
    assert int(np.argmin(feed)) == 4
    assert int(np.argmax(feed)) in (20, 21)
    assert feed.max() > 6 * feed.min()
    assert int(np.argmin(messages)) in (3, 4, 5)
    assert int(np.argmax(messages)) in (19, 20, 21)


def test_midnight_leaves_no_step(big_days: History) -> None:
    quarter = np.bincount((big_days.feed["second"] - big_days.feed["second"][0]) // 900)
    before, after = quarter[95], quarter[96]
    assert 0.75 < after / before < 1.1


def test_weekends_are_quieter_in_the_feed_and_not_in_the_chat(calm: History) -> None:
    users, writers = calm.daily_users(calm.feed), calm.daily_users(calm.messages)
    weekend = np.asarray([day.weekday() >= 5 for day in calm.scenario.dates])
    assert 0.84 < users[weekend].mean() / users[~weekend].mean() < 0.94
    assert 0.8 < writers[weekend].mean() / writers[~weekend].mean() < 1.2


def test_the_chat_peaks_every_third_or_fourth_day(calm: History) -> None:
    writers = calm.daily_users(calm.messages)
    inner = np.arange(1, writers.size - 1)
    peaks = inner[(writers[inner] > writers[inner - 1]) & (writers[inner] >= writers[inner + 1])]
    gaps = np.diff(peaks)
    assert 3.0 <= gaps.mean() <= 4.0
    assert np.isin(gaps, (3, 4)).mean() > 0.7
    assert {3, 4} <= set(gaps.tolist())  # so that it is no week in disguise


def test_volumes_are_in_the_proportions_of_the_documented_product(big_days: History) -> None:
    readers, writers = big_days.daily_users(big_days.feed), big_days.daily_users(big_days.messages)
    assert np.all((readers > 140_000 / 8.5) & (readers < 140_000 / 6.5))
    assert 38 < big_days.feed["day"].size / readers.sum() < 43
    assert 5.5 < big_days.messages["day"].size / writers.sum() < 7.0
    assert 0.08 < writers.sum() / readers.sum() < 0.14
    both = sum(
        np.intersect1d(*(side["user_id"][side["day"] == day] for side in (big_days.feed, big_days.messages))).size
        for day in range(3)
    )
    assert 0.07 < both / writers.sum() < 0.15


def test_one_view_in_five_is_liked_every_day(big_days: History) -> None:
    for day in range(3):
        liked = big_days.feed["like"][big_days.feed["day"] == day]
        assert 0.20 < liked.sum() / (~liked).sum() < 0.22


def test_a_tenth_of_the_users_does_most(calm: History) -> None:
    events = np.sort(np.unique(calm.feed["user_id"], return_counts=True)[1])[::-1]
    assert 0.5 < events[: events.size // 10].sum() / events.sum() < 0.8
    assert events.max() / calm.scenario.days < 1_500  # and still no user is a machine


def test_attributes_are_a_users_own_for_life_but_for_the_system(big_days: History) -> None:
    users = big_days.feed["user_id"].astype(np.int64)
    people = np.unique(users).size
    for name in ("gender", "age", "country", "city", "source", "exp_group"):
        assert np.unique(users << 16 | big_days.feed[name]).size == people, name
    two = np.unique(users << 16 | big_days.feed["os"]).size - people
    assert 0.005 < two / people < 0.03


def test_the_shares_of_places_and_people(big_days: History) -> None:
    rows = np.unique(big_days.feed["user_id"], return_index=True)[1]

    def share(name: str, value: int | str) -> float:
        code = big_days.words[name].index(value) if isinstance(value, str) else value
        return float((big_days.feed[name][rows] == code).mean())

    countries = np.bincount(big_days.feed["country"][rows])
    ordered = [big_days.words["country"][code] for code in np.argsort(-countries)]
    assert ordered[:6] == ["Russia", "Ukraine", "Belarus", "Kazakhstan", "Azerbaijan", "Finland"]
    assert 0.84 < share("country", "Russia") < 0.88
    assert 0.12 < share("city", "Moscow") < 0.20
    assert share("city", "Moscow") > share("city", "Saint Petersburg") > 0.06
    assert 0.52 < share("gender", 1) < 0.58
    assert 0.32 < share("os", "iOS") < 0.38
    assert 0.55 < share("source", "ads") < 0.65
    assert all(0.18 < share("exp_group", group) < 0.22 for group in range(5))
    ages = big_days.feed["age"][rows]
    assert ages.min() >= 14
    assert ages.max() <= 90
    assert 22 < np.median(ages) < 32
    pairs = {*zip(big_days.feed["city"][rows], big_days.feed["country"][rows], strict=True)}
    assert len(pairs) == len({city for city, _ in pairs})  # a city has one country


def test_newcomers_arrive_every_day_from_both_sources_and_leave_again(calm: History) -> None:
    users, first = calm.first_days()
    new = np.bincount(first, minlength=42)
    assert np.all(new[21:] > 0.003 * calm.scenario.users)
    returned = {
        lag: np.mean([calm.returned(users[first == day], day + lag) for day in range(20, 28)]) for lag in (1, 7, 14)
    }
    assert 0.30 < returned[1] < 0.46
    assert 0.12 < returned[7] < 0.26
    assert returned[14] < returned[7]
    early = users[first == 0]
    assert calm.returned(early, 41) < 0.8 * calm.returned(early, 1)


def test_posts_appear_live_and_go(big_days: History, calm: History) -> None:
    active = [np.unique(big_days.feed["post_id"][big_days.feed["day"] == day]).size for day in range(3)]
    assert all(170 < posts < 280 for posts in active)
    posts, counts = np.unique(calm.feed["post_id"], return_counts=True)
    first = calm.feed["day"][np.unique(calm.feed["post_id"], return_index=True)[1]]
    last = np.zeros(int(posts.max()) + 1, dtype=int)
    np.maximum.at(last, calm.feed["post_id"], calm.feed["day"])
    life = last[posts] - first + 1
    assert np.all(life <= 15)
    assert 1.5 < life.mean() < 4
    assert counts.max() > 10 * np.median(counts)
    assert 0.5 < np.count_nonzero(first >= 14) / 28 / (90 * (12_000 / 140_000) ** 0.5) < 1.5


def test_people_answer_each_other_and_some_only_receive(months: History) -> None:
    sender = months.messages["user_id"].astype(np.int64)
    receiver = months.messages["receiver_id"].astype(np.int64)
    assert not np.any(sender == receiver)
    day = months.messages["day"].astype(np.int64) << 52
    there, back = np.unique(day | sender << 26 | receiver), np.unique(day | receiver << 26 | sender)
    assert 0.35 < np.isin(there, back).mean() < 0.7
    silent = np.setdiff1d(receiver, sender)
    assert silent.size > 0.03 * np.unique(receiver).size
    assert np.setdiff1d(silent, months.feed["user_id"]).size > 10
