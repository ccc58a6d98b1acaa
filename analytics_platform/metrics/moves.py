"""What moved on the report day: each figure against its own past, so that the unusual can be told from the usual.

Belongs here: the measure of a move and the choice of the one that stands out. Does not: wording, drawing, alerts.
"""

from dataclasses import dataclass

from analytics_platform.metrics.app import Slice


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
