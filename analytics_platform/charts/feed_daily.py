"""The feed's week on one page: users, views and likes per day as columns, each with its click-through rate above.

Belongs here: this page's drawing. Does not: its figures (`metrics/frames.py`), the look (`style.py`), formats
(`language.py`).

How it keeps honest: columns start at zero; the rate, which would be a flat line on such a scale, has a band of its own
above them, so that neither can be read on the other's axis, and the band always spans a tenth of the rate or more, so
that noise looks like noise. A missing figure is a gap marked `n/a`; a column too low to be seen has its figure written.
The mark on the last column is the level of the same weekday a week before, to which the change in brackets refers.

Light to import: matplotlib is imported inside the functions.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analytics_platform.charts import style
from analytics_platform.charts.style import Chart, px
from analytics_platform.language import NOT_AVAILABLE, Language
from analytics_platform.metrics.frames import FeedFrame, growth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

# The page, in pixels from its upper left corner.
_MARGIN = 40
_LEFT, _RIGHT = 172, 936  # of the plots; the axes' numbers stand outside
_FIRST_PANEL, _PANEL, _PLOT_BELOW, _PLOT = 112, 380, 58, 300
_FOOT = 1304
_TICK_GAP = 12  # between a plot and its numbers

# A plot's height, in parts: columns up to the first, then the last value's label, the rate's band between the others.
_COLUMNS, _BAND_LOW, _BAND_HIGH = 0.59, 0.79, 0.97
_COLUMN_WIDTH = 0.66  # of a day

_RATE_LINE: dict[str, Any] = {
    "color": style.SHARE,
    "linewidth": px(3),
    "linestyle": (0, (3, 1.6)),
    "marker": "o",
    "markersize": px(10),
}
_COLOURS = (
    *(style.PAPER, style.INK, style.QUIET, style.RULE),
    *(style.COUNT, style.COUNT_PALE, style.SHARE, style.SHARE_RULE),
)
_MARK_LINE: dict[str, Any] = {"color": style.INK, "linewidth": px(5), "linestyle": (0, (1, 0.8))}


@dataclass(frozen=True)
class _Series:
    """One figure on the drawn days, and on the day a week before the last."""

    name: str
    values: tuple[float | None, ...]
    week_ago: float | None


def draw(frame: FeedFrame, language: Language) -> Chart:
    """The seven days that end with the frame's report day, in `language`.

    The last day's figures are written out with their relative change to the same weekday a week before. Any figure may
    be missing, all of them too. Safe to call from several threads.
    """
    with style.look():
        figure = style.page()
        compose(figure, frame, language)
        return style.export(figure, _COLOURS, f"{language.say('News feed')}, {_period(frame, language)}")


def compose(figure: "Figure", frame: FeedFrame, language: Language) -> None:
    """Draws on an empty page of `style.page()`, inside `style.look()`; `draw` is this and the export."""
    title = _write(figure, _MARGIN, 60, language.say("News feed"), size=style.TITLE, weight="bold")
    beside = title.get_window_extent().x1 + 28
    _write(figure, beside, 60, _period(frame, language), size=style.HEADING, color=style.QUIET)

    days, before = frame.charted, frame.week_ago
    rate = _Series(language.say("CTR"), tuple(d.ctr for d in days), before.ctr)
    panels = (
        _Series(language.say("Users (DAU)"), tuple(d.dau for d in days), before.dau),
        _Series(language.say("Views"), tuple(d.views for d in days), before.views),
        _Series(language.say("Likes"), tuple(d.likes for d in days), before.likes),
    )
    for place, series in enumerate(panels):
        top = _FIRST_PANEL + place * _PANEL
        plot = _heading(figure, top, series, rate, language)
        _columns(plot, series, language)
        _rate(plot, rate, series, language)
    # The days are the same in all three, so they are written once, under the last.
    plot.set_xticks(range(len(days)), [language.weekday(d.day) for d in days])
    plot.get_xticklabels()[-1].set_color(style.INK)

    if any(series.week_ago is not None for series in panels):
        figure.add_artist(_line_sample(figure, _MARGIN, _FOOT, **_MARK_LINE))
        note = language.say("a week earlier, {day}; in brackets, the change since", day=language.day(before.day))
        _write(figure, _MARGIN + 84, _FOOT, note, size=style.SMALL, color=style.QUIET)


def _period(frame: FeedFrame, language: Language) -> str:
    return f"{language.day(frame.charted[0].day)} – {language.day(frame.today.day)}"


def _write(figure: "Figure", x: float, y: float, text: str, *, size: float, **look: Any) -> "Text":
    """Text from `x` on, its middle at `y`, made smaller where it would run over the right margin."""
    artist = figure.text(
        x / style.WIDTH,
        1 - y / style.HEIGHT,
        text,
        fontsize=px(size),
        va="center_baseline",
        zorder=-1,  # drawn before the plots, so that text copied from the PDF begins with the title
        **look,
    )
    style.fit(artist, style.WIDTH - _MARGIN - x)
    return artist


def _labelled(series: _Series, value: str, language: Language) -> str:
    """The last value as written, and in brackets its change to a week before if both are there."""
    change = growth(series.values[-1], series.week_ago)
    return value if change is None else f"{value} ({language.change(change)})"


def _heading(figure: "Figure", top: float, series: _Series, rate: _Series, language: Language) -> "Axes":
    """The panel's name, the rate's name with its last value, and the empty plot below them."""
    middle = top + 24
    name = _write(figure, _MARGIN, middle, series.name, size=style.HEADING, weight="bold")
    text = f"{rate.name} {_labelled(rate, language.percent(rate.values[-1]), language)}"
    label = _write(figure, _MARGIN, middle, text, size=style.BODY, color=style.SHARE)
    label.set(x=1 - _MARGIN / style.WIDTH, ha="right")
    room = style.WIDTH - _MARGIN - name.get_window_extent().x1
    style.fit(label, room - 120)
    figure.add_artist(_line_sample(figure, label.get_window_extent().x0 - 80, middle, **_RATE_LINE))

    plot_top = top + _PLOT_BELOW
    plot = figure.add_axes(
        (
            _LEFT / style.WIDTH,
            1 - (plot_top + _PLOT) / style.HEIGHT,
            (_RIGHT - _LEFT) / style.WIDTH,
            _PLOT / style.HEIGHT,
        )
    )
    for side in plot.spines.values():
        side.set_visible(False)
    plot.tick_params(length=0, labelsize=px(style.SMALL), pad=px(_TICK_GAP))
    plot.set_xlim(-0.5, len(series.values) - 0.5)
    plot.set_xticks([])
    return plot


def _line_sample(figure: "Figure", x: float, y: float, **look: Any) -> "Line2D":
    """A bit of a line as it looks in the plots, 64 pixels from `x` on."""
    from matplotlib.lines import Line2D

    across = [(x + step) / style.WIDTH for step in (0, 32, 64)]
    down = [1 - y / style.HEIGHT] * 3
    return Line2D(across, down, transform=figure.transFigure, markevery=[1], **look)


def _columns(plot: "Axes", series: _Series, language: Language) -> None:
    """The counts as columns from zero, the last one strong and written out, against the left axis."""
    last, final = len(series.values) - 1, series.values[-1]
    ticks = style.count_ticks(max((v for v in (*series.values, series.week_ago) if v is not None), default=0))
    top = max(ticks[-1], 1)
    plot.set_ylim(0, top / _COLUMNS)
    plot.set_yticks(ticks, [language.compact(tick) for tick in ticks])
    for tick_label in plot.get_yticklabels():
        style.fit(tick_label, _LEFT - _TICK_GAP - _MARGIN / 2)
    for tick in ticks:
        plot.axhline(tick, color=style.RULE if tick else style.QUIET, linewidth=px(2), zorder=0.5 if tick else 3)

    for place, value in enumerate(series.values):
        if value:
            colour = style.COUNT if place == last else style.COUNT_PALE
            plot.bar(place, value, width=_COLUMN_WIDTH, color=colour, zorder=2)
        # What is too low to be seen is written, lest it pass for nothing. The last value is written below anyway.
        if place != last and (value is None or value < top * 0.02):
            text = language.compact(value)
            mark = plot.text(place, top * 0.07, text, ha="center", fontsize=px(style.SMALL), color=style.QUIET)
            style.fit(mark, 0.9 * (_RIGHT - _LEFT) / len(series.values))

    half = _COLUMN_WIDTH / 2
    label = plot.text(
        last + half,
        (_COLUMNS + _BAND_LOW) / 2,
        _labelled(series, language.count(final), language),
        transform=plot.get_xaxis_transform(),
        ha="right",
        va="center",
        fontsize=px(style.VALUE),
        color=style.COUNT,
        weight="bold",
    )
    style.fit(label, _RIGHT - _LEFT)
    if series.week_ago is not None:
        level = [series.week_ago] * 2
        plot.plot([last - half - 0.14, last + half + 0.14], level, zorder=4, **_MARK_LINE)
        if final is not None and series.week_ago < final:  # dark dots would be lost on the dark column
            plot.plot([last - half, last + half], level, zorder=5, **_MARK_LINE | {"color": style.PAPER})


def _rate(plot: "Axes", rate: _Series, counts: _Series, language: Language) -> None:
    """The rate as a thin dashed line in its own band above the columns, against the right axis."""
    axis = plot.twinx()
    for side in axis.spines.values():
        side.set_visible(False)
    known = [v for v in rate.values if v is not None]
    low, high = style.share_ticks(known)
    unit = (high - low) / (_BAND_HIGH - _BAND_LOW)
    axis.set_ylim(low - _BAND_LOW * unit, high + (1 - _BAND_HIGH) * unit)
    axis.tick_params(length=0, labelsize=px(style.SMALL), labelcolor=style.SHARE, pad=px(_TICK_GAP))
    ticks = [low, high] if known else []
    axis.set_yticks(ticks, [language.compact(tick, share=True) for tick in ticks])
    for tick_label in axis.get_yticklabels():
        style.fit(tick_label, style.WIDTH - _MARGIN / 2 - _RIGHT - _TICK_GAP)
    for tick in ticks:
        axis.axhline(tick, color=style.SHARE_RULE, linewidth=px(2), zorder=0.5)

    axis.plot(range(len(rate.values)), [math.nan if v is None else v for v in rate.values], zorder=3, **_RATE_LINE)
    for place, (value, count) in enumerate(zip(rate.values, counts.values, strict=True)):
        if value is None and count is not None:  # a missing day is marked once, where its column would be
            middle, text = (low + high) / 2, language.say(NOT_AVAILABLE)
            axis.text(place, middle, text, ha="center", va="center", fontsize=px(style.SMALL), color=style.SHARE)
