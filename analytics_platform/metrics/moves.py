"""What moved on the report day: each figure against its own past, so that the unusual can be told from the usual.

Belongs here: the measure of a move and the choice of the one that stands out. Does not: wording, drawing, alerts.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from analytics_platform.metrics.app import HORIZON_DAYS, METRICS, RATIOS, SLICED_BY, AppFrame, Figures, Service, Slice
from analytics_platform.metrics.dimensions import TOTAL

UNUSUAL_SCORE = 4.5
UNUSUAL_CHANGE = 0.05  # less is nobody's news, however certain
SLICE_SCORE = 7.0  # of a slice alone: there are ten times as many slices as totals that may stray by chance
SLICE_SHARE = 0.05  # of the service's actions; smaller slices are never named on their own
ENOUGH_RATIOS = 8  # week-over-week ratios in the past: fewer do not show what is usual
ENOUGH_BEHIND = 30  # users, events or posts behind a figure; what fewer do says nothing

_MAD_TO_SIGMA = 1.4826
_ALL_RATIOS = HORIZON_DAYS - 8  # of a whole past; fewer know the scatter badly, which is allowed for
_FLOOR = 0.01  # of the standard deviation: past days that happen to agree do not make a day of 1 % more a wonder
_PAST_COUNTING = 0.3  # variance of the median of four counts, in units of one count's
_REST = 1 / 3  # a slice carries a move when all others together moved less than this part of its own change
_APART = 3.0  # standard deviations between what the others did and what the total did

# What moved is told by its plainest figure. Users draw their actions after them, likes follow from views and CTR;
# figures that follow from others, or that swing widely by nature, come up only when they moved far more.
_WEIGHTS: Mapping[str, float] = {
    "dau": 1.2,
    "views": 1.0,
    "actions": 0.95,
    "likes": 0.95,
    "ctr": 1.3,
    "actions_per_user": 0.7,
    "new_users": 0.5,
    "active_posts": 0.5,
    "actions_per_post": 0.4,
    "new_posts": 0.3,
}
# When feed and messenger move alike, it is the app that moved. The messenger has a tenth of the users: it strays more.
_SERVICES: Mapping[Service, float] = {Service.APP: 1.1, Service.FEED: 1.0, Service.MESSAGE: 0.75}
_PARTS: Mapping[str, tuple[str, str]] = {
    "ctr": ("likes", "views"),
    "actions_per_user": ("actions", "dau"),
    "actions_per_post": ("actions", "active_posts"),
}
# A post is active in many slices at once, so its counts do not add up over them.
_NOT_ADDITIVE = frozenset({"active_posts", "new_posts", "actions_per_post"})


@dataclass(frozen=True)
class Move:
    """One figure of the report day against what its own past weeks lead to expect.

    `expected` is the value a usual day would have had; `change` = value / expected - 1; `score` is the distance in
    robust standard deviations of the past (signed); `unusual` when it is beyond what chance and habit explain.
    """

    where: Slice
    metric: str
    value: float
    expected: float
    change: float
    score: float
    unusual: bool


@dataclass(frozen=True)
class StandOut:
    """The move that a reader should hear of first.

    `carrier`: the slice that makes up `share` (at least half, at most 1) of the difference between value and expected;
    None when no slice does, or when the move is a slice's own.
    """

    move: Move
    carrier: Slice | None = None
    share: float | None = None


def moves(frame: AppFrame) -> tuple[Move, ...]:
    """The move of every slice and metric that has a value on the report day and enough past to compare with.

    What is usual: the median of the same weekday's earlier values, each carried to the report day by the trend of the
    whole past. How far days stray: the same measure of every past day against the others. All of it with medians and
    on logarithms, so that a bad day in the past neither moves the expectation nor hides the next one.
    """
    found = ((where, metric, series) for where, series in frame.series.items() for metric in METRICS)
    return tuple(move for where, metric, series in found if (move := _move(where, metric, series)))


def stands_out(frame: AppFrame, moves: Sequence[Move]) -> StandOut | None:
    """The largest unusual move of a total, with the slice that carries it; else that of a sizeable slice; else None."""
    totals = [m for m in moves if m.unusual and m.where.dimension == TOTAL]
    if totals:
        most = max(totals, key=_impact)
        return _carried(most, frame, moves)
    slices = [m for m in moves if m.unusual and abs(m.score) >= SLICE_SCORE and _share(frame, m.where) >= SLICE_SHARE]
    return StandOut(max(slices, key=_impact)) if slices else None


@dataclass(frozen=True)
class _Usual:
    """What the past leads to expect of the last day: the value, the standard deviation of its logarithm, and whether
    too little is behind it to tell."""

    expected: float
    sigma: float
    tiny: bool


def _move(where: Slice, metric: str, series: Sequence[Figures]) -> Move | None:
    value, usual = series[-1].value(metric), _usual(metric, series)
    if value is None or usual is None:
        return None
    change = value / usual.expected - 1
    score = (_log(value, metric, series[-1]) - math.log(usual.expected)) / usual.sigma
    unusual = abs(score) >= UNUSUAL_SCORE and abs(change) >= UNUSUAL_CHANGE and not usual.tiny
    return Move(where, metric, value, usual.expected, change, score, unusual)


def _usual(metric: str, series: Sequence[Figures]) -> _Usual | None:
    today, value = series[-1], series[-1].value(metric)
    past = [(f, f.value(metric)) for f in series[:-1]]
    logs = [None if v is None else _log(v, metric, f) for f, v in past]
    slopes = list(_slopes(logs))
    ratios = sum(weeks == 1 for _, weeks in slopes)
    if value is None or ratios < ENOUGH_RATIOS:
        return None
    trend = _weighted_median(slopes)
    log_expected = _expected(logs, len(logs), trend)
    if log_expected is None:
        return None
    against = ((log, _expected(logs, day, trend)) for day, log in enumerate(logs))
    strays = [abs(log - other) for log, other in against if log is not None and other is not None]
    expected = math.exp(log_expected)
    before = median(_behind(metric, v, f) for f, v in past if v is not None)
    rate = metric in RATIOS
    now = _behind(metric, expected if rate else value, today)
    # A rate is as sure as the events behind it on both sides; what is counted is judged by what was to come.
    counting = 1 / max(now if rate else before, 0.5) + _PAST_COUNTING / max(before, 0.5)
    scatter = _MAD_TO_SIGMA * median(strays) * (_ALL_RATIOS / ratios) ** 0.25
    sigma = max(scatter, math.sqrt(counting), _FLOOR)
    return _Usual(expected, sigma, (min(before, now) if rate else max(before, now)) < ENOUGH_BEHIND)


def _log(value: float, metric: str, figures: Figures) -> float:
    # Nothing at all counts as half an event, lest it be infinitely far from everything.
    part = _PARTS.get(metric)
    whole = getattr(figures, part[1]) if part else 1
    return math.log(max(value, 0.5 / whole))


def _behind(metric: str, value: float, figures: Figures) -> float:
    """How many independent things make the figure. A user's actions come together: a thousand by ten users are ten."""
    match metric:
        case "ctr":
            return value * (figures.views or 0)
        case "actions_per_user":
            return figures.dau or 0
        case "actions_per_post":
            return figures.active_posts or 0
        case "actions" | "views" | "likes":
            return value if figures.dau is None else min(value, figures.dau)
    return value


def _slopes(logs: Sequence[float | None]) -> Iterator[tuple[float, int]]:
    """Change a week between every two known days of the same weekday, and how many weeks lie between them."""
    for day, log in enumerate(logs):
        for weeks in range(1, day // 7 + 1):
            earlier = logs[day - 7 * weeks]
            if log is not None and earlier is not None:
                yield (log - earlier) / weeks, weeks


def _weighted_median(slopes: Iterable[tuple[float, int]]) -> float:
    ordered = sorted(slopes)
    half = sum(weight for _, weight in ordered) / 2
    for slope, weight in ordered:
        half -= weight
        if half <= 0:
            return slope
    return 0.0


def _expected(logs: Sequence[float | None], day: int, trend: float) -> float | None:
    """What the other known days of the same weekday lead to expect of that day (0 the first of the past)."""
    same = range(day % 7, len(logs), 7)
    others = [log + trend * (day - k) / 7 for k in same if k != day and (log := logs[k]) is not None]
    return median(others) if others else None


def _impact(move: Move) -> float:
    distance = abs(math.log(max(move.value, 0.01 * move.expected) / move.expected))
    return _WEIGHTS[move.metric] * _SERVICES[move.where.service] * distance


def _share(frame: AppFrame, where: Slice) -> float:
    """The slice's part of its service's actions over the horizon."""
    own, all_ = (sum(f.actions or 0 for f in frame.series.get(w, ())) for w in (where, Slice(where.service)))
    return own / all_ if all_ else 0.0


def _carried(most: Move, frame: AppFrame, moves: Sequence[Move]) -> StandOut:
    """The move with the slice that carries it: it explains most, and the others demonstrably took no part."""
    best: tuple[float, Slice, float] | None = None
    for dimension in SLICED_BY if most.metric not in _NOT_ADDITIVE else ():
        like = (most.where.service, dimension, most.metric)
        parts = [(m.where, *_parts(m, frame)) for m in moves if (m.where.service, m.where.dimension, m.metric) == like]
        expected = sum(e for _, _, e in parts)
        difference = sum(a for _, a, _ in parts) - expected
        for where, a, e in parts:
            explained = (a - e) / difference if difference * most.change > 0 else 0
            surprise = explained - e / expected if expected else 0
            if (
                explained >= 0.5
                and surprise > (best[0] if best else 0)
                and _alone(where, most, a / e - 1 if e else 0, frame)
            ):
                best = surprise, where, min(explained, 1.0)
    return StandOut(most, best[1], best[2]) if best else StandOut(most)


def _parts(move: Move, frame: AppFrame) -> tuple[float, float]:
    """Actual and expected in units that add up over slices; of a rate: its numerator, given its denominator."""
    if move.metric not in _PARTS:
        return move.value, move.expected
    numerator, denominator = (getattr(frame.at(move.where, frame.day), part) or 0 for part in _PARTS[move.metric])
    return numerator, move.expected * denominator


def _alone(where: Slice, most: Move, change: float, frame: AppFrame) -> bool:
    """Whether all others together moved far less than the slice, and beyond doubt not as the total did."""
    total, own = frame.series[most.where], frame.series[where]
    rest = tuple(_without(t, o) for t, o in zip(total, own, strict=True))
    value, usual = rest[-1].value(most.metric), _usual(most.metric, rest)
    if value is None or usual is None:
        return False
    moved = _log(value, most.metric, rest[-1]) - math.log(usual.expected)
    apart = abs(math.log(max(most.value, 0.01 * most.expected) / most.expected) - moved) / usual.sigma
    return abs(math.expm1(moved)) < _REST * abs(change) and apart >= _APART


def _without(total: Figures, own: Figures) -> Figures:
    """All users but the slice's. Only for what adds up over slices."""
    counts = {
        name: None if getattr(total, name) is None else getattr(total, name) - (getattr(own, name) or 0)
        for name in ("dau", "actions", "views", "likes", "new_users")
    }
    return Figures(**counts)
