"""Times as MySQL columns hold them, and the moments they mean.

Belongs here: DATETIME, TIMESTAMP, DATE and integers, zero dates, the site's zone. Does not: statements.

DATETIME and DATE are of the site's clock; an hour that comes twice in autumn is taken for its first passage, and a DATE
for its first moment. TIMESTAMP is read in UTC, integers are Unix seconds. NULL, zero dates and what no calendar has
are no time.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

# A clock can be put back by a day at most; what comes in too many is cut by the exact moment.
_MARGIN: Final = timedelta(hours=25)
INTEGERS: Final = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})


class Kind(StrEnum):
    """How a column holds a time."""

    DATETIME = "datetime"
    TIMESTAMP = "timestamp"
    DATE = "date"
    SECONDS = "seconds"


def kind_of(data_type: str) -> Kind | None:
    """What a column of this type (`information_schema.columns.data_type`) holds; None where that is no time."""
    lowered = data_type.lower()
    if lowered in INTEGERS:
        return Kind.SECONDS
    return Kind(lowered) if lowered in (Kind.DATETIME, Kind.TIMESTAMP, Kind.DATE) else None


def written(kind: Kind, moment: datetime, zone: ZoneInfo) -> str | int:
    """The moment as such a column holds it, to the second."""
    if kind is Kind.SECONDS:
        return int(moment.timestamp())
    wall = moment.astimezone(UTC if kind is Kind.TIMESTAMP else zone)
    return wall.strftime("%Y-%m-%d" if kind is Kind.DATE else "%Y-%m-%d %H:%M:%S")


def not_before(kind: Kind, moment: datetime, zone: ZoneInfo) -> str | int:
    """A bound below everything that may be at or after the moment."""
    return written(kind, moment - _MARGIN, zone)


def earliest(kind: Kind) -> str | int:
    """What is smaller is no time: a zero date, which cannot be named where the server is strict."""
    return 1 if kind is Kind.SECONDS else "1000-01-01"


def reader(kind: Kind, zone: ZoneInfo) -> Callable[[str | int | None], datetime | None]:
    """Makes what the database sends (text, or an integer) a moment in UTC; None where it is no time."""
    if kind is Kind.SECONDS:
        return _of_seconds
    clock = UTC if kind is Kind.TIMESTAMP else zone
    parse = datetime.fromisoformat

    def of_text(raw: str | int | None) -> datetime | None:
        if not isinstance(raw, str):
            return None
        try:
            return parse(raw).replace(tzinfo=clock).astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    return of_text


def _of_seconds(raw: str | int | None) -> datetime | None:
    if not raw or int(raw) <= 0:
        return None
    try:
        return datetime.fromtimestamp(int(raw), UTC)
    except (ValueError, OverflowError, OSError):
        return None
