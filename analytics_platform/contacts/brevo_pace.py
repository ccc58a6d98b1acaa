"""How fast Brevo may be asked: what its answers say of its limits, and a pace of our own below them.

Belongs here: reading the headers, the arithmetic. Does not: waiting and asking (`brevo.py`).

Seconds are of a clock that never goes back. Brevo counts each group of paths (`contacts`, `processes`, ...) by itself.
"""

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

# Ten a second: Brevo's limit for contacts, 36,000 an hour, evenly spread.
SPACING = 0.1
# Answers that may say how long to stay away.
_SLOW_DOWN = (429, 503)
# A number this big is no length of time but a moment, in seconds since 1970.
_A_MOMENT = 1e9
# Brevo has no window longer than an hour. Whoever says more errs, and would keep everybody waiting for years.
LONGEST = 3600.0


class Pace:
    """When the next request may go."""

    def __init__(self, spacing: float = SPACING) -> None:
        self._spacing = spacing
        self._next = -math.inf
        self._held: dict[str, float] = {}

    def wait(self, group: str, now: float) -> float:
        """Seconds until a request to that group of paths may go; 0: at once."""
        return max(self._next - now, self._held.get(group, -math.inf) - now, 0.0)

    def sent(self, now: float) -> None:
        """A request goes now."""
        self._next = now + self._spacing

    def told(self, group: str, status: int, headers: Mapping[str, str], now: float) -> float | None:
        """An answer came. How many seconds the group is to be left alone for; None when it said nothing of the kind."""
        seconds = asked(status, headers)
        if seconds is not None:
            self._held[group] = max(self._held.get(group, -math.inf), now + seconds)
        return seconds


def asked(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds for which an answer wants no more requests, `LONGEST` at most; names of `headers` in lower case.

    The reset is that of a window, an hour long perhaps. It is waited for when nothing remains of the window, and not
    when another limit than the window's was hit.
    """
    if status in _SLOW_DOWN and (seconds := _seconds(headers.get("retry-after"), headers)) is not None:
        return seconds
    remaining = _number(headers.get("x-sib-ratelimit-remaining"))
    if (remaining is None and status == 429) or (remaining is not None and remaining < 1):
        return _seconds(headers.get("x-sib-ratelimit-reset"), headers)
    return None


def _seconds(value: str | None, headers: Mapping[str, str]) -> float | None:
    number = _number(value)
    if number is None:
        number = _moment(value)
    if number is None:
        return None
    if number >= _A_MOMENT:
        # By the clock of the one who says so: ours may differ.
        now = _moment(headers.get("date"))
        if now is None:
            return None
        number = max(number - now, 0.0)
    return min(number, LONGEST)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _moment(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value or "").timestamp()
    except (ValueError, OverflowError):
        return None
