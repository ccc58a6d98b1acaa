"""How alerts call things: metrics, services, slices; how they write changes, times and lengths of time.

Belongs here: words that texts and charts of alerts share. Does not: what is said (`telling.py`), drawing (`charts/`).
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from analytics_platform.alerts.explanation import Part, slice_name
from analytics_platform.alerts.findings import What
from analytics_platform.alerts.telling_views import Member, known
from analytics_platform.language import Language
from analytics_platform.metrics.dimensions import TOTAL
from analytics_platform.wording import legible

_LONGEST_NAME, _MOST_SERVICES = 32, 3
_NAMED_AFTER_SERVICE = ("feed_users", "senders")
_TIMES = 9.995  # from this growth on, "×11" is easier to read than "+1,000%"


def metric_name(metric: str, language: Language) -> str:
    """A metric of the catalogue as a reader knows it; one that has no name here, in its own words."""
    names = {
        "feed_users": language.say("Feed active users"),
        "senders": language.say("Messenger active users"),
        "messages_sent": language.say("Messages"),
        "views": language.say("Views"),
        "likes": language.say("Likes"),
        "ctr": language.say("CTR"),
    }
    return names.get(metric) or _words(metric)


def service_name(service: str, language: Language) -> str:
    """A service as a reader knows it."""
    names = {"feed": language.say("Feed"), "messenger": language.say("Messenger")}
    return names.get(service) or _words(service)


def series_name(metric: str, dimension: str, value: str, language: Language, longest: int = _LONGEST_NAME) -> str:
    """`Likes`, or `Likes (OS: iOS)`; a value of the data is cut at `longest`."""
    name = metric_name(metric, language)
    if dimension == TOTAL:
        return name
    part = Part(legible(dimension, _LONGEST_NAME), (legible(value, longest) or "?",))
    return f"{name} ({slice_name([part], language)})"


def services(members: tuple[Member, ...], language: Language) -> str:
    """The services of these series; nothing where their names tell."""
    found = dict.fromkeys(m.service for m in members if m.metric not in _NAMED_AFTER_SERVICE)
    return ", ".join(service_name(service, language) for service in list(found)[:_MOST_SERVICES])


def number(value: float | None, language: Language, *, share: bool) -> str:
    """A figure: a share as percent with two decimals, everything else as a whole number."""
    return language.percent(known(value)) if share else language.count(known(value))


def size(growth: float | None, language: Language) -> str:
    """A relative change, as exact as an alert needs it: `-62%`, `+4.2%`, `×12`."""
    growth = known(growth)
    if growth is None:
        return language.change(None)
    if growth >= _TIMES:
        return f"×{language.count(1 + growth)}"
    rounded = round(growth, 2 if abs(growth) >= 0.0995 else 3)
    text = language.compact(abs(rounded), share=True)
    return f"{'+' if rounded > 0 else '-'}{text}" if rounded else text


def headline(member: Member, language: Language, *, worst: bool = False, longest: int = _LONGEST_NAME) -> str:
    """A series and its change against expectation, now or at worst: `Likes -62%`, `Likes at zero`."""
    name = series_name(member.metric, member.dimension, member.value, language, longest)
    value, growth = (member.worst, member.worst_change) if worst else (member.now, member.change)
    written = number(value, language, share=member.share)
    if member.what is What.ZERO and value == 0:
        return language.say("{name} at zero", name=name)
    if member.what is What.FREEZE:
        return language.say("{name} frozen at {value}", name=name, value=written)
    if growth is None:
        return f"{name}: {written}"
    if member.what is What.SLIDE:
        return language.say("{name} {change}, gradually", name=name, change=size(growth, language))
    return f"{name} {size(growth, language)}"


def clock(moment: datetime, zone: ZoneInfo, today: datetime, language: Language) -> str:
    """Local time of the aware moment, with its day where that is not the day of `today`."""
    local, now = moment.astimezone(zone), today.astimezone(zone)
    time = f"{local:%H:%M}"
    away = abs((now.date() - local.date()).days)
    if not away:
        return time
    day = language.weekday(local.date()) if away < 7 else language.day(local.date())
    return f"{day}, {time}"


def span(first: datetime, last: datetime, zone: ZoneInfo, today: datetime, language: Language) -> str:
    """From one moment to another: `13:15–14:30`, `Fri 20, 23:45 – 01:15`."""
    begins, ends = clock(first, zone, today, language), clock(last, zone, today, language)
    return f"{begins}–{ends}" if len(begins) == len(ends) == len("00:00") else f"{begins} – {ends}"


def length(duration: timedelta, language: Language) -> str:
    """A length of time in its two largest units, down to minutes: `1 h 15 min`."""
    minutes = round(duration / timedelta(minutes=1))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [
        language.say("{count} d", count=days) if days else "",
        language.say("{count} h", count=hours) if hours else "",
        language.say("{count} min", count=minutes) if not days and (minutes or not hours) else "",
    ]
    return " ".join(part for part in parts if part)


def _words(name: str) -> str:
    """An identifier as words: `users_sent` is `Users sent`."""
    text = legible(name.replace("_", " "), _LONGEST_NAME) or "?"
    return text[0].upper() + text[1:]
