"""Months of an app, made by hand for the charts' tests: a weekly rhythm, an outage, an ads campaign, and odd cases."""

import math
from collections.abc import Callable
from datetime import date, timedelta

from analytics_platform.metrics.app import (
    METRICS,
    OTHER,
    AppFrame,
    Audience,
    Figures,
    Service,
    Slice,
)
from analytics_platform.metrics.moves import Move

FEED, MESSAGE = Service.FEED, Service.MESSAGE
LAST = date(2023, 10, 20)  # a Friday
DAYS = tuple(LAST - timedelta(30 - k) for k in range(31))
OUTAGE, CAMPAIGN = 10, range(18, 21)
COUNTRIES = ("Russia", "Ukraine", "Belarus", "Kazakhstan", "Azerbaijan")
LONG_NAMES = (
    "Bosnia and Herzegovina",
    "Saint Vincent and the Grenadines",
    "Соединённые Штаты Америки",
    "Демократическая Республика Конго",
    "Sao_Tome_and_Principe_without_a_blank",
)
_SHARES = {"source": (0.62, 0.38), "os": (0.64, 0.36), "country": (0.862, 0.048, 0.026, 0.02, 0.012, 0.032)}


def month(countries: tuple[str, ...] = COUNTRIES, missing: tuple[int, ...] = ()) -> AppFrame:
    """Figures near those of a real app: 18 thousand users of the feed, two thousand of the chat."""
    values = {"source": ("organic", "ads"), "os": ("Android", "iOS"), "country": (*countries, OTHER)}
    series: dict[Slice, tuple[Figures, ...]] = {}
    for service, users, per_user in ((FEED, 18_300, 40.5), (MESSAGE, 2_040, 6.3)):
        for dimension, names in values.items():
            for k, (name, share) in enumerate(zip(names, _SHARES[dimension], strict=True)):
                where = Slice(service, dimension, name)
                series[where] = tuple(
                    Figures() if day in missing else _figures(where, users * share, per_user + k * 0.7, day)
                    for day in range(31)
                )
        series[Slice(service)] = tuple(map(_plus, *(series[Slice(service, "os", name)] for name in values["os"])))
    feed, chat = series[Slice(FEED)], series[Slice(MESSAGE)]
    series[Slice(Service.APP)] = tuple(map(_plus, feed, chat))
    return AppFrame(DAYS, series, 140_061, 52_578_384, Audience(), Audience(), ())


def _figures(where: Slice, users: float, per_user: float, day: int) -> Figures:
    phase = sum(map(ord, where.value)) + len(where.dimension)
    wave = 0.02 * math.sin(day * 2.3 + phase) + 0.012 * math.sin(day * 5.1 + 2 * phase)
    level = (1 + 0.0015 * day) * {5: 0.93, 6: 0.95}.get(DAYS[day].weekday(), 1.0) * (1 + wave)
    level *= 0.62 if day == OUTAGE else 1.25 if day in CAMPAIGN and where.value != "organic" else 1.0
    dau = round(users * level)
    actions = round(dau * per_user * (1 + wave / 2))
    if where.service is MESSAGE:
        return Figures(dau, actions, new_users=round(dau / 5))
    likes = round(actions * (0.171 + 0.1 * wave))
    return Figures(dau, actions, actions - likes, likes, 200 + day % 7 * 6, round(dau / 17), 90 + day % 5 * 4)


def _plus(one: Figures, other: Figures) -> Figures:
    both = {name: (getattr(one, name), getattr(other, name)) for name in Figures.__dataclass_fields__}
    return Figures(**{k: None if None in pair else sum(pair) for k, pair in both.items()})


def changed(frame: AppFrame, figures: Callable[[Slice, int, Figures], Figures]) -> AppFrame:
    """The frame with other figures, each from its slice, its day's place and what it was."""
    series = {
        where: tuple(figures(where, day, one) for day, one in enumerate(days)) for where, days in frame.series.items()
    }
    return AppFrame(frame.days, series, None, None, Audience(), Audience(), ())


def times(figures: Figures, factor: int) -> Figures:
    """All counts that many times as large."""
    found = {name: getattr(figures, name) for name in Figures.__dataclass_fields__}
    return Figures(**{name: None if value is None else value * factor for name, value in found.items()})


def moves(frame: AppFrame, unusual: dict[tuple[Slice, str], tuple[float, float]]) -> list[Move]:
    """A move for every figure of the last day; those named have this change and score and are unusual."""
    found = []
    for where, days in frame.series.items():
        for metric in METRICS:
            value = days[-1].value(metric)
            if value is not None:
                change, score = unusual.get((where, metric), (0.01, 0.5))
                found.append(
                    Move(where, metric, value, value / (1 + change), change, score, (where, metric) in unusual)
                )
    return found


USUAL = month()
NO_FIGURES = changed(USUAL, lambda where, day, one: Figures())
ZERO = Figures(0, 0, 0, 0, 0, 0, 0)
EVERYTHING = {
    (where, metric): (-0.3, -9.0) if len(metric) % 2 else (14.0, 30.0) for where in USUAL.series for metric in METRICS
}
CASES: dict[str, tuple[AppFrame, list[Move]]] = {
    "a usual month": (USUAL, moves(USUAL, {})),
    "gaps": (month(missing=(3, 4, 5, 12, 20, 22, 23)), []),
    "nothing for the report day and the week before": (month(missing=(23, 30)), []),
    "no figure at all": (NO_FIGURES, []),
    "no slice at all": (AppFrame(DAYS, {}, None, None, Audience(), Audience(), ()), []),
    "zeros": (changed(USUAL, lambda where, day, one: ZERO), []),
    "one day": (month(missing=tuple(range(30))), []),
    "every second day": (month(missing=tuple(range(1, 30, 2))), []),
    "long names": (
        month(LONG_NAMES),
        moves(month(LONG_NAMES), {(Slice(FEED, "country", LONG_NAMES[3]), "ctr"): (1, 9)}),
    ),
    "billions": (changed(USUAL, lambda where, day, one: times(one, 1_000_003)), []),
    "a handful": (changed(USUAL, lambda where, day, one: Figures(day % 3, day % 5, day % 4, day % 2, 1, 0, 1)), []),
    "all alike": (changed(USUAL, lambda where, day, one: Figures(1000, 40_000, 33_000, 7_000, 220, 30, 9)), []),
    "collapse": (changed(USUAL, lambda where, day, one: one if day < 30 else Figures(9, 31, 30, 1, 2, 0, 0)), []),
    "all unusual": (USUAL, moves(USUAL, EVERYTHING)),
}
