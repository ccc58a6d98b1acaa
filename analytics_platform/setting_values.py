"""What single settings may say, and what it means.

Belongs here: reading one value, and the sentence for a wrong one. Does not: the settings themselves (`settings.py`).
Errors are ValueErrors that say what to write; they never repeat a value that may be a secret.
"""

import re
from datetime import datetime, time
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from analytics_platform.alerts.watch import parse_rule, parse_rules
from analytics_platform.availability import parse_policy
from analytics_platform.language import LANGUAGES
from analytics_platform.metrics.catalog import METRICS
from analytics_platform.metrics.dimensions import DIMENSIONS
from analytics_platform.rankings.plan import parse_weights
from analytics_platform.visitors.window import between

SHORTEST_MEMORY = 60  # days
_PACES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440)  # minutes


def zone(name: str) -> str:
    """The name of an IANA time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone; write one such as Europe/Moscow") from None
    return name


def language(code: str) -> str:
    """The code of a language of reports, in lower case."""
    code = code.lower()
    if code not in LANGUAGES:
        raise ValueError(f"{code!r} is not a language of this platform; write one of {', '.join(LANGUAGES)}")
    return code


def policy(text: str) -> str:
    """When a table counts as complete, as `availability.parse_policy` reads it."""
    parse_policy(text)
    return text


def rule(text: str) -> str:
    """How metrics are watched, as `alerts.watch.parse_rule` reads it."""
    parse_rule(text)
    return text


def rules(text: str) -> str:
    """How single metrics are watched, as `alerts.watch.parse_rules` reads it; every one is in the catalogue."""
    known = [metric.name for metric in METRICS]
    strange = [name for name in parse_rules(text, parse_rule("")) if name not in known]
    if strange:
        raise ValueError(f"there is no metric {strange[0]!r}; there are {', '.join(known)}")
    return text


def dimensions(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of dimensions."""
    known = [dimension.name for dimension in DIMENSIONS]
    strange = [name for name in names if name not in known]
    if strange:
        raise ValueError(f"there is no dimension {strange[0]!r}; there are {', '.join(known)}")
    return names


def blank(value: object) -> object:
    """None for a text without anything in it."""
    return None if isinstance(value, str) and not value.strip() else value


def weights(text: str) -> str:
    """Weights of event types, as `rankings.plan.parse_weights` reads them."""
    parse_weights(text)
    return text


def window(text: str) -> str:
    """Two moments with their offsets, `START..END`."""
    start, dots, end = text.partition("..")
    if not dots:
        raise ValueError("write START..END, such as 2019-06-22T00:00+09:00..2019-06-25T00:00+09:00")
    between(start, end, ZoneInfo("UTC"))
    if any(datetime.fromisoformat(moment.strip()).tzinfo is None for moment in (start, end)):
        raise ValueError("give both moments their offset, as in 2019-06-22T00:00+09:00")
    return text


def endpoint(url: str) -> str:
    """The http:// or https:// address of a service: host, maybe port and path. It never holds a user or a password."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none; its words repeat them
        valid = False
    # With an @ anywhere: a / in a password would make its rest a path, and its beginning the host.
    if not valid or re.search(r"[@?#\s\\]", url):
        raise ValueError(
            "write http:// or https://, a host, and maybe :port and a path, such as http://localhost:8000; no user or "
            "password"
        )
    return url


def wall_clock(moment: time) -> time:
    """A time of the day as a clock shows it."""
    if moment.tzinfo is not None:
        raise ValueError("write a time without an offset, such as 02:00; its zone is TIMEZONE")
    return moment


def prefix(text: str) -> str:
    """What names of tables begin with."""
    if not re.fullmatch(r"[A-Za-z0-9_]*", text):
        raise ValueError("write letters, digits and _ only, such as modx_, or nothing")
    return text


def schedules(text: str) -> str:
    """`EVERY=LAST` pairs of minutes."""
    parse_schedules(text)
    return text


def parse_schedules(text: str) -> dict[int, int]:
    """Minutes between runs, and how many minutes each looks back, of `10=10,60=1440`."""
    shape = "EVERY=LAST pairs of minutes, such as 10=10,60=1440"
    found: dict[int, int] = {}
    pairs(text, shape)
    for pair in filter(None, (part.strip() for part in text.split(","))):
        every, _, last = (word.strip() for word in pair.partition("="))
        if not (every.isdecimal() and last.isdecimal() and int(last) >= 1):
            raise ValueError(f"write {shape}")
        pace(int(every))
        if int(every) in found:
            raise ValueError(f"every {int(every)} minutes is there twice; leave one")
        found[int(every)] = int(last)
    return found


def pace(minutes: int) -> int:
    """Minutes between the runs of a schedule: other paces have no cron expression that keeps an even distance."""
    if minutes not in _PACES:
        raise ValueError(f"every {minutes} minutes is no pace; there are {', '.join(map(str, _PACES))}")
    return minutes


def size(text: str) -> str:
    """A size such as 768MB."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?[KMGT]i?B", text):
        raise ValueError(f"{text!r} is not a size; write one such as 768MB or 2GB")
    return text


def in_bytes(size: str) -> int:
    """A checked size as a number of bytes: GB is 1000 million, GiB 1024 times 1024 times 1024."""
    unit = size.lstrip("0123456789. ").removesuffix("B")
    number = size.removesuffix("B").removesuffix(unit)
    return int(float(number) * (1024 if unit.endswith("i") else 1000) ** ("KMGT".index(unit[0]) + 1))


def pairs(text: str, shape: str) -> dict[str, str]:
    """`name=value` pairs separated by commas. `shape` is what the sentence tells to write."""
    found = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if any(not (name.strip() and sign and value.strip()) for name, sign, value in found):
        raise ValueError(f"write {shape}")
    return {name.strip(): value.strip() for name, _, value in found}


def keep_days(days: int) -> int:
    """0 for ever, or enough for what reports look back to."""
    if 0 < days < SHORTEST_MEMORY:
        raise ValueError(f"facts are read up to 37 days back: keep at least {SHORTEST_MEMORY} days, or 0 for ever")
    return days


def passwords(address: str) -> tuple[str, ...]:
    """The password of an address (`scheme://user:password@host`), as written and as meant; none where there is none."""
    try:
        found = urlsplit(address).password
    except ValueError:  # no address at all
        found = None
    return (found, unquote(found)) if found else ()
