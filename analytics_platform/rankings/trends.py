"""How much an item moved, and whether that is a trend: the formulas of both modes.

Belongs here: change, trending score, direction. Does not: the test (`significance.py`), which items are shown
(`ranked.py`). Imported lazily only: numpy is imported at the top.
"""

from dataclasses import dataclass

import numpy as np

from analytics_platform.rankings import significance
from analytics_platform.rankings.items import Bools, Floats, Items
from analytics_platform.rankings.plan import MILLION, Plan
from analytics_platform.rankings.ranking import Direction

# Percent; a change that is not beyond it has no direction.
_MOVED = 10.0


def compat(recent: float, previous: float) -> tuple[float, float, Direction]:
    """Trending score (2 decimals), velocity in percent (1) and direction by the formulas of the replaced worker.

    Scores have two decimals already there, which decides when a previous score is nothing. Its trending score adds a
    tenth of the percents to a score, and a negative previous score turns the sign of the change.
    """
    new = 100.0 if recent > 0 else 0.0
    velocity = (recent - previous) / previous * 100 if previous else new
    direction: Direction = "up" if velocity > _MOVED else "down" if velocity < -_MOVED else "stable"
    return round(recent + 0.1 * velocity, 2), round(velocity, 1), direction


@dataclass(frozen=True)
class Movements:
    """The items' movements in rates a day. `p_value` is nan where the audience is too small for a test."""

    recent: Floats
    previous: Floats
    velocity: Floats
    trending_score: Floats
    p_value: Floats
    up: Bools
    down: Bools

    def direction(self, row: int) -> Direction:
        """Of one item."""
        return "up" if self.up[row] else "down" if self.down[row] else "stable"


def normalised(items: Items, plan: Plan) -> Movements:
    """Change of the rates, and a direction only where the change is no noise and enough persons are behind it.

    The velocity is taken against the previous rate plus `plan.smoothing`, so that it is finite for what is new and
    small for what is tiny. The trending score is the recent rate plus its change: score units a day like both, where
    the replaced formula added percents to a score, so that a jump from 1 to 2 outdid a rise from 1,000 to 1,009.
    """
    recent = items.counts["score_recent"] / MILLION / plan.days("recent")
    previous = items.counts["score_previous"] / MILLION / plan.days("previous")
    change = recent - previous
    velocity = 100 * change / (np.maximum(previous, 0) + plan.smoothing)

    persons = items.counts["users_recent"].astype(np.float64)
    before = items.counts["audience_previous"].astype(np.float64)
    squares = items.counts["audience_squares"].astype(np.float64)
    heard = persons + before >= plan.min_audience
    p_value = np.full(len(items), np.nan)
    spread = significance.spread(before[heard], squares[heard], plan.slices)
    p_value[heard] = significance.p_values(persons[heard], before[heard], change[heard] > 0, plan.slices, spread)
    certain = significance.discoveries(p_value, plan.significance)
    return Movements(
        recent,
        previous,
        velocity,
        recent + change,
        p_value,
        certain & (velocity > _MOVED),
        certain & (velocity < -_MOVED),
    )
