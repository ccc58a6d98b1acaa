"""An incident on a phone: each of its series over the last day, with what was usual, and the incident marked.

Belongs here: this page's drawing. Does not: what is written below it (`alerts/telling.py`), the look (`style.py`),
scales (`scales.py`), which series it shows.

How it keeps honest: counts start at zero; a share's scale that does not is torn off, which shows; the usual range is
cut off where it would flatten the line; buckets that are not known are gaps, never zeros.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from analytics_platform.alerts import telling_words as words
from analytics_platform.alerts.findings import What
from analytics_platform.alerts.telling_views import Member, known
from analytics_platform.charts import style
from analytics_platform.charts.app_plots import bottom
from analytics_platform.charts.scales import Axis, axis
from analytics_platform.charts.sheet import Box, Point, Sheet, wide
from analytics_platform.language import NOT_AVAILABLE, Language
from analytics_platform.metrics.series import BUCKET

Values = tuple[float | None, ...]

MOST_PANELS = 3
_HEIGHTS = {1: 860, 2: 1150, 3: 1350}
_MARGIN, _AXIS = 34, 118  # beside the plots; room for the numbers of the scale
_TOP, _FOOT = 104, 128  # above the panels; dates and key below them
_HEADING, _TIME, _GAP = 56, 32, 26  # of a panel: its name, the incident's time; what is free below it
_UNIT = 2.0
_LINE = 5.0
# The usual range may reach this far beyond the highest of all values before it is cut off.
_BAND_REACH = 1.35

BAND, SHADE, LATE, WEEK, MARKED = "#D5E6F1", "#FCE3D0", "#EDF0F3", "#9AA5B1", style.SHARE
_NAMES = (32, 22, 16, 11, 7)  # letters of a slice's value in a heading, as many as fit
_TICK, _LABEL = 3, 6  # hours


@dataclass(frozen=True)
class Panel:
    """A series of the incident. All values are in the order of the frame's `times`; None and nan are gaps.

    `member`: what its heading says. `low`, `high`: what is usual; `week_ago`: the values of the same times a week
    before. These may be empty. `alerted`: places of the unusual buckets.
    """

    member: Member
    values: Values
    low: Values = ()
    high: Values = ()
    week_ago: Values = ()
    alerted: tuple[int, ...] = ()


@dataclass(frozen=True)
class AlertFrame:
    """What the page shows. Moments are aware; `zone` is the reader's.

    `times`: starts of the buckets, every 15 minutes without gaps, at least two. `panels`: the first `MOST_PANELS` are
    drawn. `since`, `until`: the incident's span (`until` None: it goes on). `late_since`: from when on data is missing;
    then nothing is said to be unusual.
    """

    times: tuple[datetime, ...]
    panels: tuple[Panel, ...]
    zone: ZoneInfo
    since: datetime | None = None
    until: datetime | None = None
    late_since: datetime | None = None

    def __post_init__(self) -> None:
        if len(self.times) < 2 or not self.panels:
            raise ValueError("an alert's chart needs two buckets and one series at least")
        for panel in self.panels:
            for row in (panel.values, panel.low, panel.high, panel.week_ago):
                if row and len(row) != len(self.times):
                    raise ValueError(f"{panel.member.metric}: {len(row)} values for {len(self.times)} buckets")

    @property
    def end(self) -> datetime:
        """End of the last bucket."""
        return self.times[-1] + BUCKET


def draw(frame: AlertFrame, language: Language) -> bytes:
    """The page as PNG, 1,080 pixels wide, as high as its panels need; the same bytes for the same frame."""
    from analytics_platform.charts import ink

    with style.look():
        return ink.png(compose(frame, language))


def compose(frame: AlertFrame, language: Language) -> Sheet:
    """The page as marks; inside `style.look()`."""
    panels = frame.panels[:MOST_PANELS]
    sheet = Sheet(style.WIDTH, _HEIGHTS[len(panels)], style.DPI)
    _title(sheet, frame, language)
    height = (sheet.height - _TOP - _FOOT) / len(panels)
    page = _Page(sheet, frame, language)
    torn = False
    for place, panel in enumerate(panels):
        top = _TOP + place * height
        last = place == len(panels) - 1
        box = Box(_MARGIN, top + _HEADING + _TIME, sheet.width - _MARGIN - _AXIS, top + height - (0 if last else _GAP))
        torn |= page.panel(panel, top, box)
    page.hours(sheet.height - _FOOT + 24)
    page.key(sheet.height - _FOOT + 64, torn=torn)
    return sheet


def _title(sheet: Sheet, frame: AlertFrame, language: Language) -> None:
    """Whose figures these are, and from when to when it was."""
    services = dict.fromkeys(panel.member.service for panel in frame.panels[:MOST_PANELS])
    name = ", ".join(words.service_name(service, language) for service in services)
    title = sheet.write(_MARGIN, 54, name, size=style.TITLE, bold=True, room=sheet.width * 0.6)
    left = title.right + 24
    sheet.write(left, 57, _when(frame, language), size=34, colour=style.QUIET, room=sheet.width - _MARGIN - left)


def _when(frame: AlertFrame, language: Language) -> str:
    day = language.day((frame.end - timedelta(microseconds=1)).astimezone(frame.zone).date())
    since = frame.late_since or frame.since
    if since is None:
        return day
    if since.astimezone(frame.zone).date() != (frame.end - BUCKET).astimezone(frame.zone).date():
        day = ""
    if frame.until is not None:
        return f"{day}{', ' if day else ''}{words.span(since, frame.until, frame.zone, frame.end, language)}"
    time = words.clock(since, frame.zone, frame.end, language)
    late = frame.late_since is not None
    begins = language.say("no data since {time}", time=time) if late else language.say("since {time}", time=time)
    return f"{day}, {begins}" if day else begins


@dataclass(frozen=True)
class _Page:
    sheet: Sheet
    frame: AlertFrame
    language: Language

    @property
    def step(self) -> float:
        """How wide a bucket is."""
        return (self.sheet.width - 2 * _MARGIN - _AXIS) / len(self.frame.times)

    def x(self, moment: datetime) -> float:
        """Where the moment is, on all panels alike."""
        first, last = self.frame.times[0], self.frame.end
        part = (moment - first) / (last - first)
        return _MARGIN + min(max(part, 0.0), 1.0) * (self.sheet.width - 2 * _MARGIN - _AXIS)

    def middle(self, place: int) -> float:
        """The middle of a bucket."""
        return self.x(self.frame.times[place] + BUCKET / 2)

    def panel(self, panel: Panel, top: float, box: Box) -> bool:
        """Heading, ground, lines. Returns whether its scale starts above zero."""
        self._heading(panel, top + 26)
        scale = _scale(panel)
        self._ground(box)

        def y(value: float) -> float:
            return box.bottom - min(max(scale.part(value), 0.0), 1.0) * box.height

        for first, last in _runs(_known(panel.low), _known(panel.high)):
            upper = [(self.middle(k), y(panel.high[k] or 0.0)) for k in range(first, last + 1)]
            lower = [(self.middle(k), y(panel.low[k] or 0.0)) for k in range(last, first - 1, -1)]
            if last > first:
                self.sheet.area([*upper, *lower], BAND)
        for tick in scale.ticks:
            if tick > scale.low:
                self.sheet.line([(box.left, y(tick)), (box.right, y(tick))], style.RULE, _UNIT)
            text = self.language.compact(tick, share=panel.member.share)
            self.sheet.write(
                box.right + 14, y(tick), text, size=style.SMALL, colour=style.QUIET, room=_AXIS + _MARGIN - 24
            )
        bottom(self.sheet, box.left, box.right, box.bottom, _UNIT, torn=scale.torn)
        self._begin(box)
        self._line(panel.week_ago, y, WEEK, 3.0 if self.step > 5 else 2.0)
        self._line(panel.values, y, style.COUNT, _LINE if self.step > 5 else 3.0)
        unusual = [(k, v) for k, v in enumerate(_known(panel.values)) if v is not None and k in panel.alerted]
        # All rims first, or each dot would cut into the one before. In a picture of days they are near, so small.
        dot = min(max(self.step, 3.5), 6.5)
        for radius, ink in ((dot + 2.5, style.PAPER), (dot, MARKED)):
            for place, value in unusual:
                self.sheet.dot(self.middle(place), y(value), radius, ink)
        if not any(v is not None for v in _known(panel.values)):
            middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
            text = self.language.say(NOT_AVAILABLE)
            self.sheet.write(*middle, text, size=style.BODY, colour=style.QUIET, align=0.5)
        return scale.torn

    def _heading(self, panel: Panel, y: float) -> None:
        """The series with its change, and its figures at the other end."""
        member, language = panel.member, self.language
        right = self.sheet.width - _MARGIN
        if self.frame.late_since is not None:
            name = words.series_name(member.metric, member.dimension, member.value, language)
            self.sheet.write(_MARGIN, y, name, size=style.HEADING, bold=True, room=right - _MARGIN)
            return
        worst = self.frame.until is not None and known(member.worst) is not None
        value, expected = (member.worst, member.worst_expected) if worst else (member.now, member.expected)
        now = words.number(value, language, share=member.share)
        usual = words.number(expected, language, share=member.share)
        told = language.say("{value} instead of {expected}", value=now, expected=usual)
        if member.what is What.FREEZE or known(value) is None:  # its name says it
            told = ""
        elif worst:
            told = language.say("at worst {what}", what=told)
        taken = wide(told, bold=False) * 32 + 30 if told else 0.0
        room = right - _MARGIN - min(taken, 0.5 * right)
        names = [words.headline(member, language, worst=worst, longest=longest) for longest in _NAMES]
        # The change stands at the end of the name, so it is the slice's value that is cut.
        name = next((n for n in names if wide(n, bold=True) * style.HEADING * 0.8 <= room), names[-1])
        left = self.sheet.write(_MARGIN, y, name, size=style.HEADING, bold=True, colour=MARKED, room=room).right + 30
        if told:
            self.sheet.write(right, y + 2, told, size=32, colour=style.INK, align=1, room=right - left)

    def _ground(self, box: Box) -> None:
        """The incident's span, or where data is missing, and midnights."""
        frame = self.frame
        if frame.late_since is not None:
            left = self.x(frame.late_since)
            self.sheet.fill(Box(left, box.top, box.right, box.bottom), LATE)
        elif frame.since is not None:
            left, right = self._span()
            self.sheet.fill(Box(left, box.top, right, box.bottom), SHADE)
        for midnight in self._local(24):
            x = self.x(midnight)
            self.sheet.line([(x, box.top), (x, box.bottom)], style.RULE, _UNIT, dash=(_UNIT * 2, _UNIT * 4))

    def _span(self) -> tuple[float, float]:
        """Left and right end of the incident, wide enough to be seen."""
        frame = self.frame
        left = self.x(frame.since or frame.times[0])
        right = self.x(frame.until or frame.end)
        return (left, right) if right - left >= 10 else (left, left + 10)

    def _begin(self, box: Box) -> None:
        """Where it begins, or data ends, with the time above the plot."""
        frame, language = self.frame, self.language
        moment = frame.late_since or frame.since
        if moment is None:
            return
        x, late = self.x(moment), frame.late_since is not None
        colour = style.INK if late else MARKED
        self.sheet.line([(x, box.top), (x, box.bottom)], colour, _UNIT * 1.5)
        text = words.clock(moment, frame.zone, frame.end, language)
        if late:
            text = language.say("no data since {time}", time=text)
        elif frame.until is not None:
            text = words.span(moment, frame.until, frame.zone, frame.end, language)
        half = wide(text, bold=True) * style.SMALL / 2
        middle = min(max(x, box.left + half), box.right - half)
        self.sheet.write(middle, box.top - 17, text, size=style.SMALL, colour=colour, bold=True, align=0.5)

    def _line(self, values: Sequence[float | None], y: Callable[[float], float], colour: str, width: float) -> None:
        """The figures, interrupted where there is none; one between two gaps is a dot."""
        for first, last in _runs(_known(values)):
            points: list[Point] = [(self.middle(k), y(values[k] or 0.0)) for k in range(first, last + 1)]
            if len(points) > 1:
                self.sheet.line(points, colour, width)
            else:
                self.sheet.dot(*points[0], width * 0.9, colour)

    def hours(self, y: float) -> None:
        """Local hours below the last panel; midnight is called by its day."""
        right = self.sheet.width - _MARGIN
        taken: list[tuple[float, float]] = []
        marks = [(moment, moment.astimezone(self.frame.zone)) for moment in self._local(_TICK)]
        for moment, local in sorted(marks, key=lambda mark: mark[1].hour != 0):
            x, midnight = self.x(moment), local.hour == 0
            self.sheet.line([(x, y - 22), (x, y - 14)], style.QUIET, _UNIT)
            if local.hour % _LABEL:
                continue
            text = self.language.weekday(local.date()) if midnight else f"{local:%H:%M}"
            half = wide(text, bold=midnight) * style.SMALL / 2
            x = min(max(x, half + 8), right - half)
            if all(x + half + 12 < begin or x - half - 12 > end for begin, end in taken):
                ink = style.INK if midnight else style.QUIET
                self.sheet.write(x, y + 4, text, size=style.SMALL, colour=ink, align=0.5, bold=midnight)
                taken.append((x - half, x + half))

    def key(self, y: float, *, torn: bool) -> None:
        """What the signs mean."""
        frame, language = self.frame, self.language
        panels = frame.panels[:MOST_PANELS]
        entries = [("line", language.say("every 15 minutes"))]
        if any(first < last for panel in panels for first, last in _runs(_known(panel.low), _known(panel.high))):
            entries.append(("band", language.say("usual range")))
        if any(v is not None for panel in panels for v in _known(panel.week_ago)):
            entries.append(("week", language.say("a week earlier")))
        if frame.late_since is not None:
            entries.append(("late", language.say("no data yet")))
        elif any(panel.alerted for panel in panels):
            entries.append(("dot", language.say("unusual")))
        if torn:
            entries.append(("torn", language.say("the scale starts above 0")))
        rows: list[list[tuple[str, str]]] = [[]]
        x = 0.0
        for entry in entries:
            width = 52 + wide(entry[1], bold=False) * style.SMALL + 26
            if rows[-1] and x + width - 26 > self.sheet.width - 2 * _MARGIN:
                rows.append([])
                x = 0.0
            rows[-1].append(entry)
            x += width
        for place, row in enumerate(rows):
            x = float(_MARGIN)
            for sign, text in row:
                self._sign(sign, x, y + 34 * place)
                written = self.sheet.write(x + 52, y + 34 * place, text, size=style.SMALL, colour=style.QUIET)
                x = written.right + 26

    def _sign(self, sign: str, x: float, y: float) -> None:
        match sign:
            case "line":
                self.sheet.line([(x, y), (x + 40, y)], style.COUNT, _LINE)
            case "week":
                self.sheet.line([(x, y), (x + 40, y)], WEEK, 3.0)
            case "band":
                self.sheet.fill(Box(x, y - 12, x + 40, y + 12), BAND)
            case "late":
                self.sheet.fill(Box(x, y - 12, x + 40, y + 12), LATE)
                self.sheet.line([(x, y - 12), (x, y + 12)], style.INK, _UNIT * 1.5)
            case "dot":
                self.sheet.fill(Box(x, y - 13, x + 40, y + 13), SHADE)
                self.sheet.dot(x + 20, y, 8, MARKED)
            case "torn":
                bottom(self.sheet, x, x + 40, y, _UNIT, torn=True)

    def _local(self, every: int) -> Iterator[datetime]:
        """Whole local hours on the page that are multiples of `every`, as aware moments."""
        for moment in (*self.frame.times, self.frame.end):
            local = moment.astimezone(self.frame.zone)
            if not local.minute and not local.hour % every:
                yield moment


def _scale(panel: Panel) -> Axis:
    """One scale for everything in the panel; a wide usual range does not flatten the line."""
    seen = [*_known(panel.values), *_known(panel.week_ago), known(panel.member.expected)]
    highest = max((value for value in seen if value is not None), default=0.0)
    lowest = min((value for value in seen if value is not None), default=0.0)
    share = panel.member.share
    high = [min(value, highest * _BAND_REACH) for value in _known(panel.high) if value is not None]
    low = [max(value, lowest / _BAND_REACH) for value in _known(panel.low) if value is not None] if share else []
    return axis([*seen, *high, *low], most=4, whole=not share, share=share, zero=not share)


def _known(values: Sequence[float | None]) -> list[float | None]:
    return [known(value) for value in values]


def _runs(*rows: Sequence[float | None]) -> Iterator[tuple[int, int]]:
    """First and last place of every stretch in which all rows have a figure."""
    if not all(rows):
        return
    start = None
    there = [all(value is not None for value in cells) for cells in zip(*rows, strict=True)]
    for place, flag in enumerate((*there, False)):
        if flag and start is None:
            start = place
        elif not flag and start is not None:
            yield start, place - 1
            start = None
