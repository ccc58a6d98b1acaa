"""The app report's table: every figure of every slice and day as CSV, for spreadsheets and programs.

Belongs here: columns, number formats, what makes a CSV safe to open. Does not: reading the rows, naming the file.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import date

from analytics_platform.language import Language
from analytics_platform.metrics.app import METRICS
from analytics_platform.metrics.frames import ratio
from analytics_platform.spreadsheet import csv_of, decimal_mark, harmless

COLUMNS = ("service", "dimension", "dimension_value", "date", *METRICS)


def write(rows: Iterable[Mapping[str, object]], language: Language, *, bom: bool) -> bytes:
    """The rows in their order as CSV (RFC 4180, UTF-8), columns COLUMNS, dates ISO; empty: not applicable or unknown.

    `rows` have event_date, service, dimension, dimension_value and counts; the rates are taken here, to six decimals.
    Delimiter and decimal mark are those of the language's spreadsheets: `,` and `.`, or `;` and `,`. A text that a
    spreadsheet would run as a formula begins with an apostrophe.
    """
    mark = decimal_mark(language)
    return csv_of(COLUMNS, (_cells(row, mark) for row in rows), language, bom=bom)


def first_day(content: bytes) -> date | None:
    """The date of the first row of what `write` gave, None without rows."""
    head = content[:10_000].decode("utf-8-sig", errors="ignore")
    delimiter = ";" if head.startswith("service;") else ","
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    next(reader)
    row = next(reader, None)
    return date.fromisoformat(row[COLUMNS.index("date")]) if row else None


def _cells(row: Mapping[str, object], mark: str) -> tuple[object, ...]:
    dau, actions, views, likes, posts = (_count(row, n) for n in ("dau", "actions", "views", "likes", "active_posts"))
    return (
        _text(row["service"]),
        _text(row["dimension"]),
        _text(row["dimension_value"]),
        row["event_date"],
        dau,
        actions,
        _rate(actions, dau, mark),
        views,
        likes,
        _rate(likes, views, mark),
        posts,
        _rate(actions, posts, mark),
        _count(row, "new_users"),
        _count(row, "new_posts"),
    )


def _count(row: Mapping[str, object], name: str) -> int | None:
    value = row[name]
    return value if isinstance(value, int) else None


def _rate(numerator: int | None, denominator: int | None, mark: str) -> str:
    value = ratio(numerator, denominator)
    return "" if value is None else f"{value:.6f}".replace(".", mark)


def _text(value: object) -> str:
    return "" if value is None else harmless(str(value))
