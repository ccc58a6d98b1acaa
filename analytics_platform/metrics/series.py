"""series/quarter_hour: watched metrics of every 15 minutes.

Belongs here: which series there are. Does not: SQL statements (`queries/`), judging them (`detectors/`, `alerts/`).
"""

from dataclasses import dataclass
from datetime import timedelta

from analytics_platform.metrics.dimensions import TOTAL

BUCKET = timedelta(minutes=15)
EVERYBODY = "all"


@dataclass(frozen=True, order=True)
class SeriesKey:
    """One series: a metric of the catalogue in a service (feed, messenger), in total or of one slice."""

    service: str
    metric: str
    dimension: str = TOTAL
    value: str = EVERYBODY

    @property
    def is_total(self) -> bool:
        """Whether it counts everybody."""
        return self.dimension == TOTAL

    def __str__(self) -> str:
        return f"{self.service} {self.metric}" + ("" if self.is_total else f" {self.dimension}={self.value}")
