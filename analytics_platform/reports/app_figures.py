"""The app report's figures as a reader sees them: names, values, changes, the audience, what stands out in words.

Belongs here: wording and formatting of single figures. Does not: their order in the message (`templates/app_daily`),
files and messages (`app_daily.py`), what is unusual (`metrics/moves.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analytics_platform.language import Language
from analytics_platform.metrics.app import OTHER, SHARES, AppFrame, Service, Slice
from analytics_platform.metrics.dimensions import TOTAL
from analytics_platform.metrics.events import UNKNOWN
from analytics_platform.metrics.frames import growth, ratio
from analytics_platform.metrics.moves import Move, StandOut

# The order of the report's 17 figures, numbered through.
FIGURES: tuple[tuple[Service, tuple[str, ...]], ...] = (
    (Service.APP, ("dau", "actions", "actions_per_user")),
    (
        Service.FEED,
        (
            "dau",
            "views",
            "likes",
            "ctr",
            "active_posts",
            "actions",
            "actions_per_user",
            "actions_per_post",
            "new_users",
            "new_posts",
        ),
    ),
    (Service.MESSAGE, ("dau", "actions", "actions_per_user", "new_users")),
)
UP, DOWN = "▲", "▼"  # as in the charts
_LONGEST_NAME = 40  # of a source or country: what is longer is no name, and would push the figures off the screen
_MOST_SOURCES = 4


@dataclass(frozen=True)
class Figure:
    """One numbered line. Growth is relative, from unrounded numbers, None where a base is missing or zero.

    `mark` shows which way a figure outside its usual range went; empty for all others.
    """

    number: int
    name: str
    value: str
    to_yesterday: float | None
    to_week_ago: float | None
    mark: str


@dataclass(frozen=True)
class Block:
    """A service's lines under its heading."""

    heading: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class AudienceLine:
    """One line of the audience. `part`: of the line above; `note` goes in brackets."""

    name: str
    value: str
    note: str = ""
    part: bool = False


def blocks(frame: AppFrame, moves: Sequence[Move], language: Language) -> tuple[Block, ...]:
    """App, feed and chat with their figures, numbered from 1 to 17."""
    marks = {(m.where, m.metric): UP if m.score > 0 else DOWN for m in moves if m.unusual}
    headings = {
        Service.APP: language.say("App"),
        Service.FEED: language.say("Feed"),
        Service.MESSAGE: language.say("Chat"),
    }
    found: list[Block] = []
    number = 0
    for service, metrics in FIGURES:
        where, names = Slice(service), _short_names(service, language)
        today, yesterday, week_ago = (frame.at(where, d) for d in (frame.day, frame.yesterday, frame.week_ago))
        lines = []
        for metric in metrics:
            number += 1
            value = today.value(metric)
            lines.append(
                Figure(
                    number,
                    names[metric],
                    shown(metric, value, language),
                    growth(value, yesterday.value(metric)),
                    growth(value, week_ago.value(metric)),
                    marks.get((where, metric), ""),
                )
            )
        found.append(Block(headings[service], tuple(lines)))
    return tuple(found)


def audience(frame: AppFrame, language: Language) -> tuple[AudienceLine, ...]:
    """Who used both services, the week's audience and where it came from, stickiness, retention by source."""
    now, before = frame.audience, frame.audience_week_ago

    def part(name: str, value: int | None) -> AudienceLine:
        return AudienceLine(name, language.count(value), part=True)

    both = language.say("{share} of DAU", share=language.percent(ratio(now.both, now.dau)))
    weekly = language.change(growth(now.wau, before.wau))
    stickier = language.change(growth(now.stickiness, before.stickiness))
    return (
        AudienceLine(language.say("Both feed and chat"), language.count(now.both), both),
        AudienceLine(language.say("Active in 7 days"), language.count(now.wau), weekly),
        part(language.say("retained"), now.retained),
        part(language.say("new"), now.new),
        part(language.say("returned"), now.returned),
        AudienceLine(language.say("Gone since the week before"), language.count(now.gone)),
        AudienceLine(language.say("Stickiness (DAU / MAU)"), language.percent(now.stickiness), stickier),
        *_retention(frame, 1, language.say("Day-1 retention"), language),
        *_retention(frame, 7, language.say("Day-7 retention"), language),
    )


def stands_out_sentence(frame: AppFrame, found: StandOut, language: Language) -> str:
    """The sentence a reader should not miss: `Feed likes = 12,817, 31.2% below a usual Friday (expected 18,640)`."""
    move = found.move
    what = figure_name(move.where.service, move.metric, language)
    if move.where.dimension != TOTAL:
        what = f"{what}, {slice_name(move.where, language)}"
    values = {
        "what": what,
        "value": shown(move.metric, move.value, language),
        "change": language.compact(round(abs(move.change), 3), share=True),
        "day": _usual_day(frame, language),
        "expected": shown(move.metric, move.expected, language),
    }
    if move.change < 0:
        sentence = language.say("{what} = {value}, {change} below {day} (expected {expected})", **values)
    else:
        sentence = language.say("{what} = {value}, {change} above {day} (expected {expected})", **values)
    if found.carrier is None or found.share is None:
        return f"{sentence}."
    share = language.compact(round(found.share, 2), share=True)
    carrier = language.say(
        "{share} of the difference is {slice}", share=share, slice=slice_name(found.carrier, language)
    )
    return f"{sentence}; {carrier}."


def shown(metric: str, value: float | None, language: Language) -> str:
    """The value as the text writes it: shares as percent, everything else as a whole number."""
    return language.percent(value) if metric in SHARES else language.count(value)


def figure_name(service: Service, metric: str, language: Language) -> str:
    """The figure's name with its service, as it reads on its own: `Feed likes`."""
    match service:
        case Service.APP:
            names = {
                "dau": language.say("App DAU"),
                "actions": language.say("App actions"),
                "actions_per_user": language.say("App actions per user"),
                "new_users": language.say("App new users"),
            }
        case Service.FEED:
            names = {
                "dau": language.say("Feed DAU"),
                "views": language.say("Feed views"),
                "likes": language.say("Feed likes"),
                "ctr": language.say("Feed CTR"),
                "active_posts": language.say("Feed active posts"),
                "actions": language.say("Feed actions"),
                "actions_per_user": language.say("Feed actions per user"),
                "actions_per_post": language.say("Feed actions per post"),
                "new_users": language.say("Feed new users"),
                "new_posts": language.say("Feed new posts"),
            }
        case Service.MESSAGE:
            names = {
                "dau": language.say("Chat DAU"),
                "actions": language.say("Chat messages"),
                "actions_per_user": language.say("Chat messages per user"),
                "new_users": language.say("Chat new users"),
            }
    return names[metric]


def slice_name(where: Slice, language: Language) -> str:
    """A slice within a sentence: `OS iOS`, `country Russia`, `the other countries`."""
    if (where.dimension, where.value) == ("country", OTHER):
        return language.say("the other countries")
    dimensions = {
        "source": language.say("source"),
        "os": language.say("OS"),
        "country": language.say("country"),
    }
    return f"{dimensions.get(where.dimension, where.dimension)} {_short(where.value, language)}"


def _short_names(service: Service, language: Language) -> Mapping[str, str]:
    chat = service is Service.MESSAGE
    return {
        "dau": language.say("DAU"),
        "actions": language.say("Messages") if chat else language.say("Actions"),
        "actions_per_user": language.say("Messages per user") if chat else language.say("Actions per user"),
        "views": language.say("Views"),
        "likes": language.say("Likes"),
        "ctr": language.say("CTR"),
        "active_posts": language.say("Active posts"),
        "actions_per_post": language.say("Actions per post"),
        "new_users": language.say("New users"),
        "new_posts": language.say("New posts"),
    }


def _usual_day(frame: AppFrame, language: Language) -> str:
    return (
        language.say("a usual Monday"),
        language.say("a usual Tuesday"),
        language.say("a usual Wednesday"),
        language.say("a usual Thursday"),
        language.say("a usual Friday"),
        language.say("a usual Saturday"),
        language.say("a usual Sunday"),
    )[frame.day.weekday()]


def _retention(frame: AppFrame, age_days: int, name: str, language: Language) -> Iterator[AudienceLine]:
    """All sources together, then the largest ones."""
    of_age = [r for r in frame.retention if r.age_days == age_days]
    overall = next((r.share for r in of_age if r.source == TOTAL), None)
    yield AudienceLine(name, language.percent(overall))
    sources = sorted((r for r in of_age if r.source != TOTAL and r.cohort), key=lambda r: (-r.cohort, r.source))
    for source in sources[:_MOST_SOURCES]:
        yield AudienceLine(_short(source.source, language), language.percent(source.share), part=True)


def _short(name: str, language: Language) -> str:
    if name == UNKNOWN:
        return language.say("unknown")
    flat = " ".join(name.split())
    return flat if len(flat) <= _LONGEST_NAME else f"{flat[: _LONGEST_NAME - 1]}…"
