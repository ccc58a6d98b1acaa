"""A page as a list of what is on it: words, lines, areas and dots, in the page's own units from its upper left corner.

Belongs here: pages with so many small plots that an axes object each would cost seconds; how much room words take.
Does not: what a page shows (`app_*.py`), matplotlib (`ink.py` puts a sheet on paper and knows the type).

Nothing here needs a drawing library before the first word is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from analytics_platform.charts import style

Point = tuple[float, float]

_SMALLEST = 0.72  # of its size: words that still do not fit are cut, and end with an ellipsis


@dataclass(frozen=True)
class Words:
    """One line of text: `x` is its left end, `y` the middle of its capitals, `width` what it takes up."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    bold: bool
    width: float

    @property
    def right(self) -> float:
        """Where the line ends."""
        return self.x + self.width


@dataclass(frozen=True)
class Stroke:
    """A line through points; `dash` is lengths of ink and gap in the page's units."""

    points: tuple[Point, ...]
    colour: str
    width: float
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: tuple[Point, ...]
    colour: str


@dataclass(frozen=True)
class Disc:
    """A dot, filled with `colour`, or a ring of it, filled with paper."""

    x: float
    y: float
    radius: float
    colour: str
    ring: float = 0.0


Mark = Words | Stroke | Area | Disc


@dataclass(frozen=True)
class Box:
    """A part of the page."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top


@dataclass
class Sheet:
    """A page being filled, painted in the order of `marks`. `per_inch` of its units are an inch."""

    width: float
    height: float
    per_inch: float
    marks: list[Mark] = field(default_factory=list)

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        colour: str = style.INK,
        bold: bool = False,
        align: float = 0.0,
        room: float | None = None,
    ) -> Words:
        """One line whose left end (`align` 0), middle (0.5) or right end (1) is at `x`.

        Type that takes more than `room` is made smaller, down to three quarters; beyond that the text is cut.
        """
        text = legible(text)
        width = wide(text, bold) * size
        if room is not None and width > room:
            smaller = max(room / width, _SMALLEST)
            size, width = size * smaller, width * smaller
            if width > room * 1.001:
                text = cut(text, bold, room / size)
                width = wide(text, bold) * size
        words = Words(x - align * width, y, text, size, colour, bold, width)
        self.marks.append(words)
        return words

    def line(self, points: Sequence[Point], colour: str, width: float, dash: tuple[float, ...] = ()) -> None:
        """A line through the points."""
        self.marks.append(Stroke(tuple(points), colour, width, dash))

    def area(self, points: Sequence[Point], colour: str) -> None:
        """A filled polygon."""
        self.marks.append(Area(tuple(points), colour))

    def fill(self, box: Box, colour: str) -> None:
        """A filled rectangle."""
        corners = ((box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom))
        self.marks.append(Area(corners, colour))

    def dot(self, x: float, y: float, radius: float, colour: str, ring: float = 0.0) -> None:
        """A dot, or with `ring` (its line's width) a ring."""
        self.marks.append(Disc(x, y, radius, colour, ring))

    @property
    def words(self) -> list[Words]:
        """All texts in the order of writing, which is the order in which a PDF's text is read."""
        return [mark for mark in self.marks if isinstance(mark, Words)]


def wide(text: str, bold: bool) -> float:
    """How wide the text is, in parts of its size."""
    from analytics_platform.charts import ink

    return ink.width(text, bold)


def legible(text: str) -> str:
    """The text with blanks for line breaks and the like, and boxes for letters that the type does not have."""
    from analytics_platform.charts import ink

    # A byte order mark within a text is nothing to see, and matplotlib's PDF falls over it.
    seen = text.replace("\ufeff", "")
    return "".join(letter if ink.has(letter) else ink.NONE if letter.isprintable() else " " for letter in seen)


def cut(text: str, bold: bool, room: float) -> str:
    """As much of the beginning as fits into `room` (in parts of the size) with an ellipsis behind it."""
    kept = text[:200]
    while kept and wide(kept.rstrip() + "…", bold) > room:
        kept = kept[:-1]
    return kept.rstrip() + "…"
