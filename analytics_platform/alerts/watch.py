"""How a metric is watched: detector, sensitivity, direction, smallest change, smallest base, quiet hours.

Belongs here: the rule of one metric, its words, and which rule a series has. Does not: judging by it (`judging.py`),
reading settings. Light: no numpy.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from types import MappingProxyType
from zoneinfo import ZoneInfo

from analytics_platform.alerts.findings import Direction
from analytics_platform.detectors import DEFAULT, DETECTORS
from analytics_platform.metrics.series import SeriesKey
from analytics_platform.wording import Words, read_words

SENSITIVITY = (0.1, 10.0)
# A slice is one of many: looked at with the eye for the total, some slice is always out of its band.
SLICE_SENSITIVITY = 0.7
# A ratio of a few events strays by itself: of 200 views at 20 %, by a seventh.
RATIO_BASE = 10.0


@dataclass(frozen=True)
class Rule:
    """How one metric is watched.

    `sensitivity`: 1 alerts where the detector does by itself, 2 at half the deviation, 0.5 at twice. `direction`: None
    for both. `min_change`: changes against expectation that are smaller shares than this are ignored. `min_base`: with
    fewer events or users in a bucket, expected and there, nothing is said; a ratio needs ten times as many in its
    denominator. `quiet`: local
    hours in which only what is critical is told at once; the rest waits until they are over. `slices`: whether slices
    are judged, too.
    """

    detector: str = DEFAULT
    sensitivity: float = 1.0
    direction: Direction | None = None
    min_change: float = 0.1
    min_base: float = 20.0
    quiet: tuple[time, time] | None = None
    slices: bool = True

    def is_quiet(self, moment: datetime, zone: ZoneInfo) -> bool:
        """Whether the aware moment lies in the quiet hours; they may span midnight."""
        if self.quiet is None:
            return False
        begins, ends = self.quiet
        local = moment.astimezone(zone).time()
        return begins <= local < ends if begins <= ends else local >= begins or local < ends


@dataclass(frozen=True)
class Watch:
    """The rules of all metrics: `default`, and those of single metrics by catalogue name."""

    default: Rule = field(default_factory=Rule)
    metrics: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}))

    def rule(self, metric: str) -> Rule:
        """The rule of a metric."""
        return self.metrics.get(metric, self.default)

    def sensitivity(self, series: SeriesKey) -> float:
        """The sensitivity with which a series is judged: slices with less than their total."""
        return self.rule(series.metric).sensitivity * (1.0 if series.is_total else SLICE_SENSITIVITY)

    def watches(self, series: SeriesKey) -> bool:
        """Whether the series is judged at all."""
        return series.is_total or self.rule(series.metric).slices

    def with_sensitivity(self, factors: Mapping[str, float]) -> "Watch":
        """The same with the sensitivities of some metrics multiplied: what feedback has come to."""
        changed = {
            metric: replace(self.rule(metric), sensitivity=_within(self.rule(metric).sensitivity * factor))
            for metric, factor in factors.items()
        }
        return replace(self, metrics={**self.metrics, **changed})


def _within(value: float) -> float:
    low, high = SENSITIVITY
    return min(max(value, low), high)


def parse_rule(text: str, inherited: Rule | None = None) -> Rule:
    """A rule in words such as `sensitivity=1.2 direction=down min_change=0.05 quiet=23:00-07:00`.

    Words that are not there are inherited. Raises ValueError: one sentence, without a full stop, that names the word
    and what is expected.
    """
    return replace(inherited or Rule(), **read_words(text, _WORDS))  # type: ignore[arg-type]  # each word's reader gives its field's type


def parse_rules(text: str, default: Rule) -> Mapping[str, Rule]:
    """Rules of single metrics, `ctr: min_change=0.05; likes: sensitivity=1.5 direction=down`, each inheriting from the
    default. Raises ValueError naming the metric and the word."""
    found: dict[str, Rule] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, sign, words = part.partition(":")
        name = name.strip()
        if not sign:
            raise ValueError(f"{part!r} cannot be read; write `metric: words; metric: words`")
        if name in found:
            raise ValueError(f"{name} is there twice; write each metric once")
        try:
            found[name] = parse_rule(words, default)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _detector(text: str) -> str:
    if text not in DETECTORS:
        raise ValueError
    return text


def _hours(text: str) -> tuple[time, time] | None:
    if text == "none":
        return None
    match = re.fullmatch(r"(\d{1,2}:\d\d)-(\d{1,2}:\d\d)", text)
    if not match:
        raise ValueError
    begins, ends = (time.fromisoformat(part.zfill(5)) for part in match.groups())
    if begins == ends:
        raise ValueError
    return begins, ends


_WORDS: Words = {
    "detector": (_detector, f"one of {', '.join(DETECTORS)}"),
    "sensitivity": (_number(*SENSITIVITY), "a number from 0.1 to 10; 1 is the detector's own"),
    "direction": (
        lambda text: {"up": Direction.UP, "down": Direction.DOWN, "both": None}[text],
        "up, down or both",
    ),
    "min_change": (_number(0, 10), "a share such as 0.1, or 0 for off"),
    "min_base": (_number(0, 1e12), "a number of events or users a quarter of an hour, or 0 for off"),
    "quiet": (_hours, "hours such as 23:00-07:00, or none"),
    "slices": (lambda text: {"on": True, "off": False}[text], "on or off"),
}
