"""A ranking on one page: countries and categories by score, as bars, each with where it moves.

Belongs here: this page's drawing. Does not: its figures (`rankings/`), the look (`style.py`), formats (`language.py`).

How it keeps honest: bars start at zero, which moves into the page where a score is negative; all bars of a panel have
one scale, and every score is written; what is no trend has no colour, only its arrow and change; what is left out is
counted.

Light to import: matplotlib is imported inside the functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from analytics_platform.charts import style
from analytics_platform.charts.sheet import Box, Sheet
from analytics_platform.language import Language
from analytics_platform.rankings.plan import UNKNOWN, Mode
from analytics_platform.rankings.ranking import Direction, Popular, Ranking, Trending

MOST_GROUPS = 12
_MARGIN, _TITLE, _FOOT = 34, 150, 84  # the page's edge; title above, key below the panels
_HEADING, _ROW, _REST, _GAP = 64, 46, 40, 34  # of a panel; what is left out; between panels
_BAR = 28
_NAMES, _BARS = (_MARGIN, 300), (316, 730)  # from, to
_SCORES, _CHANGES = 870, 1046  # right ends
_ARROW = 40
_SEEN = 3.0
_MOST_PERCENT = 999

_ARROWS: Mapping[Direction, str] = {"up": "↑", "down": "↓", "stable": "→"}
_COLOURS: Mapping[Direction, str] = {"up": style.COUNT, "down": style.SHARE, "stable": style.QUIET}


@dataclass(frozen=True)
class _Panel:
    """The best groups, how each moved, and how many there are besides."""

    name: str
    groups: tuple[Popular, ...]
    trends: Mapping[str, Trending]
    more: int

    @property
    def height(self) -> float:
        """On the page."""
        return _HEADING + max(len(self.groups), 1) * _ROW + (_REST if self.more else 0)


@dataclass(frozen=True)
class _Bars:
    """The scale of a panel: where zero is, and how wide a score of 1."""

    zero: float
    unit: float

    def ends(self, score: float) -> tuple[float, float]:
        """Left and right end of a bar; what is too small to be seen is there all the same."""
        width = score * self.unit
        if score and abs(width) < _SEEN:
            width = _SEEN if score > 0 else -_SEEN
        return min(self.zero, self.zero + width), max(self.zero, self.zero + width)


def draw(ranking: Ranking, language: Language) -> bytes:
    """The page as PNG, 1,080 pixels wide, as high as its groups need; the same bytes for the same ranking."""
    from analytics_platform.charts import ink

    with style.look():
        return ink.png(compose(ranking, language))


def compose(ranking: Ranking, language: Language) -> Sheet:
    """The page as marks; inside `style.look()`."""
    panels = (
        _panel(ranking, "country", language.say("By country")),
        _panel(ranking, "category", language.say("By category")),
    )
    height = _TITLE + sum(panel.height for panel in panels) + _GAP + _FOOT
    sheet = Sheet(style.WIDTH, height, style.DPI)
    room = style.WIDTH - 2 * _MARGIN
    sheet.write(_MARGIN, 50, language.say("Popular and trending"), size=style.TITLE, bold=True, room=room)
    until = language.say(
        "24 hours until {day}, {time} UTC"
        if ranking.plan.recent.days == 1 and not ranking.plan.recent.seconds
        else "until {day}, {time} UTC",
        day=language.day(ranking.as_of.date()),
        time=f"{ranking.as_of:%H:%M}",
    )
    sheet.write(_MARGIN, 104, until, size=style.BODY, colour=style.QUIET, room=room)
    top: float = _TITLE
    for panel in panels:
        _draw(sheet, panel, top, language, ranking.plan.mode)
        top += panel.height + _GAP
    _key(sheet, height - _FOOT / 2, language, ranking.plan.mode)
    return sheet


def _panel(ranking: Ranking, ranked_by: str, name: str) -> _Panel:
    groups = ranking.popular[ranked_by]
    shown = groups[:MOST_GROUPS]
    return _Panel(name, shown, {trend.name: trend for trend in ranking.trending[ranked_by]}, len(groups) - len(shown))


def _draw(sheet: Sheet, panel: _Panel, top: float, language: Language, mode: Mode) -> None:
    middle = top + 26
    unit = language.say("score a day") if mode is Mode.NORMALISED else language.say("score")
    sheet.write(_MARGIN, middle, panel.name, size=style.HEADING, bold=True, room=_BARS[1] - 60 - _MARGIN)
    sheet.write(_SCORES, middle, unit, size=style.SMALL, colour=style.QUIET, align=1, room=220)
    sheet.write(
        _CHANGES,
        middle,
        language.say("change"),
        size=style.SMALL,
        colour=style.QUIET,
        align=1,
        room=_CHANGES - _SCORES - 20,
    )
    if not panel.groups:
        text = language.say("no data")
        sheet.write(_MARGIN, top + _HEADING + _ROW / 2, text, size=style.BODY, colour=style.QUIET)
    scores = [group.score for group in panel.groups]
    low, high = min([0.0, *scores]), max([0.0, *scores])
    unit_width = (_BARS[1] - _BARS[0]) / ((high - low) or 1.0)
    bars = _Bars(_BARS[0] - low * unit_width, unit_width)
    for place, group in enumerate(panel.groups):
        _Row(sheet, language, bars).draw(group, panel.trends[group.name], top + _HEADING + (place + 0.5) * _ROW)
    if panel.groups:
        foot = top + _HEADING + len(panel.groups) * _ROW
        sheet.line([(bars.zero, top + _HEADING), (bars.zero, foot)], style.QUIET, 2.0)
    if panel.more:
        text = language.say("{count} more", count=language.count(panel.more))
        sheet.write(_NAMES[0], top + panel.height - _REST / 2, text, size=style.SMALL, colour=style.QUIET)


@dataclass(frozen=True)
class _Row:
    """Draws a group: its name, bar, score and change."""

    sheet: Sheet
    language: Language
    bars: _Bars

    def draw(self, group: Popular, trend: Trending, y: float) -> None:
        """With its middle at `y`."""
        sheet, language = self.sheet, self.language
        name = language.say("unknown") if group.name == UNKNOWN else group.name
        sheet.write(_NAMES[0], y, name, size=style.BODY, room=_NAMES[1] - _NAMES[0])
        left, right = self.bars.ends(group.score)
        colour = style.COUNT_PALE if trend.direction == "stable" else _COLOURS[trend.direction]
        sheet.fill(Box(left, y - _BAR / 2, right, y + _BAR / 2), colour)
        sheet.write(_SCORES, y, _score(group.score, language), size=style.BODY, align=1, room=_SCORES - _BARS[1] - 14)
        ink, bold = _COLOURS[trend.direction], trend.direction != "stable"
        room = _CHANGES - _SCORES - _ARROW - 20
        moved = _percent(trend.velocity_percent, language)
        written = sheet.write(_CHANGES, y, moved, size=style.BODY, colour=ink, bold=bold, align=1, room=room)
        sheet.write(written.x - 10, y, _ARROWS[trend.direction], size=style.BODY, colour=ink, bold=bold, align=1)


def _score(score: float, language: Language) -> str:
    return ("-" if round(score, 1) < 0 else "") + language.compact(abs(score))


def _percent(velocity: float, language: Language) -> str:
    if abs(velocity) > _MOST_PERCENT:
        most = language.compact(_MOST_PERCENT / 100, share=True)
        return f">+{most}" if velocity > 0 else f"<-{most}"
    rounded = round(velocity, 1 if abs(velocity) < 10 else None)
    sign = "+" if rounded > 0 else "-" if rounded < 0 else ""
    return sign + language.compact(round(abs(rounded) / 100, 3), share=True)


def _key(sheet: Sheet, y: float, language: Language, mode: Mode) -> None:
    """What the arrows mean."""
    told = (
        language.say("an arrow up or down: a change that chance does not explain")
        if mode is Mode.NORMALISED
        else language.say("an arrow up or down: a change of more than 10%")
    )
    sheet.write(_MARGIN, y, told, size=style.SMALL, colour=style.QUIET, room=sheet.width - 2 * _MARGIN)
