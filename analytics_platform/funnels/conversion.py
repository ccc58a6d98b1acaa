"""What came of funnels: how many entered, how many of them bought, how sure that is, how long it took.

Belongs here: the figures, by funnel and by week or test, and the lines in which they are told. Does not: where the rows
come from, messages (`telling.py`), files (`spreadsheet.py`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from math import sqrt
from statistics import median
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from analytics_platform.funnels.attribution import seconds_to_purchase
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Entry
from analytics_platform.metrics.frames import ratio
from analytics_platform.metrics.windows import Gap, day_start
from analytics_platform.queries import Query, compose

By = Literal["test", "week"]
TITLE = "Funnel conversions"
NOTHING = "No funnel entries found for the given period."

_95_PERCENT = 1.959963984540054  # standard deviations
# So far apart the dates of one moment in two zones can be.
_ZONES_APART = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as the figures need it. `entered_at`: aware.

    `seconds_to_purchase`: as `attribution.seconds_to_purchase` has them; None: none yet.
    """

    funnel: FunnelType
    test_id: int | None
    entered_at: datetime
    seconds_to_purchase: int | None = None
    already_customer: bool = False

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Of an entry of the ledger."""
        waited, customer = seconds_to_purchase(entry), entry.customer_since is not None
        return cls(entry.funnel, entry.test_id, entry.entered_at, waited, customer)

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Self:
        """Of a row of results.funnel_conversions, whose times are naive UTC."""
        return cls(
            FunnelType(row["funnel_type"]),
            row["test_id"],
            row["entered_at"].replace(tzinfo=UTC),
            row["seconds_to_purchase"],
            bool(row["already_customer"]),
        )

    def bought_before(self, moment: datetime) -> bool:
        """Whether a purchase was made before `moment` (excluded), a whole second."""
        if self.seconds_to_purchase is None:
            return False
        return self.entered_at.replace(microsecond=0) + timedelta(seconds=self.seconds_to_purchase) < moment


@dataclass(frozen=True)
class Group:
    """The entries of a funnel, or of those the ones of a week (`week`: its Monday) or of a test.

    `entries`: people who entered without having bought before; `purchased`: of those, within their time. `open`: of
    those without a purchase, how many may still come to one. `customers`: had bought before they entered; no entries.
    `median_seconds`: from entry to purchase. `young`: whether an entry of this group may still turn into a purchase,
    or, of a week, whether one that can enter until its end may.
    """

    funnel: FunnelType
    week: date | None
    test_id: int | None
    entries: int
    purchased: int
    open: int
    customers: int
    median_seconds: float | None
    young: bool

    @property
    def anybody(self) -> bool:
        """Whether there is anybody in it, customers included."""
        return bool(self.entries or self.customers)

    @property
    def conversion(self) -> float | None:
        """purchased / entries, unrounded; None without entries."""
        return ratio(self.purchased, self.entries)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the true conversion is, by 95 %: Wilson's interval; None without entries."""
        return wilson(self.purchased, self.entries)

    @property
    def median_days(self) -> float | None:
        """From entry to purchase, unrounded; None without purchases."""
        return ratio(self.median_seconds, 86_400)


@dataclass(frozen=True)
class Conversions:
    """Groups ordered by funnel, then by week or test. `attribution`: how long an entry has for its purchase."""

    groups: tuple[Group, ...]
    by: By | None
    as_of: datetime
    attribution: timedelta

    def of(self, funnel: FunnelType) -> tuple[Group, ...]:
        """The groups of a funnel."""
        return tuple(group for group in self.groups if group.funnel is funnel)

    def covering(self, funnels: Collection[FunnelType]) -> "Conversions":
        """With a group of nobody for each of these funnels that has none. Of figures by funnel alone."""
        lacking = set(funnels) - {group.funnel for group in self.groups}
        nobody = (_Counting([]).group(funnel, None, None) for funnel in lacking)
        return replace(self, groups=tuple(sorted((*self.groups, *nobody), key=_place)))


def wilson(successes: int, trials: int) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a share; None without trials. It holds for few trials, and for 0 and all of them."""
    if not trials:
        return None
    share, square = successes / trials, _95_PERCENT**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = sqrt(share * (1 - share) / trials + square / (4 * trials**2)) * _95_PERCENT / (1 + square / trials)
    # At its ends the interval is exact; a rounding error there would read as "at least 0.0000000001 %".
    return (0.0 if not successes else middle - half), (1.0 if successes == trials else middle + half)


def conversions(
    rows: Iterable[Row], *, zone: ZoneInfo, as_of: datetime, attribution: timedelta, by: By | None = None
) -> Conversions:
    """The figures of these entries by funnel, or by funnel and the week (in `zone`, from Monday) or the test of entry.

    They are as of a moment (aware): what was before it counts, an entry or a purchase at that very moment does not.
    Purchases are known to the second, and so should the moment be. Rows are gone through once and not kept.
    """
    found: dict[tuple[FunnelType, date | int | None], _Counting] = {}
    for row in rows:
        if row.entered_at >= as_of:
            continue
        key = week_of(row.entered_at, zone) if by == "week" else row.test_id if by == "test" else None
        counting = found.setdefault((row.funnel, key), _Counting([]))
        counting.add(row, as_of, attribution)
    groups = [
        counting.group(
            funnel,
            week=key if isinstance(key, date) else None,
            test_id=key if isinstance(key, int) else None,
        )
        for (funnel, key), counting in found.items()
    ]
    if by == "week":
        groups = [
            replace(group, young=_week_end(group.week, zone) + attribution > as_of) if group.week else group
            for group in groups
        ]
    return Conversions(tuple(sorted(groups, key=_place)), by, as_of, attribution)


def week_of(moment: datetime, zone: ZoneInfo) -> date:
    """The Monday of the local week of a moment."""
    return week_start(moment.astimezone(zone).date())


def week_start(day: date) -> date:
    """The Monday on or before that day."""
    return day - timedelta(days=day.weekday())


def between(first: date, last: date, zone: ZoneInfo) -> Query:
    """Who entered on the local days of `zone`, both included, from results.funnel_conversions; for `Row.read`.

    One row an entry, in the order of entry, whatever zone the days were written in.
    """
    window = Gap(first, last).window(zone)
    return compose(
        "funnel_conversions",
        {
            "first_day": first - _ZONES_APART,
            "last_day": last + _ZONES_APART,
            "start": window.start,
            "end": window.end,
        },
    )


def lines(found: Conversions, title: str = TITLE) -> list[str]:
    """The report in words: title, dashes, a line a group; or that there are none. Percent with two decimals.

    Who was a customer already is told below, as these are no entries.
    """
    if not found.groups:
        return [NOTHING]
    told = [
        f"{_name(group, found.by)}: entries={group.entries}, purchased={group.purchased}, "
        f"conversion={(group.conversion or 0) * 100:.2f}%"
        for group in found.groups
    ]
    customers = [
        f"{_name(group, found.by)}: already customers={group.customers}" for group in found.groups if group.customers
    ]
    return [title, "-" * len(title), *told, *customers]


@dataclass(slots=True)
class _Counting:
    """A group being counted."""

    seconds: list[int]
    entries: int = 0
    customers: int = 0
    open: int = 0

    def add(self, row: Row, as_of: datetime, attribution: timedelta) -> None:
        if row.already_customer:
            self.customers += 1
            return
        self.entries += 1
        if row.seconds_to_purchase is not None and row.bought_before(as_of):
            self.seconds.append(row.seconds_to_purchase)
        elif row.entered_at + attribution > as_of:
            self.open += 1

    def group(self, funnel: FunnelType, week: date | None, test_id: int | None) -> Group:
        return Group(
            funnel,
            week,
            test_id,
            entries=self.entries,
            purchased=len(self.seconds),
            open=self.open,
            customers=self.customers,
            median_seconds=median(self.seconds) if self.seconds else None,
            young=self.open > 0,
        )


def _week_end(monday: date, zone: ZoneInfo) -> datetime:
    return day_start(monday + timedelta(days=7), zone).replace(tzinfo=UTC)


def _place(group: Group) -> tuple[str, date, int]:
    return group.funnel.value, group.week or date.min, -1 if group.test_id is None else group.test_id


def _name(group: Group, by: By | None) -> str:
    match by:
        case None:
            return group.funnel.value
        case "week":
            return f"{group.funnel}, week of {group.week}"
        case "test":
            return f"{group.funnel}, test {'unknown' if group.test_id is None else group.test_id}"
