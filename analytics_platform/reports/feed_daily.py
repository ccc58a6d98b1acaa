"""The daily feed report: DAU, views, likes, CTR with their changes, seven days as a chart, and the chart as PDF.

Belongs here: what the report says. Does not: reading figures (`defs/reports.py`), drawing (`charts/feed_daily.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Message, Picture
from analytics_platform.metrics.frames import FeedDay, FeedFrame, growth
from analytics_platform.reports.base import fill

NAME = "feed_daily"


@dataclass(frozen=True)
class Figure:
    """One numbered figure of the text: growth is relative, from unrounded numbers, None where a base is missing."""

    name: str
    value: str
    to_yesterday: float | None
    to_week_ago: float | None


def figures(frame: FeedFrame, language: Language) -> tuple[Figure, ...]:
    """The report's four figures. CTR's change is relative too, not in percentage points."""

    def figure(name: str, of: Callable[[FeedDay], float | None], show: Callable[[float | None], str]) -> Figure:
        value = of(frame.today)
        return Figure(name, show(value), growth(value, of(frame.yesterday)), growth(value, of(frame.week_ago)))

    return (
        figure("DAU", lambda d: d.dau, language.count),
        figure("Views", lambda d: d.views, language.count),
        figure("Likes", lambda d: d.likes, language.count),
        figure("CTR", lambda d: d.ctr, language.percent),
    )


def compose(frame: FeedFrame, png: bytes, pdf: bytes, language: Language) -> tuple[Message, ...]:
    """The messages: the text first, then the chart as a picture, then the same as a vector PDF."""
    day = frame.today.day
    period = language.say(
        "Feed, {first} - {last}", first=language.day(frame.charted[0].day), last=language.day(frame.charted[-1].day)
    )
    return (
        fill(NAME, language, frame=frame, figures=figures(frame, language)),
        Album((Picture(f"{NAME}_{day}.png", png, period),)),
        Document(f"{NAME}_{day}.pdf", pdf, language.say("The same chart to print or zoom")),
    )
