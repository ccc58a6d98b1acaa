"""What came of funnels as a table for spreadsheets and programs.

Belongs here: columns and number formats. Does not: CSV itself (`analytics_platform/spreadsheet.py`), figures.
"""

from collections.abc import Iterable

from analytics_platform.funnels.conversion import Conversions, Group
from analytics_platform.language import Language
from analytics_platform.spreadsheet import csv_of, decimal_mark

COLUMNS = (
    "by",
    "funnel",
    "week",
    "test_id",
    "entries",
    "purchased",
    "conversion",
    "conversion_low",
    "conversion_high",
    "median_days_to_purchase",
    "open_entries",
    "already_customers",
)


def written(parts: Iterable[Conversions], language: Language, *, bom: bool) -> bytes:
    """A row a group in the order of the parts; `by`: funnel, week or test. Empty: unknown, or nothing to divide by.

    Weeks are their Mondays, ISO. Shares (0 to 1, with the ends of their 95 % interval) have six decimals, days two,
    with the decimal mark of the language's spreadsheets.
    """
    mark = decimal_mark(language)
    rows = (_cells(group, part.by or "funnel", mark) for part in parts for group in part.groups)
    return csv_of(COLUMNS, rows, language, bom=bom)


def _cells(group: Group, by: str, mark: str) -> tuple[object, ...]:
    low, high = group.interval or (None, None)
    return (
        by,
        group.funnel.value,
        group.week,
        group.test_id,
        group.entries,
        group.purchased,
        _number(group.conversion, 6, mark),
        _number(low, 6, mark),
        _number(high, 6, mark),
        _number(group.median_days, 2, mark),
        group.open,
        group.customers,
    )


def _number(value: float | None, decimals: int, mark: str) -> str:
    return "" if value is None else f"{value:.{decimals}f}".replace(".", mark)
