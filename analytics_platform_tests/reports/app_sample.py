"""The documented sample of the app report as a frame: 20 October 2023, a Friday, with bases to compare it with.

Belongs here: making frames for tests of the report. Does not: any assertion.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date, timedelta

from analytics_platform.metrics.app import HORIZON_DAYS, AppFrame, Audience, Figures, Retention, Service, Slice

DAY = date(2023, 10, 20)
DAYS = tuple(DAY - timedelta(days=k) for k in range(HORIZON_DAYS - 1, -1, -1))
APP, FEED, CHAT = Slice(Service.APP), Slice(Service.FEED), Slice(Service.MESSAGE)

TODAY = {
    APP: Figures(dau=20_200, actions=764_882),
    FEED: Figures(18_379, 751_990, 623_236, 128_754, 220, 1_064, 90),
    CHAT: Figures(dau=2_060, actions=12_892, new_users=417),
}
YESTERDAY = {
    APP: Figures(dau=20_577, actions=701_156),
    FEED: Figures(18_706, 688_143, 569_448, 118_695, 215, 1_032, 85),
    CHAT: Figures(dau=2_121, actions=13_013, new_users=431),
}
# So is every day before yesterday: what is usual can be said without a calculator.
WEEK_AGO = {
    APP: Figures(dau=20_255, actions=748_600),
    FEED: Figures(18_500, 736_000, 610_000, 126_000, 224, 1_100, 88),
    CHAT: Figures(dau=2_000, actions=12_600, new_users=405),
}
AUDIENCE = Audience(20_200, 61_240, 98_417, retained=41_005, new=6_210, returned=14_025, gone=13_320, both=239)
AUDIENCE_WEEK_AGO = Audience(20_255, 60_118, 97_030, retained=40_500, new=6_118, returned=13_500, gone=13_001, both=245)
RETENTION = (
    Retention("total", 1, 1_210, 441),
    Retention("ads", 1, 640, 180),
    Retention("organic", 1, 570, 261),
    Retention("total", 7, 1_305, 292),
    Retention("ads", 7, 700, 91),
    Retention("organic", 7, 605, 201),
)

Day = Mapping[Slice, Figures]


def frame(today: Day = TODAY, yesterday: Day = YESTERDAY, usual: Day = WEEK_AGO, known: int = HORIZON_DAYS) -> AppFrame:
    """The report day, the day before, and all others as `usual`; only the last `known` days are computed."""

    def of(where: Slice, day: date) -> Figures:
        if day <= DAY - timedelta(days=known):
            return Figures()
        return {DAY: today, DAYS[-2]: yesterday}.get(day, usual).get(where, Figures())

    series = {where: tuple(of(where, day) for day in DAYS) for where in today}
    return AppFrame(DAYS, series, 140_061, 52_578_384, AUDIENCE, AUDIENCE_WEEK_AGO, RETENTION)


def sliced(where: Slice, day: Day, shares: Mapping[str, float]) -> dict[Slice, Figures]:
    """The figures of a service's total split over the values of `where.dimension`."""
    return {replace(where, value=value): scaled(day[Slice(where.service)], share) for value, share in shares.items()}


def scaled(figures: Figures, factor: float) -> Figures:
    """Every count times the factor, rounded."""
    counts = {f.name: getattr(figures, f.name) for f in fields(figures)}
    return Figures(**{name: None if n is None else round(n * factor) for name, n in counts.items()})
