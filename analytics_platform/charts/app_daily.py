"""The charts of the app report: four pictures for the phone, the one in which most moved first, and all 35 as a PDF.

Belongs here: what is drawn and in which order it is shown. Does not: figures (`metrics/app.py`), what is unusual
(`metrics/moves.py`), layout (`app_panels.py`, `app_book.py`), the look (`style.py`).

Scales (`scales.py`) follow one rule: a line that fell below half of its highest value is shown from zero, and so are
the other lines of its chart. All others would be flat on such a scale, so theirs starts above zero, which teeth along
the bottom show; it still spans a fifth of the highest value or more, so that a wobble of 1 % looks like one.

Light to import: matplotlib is imported inside the functions.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from analytics_platform.charts import style
from analytics_platform.charts.app_book import book
from analytics_platform.charts.app_charts import GROUPS, Chart, charts, group_name, weight
from analytics_platform.charts.app_panels import panel
from analytics_platform.language import Language
from analytics_platform.metrics.app import AppFrame, Slice
from analytics_platform.metrics.moves import Move


@dataclass(frozen=True)
class Panel:
    """One picture of 1080 x 1350. `moved`: how many of its lines are unusual."""

    name: str  # one of GROUPS
    title: str
    png: bytes
    moved: int


@dataclass(frozen=True)
class AppCharts:
    """The four panels, in the order in which they are to be looked at, and the PDF with every chart."""

    panels: tuple[Panel, ...]
    pdf: bytes


def draw(frame: AppFrame, moves: Collection[Move], language: Language) -> AppCharts:
    """The frame's days in `language`, with what is unusual in `moves` marked.

    The panel with the farthest unusual move comes first; without any, that with the farthest move. Any figure may be
    missing, all of them too. The same input gives the same bytes. Safe to call from several threads.
    """
    from analytics_platform.charts import ink

    with style.look():
        drawn = charts(frame, moves, language)
        panels = tuple(
            Panel(group, group_name(group, language), ink.png(panel(drawn[group], frame, language)), moved)
            for group, moved in ranked(drawn, moves)
        )
        title = f"{group_name('app', language)}, {language.period(frame.days[0], frame.day)}"
        return AppCharts(panels, ink.pdf(book(drawn, frame, language), title))


def ranked(drawn: Mapping[str, Sequence[Chart]], moves: Iterable[Move]) -> list[tuple[str, int]]:
    """The groups in the order in which to look at them, each with the number of its unusual lines."""
    far: dict[tuple[Slice, str], float] = {}
    for move in moves:
        key = move.where, move.metric
        far[key] = max(far.get(key, 0.0), weight(move.score))
    order = []
    for place, group in enumerate(GROUPS):
        lines = [(line, chart.metric) for chart in drawn[group] for line in chart.lines]
        unusual = [weight(line.move.score) for line, _ in lines if line.move]
        farthest = max((far.get((line.where, metric), 0.0) for line, metric in lines), default=0.0)
        order.append((-max(unusual, default=0.0), -farthest, place, len(unusual)))
    return [(GROUPS[place], moved) for _, _, place, moved in sorted(order)]
