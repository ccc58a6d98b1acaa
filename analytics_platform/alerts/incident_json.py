"""An incident as plain JSON values, and back: what the state stores and `alerts replay` writes.

Belongs here: the two directions, exact to the microsecond and the last bit. Does not: tables. Pure. Light: no numpy.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from enum import Enum
from typing import Any

from analytics_platform.alerts.findings import Direction, Severity, What
from analytics_platform.alerts.incident import Incident, Kind, Member, Reason, Status
from analytics_platform.metrics.series import SeriesKey

# Kept beside the incident, because others than the state machine change them.
ASIDE = frozenset({"id", "said_revision", "version"})
_ENUMS: Mapping[str, type[Enum]] = {
    "kind": Kind,
    "status": Status,
    "severity": Severity,
    "told_severity": Severity,
    "direction": Direction,
    "ended": Reason,
    "reason": Reason,
    "what": What,
    "newest": What,
}
_MOMENTS = frozenset(
    (
        *("started", "last_bad", "opened_at", "stretch", "recovered_at", "closed_at", "acknowledged_at", "muted_until"),
        *("revised_at", "loud_at", "first", "last", "worst_at", "at", "usual_since"),
    )
)
# Numbers without a bound are stored as text.
_NUMBERS = frozenset(f.name for cls in (Incident, Member) for f in fields(cls) if f.type in (float, float | None))
_INCIDENT, _MEMBER = (dict.fromkeys(f.name for f in fields(cls)) for cls in (Incident, Member))  # in order
_STORED = tuple(name for name in _INCIDENT if name not in ASIDE)
_AS_THEY_ARE = frozenset((type(None), bool, int, str))


def encode(incident: Incident) -> dict[str, Any]:
    """Everything but `ASIDE`."""
    return {name: _plain(getattr(incident, name)) for name in _STORED}


def decode(stored: Mapping[str, Any], **aside: Any) -> Incident:
    """The incident that was encoded; `aside` as it is now. What an older version did not store has its default."""
    return Incident(**{name: _read(name, value) for name, value in stored.items() if name in _INCIDENT}, **aside)


def series_words(series: SeriesKey) -> list[str]:
    """A series as a list of texts."""
    return [series.service, series.metric, series.dimension, series.value]


def _plain(value: Any) -> Any:
    if type(value) in _AS_THEY_ARE:  # most are; an enumeration of texts is none of these
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, SeriesKey):
        return series_words(value)
    if isinstance(value, Member):
        return {name: _plain(getattr(value, name)) for name in _MEMBER}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    # JSON has no number beside the finite ones; a deviation from nothing has no bound.
    return str(value) if isinstance(value, float) and value - value != 0 else value


def _read(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _ENUMS:
        return _ENUMS[name](value)
    if name in _MOMENTS:
        return datetime.fromisoformat(value)
    if name in ("lead", "series"):
        return SeriesKey(*value)
    if name == "told_totals":
        return tuple(SeriesKey(*each) for each in value)
    if name == "services":
        return tuple(value)
    if name == "members":
        return tuple(Member(**{n: _read(n, v) for n, v in each.items() if n in _MEMBER}) for each in value)
    return float(value) if name in _NUMBERS else value
