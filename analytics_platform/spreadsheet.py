"""CSV that spreadsheets of the reader's language open, and that no cell can run anything in.

Belongs here: delimiter, encoding, what makes a text safe to open. Does not: which columns, how numbers and times are
written (whoever has the rows), naming files.
"""

import csv
import io
from collections.abc import Iterable, Sequence

from analytics_platform.language import Language

# What makes a spreadsheet take a text for a formula, and their full-width twins.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def decimal_mark(language: Language) -> str:
    """What stands between whole and fraction: `.` or `,`."""
    return language.compact(0.5).strip("05")


def harmless(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_of(columns: Sequence[str], rows: Iterable[Iterable[object]], language: Language, *, bom: bool) -> bytes:
    """The rows under the names of their columns (RFC 4180, UTF-8); None is an empty cell. Texts are to be `harmless`.

    The delimiter is that of the language's spreadsheets: `,`, or `;` where the comma is the decimal mark.
    """
    content = io.BytesIO()
    # Encoded as it is written: a table of ten years is 17 MB, as text it would be held at up to four bytes a letter.
    stream = io.TextIOWrapper(content, encoding="utf-8-sig" if bom else "utf-8", newline="")
    writer = csv.writer(stream, delimiter=";" if decimal_mark(language) == "," else ",", lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    stream.flush()
    return content.getvalue()
