"""What the report on funnels says: a month, against the month before at the same age.

Belongs here: which figures are compared with which, the text. Does not: the figures of one month (`conversion.py`),
when it is sent, files. The words are in `templates/`.

A month that has just ended has had less time for purchases than the one before it. So both are looked at as of their
own ends; what the earlier one has come to since is told beside it. Purchases after the month's end never show: sent
later, the report says the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

from analytics_platform import wording
from analytics_platform.funnels.conversion import NOTHING, Conversions, Group, Row, conversions
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.language import NOT_AVAILABLE, Language
from analytics_platform.messages import Text
from analytics_platform.metrics.windows import day_start

FUNNELS = {FunnelType.LANGUAGE: "Language tests", FunnelType.NON_LANGUAGE: "Other tests"}
# Not the attribution window, which is a setting: what "had little time" means where a report says so.
YOUNG = timedelta(days=30)


@dataclass(frozen=True)
class Months:
    """A month of local days, first to last, and the one before it, which began on `earlier`.

    `month`, `before`: by funnel, each as of its own end; `month` has all funnels of either, if only with nobody in it.
    `before_since`: the month before, as of this one's end.
    `weeks`: both months by week, from the Monday on or before `earlier`; `tests`: this month by test; as of its end.
    """

    first: date
    last: date
    earlier: date
    month: Conversions
    before: Conversions
    before_since: Conversions
    weeks: Conversions
    tests: Conversions

    @property
    def empty(self) -> bool:
        """Whether nobody entered in the month, customers neither."""
        return not any(group.anybody for group in self.month.groups)


@dataclass(frozen=True)
class Compared:
    """A funnel's month beside the month before; None: nobody entered then."""

    name: str
    month: Group
    before: Group | None
    before_since: Group | None

    @property
    def change(self) -> float | None:
        """Of conversion against the month before at the same age, as a share (0.01: one percentage point)."""
        now, then = self.month.conversion, self.before.conversion if self.before else None
        return None if now is None or then is None else now - then


def months(rows: Sequence[Row], first: date, last: date, earlier: date, zone: ZoneInfo) -> Months:
    """From the entries of the local days from the Monday on or before `earlier` to `last`; more of them do no harm."""
    monday, after = earlier - timedelta(days=earlier.weekday()), last + timedelta(days=1)
    starts = [day_start(day, zone).replace(tzinfo=UTC) for day in (monday, earlier, first, after)]
    week, begin, middle, end = starts
    ours = [row for row in rows if middle <= row.entered_at < end]
    theirs = [row for row in rows if begin <= row.entered_at < middle]
    all_weeks = (row for row in rows if week <= row.entered_at < end)
    before = conversions(theirs, zone=zone, as_of=middle, attribution=YOUNG)
    month = conversions(ours, zone=zone, as_of=end, attribution=YOUNG)
    return Months(
        first,
        last,
        earlier,
        month=month.covering([group.funnel for group in before.groups]),
        before=before,
        before_since=conversions(theirs, zone=zone, as_of=end, attribution=YOUNG),
        weeks=conversions(all_weeks, zone=zone, as_of=end, attribution=YOUNG, by="week"),
        tests=conversions(ours, zone=zone, as_of=end, attribution=YOUNG, by="test"),
    )


def text(told: Months, language: Language) -> Text:
    """The documented lines, then what stands behind each; that there was nothing, if so."""
    heading = language.say("E-mail funnels, {period}", period=language.period(told.first, told.last))
    return wording.fill(
        "funnels/templates",
        "funnels",
        language,
        heading=heading,
        dashes="-" * 20,
        nothing=language.say(NOTHING) if told.empty else "",
        last=language.day(told.last),
        funnels=[] if told.empty else compared(told),
        points=lambda change: _points(change, language),
        young=sum(group.open for group in told.month.groups),
        days=YOUNG.days,
    )


def compared(told: Months) -> list[Compared]:
    """The funnels that anybody entered in either month, by name, each with the month before."""
    before, since = ({group.funnel: group for group in part.groups} for part in (told.before, told.before_since))
    return [
        Compared(FUNNELS[group.funnel], group, before.get(group.funnel), since.get(group.funnel))
        for group in told.month.groups
    ]


def _points(change: float | None, language: Language) -> str:
    """A difference of shares in percentage points, signed, with two decimals."""
    if change is None:
        return language.say(NOT_AVAILABLE)
    return language.say("{points} pp", points=language.change(change).rstrip("%\xa0\u202f "))
