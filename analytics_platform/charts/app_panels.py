"""The four pictures of the app report, one per group of charts, for a phone: every line is a small plot of its own.

Belongs here: where things are on these pages. Does not: what is inside a plot's frame (`app_plots.py`), words
(`app_charts.py`), the PDF (`app_book.py`).

Lines of very different height (a chat's two thousand users beside a feed's eighteen thousand, six countries) are
flat or on top of each other in one plot, and need a legend; each in a plot of its own needs neither. Cards, for totals,
have numbers at the axis; the cells of the tables below each other have not, and write the report day's figure instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analytics_platform.charts import style
from analytics_platform.charts.app_charts import (
    DOWN,
    UP,
    Chart,
    Line,
    column_name,
    dimension_name,
    full,
    group_name,
    metric_name,
    short,
    ticked,
    told,
    weekly,
)
from analytics_platform.charts.app_plots import MARKED, TINT, WEEKEND, Plot, bottom, dots
from analytics_platform.charts.scales import axis
from analytics_platform.charts.sheet import Box, Sheet, cut, wide
from analytics_platform.language import NOT_AVAILABLE, Language
from analytics_platform.metrics.app import SLICED_BY, AppFrame
from analytics_platform.metrics.dimensions import TOTAL

_CARDS = ("app", "feed")  # the groups without tables
_MARGIN, _GUTTER = 34, 24
_TOP, _BOTTOM = 108, 1252  # between title and key
_UNIT = 2.0
_AXIS = 126  # room for a card's axis numbers
_DATES = 34
_NAMES, _HEADING = 166, 42  # a table's first column, a table's heading
_WIDTHS = {"actions": 1.1, "actions_per_user": 0.9}  # of a table's columns; the others have 1
_MOST_ROWS = 14  # of all tables of a page


@dataclass(frozen=True)
class _Page:
    sheet: Sheet
    frame: AppFrame
    language: Language


def panel(charts: Sequence[Chart], frame: AppFrame, language: Language) -> Sheet:
    """One group's page of style.WIDTH x style.HEIGHT pixels; inside `style.look()`."""
    page = _Page(Sheet(style.WIDTH, style.HEIGHT, style.DPI), frame, language)
    sheet, group = page.sheet, charts[0].group
    title = sheet.write(_MARGIN, 60, group_name(group, language), size=style.TITLE, bold=True)
    period = language.period(frame.days[0], frame.day)
    left = title.right + 28
    sheet.write(left, 62, period, size=34, colour=style.QUIET, room=style.WIDTH - _MARGIN - left)
    if group in _CARDS:
        (_columns_of_cards if group == "app" else _cards)(page, charts)
    else:
        top: float = _TOP
        if group == "chat":
            top = _totals(page, [chart for chart in charts if chart.dimension == TOTAL], top)
        _tables(page, [[chart for chart in charts if chart.dimension == d] for d in SLICED_BY], top)
    _key(page, charts)
    return sheet


def _columns_of_cards(page: _Page, charts: Sequence[Chart]) -> None:
    """A chart is a column, its lines are cards below each other."""
    width = (style.WIDTH - 2 * _MARGIN - _GUTTER) / len(charts)
    for column, chart in enumerate(charts):
        left = _MARGIN + column * (width + _GUTTER)
        _headline(
            page,
            Box(left, _TOP, left + width, _TOP + 56),
            chart,
            metric_name(chart.group, chart.metric, page.language),
            32,
        )
        height = (_BOTTOM - _DATES - _TOP - 64) / len(chart.lines)
        for row, line in enumerate(chart.lines):
            top = _TOP + 64 + row * height
            _card(page, Box(left, top, left + width, top + height - 16), chart, line, line.name)
        _dates(page, left + 10, left + width - _AXIS)


def _cards(page: _Page, charts: Sequence[Chart]) -> None:
    """A chart of one line is a card; two columns of them, read row by row."""
    width = (style.WIDTH - 2 * _MARGIN - _GUTTER) / 2
    height = (_BOTTOM - _DATES - _TOP) / ((len(charts) + 1) // 2)
    for place, chart in enumerate(charts):
        left, top = _MARGIN + place % 2 * (width + _GUTTER), _TOP + place // 2 * height
        name = metric_name(chart.group, chart.metric, page.language)
        _card(page, Box(left, top, left + width, top + height - 16), chart, chart.lines[0], name)
    for left in (_MARGIN, _MARGIN + width + _GUTTER):
        _dates(page, left + 10, left + width - _AXIS)


def _headline(page: _Page, box: Box, chart: Chart, name: str, size: float) -> None:
    """A chart's name; tinted and with signs when something in it is unusual."""
    if chart.signs:
        page.sheet.fill(box, TINT)
        name = f"{chart.signs} {name}"
    colour = MARKED if chart.signs else style.INK
    middle = (box.top + box.bottom) / 2
    page.sheet.write(box.left + 10, middle, name, size=size, colour=colour, bold=True, room=box.width - 20)


def _card(page: _Page, box: Box, chart: Chart, line: Line, name: str) -> None:
    """Name, the report day's figure, its changes, and the line with numbers at its axis."""
    sheet, language = page.sheet, page.language
    colour = style.COUNT
    if line.move is not None:
        sheet.fill(box, TINT)
        colour, name = MARKED, f"{line.sign} {name}"
    inner = box.width - 20
    ink = MARKED if line.move else style.INK
    sheet.write(box.left + 10, box.top + 24, name, size=30, bold=True, colour=ink, room=inner)
    unusual = None
    if line.move is not None:
        text = told(line, language)
        unusual = sheet.write(
            box.right - 10, box.top + 68, text, size=32, bold=True, colour=MARKED, align=1, room=inner / 3
        )
    room = inner - (unusual.width + 16 if unusual else 0)
    change = "" if line.change is None else language.change(line.change)
    value = full(chart, line.last, language)
    last = sheet.write(box.left + 10, box.top + 68, value, size=style.VALUE, bold=True, colour=colour, room=room * 0.62)
    if change:
        left = last.right + 14
        sheet.write(left, box.top + 69, change, size=28, colour=style.QUIET, room=box.left + 10 + room - left)

    frame = Box(box.left + 10, box.top + 104, box.right - _AXIS, box.bottom - 8)
    scale = axis(line.values, whole=chart.whole, share=chart.share, zero=chart.zero)
    plot = Plot(sheet, frame, page.frame.days, scale, _UNIT, TINT if line.move else style.PAPER)
    plot.ground()
    for tick, number in zip(plot.axis.ticks, ticked(chart, plot.axis.ticks, language), strict=True):
        sheet.write(frame.right + 14, plot.y(tick), number, size=style.SMALL, colour=style.QUIET, room=_AXIS - 18)
    plot.line(line.values, colour, 4)
    plot.gaps([line.values], language.say(NOT_AVAILABLE), style.SMALL)
    plot.ring(line.values, colour, 7)
    plot.end(line.values, colour, 9, line.sign)


def _dates(page: _Page, left: float, right: float) -> None:
    """The report day and the same weekdays before it, below the last cards of a column."""
    days = page.frame.days
    places = weekly(days)
    for place in places:
        x = left + (place + 0.5) * (right - left) / len(days)
        last = place == places[-1]
        text = page.language.weekday(days[place]) if last else str(days[place].day)
        colour = style.INK if last else style.QUIET
        page.sheet.write(x, _BOTTOM - _DATES / 2, text, size=style.SMALL, colour=colour, align=0.5)


def _totals(page: _Page, charts: Sequence[Chart], top: float) -> float:
    """The totals above the tables, one cell each. Returns where they end."""
    width = (style.WIDTH - 2 * _MARGIN) / len(charts)
    for column, chart in enumerate(charts):
        left = _MARGIN + column * width
        box = Box(left, top, left + width - 12, top + 160)
        name = column_name(chart.group, chart.metric, page.language)
        _headline(page, Box(box.left, top, box.right, top + 40), chart, name, 26)
        _cell(page, Box(box.left, top + 40, box.right, box.bottom), chart, chart.lines[0], 30)
    return top + 172


def _tables(page: _Page, tables: Sequence[Sequence[Chart]], top: float) -> None:
    """Per dimension a table: a row for every value, a column for every metric."""
    counts = [len(table[0].lines) for table in tables]
    while sum(counts) > _MOST_ROWS:
        counts[counts.index(max(counts))] -= 1
    height = min((_BOTTOM - top - len(tables) * _HEADING) / max(sum(counts), 1), 130)
    for table, count in zip(tables, counts, strict=True):
        _table(page, table, _rows(table, count), top, height)
        top += _HEADING + count * height
    hidden = sum(len(table[0].lines) for table in tables) - sum(counts)
    if hidden:
        text = page.language.say("{count} more rows in the PDF", count=hidden)
        right = style.WIDTH - _MARGIN
        page.sheet.write(right, 24, text, size=style.SMALL, colour=style.QUIET, align=1)


def _rows(table: Sequence[Chart], count: int) -> list[int]:
    """Which values a table shows when it cannot show all: what is unusual, and then the largest."""
    usual = [not any(chart.lines[row].move for chart in table) for row in range(len(table[0].lines))]
    return sorted(sorted(range(len(usual)), key=lambda row: (usual[row], row))[:count])


def _table(page: _Page, table: Sequence[Chart], rows: Sequence[int], top: float, height: float) -> None:
    sheet, language = page.sheet, page.language
    right = style.WIDTH - _MARGIN
    sheet.line([(_MARGIN, top + 2), (right, top + 2)], style.QUIET, _UNIT)
    heading = dimension_name(table[0].dimension, language)
    sheet.write(_MARGIN, top + 23, heading, size=28, bold=True, room=_NAMES - 8)
    widths = _shares(right - _MARGIN - _NAMES, [_WIDTHS.get(chart.metric, 1.0) for chart in table])
    left: float = _MARGIN + _NAMES
    for chart, width in zip(table, widths, strict=True):
        name = column_name(chart.group, chart.metric, language)
        _headline(page, Box(left, top + 4, left + width - 10, top + _HEADING), chart, name, 26)
        for place, row in enumerate(rows):
            above = top + _HEADING + place * height
            _cell(page, Box(left, above, left + width - 10, above + height - 4), chart, chart.lines[row], 26)
        left += width
    for place, row in enumerate(rows):
        middle = top + _HEADING + (place + 0.5) * height
        _row_name(sheet, middle, table[0].lines[row].name, bold=any(chart.lines[row].move for chart in table))


def _row_name(sheet: Sheet, middle: float, name: str, *, bold: bool) -> None:
    """On one line, or on two where it has blanks and would become too small."""
    room, size, words = _NAMES - 10, 28.0, name.split(" ")
    if wide(name, bold) * size * 0.85 <= room or len(words) < 2:
        sheet.write(_MARGIN, middle, name, size=size, bold=bold, room=room)
        return
    halves = [(" ".join(words[:k]), " ".join(words[k:])) for k in range(1, len(words))]
    above, below = min(halves, key=lambda half: max(wide(text, bold) for text in half))
    size = max(min(24.0, room / max(wide(above, bold), wide(below, bold))), 20.0)
    for text, y in ((above, middle - 14), (below, middle + 14)):
        fits = wide(text, bold) * size <= room
        sheet.write(_MARGIN, y, text if fits else cut(text, bold, room / size), size=size, bold=bold)


def _shares(width: float, parts: Sequence[float]) -> list[float]:
    return [width * part / sum(parts) for part in parts]


def _cell(page: _Page, box: Box, chart: Chart, line: Line, size: float) -> None:
    """The line, and its figure with the change: below it, or beside it where the cell is wide."""
    sheet, language = page.sheet, page.language
    unusual = line.move is not None
    if unusual:
        sheet.fill(box, TINT)
    beside = box.width > 2.6 * box.height
    edge = box.left + box.width * 0.55
    frame = (
        Box(box.left + 8, box.top + 10, edge - 10, box.bottom - 12)
        if beside
        else Box(box.left + 8, box.top + 8, box.right - 12, box.bottom - size - 18)
    )
    # Lines of the scale would say nothing without numbers.
    scale = replace(axis(line.values, zero=chart.zero), ticks=())
    plot = Plot(sheet, frame, page.frame.days, scale, _UNIT, TINT if unusual else style.PAPER)
    plot.ground()
    colour = MARKED if unusual else style.COUNT
    plot.line(line.values, colour, 3)
    plot.gaps([line.values], language.say(NOT_AVAILABLE), 22, tight=True)
    plot.end(line.values, colour, 6, line.sign)

    value, change = short(chart, line.last, language), told(line, language)
    ink, quiet = (MARKED, MARKED) if unusual else (style.INK, style.QUIET)
    if beside:
        room = box.right - edge - 4
        sheet.write(edge, box.top + box.height * 0.3, value, size=size, bold=True, colour=ink, room=room)
        sheet.write(edge, box.top + box.height * 0.72, change, size=size, bold=unusual, colour=quiet, room=room)
        return
    gap, room, y = 0.36, box.width - 12, box.bottom - size * 0.62
    together = wide(value, bold=False) + gap + wide(change, unusual)
    size = min(size, room / together)
    left = sheet.write(box.left + 8, y, value, size=size, colour=ink).right + gap * size
    sheet.write(left, y, change, size=size, bold=unusual, colour=quiet)


def _key(page: _Page, charts: Sequence[Chart]) -> None:
    """What the signs mean, and what the changes are changes from."""
    sheet, language, size = page.sheet, page.language, style.SMALL
    y, x = 1282.0, float(_MARGIN)
    sheet.fill(Box(x, y - 14, x + 32, y + 14), WEEKEND)
    x = sheet.write(x + 42, y, language.say("weekend"), size=size, colour=style.QUIET).right + 30
    bottom(sheet, x, x + 72, y, _UNIT, torn=True)
    text = language.say("the scale starts above 0")
    x = sheet.write(x + 82, y, text, size=size, colour=style.QUIET).right + 30
    room = style.WIDTH - _MARGIN - x
    if charts[0].group in _CARDS:
        sheet.dot(x + 8, y, 7, style.COUNT, ring=_UNIT * 1.5)
        sheet.write(x + 28, y, language.say("a week earlier"), size=size, colour=style.QUIET, room=room - 28)
    elif any(value is None for chart in charts for line in chart.lines for value in line.values):
        dots(sheet, x + 4, y - 14, y + 14, _UNIT)
        sheet.write(x + 18, y, language.say(NOT_AVAILABLE), size=size, colour=style.QUIET, room=room - 18)
    y, x = 1322.0, float(_MARGIN)
    day = language.day(page.frame.week_ago)
    text = language.say("changes: vs {day}", day=day)
    if any(chart.signs for chart in charts):
        unusual = f"{UP}{DOWN} {language.say('unusual: vs a usual day')}"
        x = sheet.write(x, y, unusual, size=size, colour=MARKED, bold=True).right + 30
        text = language.say("other changes: vs {day}", day=day)
    sheet.write(x, y, text, size=size, colour=style.QUIET, room=style.WIDTH - _MARGIN - x)
