"""What an alert says: the card of an incident, the line that calls for attention, late data, the weekly note.

Belongs here: from views (`telling_views.py`) to texts, and keeping them to a caption's length. Does not: pictures
(`charts/alert.py`), when something is said (`incidents.py`), sending. Words are in `templates/` and `telling_words.py`.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from analytics_platform import wording
from analytics_platform.alerts import telling_words as words
from analytics_platform.alerts.findings import What
from analytics_platform.alerts.incident import Reason, Status
from analytics_platform.alerts.telling_views import (
    IncidentView,
    LateView,
    Member,
    WeeklyView,
    change,
    known,
)
from analytics_platform.language import Language
from analytics_platform.messages import Text
from analytics_platform.metrics.series import BUCKET

CAPTION = 1024
"""UTF-16 units that may stand below a picture in Telegram; every card fits."""

_MOST_MEMBERS = 6
_IN_TITLE = 2
_LINE = 240  # of an explanation or a note
_LINES = 4
_WHO = 40
_MOST_SERVICES = 3
_LONGEST_LINK = 2000
_CHANGED = 20  # metrics in the weekly note


def text(view: IncidentView | LateView, language: Language, zone: ZoneInfo) -> Text:
    """The card: everything there is to know, at most `CAPTION` long. Times are those of `zone`.

    What does not fit is left out whole: series first, the last ones, which are then only counted; then lines of the
    explanation and of the calendar.
    """
    if isinstance(view, LateView):
        return _late(view, language, zone)
    members = min(len(view.members), _MOST_MEMBERS)
    room = _Room(members, min(len(view.explanation), _LINES), min(len(view.notes), _LINES))
    while True:
        card = _card(view, language, zone, room)
        if _width(card) <= CAPTION or room.brief:
            return card
        room = room.less()


@dataclass(frozen=True)
class _Room:
    """How much of everything a card shows. `brief`: long names only where they must be; that fits whatever they are."""

    members: int
    lines: int
    notes: int
    brief: bool = False

    def less(self) -> "_Room":
        if self.members > 1:
            return replace(self, members=self.members - 1)
        if self.lines > 1 or (self.lines and not self.notes):
            return replace(self, lines=self.lines - 1)
        if self.notes:
            return replace(self, notes=self.notes - 1)
        return replace(self, brief=True)


def notice(view: IncidentView | LateView, language: Language, zone: ZoneInfo) -> Text:
    """One line that is sent as an answer to the card: why it was changed."""
    if isinstance(view, LateView):
        return _late_notice(view, language, zone)
    place = _place(words.services(view.members, language))
    since = words.clock(view.since, zone, view.last + BUCKET, language)
    lasted = words.length(view.duration, language)
    title = _title(view.members, language)
    match view.reason:
        case Reason.MORE_METRICS:
            fresh = tuple(m for m in view.members if m.fresh) or view.members
            line = language.say("Now also: {what}", what=_title(fresh, language))
        case Reason.WORSENED:
            line = language.say("Worse: {what}, since {time}", what=title, time=since)
        case Reason.REMINDER:
            line = language.say("Not over: {what}, for {duration}", what=title, duration=lasted)
        case Reason.REOPENED:
            line = language.say("Again: {what}, since {time}", what=title, time=since)
        case Reason.RECOVERED | Reason.CLOSED | Reason.NEW_NORMAL | Reason.LOST | Reason.BY_HAND:
            line = _over(view.reason, _names(view.members, language), lasted, language)
        case Reason.MUTED:
            until = words.clock(view.muted_until or view.last, zone, view.last, language)
            line = language.say("Without a sound until {time}: {what}", what=title, time=until)
        case Reason.ACKNOWLEDGED:
            who = wording.legible(view.acknowledged_by or "", _WHO) or "?"
            line = language.say("Seen by {who}: {what}", what=title, who=who)
        case _:
            line = language.say("{what}, since {time}", what=title, time=since)
    return _fill("line", language, line=f"{line}{place}")


def _over(reason: Reason, names: str, lasted: str, language: Language) -> str:
    match reason:
        case Reason.RECOVERED:
            return language.say("Back to usual: {what}, after {duration}", what=names, duration=lasted)
        case Reason.NEW_NORMAL:
            return language.say("Taken for the new normal: {what}, after {duration}", what=names, duration=lasted)
        case Reason.LOST:
            return language.say(
                "Closed, for its data no longer comes: {what}, after {duration}", what=names, duration=lasted
            )
        case Reason.BY_HAND:
            return language.say("Closed by hand: {what}, after {duration}", what=names, duration=lasted)
        case _:
            return language.say("Closed: {what}, after {duration}", what=names, duration=lasted)


def weekly(view: WeeklyView, language: Language, zone: ZoneInfo) -> Text:
    """The weekly note: how many alerts, what people said of them, and what that changes."""
    week = view.week
    last = (week.last - timedelta(microseconds=1)).astimezone(zone).date()
    changed = {metric: factor for metric, factor in sorted(view.thresholds.items()) if abs(factor - 1) >= 0.005}
    return _fill(
        "weekly",
        language,
        week=week,
        judged=week.real + week.false_alarms,
        late=view.late,
        period=language.period(week.first.astimezone(zone).date(), last),
        precision=None if week.value is None else language.compact(round(week.value, 2), share=True),
        changed=[
            {
                "name": words.metric_name(metric, language),
                "less": factor > 1,
                "factor": language.compact(round(factor, 2), share=True),
            }
            for metric, factor in list(changed.items())[:_CHANGED]
        ],
    )


def _card(view: IncidentView, language: Language, zone: ZoneInfo, room: _Room) -> Text:
    now = view.last + BUCKET
    ended = view.ended or now
    closed = view.status is not Status.OPEN
    rest = view.members[room.members :]
    named = 1 if room.brief else _IN_TITLE
    return _fill(
        "alert",
        language,
        status=view.status.value,
        severity=view.severity.value,
        closed_as=view.closed_as.value if view.closed_as else None,
        id=view.id,
        title=_names(view.members, language, named) if closed else _title(view.members, language, named),
        place=_place(words.services(view.members, language)),
        since=words.clock(view.since, zone, now, language),
        ended=words.clock(ended, zone, now, language),
        lasted=words.span(view.since, ended, zone, now, language),
        duration=words.length(view.duration, language),
        bucket=words.span(view.last, now, zone, now, language),
        acknowledged_by=wording.legible(view.acknowledged_by or "", _WHO),
        muted_until=words.clock(view.muted_until, zone, now, language) if view.muted_until else None,
        members=[_member(member, language) for member in view.members[: room.members]],
        hidden=_names(rest, language, 0 if room.brief else 4) if rest else "",
        explanation=[line for raw in view.explanation[: room.lines] if (line := wording.legible(raw, _LINE))],
        notes=[line for raw in view.notes[: room.notes] if (line := wording.legible(raw, _LINE))],
        link=_link(view.link),
        verdict=view.verdict.value if view.verdict else None,
        judged_by=_place(wording.legible(view.judged_by or "", _WHO)),
    )


def _member(member: Member, language: Language) -> dict[str, object]:
    """A series as the card shows it."""

    def written(value: float | None) -> str:
        return words.number(value, language, share=member.share)

    low, high = known(member.low), known(member.high)
    if low is not None and not member.share:
        low = max(low, 0.0)
    lost = known(member.lost)
    return {
        "name": words.series_name(member.metric, member.dimension, member.value, language),
        "now": written(member.now),
        "expected": written(member.expected),
        "band": {"low": written(low), "high": written(high)} if low is not None and high is not None else None,
        "lasting": _lasting(member, low, high),
        "changes": {
            "change": words.size(member.change, language),
            "previous": words.size(change(member.now, member.previous), language),
            "yesterday": words.size(change(member.now, member.yesterday), language),
            "week_ago": words.size(change(member.now, member.week_ago), language),
        },
        "usual": member.usual,
        "worst": None
        if known(member.worst) is None
        else {
            "value": written(member.worst),
            "expected": written(member.worst_expected),
            "change": words.size(member.worst_change, language),
        },
        "lost": None if lost is None or not round(lost) else _amount(lost, member, language),
    }


def _lasting(member: Member, low: float | None, high: float | None) -> str:
    """`low` or `high`, where each bucket by itself could be usual and only that it lasts is not."""
    now, expected = known(member.now), known(member.expected)
    if member.usual or member.what not in (What.LEVEL, What.SLIDE):
        return ""
    if now is None or expected is None or low is None or high is None or not low <= now <= high:
        return ""
    return "low" if now < expected else "high"


def _late(view: LateView, language: Language, zone: ZoneInfo) -> Text:
    today = view.ended or view.seen
    return _fill(
        "late",
        language,
        id=view.id,
        source=wording.legible(view.source, _WHO),
        place=_place(_service_names(view, language)),
        since=words.clock(view.since, zone, today, language),
        lasted=words.span(view.since, today, zone, today, language),
        duration=words.length(view.duration, language),
        arriving=[wording.legible(name, _WHO) for name in view.arriving[:_MOST_SERVICES]],
        ended=view.ended is not None,
        link=_link(view.link),
    )


def _late_notice(view: LateView, language: Language, zone: ZoneInfo) -> Text:
    source = wording.legible(view.source, _WHO)
    lasted = words.length(view.duration, language)
    if view.ended is not None:
        line = language.say("Data is there again: {source}, after {duration}", source=source, duration=lasted)
    elif view.reason in (Reason.REMINDER, Reason.WORSENED):
        line = language.say("Data still late: {source}, for {duration}", source=source, duration=lasted)
    else:
        time = words.clock(view.since, zone, view.seen, language)
        line = language.say("Data late: {source}, since {time}", source=source, time=time)
    return _fill("line", language, line=f"{line}{_place(_service_names(view, language))}")


def _title(members: tuple[Member, ...], language: Language, most: int = _IN_TITLE) -> str:
    """The first series with their changes; those that are back within their band only if all are."""
    telling = tuple(m for m in members if not m.usual) or members
    named = [words.headline(m, language) for m in telling[:most]]
    return _and_more(named, len(members) - len(named), language)


def _names(members: tuple[Member, ...], language: Language, most: int = _IN_TITLE) -> str:
    named = [words.series_name(m.metric, m.dimension, m.value, language) for m in members[:most]]
    return _and_more(named, len(members) - len(named), language)


def _and_more(named: list[str], more: int, language: Language) -> str:
    if not named:
        return language.say("{count} more", count=more)
    listed = ", ".join(named)
    return language.say("{names} and {count} more", names=listed, count=more) if more else listed


def _service_names(view: LateView, language: Language) -> str:
    return ", ".join(words.service_name(service, language) for service in view.services[:_MOST_SERVICES])


def _place(name: str) -> str:
    """In brackets, after a blank, where there is something."""
    return f" ({name})" if name else ""


def _amount(lost: float, member: Member, language: Language) -> str | None:
    """Events too few or too many; of a share, of its numerator. None where that has no name: shares do not add up."""
    if member.share and not member.lost_metric:
        return None
    amount = ("+" if lost > 0 else "") + language.count(lost)
    return f"{amount} ({words.metric_name(member.lost_metric, language)})" if member.share else amount


def _link(address: str | None) -> str | None:
    """The address, if it is one that a browser opens and a channel takes."""
    usable = address is not None and address.startswith(("http://", "https://")) and len(address) <= _LONGEST_LINK
    return address if usable and address is not None and not any(sign.isspace() for sign in address) else None


def _width(message: Text) -> int:
    """Length as Telegram counts it: UTF-16 units without markup."""
    return len(message.plain.encode("utf-16-le", "surrogatepass")) // 2


def _fill(template: str, language: Language, **values: object) -> Text:
    return wording.fill("alerts/templates", template, language, **values)
