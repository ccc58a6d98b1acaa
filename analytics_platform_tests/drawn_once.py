"""The news feed's chart, drawn once for the same figures and language: a third of the CPU of whoever makes the report.

Belongs here: remembering it, for tests of what becomes of a report. Does not: tests of the chart itself (`charts/`).
"""

from collections.abc import Mapping

import pytest

from analytics_platform.metrics.frames import FeedFrame
from analytics_platform.reports.base import Rendering
from analytics_platform.reports.feed_daily import FeedDaily

Known = dict[tuple[FeedFrame, str], Mapping[str, bytes]]


def draw_once(patch: pytest.MonkeyPatch) -> Known:
    """What is drawn from now on until the patch is undone; without an entry, it is drawn anew."""
    known: Known = {}
    draw = FeedDaily.draw

    def drawn(self: FeedDaily, frame: FeedFrame, rendering: Rendering) -> Mapping[str, bytes]:
        key = frame, rendering.language.code  # all that the chart depends on
        if key not in known:
            known[key] = draw(self, frame, rendering)
        return dict(known[key])

    patch.setattr(FeedDaily, "draw", drawn)
    return known
