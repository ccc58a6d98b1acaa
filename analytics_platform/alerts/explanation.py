"""What carries a move: the answer as plain data, and as sentences in the reader's language.

Belongs here: the vocabulary of explanations, JSON, wording. Does not: finding the answer (`explain.py`). Light.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from analytics_platform.alerts.findings import Direction
from analytics_platform.language import Language
from analytics_platform.metrics.events import UNKNOWN


class Verdict(StrEnum):
    """What is to be told."""

    SLICE = "slice"  # one slice carries it
    SLICES = "slices"  # two do
    BROAD = "broad"  # nothing stands out
    MIX = "mix"  # of a ratio: the parts are as ever, their weights are not
    NOT_ENOUGH = "not_enough"  # too little happened, then or now, to tell


@dataclass(frozen=True)
class Part:
    """One condition: a dimension and one or several of its values, the largest first."""

    dimension: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Slice:
    """A slice named: everybody who meets all of its parts.

    `value`, `expected`: of the metric in the incident's window; a ratio is a share (0.2). `share`: its part of the
    whole change against expectation, 1 for all of it, more where the others moved the other way. `score`: how far it
    stands out from the rest, in standard deviations. Of a mix, `value` and `expected` are the slice's part of the base.
    """

    parts: tuple[Part, ...]
    value: float
    expected: float
    share: float
    score: float


@dataclass(frozen=True)
class Line:
    """One value of one dimension, for the table of all. `named`: it is part of the answer. Terms as in `Slice`."""

    dimension: str
    value_name: str
    value: float
    expected: float
    share: float
    score: float
    named: bool


@dataclass(frozen=True)
class Explanation:
    """Which slices carry the move of a metric in a window, against what the windows before it lead to expect.

    `value`, `expected`: of everybody. `rest_value`, `rest_expected`: of all who are in none of `slices` (everybody
    where there are none); `rest_usual`: whether that is within what is usual. `mix`, `rate`: of a ratio, the parts of
    the change by other weights and by change within slices; 0 for counts. `lower`: of a mix, whether the named slice's
    ratio is always lower than that of the others. `lines`: every value of every dimension that is large enough to
    judge (at most 20 of a dimension), in the dimensions' order, largest first.
    """

    verdict: Verdict
    direction: Direction
    ratio: bool
    value: float
    expected: float
    slices: tuple[Slice, ...] = ()
    rest_value: float = 0.0
    rest_expected: float = 0.0
    rest_usual: bool = True
    mix: float = 0.0
    rate: float = 0.0
    lower: bool = False
    lines: tuple[Line, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain lists, texts and numbers; `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """What `to_json` gave. KeyError or ValueError where it is none."""
        plain = dict(kept)
        plain["verdict"], plain["direction"] = Verdict(plain["verdict"]), Direction(plain["direction"])
        plain["slices"] = tuple(
            Slice(**{**s, "parts": tuple(Part(p["dimension"], tuple(p["values"])) for p in s["parts"])})
            for s in plain["slices"]
        )
        plain["lines"] = tuple(Line(**line) for line in plain["lines"])
        return cls(**plain)


_WORDS = {
    "os": "OS",
    "city": "city",
    "country": "country",
    "source": "source",
    "age_group": "age",
    "gender": "gender",
    "male": "men",
    "female": "women",
    UNKNOWN: "unknown",
}
_ALL = 0.95  # of the change: nothing worth a word is left


def slice_name(parts: Sequence[Part], language: Language) -> str:
    """`city: Moscow, Saint Petersburg`, `OS: iOS and age: 20-29`. Plain text: names are as the events have them."""
    named = [
        f"{language.say(_WORDS.get(p.dimension, p.dimension))}: "
        + ", ".join(language.say(_WORDS[v]) if v in _WORDS else v for v in p.values)
        for p in parts
    ]
    return language.say(" and ").join(named)


def sentences(explanation: Explanation, language: Language) -> tuple[str, ...]:
    """One to three sentences that say what carries the move. Plain text, not escaped."""
    say = language.say
    match explanation.verdict:
        case Verdict.NOT_ENOUGH:
            return (say("Too little happened to tell which slices carry it."),)
        case Verdict.BROAD:
            return (say("No slice stands out: the change is broad."),)
        case Verdict.MIX:
            return _mix(explanation, language)
    down = explanation.direction is Direction.DOWN
    told = []
    for found in explanation.slices:
        numbers = {
            "slice": slice_name(found.parts, language),
            "value": _figure(found.value, explanation.ratio, language),
            "expected": _figure(found.expected, explanation.ratio, language),
        }
        if found.share >= _ALL:
            all_down = "All of the fall is {slice}: {value} instead of {expected}."
            all_up = "All of the rise is {slice}: {value} instead of {expected}."
            told.append(say(all_down if down else all_up, **numbers))
        else:
            part_down = "{share} of the fall is {slice}: {value} instead of {expected}."
            part_up = "{share} of the rise is {slice}: {value} instead of {expected}."
            told.append(say(part_down if down else part_up, share=_share(found.share, language), **numbers))
    if explanation.rest_usual:
        told.append(say("All else is as usual."))
    else:
        told.append(
            say(
                "All else: {value} instead of {expected}.",
                value=_figure(explanation.rest_value, explanation.ratio, language),
                expected=_figure(explanation.rest_expected, explanation.ratio, language),
            )
        )
    return tuple(told)


def _mix(explanation: Explanation, language: Language) -> tuple[str, ...]:
    say = language.say
    told = []
    for found in explanation.slices:
        more_low = "More of the base is {slice} ({value} instead of {expected}), where the ratio is always lower."
        more_high = "More of the base is {slice} ({value} instead of {expected}), where the ratio is always higher."
        less_low = "Less of the base is {slice} ({value} instead of {expected}), where the ratio is always lower."
        less_high = "Less of the base is {slice} ({value} instead of {expected}), where the ratio is always higher."
        more = found.value > found.expected
        key = (more_low if explanation.lower else more_high) if more else (less_low if explanation.lower else less_high)
        told.append(
            say(
                key,
                slice=slice_name(found.parts, language),
                value=_share(found.value, language),
                expected=_share(found.expected, language),
            )
        )
    change = explanation.mix + explanation.rate
    share = explanation.mix / change if change else 1.0
    if share >= _ALL:
        told.append(say("All of the change is such a mix; within slices the ratio is as usual."))
    else:
        told.append(say("{share} of the change is such a mix.", share=_share(share, language)))
    return tuple(told)


def _figure(value: float, ratio: bool, language: Language) -> str:
    return language.percent(value) if ratio else language.count(value)


def _share(share: float, language: Language) -> str:
    return language.compact(round(share, 2), share=True)
