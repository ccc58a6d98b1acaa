"""What holds for the words of every picture: they can be read.

Belongs here: assertions on a page's words, whatever they say. Does not: what a picture shows.
"""

import itertools
from collections.abc import Sequence

from analytics_platform.charts.sheet import Sheet, Words


def assert_legible(
    sheet: Sheet, words: Sequence[Words] | None = None, *, right: float = 8, smallest: float = 18
) -> None:
    """Its words (or those given) are on the page, so far from its right edge, at least so large, clear of each other;
    none is a figure that is not known."""
    shown = sheet.words if words is None else words
    for one in shown:
        assert one.x >= 8, one
        assert one.right <= sheet.width - right, one
        assert one.size / 2 <= one.y <= sheet.height - one.size / 2, one
        assert one.size >= smallest, one
        assert not {"nan", "inf", "None"} & set(one.text.replace("(", " ").split()), one
    for one, other in itertools.combinations(shown, 2):
        beside = one.right < other.x or other.right < one.x
        above = abs(one.y - other.y) >= 0.42 * (one.size + other.size)
        assert beside or above, (one, other)
