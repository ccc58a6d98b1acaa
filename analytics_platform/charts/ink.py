"""Sheets on paper: how the marks of `sheet.py` become PNG and PDF bytes, and how wide letters are.

Belongs here: matplotlib, for all pages that are sheets. Does not: layout, colours, what a page shows.

A sheet is one artist that calls matplotlib's renderer itself: an axes with its ticks and labels takes 30 to 50 ms, and
the app report has 75 small plots. This module imports matplotlib at once and is only ever imported inside functions.
"""

import io
from collections.abc import Sequence
from functools import lru_cache

from matplotlib.artist import Artist
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font, LoadFlags
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from analytics_platform.charts import style
from analytics_platform.charts.sheet import Area, Disc, Mark, Sheet, Stroke, Words

_FAMILY = "DejaVu Sans"  # as in style.look()
_CAPITALS = 0.729  # height of its capitals, in parts of the size
_UNITS = 2048  # of its design, to the size
NONE = "□"  # for letters that it does not have
_HINTED = 1.02  # how much wider a picture's letters are, which sit on whole pixels


@lru_cache(maxsize=2)
def _font(bold: bool) -> FT2Font:
    return get_font(findfont(_type(bold, 10)))


@lru_cache(maxsize=64)
def _type(bold: bool, points: float) -> FontProperties:
    return FontProperties(family=_FAMILY, weight="bold" if bold else "normal", size=points)


@lru_cache(maxsize=1024)
def _advance(letter: str, bold: bool) -> float:
    glyph = _font(bold).load_char(ord(letter if has(letter) else NONE), LoadFlags.NO_SCALE)
    return glyph.horiAdvance / _UNITS


@lru_cache(maxsize=1024)
def has(letter: str) -> bool:
    """Whether the type has this letter."""
    return _font(bold=False).get_char_index(ord(letter)) != 0


def width(text: str, bold: bool) -> float:
    """The width of the text, in parts of its size; some letters of a picture may be a pixel narrower or wider."""
    return sum(_advance(letter, bold) for letter in text) * _HINTED


class Ink(Artist):
    """All marks of one sheet."""

    def __init__(self, sheet: Sheet) -> None:
        super().__init__()
        self._sheet = sheet

    def draw(self, renderer: RendererBase) -> None:
        """Calls the renderer mark by mark."""
        figure = self.get_figure(root=True)
        if figure is None:
            return
        scale, height = figure.dpi / self._sheet.per_inch, figure.bbox.height
        place = Affine2D().scale(scale, -scale).translate(0, height)
        points = 72 / self._sheet.per_inch
        context = renderer.new_gc()
        context.set_capstyle("round")
        context.set_joinstyle("round")
        for mark in self._sheet.marks:
            _put(mark, renderer, context, place, points)
        context.restore()


def _put(mark: Mark, renderer: RendererBase, context: GraphicsContextBase, place: Affine2D, points: float) -> None:
    colour = to_rgba(mark.colour)
    context.set_foreground(colour, isRGBA=True)
    match mark:
        case Words():
            x, y = place.transform((mark.x, mark.y + mark.size * _CAPITALS / 2))
            if renderer.flipy():
                y = renderer.get_canvas_width_height()[1] - y
            renderer.draw_text(context, x, y, mark.text, _type(mark.bold, mark.size * points), 0)
        case Stroke():
            context.set_linewidth(mark.width * points)
            context.set_dashes(0, [length * points for length in mark.dash] or None)
            context.set_capstyle("butt" if mark.dash else "round")
            renderer.draw_path(context, Path(mark.points), place)
            context.set_dashes(0, None)
        case Area():
            context.set_linewidth(0)
            renderer.draw_path(context, Path((*mark.points, mark.points[0]), closed=True), place, colour)
        case Disc():
            context.set_linewidth(mark.ring * points)
            where = Affine2D().scale(mark.radius).translate(mark.x, mark.y) + place
            inside = to_rgba(style.PAPER) if mark.ring else colour
            renderer.draw_path(context, Path.unit_circle(), where, inside)


def _figure(sheet: Sheet) -> Figure:
    figure = Figure(figsize=(sheet.width / sheet.per_inch, sheet.height / sheet.per_inch), dpi=sheet.per_inch)
    FigureCanvasAgg(figure)
    figure.add_artist(Ink(sheet))
    return figure


def png(sheet: Sheet) -> bytes:
    """The sheet as a picture, a pixel to its unit; inside `style.look()`."""
    # In the order of use, so that the palette, and with it the file, depends on the sheet alone.
    return style.png(_figure(sheet), [style.PAPER, *dict.fromkeys(mark.colour for mark in sheet.marks)])


def pdf(sheets: Sequence[Sheet], title: str) -> bytes:
    """The sheets as the pages of one vector document; inside `style.look()`."""
    stream = io.BytesIO()
    with PdfPages(stream, metadata=style.document(title)) as pages:
        for sheet in sheets:
            pages.savefig(_figure(sheet))
    return stream.getvalue()
