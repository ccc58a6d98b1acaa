"""What came of funnels by week of entry: people who entered as bars, conversion with its 95 % interval above them.

Belongs here: this page's drawing. Does not: its figures (`funnels/conversion.py`), the look (`style.py`), formats
(`language.py`).

How it keeps honest: both scales start at zero; a conversion never stands without its interval, and one that leaves the
scale ends in an arrow; weeks whose people still have time to buy are rings on dotted lines over pale bars, so that a
fall at the right edge is not taken for one; weeks without entries are gaps. Where only people came who were customers
already, words stand in place of empty scales.

Light to import: matplotlib is imported inside the functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from analytics_platform.charts import style
from analytics_platform.charts.scales import Axis, axis
from analytics_platform.charts.sheet import Box, Sheet, wide
from analytics_platform.funnels.conversion import Conversions, Group
from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.telling import FUNNELS
from analytics_platform.language import Language

MOST_WEEKS = 104
_MARGIN, _TITLE, _FOOT = 40, 150, 116  # the page's edge; title above, key below the panels
_LEFT, _RIGHT = 150, 1040  # of the plots
_HEADING, _NAME, _SHARES, _COUNTS, _DATES, _GAP = 56, 54, 200, 130, 44, 36  # of a panel, from its top
_LEAST = 120  # of a page without panels
_ALONE = 48  # of the words in place of scales
_TICK = 12  # between a plot and its numbers
_APART = 40  # between dates
_WIDEST, _BAR = 90, 0.64  # of a week; of that, the bar
_WEEK = timedelta(days=7)
_ABOVE = 1.5  # how far over the middle one of the intervals' ends the scale reaches for that of a few people


@dataclass(frozen=True)
class _Panel:
    """A funnel's weeks."""

    funnel: FunnelType
    weeks: Mapping[date, Group]

    @property
    def entries(self) -> int:
        return sum(group.entries for group in self.weeks.values())

    @property
    def purchased(self) -> int:
        return sum(group.purchased for group in self.weeks.values())

    @property
    def customers(self) -> int:
        return sum(group.customers for group in self.weeks.values())

    @property
    def height(self) -> int:
        """In pixels."""
        return _HEADING + (_NAME + _SHARES + _NAME + _COUNTS + _DATES if self.entries else _ALONE)


def draw(weeks: Conversions, language: Language) -> bytes:
    """The page as PNG, 1,080 pixels wide, as high as its funnels need; the same bytes for the same figures.

    `weeks` are grouped by week. Of more than two years of them the last are drawn.
    """
    from analytics_platform.charts import ink

    with style.look():
        return ink.png(compose(weeks, language))


def compose(weeks: Conversions, language: Language) -> Sheet:
    """The page as marks; inside `style.look()`."""
    known = [group.week for group in weeks.groups if group.week is not None]
    first, last = (min(known), max(known)) if known else (date.min, date.min)
    shown = max(first, last - (MOST_WEEKS - 1) * _WEEK) if known else first
    mondays = [shown + k * _WEEK for k in range((last - shown).days // 7 + 1)] if known else []
    panels = [
        _Panel(funnel, found)
        for funnel in sorted(FunnelType)
        if (found := {group.week: group for group in weeks.of(funnel) if group.week and group.week >= shown})
    ]
    counted = any(panel.entries for panel in panels)
    height = _TITLE + (sum(panel.height + _GAP for panel in panels) or _LEAST) + (_FOOT if counted else 0)
    sheet = Sheet(style.WIDTH, height, style.DPI)
    room = style.WIDTH - 2 * _MARGIN
    sheet.write(_MARGIN, 54, language.say("E-mail funnels"), size=style.TITLE, bold=True, room=room)
    under = (
        language.say("weeks of entry, named by their Mondays")
        if shown == first
        else language.say("the last {count} weeks of entry, named by their Mondays", count=MOST_WEEKS)
    )
    sheet.write(_MARGIN, 108, under, size=style.BODY, colour=style.QUIET, room=room)
    if not panels:
        sheet.write(_MARGIN, _TITLE + 60, language.say("no entries"), size=style.BODY, colour=style.QUIET)
    top = _TITLE
    for panel in panels:
        _Drawing(sheet, language, mondays, panel).draw(top)
        top += panel.height + _GAP
    if counted:
        _key(sheet, top, language, weeks)
    return sheet


@dataclass(frozen=True)
class _Drawing:
    """Draws a panel."""

    sheet: Sheet
    language: Language
    mondays: list[date]
    panel: _Panel

    @property
    def step(self) -> float:
        return min((_RIGHT - _LEFT) / len(self.mondays), _WIDEST)

    def x(self, place: float) -> float:
        """The middle of a week."""
        return _LEFT + (place + 0.5) * self.step

    def draw(self, top: float) -> None:
        """From `top` on."""
        sheet, language, panel = self.sheet, self.language, self.panel
        name = language.say(FUNNELS[panel.funnel])
        heading = sheet.write(_MARGIN, top + 26, name, size=style.HEADING, bold=True, room=560)
        if not panel.entries:
            told = language.say("no entries; already customers: {count}", count=language.count(panel.customers))
            y = top + _HEADING + _ALONE / 2
            sheet.write(_MARGIN, y, told, size=style.BODY, colour=style.QUIET, room=_RIGHT - _MARGIN)
            return
        entered, bought = language.count(panel.entries), language.count(panel.purchased)
        share = language.percent(panel.purchased / panel.entries)
        told = language.say(
            "{purchased} of {entries} bought: {conversion}", purchased=bought, entries=entered, conversion=share
        )
        sheet.write(_RIGHT, top + 26, told, size=style.BODY, align=1, room=_RIGHT - heading.right - 40)
        shares = top + _HEADING + _NAME
        self._named(shares, language.say("Conversion"))
        self._shares(Box(_LEFT, shares, _RIGHT, shares + _SHARES))
        counts = shares + _SHARES + _NAME
        self._named(counts, language.say("Entries"))
        self._counts(Box(_LEFT, counts, _RIGHT, counts + _COUNTS))
        self._dates(counts + _COUNTS + _DATES / 2 + 4)

    def _named(self, top: float, name: str) -> None:
        self.sheet.write(_LEFT, top - _NAME / 2, name, size=style.SMALL, bold=True, room=_RIGHT - _LEFT)

    def _ground(self, box: Box, scale: Axis, *, share: bool) -> None:
        for tick in scale.ticks:
            y = box.bottom - scale.part(tick) * box.height
            self.sheet.line([(box.left, y), (box.right, y)], style.RULE if tick else style.QUIET, 2.0)
            text = self.language.compact(tick, share=share)
            room = _LEFT - _TICK - _MARGIN / 2
            self.sheet.write(_LEFT - _TICK, y, text, size=style.SMALL, colour=style.QUIET, align=1, room=room)

    def _shares(self, box: Box) -> None:
        groups = self.panel.weeks
        scale = _scale(self.panel)
        self._ground(box, scale, share=True)
        thick = max(min(self.step * 0.12, 6.0), 2.0)
        radius = max(min(self.step * 0.2, 9.0), 4.0)
        for place, monday in enumerate(self.mondays):
            group = groups.get(monday)
            if group is None or group.interval is None or group.conversion is None:
                continue
            x, (low, high) = self.x(place), group.interval
            ends = [box.bottom - min(scale.part(share), 1.0) * box.height for share in (low, high)]
            dash = (thick, thick) if group.young else ()
            self.sheet.line([(x, ends[0]), (x, ends[1])], style.SHARE, thick, dash)
            if scale.part(high) > 1:
                size = radius * 1.1
                tip = [(x - size, box.top + size), (x + size, box.top + size), (x, box.top - size * 0.4)]
                self.sheet.area(tip, style.SHARE)
            y = box.bottom - scale.part(group.conversion) * box.height
            self.sheet.dot(x, y, radius, style.SHARE, ring=max(radius * 0.35, 2.0) if group.young else 0.0)

    def _counts(self, box: Box) -> None:
        entries = [group.entries if (group := self.panel.weeks.get(day)) else None for day in self.mondays]
        scale = axis(entries, whole=True, zero=True, most=2)
        if len(scale.ticks) < 2:  # of 4, as 0 and 5 do not fit and 0, 2, 4 are three: bars would say no number
            scale = axis(entries, whole=True, zero=True, most=3)
        self._ground(box, scale, share=False)
        half = self.step * _BAR / 2
        for place, (monday, count) in enumerate(zip(self.mondays, entries, strict=True)):
            if count:
                top = min(box.bottom - scale.part(count) * box.height, box.bottom - 3)
                colour = style.COUNT_PALE if self.panel.weeks[monday].young else style.COUNT
                self.sheet.fill(Box(self.x(place) - half, top, self.x(place) + half, box.bottom), colour)
        self.sheet.line([(box.left, box.bottom), (box.right, box.bottom)], style.QUIET, 2.0)

    def _dates(self, y: float) -> None:
        """As many Mondays as have room, the last one among them."""
        free = float(style.WIDTH)
        for place in range(len(self.mondays) - 1, -1, -1):
            text, x = self.language.day(self.mondays[place]), self.x(place)
            half = wide(text, bold=False) * style.SMALL / 2
            middle = min(x, style.WIDTH - _MARGIN / 2 - half)
            if middle + half > free or middle - half < _MARGIN / 2:
                continue
            self.sheet.line([(x, y - _DATES / 2 - 4), (x, y - _DATES / 2 + 4)], style.QUIET, 2.0)
            free = self.sheet.write(middle, y, text, size=style.SMALL, colour=style.QUIET, align=0.5).x - _APART


def _scale(panel: _Panel) -> Axis:
    """From zero to the highest interval, unless that is of so few people that all others would lie flat."""
    ends = [group.interval[1] for group in panel.weeks.values() if group.interval is not None]
    sensible = median(ends) * _ABOVE if ends else 0.0
    reached = max((group.conversion or 0.0 for group in panel.weeks.values()), default=0.0)
    return axis([max(min(max(ends, default=0.0), sensible), reached)], share=True, zero=True)


def _key(sheet: Sheet, top: float, language: Language, weeks: Conversions) -> None:
    """What dots, lines and paleness mean."""
    room = sheet.width - 2 * _MARGIN - 50
    sheet.line([(_MARGIN + 14, top + 14), (_MARGIN + 14, top + 46)], style.SHARE, 5.0)
    sheet.dot(_MARGIN + 14, top + 30, 9.0, style.SHARE)
    told = language.say("dot: conversion; line: its 95% interval (arrow: it goes on)")
    sheet.write(_MARGIN + 50, top + 30, told, size=style.SMALL, colour=style.QUIET, room=room)
    if any(group.young and group.entries for group in weeks.groups):
        sheet.line([(_MARGIN + 14, top + 56), (_MARGIN + 14, top + 92)], style.SHARE, 5.0, (5.0, 5.0))
        sheet.dot(_MARGIN + 14, top + 74, 9.0, style.SHARE, ring=3.0)
        days = language.count(weeks.attribution.total_seconds() / 86_400)
        told = language.say("ring, pale bar: less than {days} days to buy so far, may still rise", days=days)
        sheet.write(_MARGIN + 50, top + 74, told, size=style.SMALL, colour=style.QUIET, room=room)
