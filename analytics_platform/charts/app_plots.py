"""One line over the month in a box, as panels and PDF share it: weekends, scale, gaps, the days that are compared.

Belongs here: what is inside a plot's frame. Does not: headings, labels, where boxes are (`app_panels.py`,
`app_book.py`), scales (`scales.py`).

Signs, which every page's key explains: pale columns are weekends; a solid line at the bottom is zero, a torn one
(teeth) says that the scale starts above zero; the ring is the weekday a week before, the dot the report day; a triangle
instead of the dot is unusual. Missing days interrupt the line, are dotted and say so; one day between two is a dot.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from analytics_platform.charts import style
from analytics_platform.charts.app_charts import UP
from analytics_platform.charts.scales import Axis
from analytics_platform.charts.sheet import Box, Point, Sheet, wide

WEEKEND, TINT, MARKED = "#EDF1F5", "#FCEBDD", style.SHARE
_SATURDAY = 5


@dataclass(frozen=True)
class Plot:
    """A box whose width is the days and whose height is the axis.

    `unit` is a thin line of this page, `paper` what the box lies on.
    """

    sheet: Sheet
    box: Box
    days: tuple[date, ...]
    axis: Axis
    unit: float
    paper: str = style.PAPER

    def x(self, place: float) -> float:
        """The middle of a day."""
        return self.box.left + (place + 0.5) * self.box.width / len(self.days)

    def y(self, value: float) -> float:
        """The height of a value."""
        return self.box.bottom - self.axis.part(value) * self.box.height

    def ground(self) -> None:
        """Weekends, the scale's lines, and the bottom: zero or torn."""
        step = self.box.width / len(self.days)
        for first, last in _runs([day.weekday() >= _SATURDAY for day in self.days]):
            left, right = self.box.left + first * step, self.box.left + (last + 1) * step
            self.sheet.fill(Box(left, self.box.top, right, self.box.bottom), WEEKEND)
        for tick in self.axis.ticks:
            if tick:
                level = self.y(tick)
                self.sheet.line([(self.box.left, level), (self.box.right, level)], style.RULE, self.unit)
        bottom(self.sheet, self.box.left, self.box.right, self.box.bottom, self.unit, torn=self.axis.torn)

    def line(self, values: Sequence[float | None], colour: str, width: float) -> None:
        """The figures, interrupted where there is none."""
        for first, last in _runs([value is not None for value in values]):
            points = [(self.x(k), self.y(values[k] or 0)) for k in range(first, last + 1)]
            if len(points) > 1:
                self.sheet.line(points, colour, width)
            elif last < len(values) - 1:
                self.sheet.dot(*points[0], width * 0.9, colour)

    def ring(self, values: Sequence[float | None], colour: str, radius: float) -> None:
        """The day a week before the last, which the last is compared with."""
        value = values[-8]
        if value is not None:
            self.sheet.dot(self.x(len(values) - 8), self.y(value), radius, colour, ring=self.unit * 1.5)

    def end(self, values: Sequence[float | None], colour: str, radius: float, sign: str = "") -> None:
        """The report day: a dot, or a triangle pointing the way an unusual figure went."""
        value = values[-1]
        if value is None:
            return
        x, y = self.x(len(values) - 1), self.y(value)
        if not sign:
            self.sheet.dot(x, y, radius, colour)
            return
        up = -1 if sign == UP else 1
        for size, ink in ((radius * 2.1, self.paper), (radius * 1.5, MARKED)):
            self.sheet.area([(x - size, y - up * size * 0.7), (x + size, y - up * size * 0.7), (x, y + up * size)], ink)

    def gaps(self, lines: Sequence[Sequence[float | None]], text: str, size: float, *, tight: bool = False) -> None:
        """Marks the days on which no line has a figure with dots, and says so, once for each stretch of them.

        The words stand in the stretch or, where that is too narrow, above or below the lines; in a `tight` plot, which
        has no room there, the dots alone tell. Long stretches have words only.
        """
        absent = [all(line[k] is None for line in lines) for k in range(len(self.days))]
        if all(absent):
            middle = (self.box.left + self.box.right) / 2, (self.box.top + self.box.bottom) / 2
            self.sheet.write(*middle, text, size=size, colour=style.QUIET, align=0.5)
            return
        half, step, taken = wide(text, bold=False) * size / 2, self.box.width / len(self.days), self.box.left
        for first, last in _runs(absent):
            fits = (last - first + 1) * step >= 2 * half
            x = min(max(self.x((first + last) / 2), self.box.left + half), self.box.right - half)
            top, end = self.box.top, self.box.bottom
            if fits:
                self.sheet.write(x, (top + end) / 2, text, size=size, colour=style.QUIET, align=0.5)
                taken = x + half + size / 4
                continue
            if not tight and x - half >= taken:
                near = range(max(int(first - half / step - 1), 0), min(int(last + half / step) + 2, len(self.days)))
                levels = [self.y(value) for line in lines for k in near if (value := line[k]) is not None]
                high, low = top + size * 0.55, end - size * 0.62
                below = min((low - y for y in levels), default=1) >= min((y - high for y in levels), default=0)
                self.sheet.write(x, low if below else high, text, size=size, colour=style.QUIET, align=0.5)
                top, end = (top, end - size * 1.3) if below else (top + size * 1.3, end)
                taken = x + half + size / 4
            for place in range(first, last + 1):
                dots(self.sheet, self.x(place), top, end, self.unit)


def dots(sheet: Sheet, x: float, top: float, end: float, unit: float) -> None:
    """A day without figures."""
    sheet.line([(x, top), (x, end)], style.QUIET, unit, dash=(unit, unit * 2))


def bottom(sheet: Sheet, left: float, right: float, y: float, unit: float, *, torn: bool) -> None:
    """The lower edge of a scale: a line for zero, teeth where the scale starts above zero."""
    if not torn:
        sheet.line([(left, y), (right, y)], style.QUIET, unit)
        return
    count = max(round((right - left) / (unit * 6)), 1)
    teeth: list[Point] = [
        (left + (right - left) * k / (2 * count), y + (unit * 1.5 if k % 2 else -unit * 1.5))
        for k in range(2 * count + 1)
    ]
    sheet.line(teeth, style.QUIET, unit * 0.75)


def _runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First and last place of every unbroken stretch."""
    start = None
    for place, flag in enumerate((*flags, False)):
        if flag and start is None:
            start = place
        elif not flag and start is not None:
            yield start, place - 1
            start = None
