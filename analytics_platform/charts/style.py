"""The shared look of all charts: page size, type, colours, and how a page becomes PNG and PDF bytes.

Belongs here: what two charts must have in common. Does not: what a chart shows (one file per chart beside this one).

Light to import: matplotlib and Pillow are imported inside the functions, never pyplot, which keeps every figure in
global state and asks the machine for a display.
"""

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# 4:5 portrait, as wide as a phone's screen has pixels: read without zooming or turning the phone.
WIDTH, HEIGHT = 1080, 1350
# Only ties pixels to inches: the PDF page comes out 7.2 x 9 in, which prints on A4 and Letter unscaled.
DPI = 150

# Type sizes in pixels of the page. A phone shows the page at about a third of its pixels: 26 here is 9 there.
TITLE, HEADING, VALUE, BODY, SMALL = 50, 38, 38, 28, 26

# Blue and vermilion are told apart by all common kinds of colour blindness (after Okabe and Ito); both darkened until
# text in them has a contrast of at least 4.5 on white. Nothing is said by colour alone.
INK, QUIET, RULE, PAPER = "#1B1F24", "#57606A", "#DDE2E7", "#FFFFFF"
COUNT, COUNT_PALE, SHARE, SHARE_RULE = "#005F99", "#8ABBDA", "#B84A00", "#F0D9C8"

_FAR = 64  # of 255, between two colours
_COUNT_STEPS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
_SHARE_STEPS = (1, 2, 2.5, 5)
_LOCK = RLock()


@dataclass(frozen=True)
class Chart:
    """One drawn page, the same in both forms: `png` to be looked at (1080 x 1350), `pdf` to be kept (vector, one page).

    The bytes depend on what is drawn only, not on when, so that a rerun delivers the identical file.
    """

    png: bytes
    pdf: bytes


def px(pixels: float) -> float:
    """Pixels of the page in points, the unit of matplotlib's sizes and line widths."""
    return pixels * 72 / DPI


@contextmanager
def look() -> Iterator[None]:
    """Everything from making a page to exporting it happens inside this: matplotlib's settings are those of the look.

    Settings such as the PDF's font type exist per process only, so drawings take turns: safe from any thread, and
    whatever a `matplotlibrc` of the machine or another user of the library says does not show in the pictures.
    """
    import matplotlib

    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",  # ships with matplotlib and has Cyrillic: the same letters on every machine
        "font.size": px(BODY),
        "text.color": INK,
        "text.parse_math": False,  # a "$" is a dollar
        "axes.edgecolor": RULE,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "figure.facecolor": PAPER,
        "axes.facecolor": PAPER,
        # TrueType, so that text can be searched and copied. matplotlib 3.11 sizes its glyph subsets by the PostScript
        # setting for PDF too, so both must agree.
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
    }
    with _LOCK, matplotlib.rc_context(_defaults() | settings):
        yield


def _defaults() -> dict[Any, Any]:
    from matplotlib import rcParamsDefault

    wanted = ("font.", "text.", "axes.", "xtick.", "ytick.", "figure.", "lines.", "patch.", "path.", "pdf.", "savefig.")
    process_wide = ("figure.max_open_warning", "figure.raise_window", "savefig.directory")
    return {k: v for k, v in rcParamsDefault.items() if k.startswith(wanted) and k not in process_wide}


def page() -> "Figure":
    """An empty page; inside `look()`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def fit(text: "Text", width: float) -> None:
    """Makes the type of `text`, which is on a page, smaller until it is at most `width` pixels wide; never larger."""
    # Letters sit on whole pixels, so their widths go in steps and one proportional guess may miss by a little.
    for _ in range(8):
        actual = text.get_window_extent().width
        if actual <= width:
            return
        text.set_fontsize(float(text.get_fontsize()) * min(width / actual, 0.98))


def count_ticks(top: float) -> list[int]:
    """0 and up to three round whole numbers, evenly spaced, the last at or as little as possible above `top`."""
    if top <= 0:
        return [0]
    size = 10.0 ** math.floor(math.log10(top))
    steps = {int(s * size / part) for s in _COUNT_STEPS for part in (1, 10) if (s * size / part).is_integer()}
    # Of equal reaches the one with more ticks.
    _, minus_spaces, step = min((n * step, -n, step) for step in steps for n in (1, 2, 3) if n * step >= top)
    return [k * step for k in range(-minus_spaces + 1)]


def share_ticks(values: Sequence[float]) -> tuple[float, float]:
    """Two round shares just around the values, at least a tenth of the highest apart; 0 and 1 % if there is none."""
    most = max(values, default=0.0)
    if most <= 0:
        return 0.0, 0.01
    size = 10.0 ** math.floor(math.log10(most))
    fitting = []
    for step in (s * size / part for s in _SHARE_STEPS for part in (0.1, 1, 10, 100)):
        # A hair of tolerance: 0.3 / 0.1 is a little less than 3.
        low = math.floor(min(values) / step + 1e-9)
        fitting += [
            (n * step, low * step) for n in (1, 2, 3) if n * step >= most / 10 and (low + n) * step >= most * (1 - 1e-9)
        ]
    width, low_end = min(fitting)
    return low_end, low_end + width


def export(figure: "Figure", colours: Sequence[str], title: str) -> Chart:
    """The page as PNG and PDF; inside the same `look()`. `colours` as for `png`, `title` as for `document`."""
    return Chart(png=png(figure, colours), pdf=_pdf(figure, title))


def png(figure: "Figure", colours: Sequence[str]) -> bytes:
    """The page as a picture; inside `look()`. `colours` are all that are drawn with.

    A palette of their blends: the eye sees no loss, and the file has a third of the bytes. To look for the palette in
    the page itself takes five times as long.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    picture = Image.frombuffer("RGBA", canvas.get_width_height(), pixels).convert("RGB")
    palette = Image.new("P", (1, 1))
    palette.putpalette(_blends(colours))
    stream = io.BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()


def _blends(colours: Sequence[str]) -> list[int]:
    """Red, green and blue of all colours and of the steps between any two that smooth edges need, 256 at most."""
    codes = [tuple(int(code[k : k + 2], 16) for k in (1, 3, 5)) for code in dict.fromkeys(colours)]
    # Steps between two pale grounds would be so near to both that Pillow takes them for each other.
    pairs = [
        (first, second)
        for first, second in itertools.combinations(codes, 2)
        if max(abs(one - other) for one, other in zip(first, second, strict=True)) >= _FAR
    ]
    steps = min((256 - len(codes)) // max(len(pairs), 1), 6)
    between = [
        round(one + (other - one) * step / (steps + 1))
        for first, second in pairs
        for step in range(1, steps + 1)
        for one, other in zip(first, second, strict=True)
    ]
    return [part for code in codes for part in code] + between


def _pdf(figure: "Figure", title: str) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="pdf", metadata=document(title))
    return stream.getvalue()


def document(title: str) -> dict[str, str | None]:
    """What a PDF says about itself: its title, for the viewer's window, and nothing else."""
    # None takes an entry out: dates and library versions would make each file differ from its rerun.
    return {"Title": title, "Creator": None, "Producer": None, "CreationDate": None}
