"""The app report's table, read back by others: every cell exactly, in both languages, and nothing runs as a formula."""

import csv
import io
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from analytics_platform.language import Language
from analytics_platform.reports import app_csv
from analytics_platform.reports.base import Row
from analytics_platform_tests.work import calls_of

FIRST = date(2026, 11, 1)


def row(
    service: str = "feed", dimension: str = "total", value: str = "total", day: date = FIRST, **counts: object
) -> Row:
    empty = dict.fromkeys(("dau", "actions", "views", "likes", "active_posts", "new_users", "new_posts"))
    return {"event_date": day, "service": service, "dimension": dimension, "dimension_value": value, **empty, **counts}


FEED: dict[str, Any] = {
    "dau": 3,
    "actions": 10,
    "views": 7,
    "likes": 3,
    "active_posts": 6,
    "new_users": 1,
    "new_posts": 0,
}
ROWS = [
    row("app", dau=4, actions=12, new_users=2),
    row(**FEED),
    row("feed", "country", 'Кот-д’Ивуар; «юг», "север"', FIRST + timedelta(days=1), **{**FEED, "views": 0, "likes": 0}),
    row("message", "source", "ads", dau=0, actions=0),
]
RATES = {
    "actions_per_user": [3.0, 3.333333, 3.333333, None],
    "ctr": [None, 0.428571, None, None],
    "actions_per_post": [None, 1.666667, 1.666667, None],
}


@pytest.mark.parametrize(("code", "delimiter", "mark"), [("en", ",", "."), ("ru", ";", ",")])
@pytest.mark.parametrize("bom", [True, False])
def test_another_program_reads_the_same(code: str, delimiter: str, mark: str, bom: bool) -> None:
    content = app_csv.write(ROWS, Language(code), bom=bom)
    assert content.startswith(b"\xef\xbb\xbf") is bom
    assert content.count(b"\n") == content.count(b"\r\n") == 5
    read = pd.read_csv(io.BytesIO(content), sep=delimiter, decimal=mark, encoding="utf-8-sig")
    assert tuple(read.columns) == app_csv.COLUMNS
    for name in ("service", "dimension", "dimension_value"):
        assert read[name].tolist() == [r[name] for r in ROWS]
    assert read["date"].tolist() == ["2026-11-01", "2026-11-01", "2026-11-02", "2026-11-01"]
    for name in ("dau", "actions", "views", "likes", "active_posts", "new_users", "new_posts"):
        assert [None if pd.isna(v) else v for v in read[name]] == [r[name] for r in ROWS]
    for name, values in RATES.items():
        assert [None if pd.isna(v) else v for v in read[name]] == values


def test_the_file_letter_by_letter() -> None:
    head = ",".join(app_csv.COLUMNS)
    assert app_csv.write(ROWS[1:2], Language("en"), bom=True).decode() == (
        f"\ufeff{head}\r\nfeed,total,total,2026-11-01,3,10,3.333333,7,3,0.428571,6,1.666667,1,0\r\n"
    )
    assert app_csv.write(ROWS[:1], Language("ru"), bom=False).decode() == (
        f"{head.replace(',', ';')}\r\napp;total;total;2026-11-01;4;12;3,000000;;;;;;2;\r\n"
    )


@pytest.mark.parametrize("name", ["=1+1", "+7", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("x";"y")', "＝1"])
@pytest.mark.parametrize("code", ["en", "ru"])
def test_a_text_never_runs_as_a_formula(name: str, code: str) -> None:
    content = app_csv.write([row("feed", "country", name, **FEED)], Language(code), bom=False)
    reader = csv.reader(io.StringIO(content.decode(), newline=""), delimiter=";" if code == "ru" else ",")
    _, cells = reader
    assert cells[2] == f"'{name}"
    assert cells[:2] == ["feed", "country"]
    assert app_csv.write([row(value="a=1", **FEED)], Language(code), bom=False).count(b"'") == 0


def test_the_first_day_is_told_by_the_file() -> None:
    for code in ("en", "ru"):
        for bom in (True, False):
            assert app_csv.first_day(app_csv.write(ROWS, Language(code), bom=bom)) == FIRST
            assert app_csv.first_day(app_csv.write([], Language(code), bom=bom)) is None


def test_ten_years_are_written_with_little_work() -> None:
    def years() -> list[Row]:
        days = [FIRST + timedelta(days=k) for k in range(365)]
        return [row("feed", "country", f"Country {k}", day, **FEED) for k in range(60) for day in days]

    rows = years()
    first = rows[:2_000]
    # 84 calls a row with what is set up once, 49 a row later; ten years take a second then.
    assert calls_of(lambda: app_csv.write(first, Language("ru"), bom=True)) < 120 * len(first)
    content = app_csv.write((r for _ in range(10) for r in rows), Language("ru"), bom=True)
    assert content.count(b"\r\n") == 219_001
