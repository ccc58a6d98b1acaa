"""What the users do in the feed on one day: sessions of views and likes, and the incidents that change them.

Belongs here: the day's feed events. Does not: who the users are (`population.py`), posts (`posts.py`), Arrow tables
(`generator.py`). Imported lazily only: numpy is imported at the top.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_platform.simulate.activity import feed_curve, feed_factor, undisturbed, whole_seconds
from analytics_platform.simulate.incidents import Incident, IncidentKind
from analytics_platform.simulate.population import Ints, Population
from analytics_platform.simulate.posts import SLOTS, Posts
from analytics_platform.simulate.scenario import Day

SESSIONS = 3.15  # a user and day, mean, before at least one
SESSION_EVENTS = 12.2  # mean
SECONDS_PER_EVENT = 25
CTR = 0.2085  # likes per view, mean over the days
_LIKE_BITS = 20  # of the 32 random bits of an event; the other 12 pick the post
_SECOND_BITS = 32


@dataclass(frozen=True)
class FeedRows:
    """One day's feed events by time; `who` are the rows of the day's users, `user` the position of each event's in it.

    `second`: since local midnight. `post`: row of the post. `liked`: a like, else a view.
    """

    who: Ints
    user: Ints
    second: Ints
    post: NDArray[np.uint32]
    liked: NDArray[np.bool_]


def feed_day(rng: np.random.Generator, day: Day, people: Population, posts: Posts) -> FeedRows:
    """Everything that happens in the feed on that day."""
    who = people.in_feed(rng, day.index, feed_factor(day.date, rng))
    if not day.feed_open:
        who = who[:0]
    curve = feed_curve(day, rng)
    sessions = np.maximum(1, rng.poisson(SESSIONS * people.appetite[who]))
    owner = np.repeat(np.arange(who.size), sessions)
    keys = _sessions(rng, owner, curve.draw(rng, owner.size), (0, day.window.seconds))
    for incident in day.incidents:
        if incident.kind is IncidentKind.SPIKE:
            crowd, more = _burst(rng, day, people, incident, keys)
            keys = np.concatenate((keys, more + who.size))
            who = np.concatenate((who, crowd))
    # One sort of (second, user) packed into one number beats a sort of the seconds and a gather of the users by far.
    keys.sort()
    second, user = keys >> _SECOND_BITS, keys & ((1 << _SECOND_BITS) - 1)
    keep = undisturbed(day, second, people.city[who], user, messages=False)
    if keep is not None:
        second, user = second[keep], user[keep]

    bits = rng.integers(0, 1 << 32, user.size, dtype=np.uint32)
    slot = bits & np.uint32(SLOTS - 1)
    bits >>= np.uint32(32 - _LIKE_BITS)
    limit = _like_limit(people.liking[who], user, _ctr(rng, day, second))
    post = np.empty(user.size, dtype=np.uint32)
    shows = posts.on_show(day.index)
    hours = np.searchsorted(second, np.arange(len(shows) + 1) * 3600)
    for show, low, high in zip(shows, hours[:-1], hours[1:], strict=True):
        post[low:high] = show.post[slot[low:high]]
        limit[low:high] *= show.charm[slot[low:high]]
    return FeedRows(who, user, second, post, bits < limit)


def _sessions(rng: np.random.Generator, owner: Ints, middle: NDArray[np.float64], bounds: tuple[float, float]) -> Ints:
    # Geometric: most sessions are short.
    events = rng.geometric(1 / SESSION_EVENTS, owner.size)
    row = np.repeat(np.arange(owner.size, dtype=np.int32), events)
    second = rng.random(row.size, dtype=np.float32) - np.float32(0.5)
    second *= (events * SECONDS_PER_EVENT).astype(np.float32)[row]
    second += middle.astype(np.float32)[row]
    return (whole_seconds(second, bounds) << _SECOND_BITS) | owner[row]


def _burst(rng: np.random.Generator, day: Day, people: Population, incident: Incident, keys: Ints) -> tuple[Ints, Ints]:
    # More sessions by anybody who is around, all within the incident's window: their users' rows, and the keys.
    low, high = day.seconds(incident.window)
    second = keys >> _SECOND_BITS
    wanted = round((incident.size - 1) * int(np.count_nonzero((second >= low) & (second < high))))
    known = np.arange(people.arrived[day.index])
    reachable = known[people.around(known, day.index) & (people.feed_habit[known] > 0)]
    if not wanted or not reachable.size:
        return known[:0], keys[:0]
    count = int(wanted / SESSION_EVENTS * 1.5) + 10
    more = _sessions(rng, np.arange(count), rng.uniform(low, high, count), (low, high))
    return rng.choice(reachable, count), more[:wanted]


def _ctr(rng: np.random.Generator, day: Day, second: Ints) -> NDArray[np.float32]:
    # One value for the whole day, or one per event while it slides.
    ctr = np.full(1, np.clip(rng.normal(CTR, 0.0025), CTR - 0.005, CTR + 0.006), dtype=np.float32)
    for incident in day.incidents:
        if incident.kind is IncidentKind.CTR_SLIDE:
            part = (second + (day.window.start - incident.start).total_seconds()) / incident.window.seconds
            sliding = (part >= 0) & (part < 1)
            ctr = ctr * np.where(sliding, 1 + (incident.size - 1) * part, 1).astype(np.float32)
    return ctr


def _like_limit(liking: NDArray[np.float32], user: Ints, ctr: NDArray[np.float32]) -> NDArray[np.float32]:
    # A like is a row of its own beside the views: likes / views = ctr means likes / rows = ctr / (1 + ctr).
    chance = ctr / (1 + ctr) * np.float32(1 << _LIKE_BITS)
    # Some users like more than others, but one heavy user must not move the whole day's share.
    usual = np.float32(liking[user].mean(dtype=np.float64)) if user.size else np.float32(1)
    return np.asarray((liking / usual)[user] * chance, dtype=np.float32)
