"""The app report's PDF: all 35 charts with their axes, dates and labels, to print or to zoom.

Belongs here: where things are on these pages, labels of lines. Does not: what is inside a plot's frame
(`app_plots.py`), words (`app_charts.py`), the pictures for the phone (`app_panels.py`).

A chart has all lines of its slice. Those of very different height (`scales.together`) are above each other, each
group with a scale of its own, so that a small country is not a flat line below a large one. Labels stand at the lines'
ends and make way for each other; a hair joins each with its line.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analytics_platform.charts import style
from analytics_platform.charts.app_charts import (
    DOWN,
    UP,
    Chart,
    Line,
    chart_title,
    full,
    group_name,
    ticked,
    told,
    weekly,
)
from analytics_platform.charts.app_plots import MARKED, TINT, WEEKEND, Plot, bottom
from analytics_platform.charts.scales import apart, axis, known, together
from analytics_platform.charts.sheet import Box, Sheet, wide
from analytics_platform.language import NOT_AVAILABLE, Language
from analytics_platform.metrics.app import AppFrame
from analytics_platform.metrics.dimensions import TOTAL

_WIDTH, _HEIGHT = 595, 842  # A4 in points
_MARGIN, _GUTTER = 36, 24
_TOP, _BOTTOM = 74, 792
_TITLE, _TEXT, _TINY = 9.0, 7.0, 6.5
_UNIT = 0.6
_NUMBERS = 34  # room for an axis' numbers
_BESIDE = 10  # between a line's end and its label
_LANE_GAP = 9  # between scales above each other
_HIGHEST = 320  # a chart; higher ones exaggerate
# Of lines: apart for all common kinds of colour blindness in pairs of neighbours, dark enough for text in them. What
# is unusual has the colour of no line.
_COLOURS = (style.COUNT, "#00705A", "#7A3E9D", "#8A6100", "#0B7C9C", style.QUIET)


@dataclass(frozen=True)
class _Page:
    sheet: Sheet
    frame: AppFrame
    language: Language


def book(charts: Mapping[str, Sequence[Chart]], frame: AppFrame, language: Language) -> list[Sheet]:
    """The pages, A4 upright, in points; inside `style.look()`."""
    plan = [
        (group, [chart for chart in of if (chart.dimension == "country") == country])
        for group, of in charts.items()
        for country in (False, True)
    ]
    plan = [(group, of) for group, of in plan if of]
    pages = []
    for number, (group, of) in enumerate(plan, start=1):
        page = _Page(Sheet(_WIDTH, _HEIGHT, 72), frame, language)
        _head(page, group, language.say("page {page} of {pages}", page=number, pages=len(plan)))
        # Labels are as wide in all charts of a page, so that days stand below each other.
        labels = [None if chart.dimension == TOTAL else _Labels(page, chart) for chart in of]
        width = max((label.width for label in labels if label), default=0)
        for box, chart, label in zip(_boxes(of), of, labels, strict=True):
            _chart(page, box, chart, label, width)
        _foot(page, unusual=any(chart.signs for chart in of))
        pages.append(page.sheet)
    return pages


def _head(page: _Page, group: str, number: str) -> None:
    title = page.sheet.write(_MARGIN, 46, group_name(group, page.language), size=18, bold=True)
    period = page.language.period(page.frame.days[0], page.frame.day)
    page.sheet.write(title.right + 12, 47, period, size=11, colour=style.QUIET)
    page.sheet.write(_WIDTH - _MARGIN, 47, number, size=_TITLE, colour=style.QUIET, align=1)


def _foot(page: _Page, *, unusual: bool) -> None:
    sheet, language, y, x = page.sheet, page.language, 812.0, float(_MARGIN)
    sheet.fill(Box(x, y - 4, x + 10, y + 4), WEEKEND)
    x = sheet.write(x + 13, y, language.say("weekend"), size=_TEXT, colour=style.QUIET).right + 10
    bottom(sheet, x, x + 22, y, _UNIT, torn=True)
    text = language.say("the scale starts above 0")
    x = sheet.write(x + 25, y, text, size=_TEXT, colour=style.QUIET).right + 10
    sheet.dot(x + 3, y, 2.2, style.COUNT, ring=_UNIT * 1.5)
    x = sheet.write(x + 8, y, language.say("a week earlier"), size=_TEXT, colour=style.QUIET).right + 10
    day = language.day(page.frame.week_ago)
    text = language.say("changes: vs {day}", day=day)
    if unusual:
        sign = f"{UP}{DOWN} {language.say('unusual: vs a usual day')}"
        x = sheet.write(x, y, sign, size=_TEXT, colour=MARKED, bold=True).right + 10
        text = language.say("other changes: vs {day}", day=day)
    sheet.write(x, y, text, size=_TEXT, colour=style.QUIET, room=_WIDTH - _MARGIN - x)


def _boxes(charts: Sequence[Chart]) -> list[Box]:
    """A place for each chart. Few charts, and those of many lines, have the whole width; others stand in two columns.

    They are read row by row; two dimensions of an odd number of charts stand beside each other.
    """
    columns = 2 if len(charts) > 4 else 1
    counts = Counter(chart.dimension for chart in charts)
    places: list[tuple[int, int]] = []
    top, beside = 0, False
    for count in counts.values():
        if columns == 2 and count % 2:
            places += [(top + k, int(beside)) for k in range(count)]
            top, beside = top + count * beside, not beside
        else:
            places += [(top + k // columns, k % columns) for k in range(count)]
            top += -(-count // columns)
    rows = max(row for row, _ in places) + 1
    width = (_WIDTH - 2 * _MARGIN - (columns - 1) * _GUTTER) / columns
    height = min((_BOTTOM - _TOP) / rows, _HIGHEST)
    boxes = []
    for row, column in places:
        left, upper = _MARGIN + column * (width + _GUTTER), _TOP + row * height
        boxes.append(Box(left, upper, left + width, upper + height - 14))
    return boxes


def _chart(page: _Page, box: Box, chart: Chart, labels: "_Labels | None", width: float) -> None:
    """Title, axes, lines, and the labels of several lines, or the figure of a single one."""
    sheet, language = page.sheet, page.language
    title, ink = chart_title(chart, language), style.INK
    if chart.signs:
        sheet.fill(Box(box.left, box.top, box.right, box.top + 14), TINT)
        title, ink = f"{chart.signs} {title}", MARKED
    sheet.write(box.left + 3, box.top + 7, title, size=_TITLE, bold=True, colour=ink, room=box.width - 6)
    top, right = box.top + 22, box.right - 4.0
    if labels is None:
        figure = _figure(chart, chart.lines[0], language)
        sheet.write(box.left + 3, box.top + 21, figure, size=_TITLE, colour=ink, room=box.width - 6)
        top += 12
    else:
        right -= width + _BESIDE
    area = Box(box.left + _NUMBERS, top, right, box.bottom - 14)
    groups = together([line.values for line in chart.lines]) or [[]]
    # A scale for five lines has more height than one for a single line, but not five times as much.
    parts = [max(len(group), 1) ** 0.5 for group in groups]
    unit = (area.height - _LANE_GAP * (len(groups) - 1)) / sum(parts)
    ends: dict[int, float] = {}
    for group, part in zip(groups, parts, strict=True):
        lane = Box(area.left, top, area.right, top + part * unit)
        ends |= _lane(page, lane, chart, group)
        top = lane.bottom + _LANE_GAP
    _dates(page, area)
    if labels is not None:
        labels.write(area, ends)


def _colour(place: int, chart: Chart) -> str:
    """A line's colour: that of the unusual when it is the only one, lest several be taken for each other."""
    alone = sum(line.move is not None for line in chart.lines) == 1
    return MARKED if alone and chart.lines[place].move else _COLOURS[place % len(_COLOURS)]


def _lane(page: _Page, box: Box, chart: Chart, group: Sequence[int]) -> dict[int, float]:
    """The lines that share a scale. Returns the height at which each ends."""
    lines = [chart.lines[k] for k in group]
    values = [value for line in lines for value in line.values]
    scale = axis(values, most=4 if box.height > 60 else 3, whole=chart.whole, share=chart.share)
    plot = Plot(page.sheet, box, page.frame.days, scale, _UNIT)
    plot.ground()
    for tick, number in zip(scale.ticks, ticked(chart, scale.ticks, page.language), strict=True):
        page.sheet.write(box.left - 4, plot.y(tick), number, size=_TEXT, colour=style.QUIET, align=1, room=_NUMBERS - 4)
    # What is unusual lies above the rest.
    for k in sorted(group, key=lambda k: chart.lines[k].move is not None):
        line = chart.lines[k]
        plot.line(line.values, _colour(k, chart), 1.8 if line.move else 1.2)
    plot.gaps([line.values for line in lines], page.language.say(NOT_AVAILABLE), _TEXT)
    ends = {}
    for k in sorted(group, key=lambda k: chart.lines[k].move is not None):
        line = chart.lines[k]
        plot.ring(line.values, _colour(k, chart), 1.9)
        plot.end(line.values, _colour(k, chart), 2.2, line.sign)
        there = known(line.values)
        ends[k] = plot.y(there[-1]) if there else (box.top + box.bottom) / 2
    return ends


def _dates(page: _Page, area: Box) -> None:
    days = page.frame.days
    for place in weekly(days):
        x = area.left + (place + 0.5) * area.width / len(days)
        page.sheet.line([(x, area.bottom + 1.5), (x, area.bottom + 4)], style.QUIET, _UNIT)
        text, last = page.language.weekday(days[place]), place == len(days) - 1
        colour = style.INK if last else style.QUIET
        page.sheet.write(x, area.bottom + 9.5, text, size=_TINY, colour=colour, align=0.5, room=area.width / 5)


def _figure(chart: Chart, line: Line, language: Language) -> str:
    """The report day's figure with its changes: to the week before, and to a usual day when unusual."""
    figure = full(chart, line.last, language)
    if line.change is not None:
        figure = f"{figure} ({language.change(line.change)})"
    return f"{figure} {told(line, language)}" if line.move else figure


class _Labels:
    """What the lines of a chart are called, their figures and changes, as a small table beside their ends."""

    def __init__(self, page: _Page, chart: Chart) -> None:
        self._page, self._chart = page, chart
        language = page.language
        self._rows = [(line.name, full(chart, line.last, language), told(line, language)) for line in chart.lines]
        self._bold = [line.move is not None for line in chart.lines]
        widths = [
            max((wide(row[k], bold) for row, bold in zip(self._rows, self._bold, strict=True)), default=0) * _TEXT
            for k in range(3)
        ]
        self._widths = min(widths[0], 130.0 if len(chart.lines) > 4 else 60.0), widths[1], widths[2]
        self.width = sum(self._widths) + 10

    def write(self, area: Box, ends: Mapping[int, float]) -> None:
        """Each label as near to its line's end as the others allow."""
        sheet = self._page.sheet
        order = sorted(ends)
        places = apart([ends[k] for k in order], _TEXT * 1.3, area.top + 2, area.bottom - 2)
        left = area.right + _BESIDE
        for k, y in zip(order, places, strict=True):
            bold, colour = self._bold[k], _colour(k, self._chart)
            start = area.right - area.width / len(self._page.frame.days) / 2 + 3
            sheet.line([(start, ends[k]), (left - 2, y)], colour, _UNIT * 0.8)
            colour = MARKED if bold else colour
            name, value, change = self._rows[k]
            first, second, third = self._widths
            sheet.write(left, y, name, size=_TEXT, colour=colour, bold=bold, room=first)
            sheet.write(left + first + 5 + second, y, value, size=_TEXT, colour=colour, bold=bold, align=1)
            sheet.write(left + first + second + 10 + third, y, change, size=_TEXT, colour=colour, bold=bold, align=1)
