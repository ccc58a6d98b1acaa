"""`funnel conversions` and `report funnels`: the documented lines, tables and files, periods that are none."""

import csv
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics_platform.defs.claims import now
from analytics_platform.funnels.records import Change, NewEntry
from analytics_platform_tests.cli.conftest import Done, Run, table
from analytics_platform_tests.funnel_home import (
    LANGUAGE,
    OTHER,
    FunnelHome,
    connected,
)

FIRST = datetime(2026, 3, 9, 22, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four entered the language funnel on 9 March, by tests 1 and 2, of whom one bought and one had; a week later
    another one did, and one the other funnel."""
    place = FunnelHome(tmp_path_factory.mktemp("converted") / "home", connected(None, None)).settled()
    with place.lease() as kept:
        early = [NewEntry(f"person{n}@example.org", LANGUAGE, n, 1 + n % 2, 7) for n in range(3)]
        early.append(NewEntry("customer@example.org", LANGUAGE, 4, 1, 7, FIRST - DAY))
        late = [NewEntry("late@example.org", LANGUAGE, 5, 1, 7), NewEntry("other@example.org", OTHER, 6, 3, 8)]
        place.ledger.enter(kept.now(), early, FIRST)
        place.ledger.enter(kept.now(), late, FIRST + 7 * DAY)
        place.ledger.settle(kept.now(), [Change(1, LANGUAGE, purchased_at=FIRST + 3 * DAY)], now())
    assert place.publish().figures["dagster/row_count"] == 6
    return place.path


def test_conversions_are_the_documented_lines_and_a_table(run: Run, converted: Path) -> None:
    done = run("funnel", "conversions", "--from-date", "2026-03-01", "--home", converted)
    assert done.code == 0, done.err
    told, _, listed = done.out.partition("\n\n")
    assert told.splitlines() == [
        "Funnel conversions",
        "------------------",
        "language: entries=4, purchased=1, conversion=25.00%",
        "non_language: entries=1, purchased=0, conversion=0.00%",
        "language: already customers=1",
    ]
    rows = table(Done(0, listed, ""))
    assert [(row["funnel"], row["entries"], row["conversion_%"], row["median_days"]) for row in rows] == [
        ("language", "4", "25.0", "3.0"),
        ("non_language", "1", "0.0", ""),
    ]
    assert float(rows[0]["low_%"]) == pytest.approx(4.56, abs=0.01), "Wilson's interval of 1 in 4"
    assert float(rows[0]["high_%"]) == pytest.approx(69.94, abs=0.01)


def test_conversions_by_week_and_by_test(run: Run, converted: Path) -> None:
    words = ("funnel", "conversions", "--from-date", "2026-03-01", "--home", converted)
    weekly = run(*words, "--by", "week").out.partition("\n\n")[2]
    assert [(row["funnel"], row["week"], row["entries"]) for row in table(Done(0, weekly, ""))] == [
        ("language", "2026-03-09", "3"),
        ("language", "2026-03-16", "1"),
        ("non_language", "2026-03-16", "1"),
    ]
    by_test = run(*words, "--by", "test").out.partition("\n\n")[2]
    assert [(row["test"], row["entries"], row["purchased"]) for row in table(Done(0, by_test, ""))] == [
        ("1", "3", "1"),
        ("2", "1", "0"),
        ("3", "1", "0"),
    ]


def test_days_are_local_ones_and_the_last_is_not_included(
    run: Run, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entries(first: str, end: str) -> list[str]:
        done = run("funnel", "conversions", "--from-date", first, "--to-date", end, "--home", converted)
        assert done.code == 0
        return [line for line in done.out.splitlines() if "entries=" in line]

    nine = ["language: entries=3, purchased=1, conversion=33.33%"]
    assert entries("2026-03-09", "2026-03-10") == nine
    assert entries("2026-03-10", "2026-03-16") == []
    monkeypatch.setenv("TIMEZONE", "Asia/Tokyo")
    assert entries("2026-03-09", "2026-03-10") == []
    assert entries("2026-03-10", "2026-03-11") == nine


def test_a_period_without_entries_says_so_and_is_no_error(run: Run, converted: Path, tmp_path: Path) -> None:
    for home in (converted, tmp_path / "new"):
        done = run("funnel", "conversions", "--from-date", "2027-03-01", "--home", home)
        assert (done.code, done.out) == (0, "No funnel entries found for the given period.\n")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from-date", "2026-03-10", "--to-date", "2026-03-10"), "--to-date 2026-03-10 is not after --from-date"),
        (("--from-date", "10.03.2026"), "does not match the format"),
        ((), "--from-date"),
        (("--from-date", "2026-03-10", "--by", "day"), "'day' is not one of"),
    ],
)
def test_conversions_of_no_period_are_refused(run: Run, converted: Path, words: tuple[str, ...], said: str) -> None:
    done = run("funnel", "conversions", *words, "--home", converted)
    assert done.code == 2
    assert said in " ".join(done.err.replace("│", " ").split())


def test_from_the_first_day_of_the_calendar_on_is_all_there_is(
    run: Run, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMEZONE", "Asia/Tokyo")
    done = run("funnel", "conversions", "--from-date", "0001-01-01", "--to-date", "9999-12-31", "--home", converted)
    assert done.code == 0, done.err
    assert "language: entries=4, purchased=1, conversion=25.00%" in done.out


def test_a_test_of_the_number_0_is_named(run: Run, tmp_path: Path) -> None:
    place = FunnelHome(tmp_path / "home", {})
    with place.lease() as kept:
        place.ledger.enter(kept.now(), [NewEntry("ann@example.org", LANGUAGE, 1, 0, 7)], FIRST)
    words = ("funnel", "conversions", "--from-date", "2026-03-01", "--by", "test", "--home", place.path)
    shown = run(*words).out.partition("\n\n")[2]
    assert [row["test"] for row in table(Done(0, shown, ""))] == ["0"]


def test_all_columns_are_in_the_file(run: Run, converted: Path, tmp_path: Path) -> None:
    target = tmp_path / "conversions.csv"
    words = ("funnel", "conversions", "--from-date", "2026-03-01", "--home", converted)
    done = run(*words, "--csv", target)
    assert done.code == 0
    assert str(target) in done.err
    rows = list(csv.reader(target.read_text("utf-8-sig").splitlines()))
    assert len(rows) == 1 + 2 + 3 + 3, "a head; by funnel, by week, by test"
    refused = run(*words, "--csv", tmp_path / "nowhere" / "conversions.csv")
    assert refused.code == 1
    assert refused.err.endswith("conversions.csv cannot be written: No such file or directory\n")


# ------------------------------------------------------------------------------- report


@pytest.mark.parametrize(
    ("locale", "told"),
    [
        ("en", ("E-mail funnels, Mar 1, 2026 – Mar 31, 2026", "language: entries=4, purchased=1, conversion=25.00%")),
        ("ru", ("E-mail-воронки, 1 мар. 2026 г. – 31 мар. 2026 г.", "25,00 %")),
    ],
)
def test_the_monthly_report_goes_into_the_folder(
    converted: Path, tmp_path: Path, run: Run, locale: str, told: tuple[str, str]
) -> None:
    copied = shutil.copytree(converted, tmp_path / "home")
    FunnelHome(copied, connected(None, None, LOCALE=locale, START_DATE="2026-03-01")).settled()
    done = run("report", "funnels", "--date", "2026-03-31", "--home", copied)
    assert done.code == 0, done.err
    assert "incomplete" not in done.err
    said = done.out.replace("\xa0", " ").replace("\u202f", " ")
    assert said.startswith(told[0])
    assert told[1] in said
    folder = copied / "outbox" / "funnels_monthly" / "2026-03-31"
    names = sorted(path.name for path in folder.iterdir())
    assert "01-text.txt" in names
    assert any(name.endswith(".png") for name in names)
    assert any(name.endswith(".csv") for name in names)
    assert "@" not in "".join(
        path.read_text("utf-8-sig") for path in folder.iterdir() if path.suffix in (".txt", ".csv")
    )
