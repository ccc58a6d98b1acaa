"""How funnels run: which there are, the lists they lead to, how far back and forward they look.

Belongs here: the rules as values, checked. Does not: applying them, reading settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

# What the mailing service knows of a contact by these names; syncs write no others.
ATTRIBUTES = ("FUNNEL_TYPE", "CERTIFICATE_PURCHASED", "CERTIFICATE_PURCHASED_AT")

_LONGEST = timedelta(days=3660)


class FunnelType(StrEnum):
    """What the test was about. The certificate that counts as the purchase is of the same kind."""

    LANGUAGE = "language"
    NON_LANGUAGE = "non_language"


@dataclass(frozen=True)
class FunnelPlan:
    """The rules of both funnels. ValueError, in one sentence, for a value that makes no sense.

    `lists`: the mailing service's list that each funnel leads to; a number under 1 skips the funnel. `window`: only
    tests taken within it before now are looked at. `batch`: how many people enter a funnel in one sync, the newest
    tests first; 0: all. `attribution`: a purchase counts from the moment of entry (included) until so long after it
    (excluded). `statuses`: the values of a test's status that count as taken; empty: any.
    """

    lists: Mapping[FunnelType, int] = field(default_factory=dict)
    window: timedelta = timedelta(days=30)
    batch: int = 1000
    attribution: timedelta = timedelta(days=30)
    statuses: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, length in (("window", self.window), ("attribution window", self.attribution)):
            if not timedelta(0) < length <= _LONGEST:
                raise ValueError(f"the {name} of a funnel must be above 0 and at most ten years, not {length}")
        if self.batch < 0:
            raise ValueError(f"the batch of a funnel must be 0 (all) or more, not {self.batch}")

    @property
    def active(self) -> tuple[FunnelType, ...]:
        """The funnels that people enter."""
        return tuple(kind for kind in FunnelType if self.lists.get(kind, 0) > 0)
