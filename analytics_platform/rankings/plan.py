"""How a ranking is to be made: weights of event types, decay, windows, what counts as a trend.

Belongs here: these choices, their checks and what follows from them by arithmetic alone. Does not: where they are set
(`settings.py`), the statement (`counting.py`), what becomes of its rows (`ranked.py`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from analytics_platform.metrics.windows import Window

RANKED_BY = ("country", "category")

# The group of events that name no country or category.
UNKNOWN = "Unknown"

# Videos shown of a group.
TOP_VIDEOS: Mapping[str, int] = MappingProxyType({"country": 10, "category": 5})

# Score units by event type. A type that is not named here scores nothing and is reported as unknown.
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "video_view": 1.0,
        "video_share": 3.0,
        "video_favorite": 2.5,
        "video_replay": 2.0,
        "video_skip": -0.5,
        "cagnotte_detail_view": 1.5,
    }
)

# What is left of an event's weight at least, however old it is.
FLOOR = 0.01

# Scores of events are whole numbers of these, so that sums are exact and the same on every engine.
MILLION = 1_000_000

# With it, the score of a single event stays below 10^9 millionths, and 9 thousand million of them fit a BIGINT.
_HEAVIEST = 1000.0

# Slices of the previous window: with the recent one, each is a bit of a number of 64 of which none is negative.
MOST_SLICES = 61

_DAY = timedelta(days=1)

Which = Literal["recent", "previous"]


class Mode(StrEnum):
    """`compat`: the formulas of the replaced worker, whose decay runs from `as_of` through both windows, and whose sums
    over windows of different length are compared. `normalised`: rates per day, so that steady traffic moves by 0 %.
    """

    COMPAT = "compat"
    NORMALISED = "normalised"


@dataclass(frozen=True)
class Plan:
    """How a ranking is made. ValueError in one sentence for values that make none.

    `weights`: score units an event of each type is worth when it is new. Its score falls with age as
    exp(-age / `decay_days`), an e-folding, not a half-life, and not below `FLOOR` of the weight.
    `recent`: length of the window that is ranked, `previous`: of the window before it, a whole multiple. Where `recent`
    is whole days, the rhythm of the day is in both and cancels out.
    `smoothing`: score units a day that are added to the previous rate before the change is divided by it. 10 are ten
    views a day: what nobody looked at yesterday and two look at today moves by 20 %, not by an infinity, while a rate
    in the hundreds hardly feels it. Only in `normalised`.
    `min_audience`: persons (each counted once in a slice as long as `recent`) in both windows together without whom
    nothing is a trend. `significance`: share of false ones accepted among the trends of one kind (see
    `significance.py`). Both only in `normalised`.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS, hash=False)
    decay_days: float = 1.0
    recent: timedelta = timedelta(hours=24)
    previous: timedelta = timedelta(hours=48)
    mode: Mode = Mode.NORMALISED
    smoothing: float = 10.0
    min_audience: int = 20
    significance: float = 0.05

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            _check_weight(name, weight)
        if not any(self.weights.values()):
            raise ValueError("no event type weighs anything, so nothing can be ranked; give one a weight")
        if not (math.isfinite(self.decay_days) and self.decay_days > 0):
            raise ValueError(f"scores cannot decay over {self.decay_days:g} days; write a number of days above 0")
        if self.recent < timedelta(minutes=1):
            raise ValueError(f"a recent window of {self.recent} is too short; write at least a minute")
        if self.previous < self.recent or self.previous % self.recent:
            raise ValueError(
                f"the previous window of {self.previous} is not a whole multiple of the recent one of {self.recent}"
            )
        if self.slices > MOST_SLICES:
            raise ValueError(
                f"the previous window of {self.previous} is {self.slices} times the recent one of {self.recent}; "
                f"{MOST_SLICES} times are the most"
            )
        if not (math.isfinite(self.smoothing) and self.smoothing > 0):
            raise ValueError(f"a smoothing of {self.smoothing:g} is impossible; write score units a day above 0")
        if self.min_audience < 1:
            raise ValueError(f"a smallest audience of {self.min_audience} is impossible; write 1 or more persons")
        if not 0 < self.significance < 1:
            raise ValueError(f"a significance of {self.significance:g} is not between 0 and 1; write one such as 0.05")
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))

    @property
    def slices(self) -> int:
        """How many slices, each as long as the recent window, the previous one has."""
        return self.previous // self.recent

    def windows(self, as_of: datetime) -> tuple[Window, Window]:
        """The recent window, which ends with `as_of` (excluded), and the previous one, which ends where that begins.

        `as_of` is aware, or naive UTC; the windows are naive UTC, as event tables store times.
        """
        end = naive_utc(as_of)
        begin = end - self.recent
        return Window(begin, end), Window(begin - self.previous, begin)

    def anchors(self, as_of: datetime) -> tuple[datetime, datetime]:
        """The moments (naive UTC) from which ages count backwards in the recent and in the previous window."""
        recent, previous = self.windows(as_of)
        return recent.end, (recent.end if self.mode is Mode.COMPAT else previous.end)

    def days(self, which: Which) -> float:
        """What a sum of scores of that window is divided by.

        `normalised`: the days that the window is worth with its decay, so that the quotient is a rate per day.
        `compat`: 1, as sums are compared there.
        """
        if self.mode is Mode.COMPAT:
            return 1.0
        length = (self.recent if which == "recent" else self.previous) / _DAY
        # The integral of max(exp(-age / decay), floor): from some age on, only the floor is left.
        floored = -self.decay_days * math.log(FLOOR)
        decaying = -self.decay_days * math.expm1(-min(length, floored) / self.decay_days)
        return decaying + FLOOR * max(length - floored, 0.0)


def naive_utc(moment: datetime) -> datetime:
    """The moment as event tables store it; a naive one is UTC already."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def parse_weights(text: str) -> Mapping[str, float]:
    """The weights of `video_view=1, video_share=3`, over those of `WEIGHTS`: types that are not named keep theirs.

    A type with 0 scores nothing and is known none the less. ValueError says which entry cannot be read.
    """
    weights = dict(WEIGHTS)
    named: set[str] = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, sign, number = (part.strip() for part in entry.partition("="))
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not sign or not name or math.isnan(weight):
            raise ValueError(f"{entry!r} is not a weight; write entries such as video_view=1, video_share=3")
        if name in named:
            raise ValueError(f"the weight of {name} is given twice; leave one")
        _check_weight(name, weight)
        named.add(name)
        weights[name] = weight
    if not any(weights.values()):
        raise ValueError("no event type weighs anything, so nothing can be ranked; give one a weight")
    return MappingProxyType(weights)


def _check_weight(name: str, weight: float) -> None:
    if not name:
        raise ValueError("a weight has no event type; write entries such as video_view=1")
    if not (math.isfinite(weight) and abs(weight) <= _HEAVIEST):
        raise ValueError(f"{name} cannot weigh {weight:g}; write a number from -{_HEAVIEST:g} to {_HEAVIEST:g}")
