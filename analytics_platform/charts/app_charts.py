"""The 35 charts of the app report as figures and words: which lines each has, what is unusual in it, what it is called.

Belongs here: the list of charts, their order, the wording that picture and PDF share. Does not: drawing
(`app_panels.py`, `app_book.py`), what is unusual (`metrics/moves.py`), formats (`language.py`).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from analytics_platform.charts.scales import falls
from analytics_platform.charts.sheet import wide
from analytics_platform.language import Language
from analytics_platform.metrics.app import OTHER, RATIOS, SHARES, SLICED_BY, AppFrame, Service, Slice
from analytics_platform.metrics.dimensions import TOTAL
from analytics_platform.metrics.events import UNKNOWN
from analytics_platform.metrics.frames import growth
from analytics_platform.metrics.moves import Move

GROUPS = ("app", "feed", "feed_slices", "chat")
SERVICE = "service"  # the dimension whose values are the services

_FEED = (
    "dau",
    "actions",
    "ctr",
    "actions_per_user",
    "active_posts",
    "actions_per_post",
    "new_users",
    "new_posts",
)
_SLICED_FEED = ("dau", "actions", "ctr", "actions_per_user")
_SLICED_CHAT = ("dau", "actions", "actions_per_user")

UP, DOWN = "▲", "▼"


@dataclass(frozen=True)
class Line:
    """One slice's metric over the days of the frame; `move` only if what it did on the last day is unusual."""

    name: str
    where: Slice
    values: tuple[float | None, ...]
    move: Move | None

    @property
    def last(self) -> float | None:
        """The report day's figure."""
        return self.values[-1]

    @property
    def change(self) -> float | None:
        """Relative change of the report day to the same weekday a week before."""
        return growth(self.values[-1], self.values[-8])

    @property
    def sign(self) -> str:
        """UP or DOWN when unusual, else nothing."""
        return "" if self.move is None else UP if self.move.score > 0 else DOWN


@dataclass(frozen=True)
class Chart:
    """A metric in every value of one dimension: `total` or SERVICE or one of SLICED_BY."""

    group: str
    dimension: str
    metric: str
    lines: tuple[Line, ...]

    @property
    def signs(self) -> str:
        """Which way the unusual among its lines moved: one sign, both, or nothing."""
        found = {line.sign for line in self.lines}
        return "".join(sign for sign in (UP, DOWN) if sign in found)

    @property
    def zero(self) -> bool:
        """Whether all plots of its lines begin at zero: when one has to, so that the same fall looks alike in all."""
        return any(falls(line.values) for line in self.lines)

    @property
    def share(self) -> bool:
        """Shown as percent."""
        return self.metric in SHARES

    @property
    def whole(self) -> bool:
        """Counted, so never a fraction."""
        return self.metric not in RATIOS


def charts(frame: AppFrame, moves: Collection[Move], language: Language) -> dict[str, tuple[Chart, ...]]:
    """All charts by group, in the order in which they are read."""
    unusual: dict[tuple[Slice, str], Move] = {}
    for move in sorted(moves, key=lambda m: weight(m.score)):  # of two for one line the stronger stays
        if move.unusual:
            unusual[move.where, move.metric] = move

    def line(name: str, where: Slice, metric: str) -> Line:
        values = frame.values(where, metric) or (None,) * len(frame.days)
        clean = tuple(v if v is not None and math.isfinite(v) else None for v in values)
        return Line(name, where, clean, unusual.get((where, metric)))

    def chart(group: str, service: Service, dimension: str, metric: str) -> Chart:
        if dimension == TOTAL:
            return Chart(group, dimension, metric, (line(service_name(service, language), Slice(service), metric),))
        slices = frame.slices(service, dimension)
        lines = tuple(line(value_name(where.value, language), where, metric) for where in slices)
        return Chart(group, dimension, metric, lines)

    def services(metric: str) -> Chart:
        lines = tuple(line(service_name(service, language), Slice(service), metric) for service in Service)
        return Chart("app", SERVICE, metric, lines)

    feed, chat = Service.FEED, Service.MESSAGE
    return {
        "app": tuple(services(metric) for metric in ("dau", "actions_per_user")),
        "feed": tuple(chart("feed", feed, TOTAL, metric) for metric in _FEED),
        "feed_slices": tuple(chart("feed_slices", feed, d, metric) for d in SLICED_BY for metric in _SLICED_FEED),
        "chat": (
            *(chart("chat", chat, TOTAL, metric) for metric in (*_SLICED_CHAT, "new_users")),
            *(chart("chat", chat, d, metric) for d in SLICED_BY for metric in _SLICED_CHAT),
        ),
    }


def weight(score: float) -> float:
    """How far from usual, either way; 0 when nobody knows."""
    return 0.0 if math.isnan(score) else abs(score)


def group_name(group: str, language: Language) -> str:
    """What a panel and its PDF pages are headed with."""
    names = {
        "app": language.say("App"),
        "feed": language.say("Feed"),
        "feed_slices": language.say("Feed by slice"),
        "chat": language.say("Chat"),
    }
    return names[group]


def service_name(service: Service, language: Language) -> str:
    """The service as a reader knows it."""
    names: Mapping[Service, str] = {
        Service.APP: language.say("App"),
        Service.FEED: language.say("Feed"),
        Service.MESSAGE: language.say("Chat"),
    }
    return names[service]


def value_name(value: str, language: Language) -> str:
    """A dimension's value as it is in the data; translated is only what the platform itself names."""
    return {OTHER: language.say("other"), UNKNOWN: language.say("unknown")}.get(value, value)


def dimension_name(dimension: str, language: Language) -> str:
    """The slice in a heading."""
    names = {
        TOTAL: language.say("Total"),
        SERVICE: language.say("Service"),
        "source": language.say("Source"),
        "os": language.say("OS"),
        "country": language.say("Country"),
    }
    return names[dimension]


def metric_name(group: str, metric: str, language: Language) -> str:
    """The metric in a heading; a chat's actions are messages."""
    names = {
        "dau": language.say("Users (DAU)"),
        "actions": language.say("Actions"),
        "actions_per_user": language.say("Actions per user"),
        "ctr": language.say("CTR"),
        "active_posts": language.say("Active posts"),
        "actions_per_post": language.say("Actions per post"),
        "new_users": language.say("New users"),
        "new_posts": language.say("New posts"),
    }
    if group == "chat":
        names |= {"actions": language.say("Messages"), "actions_per_user": language.say("Messages per user")}
    return names[metric]


def column_name(group: str, metric: str, language: Language) -> str:
    """The metric where a column is narrow."""
    names = {
        "dau": language.say("DAU"),
        "actions_per_user": language.say("Per user"),
        "new_users": language.say("Newcomers"),
    }
    return names.get(metric) or metric_name(group, metric, language)


def chart_title(chart: Chart, language: Language) -> str:
    """The chart's whole name."""
    return language.say(
        "Slice: {slice}, metric: {metric}",
        slice=dimension_name(chart.dimension, language),
        metric=metric_name(chart.group, chart.metric, language),
    )


def full(chart: Chart, value: float | None, language: Language) -> str:
    """A figure to quote: counts and large ratios whole, small ratios with a decimal, shares with two."""
    if chart.share:
        return language.percent(value)
    return language.compact(value) if not chart.whole and (value or 0) < 1000 else language.count(value)


def short(chart: Chart, value: float | None, language: Language) -> str:
    """A figure where room is scarce: three digits or so."""
    if value is None or (chart.whole and value < 10_000):
        return full(chart, value, language)
    # Where a language's thousands are long ("18,4 тыс."), the number in full is the shorter one.
    rounded = language.compact(float(f"{value:.3g}"), share=chart.share)
    return min(rounded, full(chart, value, language), key=lambda text: wide(text, bold=False))


def brief(change: float | None, language: Language) -> str:
    """A relative change in short: a decimal below 10 %, none above, from the elevenfold on its multiple.

    Nothing where it is unknown.
    """
    if change is None or not math.isfinite(change):
        return ""
    if change >= 10:
        return f"×{language.compact(round(change + 1))}"
    size = round(abs(change), 3 if abs(change) < 0.0995 else 2)
    sign = "" if size == 0 else "+" if change > 0 else "-"
    return sign + language.compact(size, share=True)


def ticked(chart: Chart, ticks: Sequence[float], language: Language) -> list[str]:
    """An axis' numbers, all in the same form: in short or in full, whichever takes less room."""
    forms = [[language.compact(tick, share=chart.share) for tick in ticks]]
    if chart.whole or all(float(tick).is_integer() for tick in ticks):
        forms.append([language.count(tick) for tick in ticks])
    return min(forms, key=lambda texts: max((wide(text, bold=False) for text in texts), default=0))


def told(line: Line, language: Language) -> str:
    """The line's change in short, to a week before; of an unusual one to what was expected, its sign a triangle."""
    if line.move is None:
        return brief(line.change, language)
    return line.sign + brief(line.move.change, language).lstrip("+-")


def weekly(days: tuple[date, ...]) -> range:
    """The places of the report day and the same weekdays before it, which axes name."""
    return range((len(days) - 1) % 7, len(days), 7)
