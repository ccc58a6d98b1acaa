"""What would have been sent over a period: a strip for each metric, with its alerts and, where known, the truth.

Belongs here: this page's drawing and thinning of long series. Does not: which alerts there would have been
(`alerts/`), the table of them, the look (`style.py`).

Wide, for a screen: weeks of quarter hours beside each other. What a column of the page stands for is drawn from its
lowest to its highest value, so that no spike is thinned away.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from analytics_platform import wording
from analytics_platform.alerts import telling_words as words
from analytics_platform.alerts.findings import Severity
from analytics_platform.alerts.telling_views import known
from analytics_platform.charts import style
from analytics_platform.charts.app_plots import bottom
from analytics_platform.charts.scales import Axis, axis
from analytics_platform.charts.sheet import Box, Point, Sheet, wide
from analytics_platform.language import NOT_AVAILABLE, Language
from analytics_platform.metrics.dimensions import TOTAL
from analytics_platform.metrics.series import EVERYBODY

WIDTH = 1600
MOST_STRIPS = 6

_MARGIN, _AXIS = 36, 110
_TOP, _FOOT = 100, 108
_STRIP, _HEADING, _LABELS, _LANE = 246, 40, 26, 32  # a strip; in it its name, what truly was, the lane of its alerts
_TEXT, _SMALL = 24.0, 22.0
_UNIT = 1.5
_COLUMN = 2.0  # as fine as a curve gets, in pixels
_LEAST = 4.0  # so wide is even the shortest span
_STEPS = (1, 2, 7, 14, 28, 91)  # days between two dates on the axis

PLANTED, MARKED = "#CFE3D4", style.SHARE


@dataclass(frozen=True)
class ReplayAlert:
    """An alert that would have been sent; `until`: when it would have been closed. Moments are aware.

    `right`: whether it is one of the true incidents; None where that is not known.
    """

    since: datetime
    until: datetime
    severity: Severity
    right: bool | None = None


@dataclass(frozen=True)
class Planted:
    """An incident that truly was. Moments are aware. `found`: whether an alert told of it."""

    since: datetime
    until: datetime
    label: str = ""
    found: bool = True


_Span = TypeVar("_Span", ReplayAlert, Planted)


@dataclass(frozen=True)
class Strip:
    """A series: `values` at `times` (aware, ascending; None and nan are gaps), its alerts, and the truth if known."""

    service: str
    metric: str
    times: Sequence[datetime]
    values: Sequence[float | None]
    alerts: tuple[ReplayAlert, ...] = ()
    planted: tuple[Planted, ...] = ()
    dimension: str = TOTAL
    value: str = EVERYBODY
    share: bool = False


@dataclass(frozen=True)
class ReplayFrame:
    """A period from `first` to `last` (aware, `last` not included), one to `MOST_STRIPS` series, the reader's zone."""

    first: datetime
    last: datetime
    strips: tuple[Strip, ...]
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if self.first >= self.last:
            raise ValueError(f"a replay from {self.first} to {self.last} has no time in it")
        if not 1 <= len(self.strips) <= MOST_STRIPS:
            raise ValueError(f"a page of a replay shows 1 to {MOST_STRIPS} series, not {len(self.strips)}")
        for strip in self.strips:
            if len(strip.times) != len(strip.values):
                raise ValueError(f"{strip.metric}: {len(strip.values)} values for {len(strip.times)} times")


def draw(frame: ReplayFrame, language: Language) -> bytes:
    """The page as PNG, `WIDTH` pixels wide, as high as its strips need; the same bytes for the same frame."""
    from analytics_platform.charts import ink

    with style.look():
        return ink.png(compose(frame, language))


def compose(frame: ReplayFrame, language: Language) -> Sheet:
    """The page as marks; inside `style.look()`."""
    sheet = Sheet(WIDTH, _TOP + len(frame.strips) * _STRIP + _FOOT, style.DPI)
    page = _Page(sheet, frame, language)
    page.title()
    for place, strip in enumerate(frame.strips):
        page.strip(strip, _TOP + place * _STRIP)
    page.days(_TOP + len(frame.strips) * _STRIP)
    page.key(sheet.height - 30)
    return sheet


@dataclass(frozen=True)
class _Page:
    sheet: Sheet
    frame: ReplayFrame
    language: Language

    @property
    def right(self) -> float:
        """Where the plots end."""
        return WIDTH - _MARGIN - _AXIS

    def x(self, moment: datetime) -> float:
        """Where the moment is; what is outside the period is at its edge."""
        part = (moment - self.frame.first) / (self.frame.last - self.frame.first)
        return _MARGIN + min(max(part, 0.0), 1.0) * (self.right - _MARGIN)

    def title(self) -> None:
        """What the page is, its period, and the sums of all strips."""
        frame, language = self.frame, self.language
        title = self.sheet.write(_MARGIN, 52, language.say("What would have been sent"), size=42, bold=True)
        first = frame.first.astimezone(frame.zone).date()
        last = (frame.last - timedelta(microseconds=1)).astimezone(frame.zone).date()
        left = title.right + 26
        self.sheet.write(
            left, 54, language.period(first, last), size=28, colour=style.QUIET, room=WIDTH - _MARGIN - left
        )

    def strip(self, strip: Strip, top: float) -> None:
        """Name and counts, the lane of alerts, the curve on what truly was."""
        sheet, language = self.sheet, self.language
        name = words.series_name(strip.metric, strip.dimension, strip.value, language)
        service = words.service_name(strip.service, language)
        written = sheet.write(_MARGIN, top + 20, name, size=28, bold=True, room=WIDTH * 0.45)
        left = sheet.write(written.right + 14, top + 21, service, size=_TEXT, colour=style.QUIET, room=WIDTH * 0.15)
        counts = self._counts(strip)
        room = self.right - left.right - 30
        sheet.write(self.right, top + 21, counts, size=_TEXT, align=1, room=room)

        box = Box(_MARGIN, top + _HEADING + _LABELS + _LANE, self.right, top + _STRIP - 22)
        for span in self._within(strip.planted):
            a, b = self._ends(span.since, span.until)
            sheet.fill(Box(a, box.top - _LANE, b, box.bottom), PLANTED)
        for midnight in self._dates():
            sheet.line([(self.x(midnight), box.top), (self.x(midnight), box.bottom)], style.RULE, _UNIT)
        scale = axis(strip.values, most=3, whole=not strip.share, share=strip.share, zero=not strip.share)
        self._curve(strip, scale, box)
        self._labels(strip, box)
        for alert in self._within(strip.alerts):
            self._alert(alert, box.top - _LANE / 2)

    def _counts(self, strip: Strip) -> str:
        """How many alerts; where the truth is known, how many false ones, and how much of it was found."""
        language = self.language
        alerts, planted = self._within(strip.alerts), self._within(strip.planted)
        parts = [language.say("alerts: {count}", count=len(alerts))]
        if any(alert.right is not None for alert in alerts):
            parts.append(language.say("false: {count}", count=sum(alert.right is False for alert in alerts)))
        if planted:
            found = sum(span.found for span in planted)
            parts.append(language.say("incidents found: {found} of {count}", found=found, count=len(planted)))
        return ", ".join(parts)

    def _curve(self, strip: Strip, scale: Axis, box: Box) -> None:
        sheet = self.sheet

        def y(value: float) -> float:
            return box.bottom - min(max(scale.part(value), 0.0), 1.0) * box.height

        for tick in scale.ticks:
            if tick > scale.low:
                sheet.line([(box.left, y(tick)), (box.right, y(tick))], style.RULE, _UNIT)
            text = self.language.compact(tick, share=strip.share)
            sheet.write(box.right + 12, y(tick), text, size=_SMALL, colour=style.QUIET, room=_AXIS + _MARGIN - 20)
        bottom(sheet, box.left, box.right, box.bottom, _UNIT, torn=scale.torn)
        shown = False
        for points in self._points(strip):
            shown = True
            if len(points) > 1:
                sheet.line([(x, y(value)) for x, value in points], style.COUNT, 2.0)
            else:
                sheet.dot(points[0][0], y(points[0][1]), 2.0, style.COUNT)
        if not shown:
            middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
            sheet.write(*middle, self.language.say(NOT_AVAILABLE), size=_TEXT, colour=style.QUIET, align=0.5)

    def _points(self, strip: Strip) -> Iterator[list[Point]]:
        """Stretches without gaps; of each column of the page the lowest and the highest value, in their order."""
        columns: dict[int, list[tuple[float, float, int]]] = {}
        run: list[Point] = []
        gap = False
        stretch = 0
        for moment, raw in zip(strip.times, strip.values, strict=True):
            value = known(raw)
            if not self.frame.first <= moment < self.frame.last:
                continue
            if value is None:
                gap = True
                continue
            stretch += gap
            gap = False
            x = self.x(moment)
            columns.setdefault(int(x / _COLUMN), []).append((x, value, stretch))
        current = 0
        for cells in columns.values():
            low, high = min(cells, key=lambda c: c[1]), max(cells, key=lambda c: c[1])
            for x, value, belongs in sorted({low, high}):
                if belongs != current and run:
                    yield run
                    run = []
                current = belongs
                run.append((x, value))
        if run:
            yield run

    def _labels(self, strip: Strip, box: Box) -> None:
        """What the true incidents are, as far as there is room, and which were missed."""
        taken = box.left
        for span in sorted(self._within(strip.planted), key=lambda s: s.since):
            text = wording.legible(span.label, 40)
            if not span.found:
                text = self.language.say("missed: {what}", what=text) if text else self.language.say("missed")
            if not text:
                continue
            a, _ = self._ends(span.since, span.until)
            width = wide(text, bold=not span.found) * _SMALL
            x = min(a, box.right - width)
            if x < taken:
                continue
            colour = style.QUIET if span.found else MARKED
            self.sheet.write(x, box.top - _LANE - _LABELS / 2, text, size=_SMALL, colour=colour, bold=not span.found)
            taken = x + width + 12

    def _alert(self, alert: ReplayAlert, y: float) -> None:
        """A bar as long as the alert, and at its beginning its sign."""
        a, b = self._ends(alert.since, alert.until)
        if alert.right is not False:
            self.sheet.line([(a, y), (b, y)], MARKED, 5.0)
        self._sign(a, y, alert.severity, alert.right)

    def _sign(self, x: float, y: float, severity: Severity, right: bool | None) -> None:
        """A dot, filled when critical; a cross when it was false."""
        if right is False:
            self.sheet.line([(x - 7, y - 7), (x + 7, y + 7)], style.INK, 3.5)
            self.sheet.line([(x - 7, y + 7), (x + 7, y - 7)], style.INK, 3.5)
        elif severity is Severity.CRITICAL:
            self.sheet.dot(x, y, 9, MARKED)
        else:
            self.sheet.dot(x, y, 7, MARKED, ring=3.5)

    def _within(self, spans: Sequence[_Span]) -> list[_Span]:
        return [span for span in spans if span.since < self.frame.last and span.until >= self.frame.first]

    def _ends(self, since: datetime, until: datetime) -> tuple[float, float]:
        a, b = self.x(since), self.x(until)
        return a, max(b, a + _LEAST)

    def _dates(self) -> list[datetime]:
        """Local midnights, as many days apart as their names need."""
        frame = self.frame
        first, last = frame.first.astimezone(frame.zone).date(), frame.last.astimezone(frame.zone).date()
        days = (frame.last - frame.first) / timedelta(days=1)
        per_day = (self.right - _MARGIN) / days
        step = next((s for s in _STEPS if s * per_day >= 104), _STEPS[-1])
        # Counted from a fixed Monday, so that a longer period has the same marks.
        begin = first + timedelta(days=-(first.toordinal() - 1) % step)
        midnights = [
            datetime.combine(begin + timedelta(days=k), time(), frame.zone)
            for k in range(0, (last - begin).days + 1, step)
        ]
        return [moment for moment in midnights if frame.first <= moment < frame.last]

    def days(self, y: float) -> None:
        """Days below the last strip, in full where a month begins; hours at both ends of a period without midnights."""
        frame = self.frame
        if not self._dates():
            for moment, x, align in ((frame.first, float(_MARGIN), 0.0), (frame.last, self.right, 1.0)):
                text = words.clock(moment, frame.zone, frame.first, self.language)
                self.sheet.write(x, y, text, size=_SMALL, colour=style.QUIET, align=align)
        month, taken = 0, 0.0
        for moment in self._dates():
            day, x = moment.date(), self.x(moment)
            text = self.language.weekday(day)
            half = wide(text, bold=False) * _SMALL / 2
            middle = min(max(x, half + _MARGIN), WIDTH - half)
            self.sheet.write(middle, y, text, size=_SMALL, colour=style.QUIET, align=0.5)
            if day.month != month:
                full = self.language.day(day)
                left = middle - half
                if left > taken:
                    taken = self.sheet.write(left, y + 28, full, size=_SMALL, colour=style.INK).right + 14
                    month = day.month

    def key(self, y: float) -> None:
        """What the signs mean."""
        language, strips = self.language, self.frame.strips
        alerts = [alert for strip in strips for alert in strip.alerts]
        x = float(_MARGIN)
        for severity, text in (
            (Severity.CRITICAL, language.say("critical alert")),
            (Severity.WARNING, language.say("warning")),
        ):
            self.sheet.line([(x + 8, y), (x + 36, y)], MARKED, 5.0)
            self._sign(x + 8, y, severity, None)
            x = self._say(x + 46, y, text)
        if any(alert.right is False for alert in alerts):
            self._sign(x + 8, y, Severity.WARNING, False)
            x = self._say(x + 26, y, language.say("false alarm"))
        if any(strip.planted for strip in strips):
            self.sheet.fill(Box(x, y - 11, x + 36, y + 11), PLANTED)
            x = self._say(x + 46, y, language.say("true incident"))
        if any(axis(strip.values, share=True).torn for strip in strips if strip.share):
            bottom(self.sheet, x, x + 36, y, _UNIT, torn=True)
            self._say(x + 46, y, language.say("the scale starts above 0"))

    def _say(self, x: float, y: float, text: str) -> float:
        return self.sheet.write(x, y, text, size=_SMALL, colour=style.QUIET).right + 28
