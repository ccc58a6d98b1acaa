"""What is said about reports rather than in them: preliminary figures, corrections, the digest after an outage.

Belongs here: the wording and the choice of figures worth a correction. Does not: any report's content, sending.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from analytics_platform.cadence import Period
from analytics_platform.language import Language
from analytics_platform.messages import Message, Text
from analytics_platform.metrics.frames import growth
from analytics_platform.reports.base import Number, Report, fill

# What readers call the event tables.
_SOURCES = {"feed_actions": "feed", "message_actions": "messages", "funnels/conversions": "e-mail funnels"}
# As many as one message holds.
_DIGEST_PERIODS = 30


def preliminary(messages: Sequence[Message], missing: str, language: Language) -> tuple[Message, ...]:
    """The same messages, the first text beginning with what the data lacks."""
    if language.code != "en":  # the gate's sentences are for operators, and English; readers hear what is short
        named = [word for table, word in _SOURCES.items() if table in missing]
        missing = language.say("Not all data is there of: {sources}", sources=", ".join(map(language.say, named)))
    note = fill("preliminary", language, missing=missing).html
    marked = list(messages)
    for place, message in enumerate(marked):
        if isinstance(message, Text):
            marked[place] = Text(f"{note}\n\n{message.html}")
            return tuple(marked)
    return (Text(note), *marked)


def moved(
    delivered: Sequence[Mapping[str, Any]], now: Sequence[Number], tolerance: float
) -> list[tuple[Number, Number]]:
    """(as delivered, as it is now) for the figures that differ by more than `tolerance` (a share of the delivered one).

    `delivered` is what `as_json` gave. A figure that was there and is gone, or the other way round, has moved.
    """
    before = {str(n["name"]): Number(str(n["name"]), n["value"], bool(n.get("share"))) for n in delivered}
    found = []
    for number in now:
        old = before.get(number.name)
        if old is None or old.value == number.value:
            continue
        change = growth(number.value, old.value)
        if change is None or abs(change) > tolerance:
            found.append((old, number))
    return found


def as_json(numbers: Sequence[Number]) -> list[dict[str, Any]]:
    """The figures as they are kept in the ledger."""
    return [{"name": n.name, "value": n.value, "share": n.share} for n in numbers]


def correction(
    report: Report[Any], period: Period, changes: Sequence[tuple[Number, Number]], language: Language
) -> Text:
    """Which delivered figures later data has moved, from what to what."""
    lines = [
        {
            "name": language.say(new.name),
            "old": shown(old, language),
            "new": shown(new, language),
            "change": language.change(growth(new.value, old.value)),
        }
        for old, new in changes
    ]
    return fill("correction", language, title=language.say(report.title), period=period, lines=lines)


def digest(report: Report[Any], figures: Sequence[tuple[Period, Sequence[Number] | str]], language: Language) -> Text:
    """The missed periods in one text: the headline figures of each, or that there are none."""
    rows = [
        {
            "period": period,
            "why": language.say("no data") if isinstance(numbers, str) else "",
            "figures": []
            if isinstance(numbers, str)
            else [f"{language.say(n.name)} {shown(n, language)}" for n in numbers[:4]],
        }
        for period, numbers in figures[-_DIGEST_PERIODS:]
    ]
    earlier = len(figures) - len(rows)
    return fill("digest", language, title=language.say(report.title), rows=rows, count=len(figures), earlier=earlier)


def shown(number: Number, language: Language) -> str:
    """The figure as the reports write it."""
    return language.percent(number.value) if number.share else language.count(number.value)
