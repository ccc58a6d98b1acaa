"""What a look at one bucket found: the vocabulary that judging, incidents, explanation and replay share.

Belongs here: findings and their severity. Does not: how they are found, what becomes of them. Light: no numpy.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from analytics_platform.metrics.series import SeriesKey


class Direction(StrEnum):
    """Which way."""

    UP = "up"
    DOWN = "down"


class What(StrEnum):
    """What is unusual; the names of `detectors.base.Sign`, and data that is late."""

    ZERO = "zero"
    FREEZE = "freeze"
    JUMP = "jump"
    LEVEL = "level"
    SLIDE = "slide"


class Severity(StrEnum):
    """How bad."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Finding:
    """One unusual bucket of one series. `bucket`: its start, aware, UTC.

    `score`: 1 at the threshold in force for the series. `value`: as measured; `expected`, `low`, `high`: what was held
    for usual. `what`, `direction`: what is unusual and which way. `base`: the denominator of a ratio.
    """

    series: SeriesKey
    bucket: datetime
    what: What
    direction: Direction
    severity: Severity
    score: float
    value: float
    expected: float
    low: float
    high: float
    base: float | None = None


@dataclass(frozen=True)
class Reading:
    """A bucket of a series of an open incident that is no finding: `usual` is whether it is back within the band."""

    series: SeriesKey
    bucket: datetime
    value: float | None
    expected: float | None
    usual: bool
