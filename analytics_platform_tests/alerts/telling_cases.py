"""Incidents to tell of: one of each kind, in Moscow on 20 November 2026, for the tests of texts and charts.

Belongs here: views. Does not: assertions.
"""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from analytics_platform.alerts.feedback import Verdict
from analytics_platform.alerts.findings import Severity, What
from analytics_platform.alerts.incident import Reason, Status
from analytics_platform.alerts.telling_views import IncidentView, LateView, Member

ZONE = ZoneInfo("Europe/Moscow")


def at(hour: int, minute: int = 0, day: int = 20) -> datetime:
    """A moment of November 2026, local."""
    return datetime(2026, 11, day, hour, minute, tzinfo=ZONE)


LIKES = Member(
    "feed",
    "likes",
    1140.0,
    2990.0,
    2600.0,
    3400.0,
    previous=2530.0,
    yesterday=2850.0,
    week_ago=2923.0,
    worst=310.0,
    worst_expected=2990.0,
    lost=-4520.4,
)
VIEWS = Member(
    "feed",
    "views",
    8000.0,
    13_828.0,
    12_000.0,
    15_400.0,
    previous=9000.0,
    yesterday=13_400.0,
    worst=8000.0,
    worst_expected=13_828.0,
    lost=-9000.0,
    fresh=True,
)
CTR = Member(
    "feed",
    "ctr",
    0.1425,
    0.2162,
    0.2,
    0.23,
    share=True,
    previous=0.28,
    yesterday=0.21,
    week_ago=0.2162,
    worst=0.1425,
    worst_expected=0.2162,
    lost=-590.0,
    lost_metric="likes",
)
IOS = replace(LIKES, dimension="os", value="iOS", now=100.0, expected=900.0, low=800.0, high=1000.0)
WHY = ("84% of the loss is OS: iOS.", "The rest is as usual.")
UI = "http://127.0.0.1:3000/assets/series/quarter_hour"

OPEN = IncidentView(
    17,
    Status.OPEN,
    Severity.CRITICAL,
    at(13, 15),
    at(13, 30),
    (LIKES, VIEWS, CTR),
    explanation=WHY,
    notes=("release 3.2 at 14:00",),
    link=UI,
)
ONE = replace(OPEN, members=(LIKES,), notes=())
ZERO = replace(ONE, members=(replace(LIKES, now=0.0, what=What.ZERO),))
SLIDE = replace(
    ONE,
    severity=Severity.WARNING,
    members=(replace(VIEWS, now=12_100.0, what=What.SLIDE),),
    explanation=(),
    link=None,
)
FREEZE = replace(ONE, members=(replace(LIKES, what=What.FREEZE),))
UNKNOWN = replace(
    ONE,
    members=(
        Member(
            "feed",
            "likes",
            float("nan"),
            float("inf"),
            float("-inf"),
            float("nan"),
            previous=0.0,
            yesterday=float("nan"),
            worst=float("inf"),
            lost=float("nan"),
        ),
    ),
)
HELD = replace(ONE, acknowledged_by="anna", muted_until=at(18), since=at(23, 45, day=19))
RECOVERED = replace(OPEN, status=Status.RECOVERED, reason=Reason.RECOVERED, ended=at(14, 30), last=at(14, 30))
CLOSED = replace(
    OPEN,
    status=Status.CLOSED,
    reason=Reason.CLOSED,
    closed_as=Reason.CLOSED,
    ended=at(14, 30),
    last=at(15),
    verdict=Verdict.FALSE_ALARM,
    judged_by="anna",
)
LATE = LateView(18, "feed_actions", ("feed",), at(13, 5), at(13, 45), arriving=("message_actions",), link=UI)
THERE = replace(LATE, ended=at(14, 10))

CARDS: dict[str, IncidentView | LateView] = {
    "open": OPEN,
    "one": ONE,
    "zero": ZERO,
    "slide": SLIDE,
    "freeze": FREEZE,
    "unknown": UNKNOWN,
    "held": HELD,
    "recovered": RECOVERED,
    "closed": CLOSED,
    "new normal": replace(CLOSED, closed_as=Reason.NEW_NORMAL, verdict=Verdict.NEW_NORMAL),
    "lost": replace(CLOSED, closed_as=Reason.LOST, reason=Reason.LOST, verdict=None),
    "by hand": replace(CLOSED, closed_as=Reason.BY_HAND, verdict=Verdict.EXPECTED),
    "late": LATE,
    "there": THERE,
}
