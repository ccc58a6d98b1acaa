"""Charts drawn once for the same figures and language: a third of the CPU of whoever makes the feed's report, and more
of the app's.

Belongs here: remembering them, for tests of what becomes of a report. Does not: tests of the charts themselves
(`charts/`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from analytics_platform.charts import app_daily
from analytics_platform.language import Language
from analytics_platform.metrics.app import AppFrame
from analytics_platform.metrics.frames import FeedFrame
from analytics_platform.metrics.moves import Move
from analytics_platform.reports.base import Rendering
from analytics_platform.reports.feed_daily import FeedDaily

# What was drawn, by all that it depends on.
Known = dict[tuple[object, ...], Any]


def draw_once(patch: pytest.MonkeyPatch) -> Known:
    """What is drawn from now on until the patch is undone; without an entry, it is drawn anew."""
    known: Known = {}
    draw_feed, draw_app = FeedDaily.draw, app_daily.draw

    def feed(self: FeedDaily, frame: FeedFrame, rendering: Rendering) -> Mapping[str, bytes]:
        key = frame, rendering.language.code
        if key not in known:
            known[key] = draw_feed(self, frame, rendering)
        return dict(known[key])

    def app(frame: AppFrame, moves: Iterable[Move], language: Language) -> app_daily.AppCharts:
        moves = tuple(moves)
        key = repr(frame), repr(moves), language.code  # it holds mappings, which are no keys
        if key not in known:
            known[key] = draw_app(frame, moves, language)
        drawn: app_daily.AppCharts = known[key]
        return drawn

    patch.setattr(FeedDaily, "draw", feed)
    patch.setattr(app_daily, "draw", app)
    return known
