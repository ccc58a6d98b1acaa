"""Days of users as long integers, one bit a user: the audience's windows and cohorts counted by AND and OR.

Belongs here: when that pays, the counting. Does not: SQL (`audience_bits.sql`), what the figures mean (`audience.py`).

A union of two days is one operation on some kilobytes, so all figures of a range cost a fraction of reading it; an
engine that groups or sorts by user pays for each row. Both make the same rows.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from analytics_platform.metrics.app_queries import MONTH_DAYS, WEEK_DAYS

# Of all days together: 32 MiB. Of this, text and integers take some six times as much memory for a moment.
MAX_BITS = 1 << 28
# A bit costs about a hundredth of what sorting a row does; that many a row are no loss, however few of them are set.
MAX_BITS_A_ROW = 100
_WORD = 64

Row = Mapping[str, object]


def bounds(ids: Row, calendar: int) -> tuple[int, int] | None:
    """The lowest and highest id of bit strings for `calendar` days, a multiple of 64 apart; None where they do not pay.

    `ids` is the row of `audience_ids.sql`.
    """
    found, low, high = ids["rows_found"], ids["lowest"], ids["highest"]
    if not isinstance(found, int) or not isinstance(low, int) or not isinstance(high, int):
        return None
    lowest, highest = low // _WORD * _WORD, high // _WORD * _WORD + _WORD - 1
    size = (highest - lowest + 1) * calendar
    return None if size > min(MAX_BITS, MAX_BITS_A_ROW * found) else (lowest, highest)


def count(found: Sequence[Row], calendar: Sequence[date], first: date, ages: Sequence[int]) -> list[Row] | None:
    """The rows of `audience.sql` from first to the calendar's end, from those of `audience_bits.sql`.

    `calendar`: every day from the earliest cohort on. None when there are ids outside the strings: the answer is not
    the whole.
    """
    strings: dict[tuple[str, object], int] = {}
    for part in found:
        if part["kind"] == "beyond":
            return None
        strings[str(part["kind"]), part["event_date"]] = int.from_bytes(bytes.fromhex(str(part["people"])))
    people = [strings.get(("active", day), 0) for day in calendar]
    weeks, months = _united(people, WEEK_DAYS), _united(people, MONTH_DAYS)
    newcomers = []
    before = strings.get(("seen", calendar[0] - timedelta(days=1)), 0)
    for day in calendar:
        seen = strings.get(("seen", day), 0)
        newcomers.append(seen & ~before)
        before |= seen
    wau, came = [week.bit_count() for week in weeks], [some.bit_count() for some in newcomers]
    rows: list[Row] = []
    for k in range((first - calendar[0]).days, len(calendar)):
        row: dict[str, object] = {
            "event_date": calendar[k],
            "dau": people[k].bit_count(),
            "wau": wau[k],
            "mau": months[k].bit_count(),
            "wau_before": wau[k - WEEK_DAYS],
            "retained": (weeks[k] & weeks[k - WEEK_DAYS]).bit_count(),
            "arrived": sum(came[k - WEEK_DAYS + 1 : k + 1]),
        }
        for age in ages:
            row[f"cohort_{age}"] = came[k - age]
            row[f"active_{age}"] = (people[k] & newcomers[k - age]).bit_count()
        rows.append(row)
    return rows


def _united(people: Sequence[int], count: int) -> Sequence[int]:
    """For each day the users of the `count` days ending with it, by doubling: five passes for a month."""
    if count == 1:
        return people
    half = (count + 1) // 2
    part, shift = _united(people, half), count - half
    return [some | part[k - shift] if k >= shift else some for k, some in enumerate(part)]
