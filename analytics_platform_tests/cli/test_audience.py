"""`audience`: the range it chooses, what it prints to people and programs, what it says of missing days."""

import csv
from datetime import timedelta
from pathlib import Path

import pytest

from analytics_platform.cli import console
from analytics_platform_tests.cli.conftest import FIRST, LAST, Run, table


def test_piped_rows_are_true(run: Run, home: Path) -> None:
    done = run("audience", "--from", FIRST, "--to", LAST, "--home", home)

    rows = table(done)
    assert done.code == 0
    assert list(rows[0]) == ["day", "dau", "wau", "mau", "stickiness", "d1", "d7", "d30"]
    assert [row["day"] for row in rows] == [str(FIRST + timedelta(days=k)) for k in range(8)]
    # Day k has the users 0..k+2 in the feed; the writers are among them, and user 900 only receives.
    assert [row["dau"] for row in rows] == [str(3 + k) for k in range(8)]
    assert [row["wau"] for row in rows] == [*[""] * 6, "9", "10"]
    assert {row["mau"] for row in rows} == {row["stickiness"] for row in rows} == {row["d30"] for row in rows} == {""}
    assert [row["d1"] for row in rows] == ["", *["1.0"] * 7]
    assert [row["d7"] for row in rows] == [*[""] * 7, "1.0"]
    assert done.err == "", "days before START_DATE cannot be computed"


def test_without_days_the_last_computed_ones_are_shown(run: Run, home: Path) -> None:
    assert run("audience", "--home", home).out == run("audience", "--from", FIRST, "--to", LAST, "--home", home).out


def test_a_service_has_its_own_users(run: Run, home: Path) -> None:
    done = run("audience", "--from", LAST, "--to", LAST, "--service", "message", "--home", home)
    assert [(row["dau"], row["wau"], row["d7"]) for row in table(done)] == [("2", "2", "1.0")]


def test_the_csv_has_what_the_figures_are_made_of(run: Run, home: Path, tmp_path: Path) -> None:
    target = tmp_path / "audience.csv"
    target.write_text("an earlier export")

    done = run("audience", "--from", FIRST, "--to", LAST, "--service", "feed", "--csv", target, "--home", home)

    assert (done.code, done.out) == (0, f"8 rows in {target}\n")
    with target.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["service"] for row in rows} == {"feed"}
    last = rows[-1]
    assert (last["dau"], last["wau"], last["d1"], last["d1_cohort"], last["d1_active"]) == ("10", "10", "1.0", "1", "1")
    assert (last["d7"], last["d7_cohort"], last["d7_active"], last["d30_cohort"]) == ("1.0", "3", "3", "")
    assert (last["new"], last["retained"], last["churned"]) == ("", "", "")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".new"] == []


def test_people_read_n_a(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.out, "_force_terminal", True)
    done = run("audience", "--from", LAST, "--to", LAST, "--home", home)
    assert done.out.split("\n")[3].split() == [str(LAST), "10", "10", "n/a", "n/a", "1.0000", "1.0000", "n/a"]


def test_days_that_are_missing_are_named_with_the_remedy(run: Run, home: Path) -> None:
    (home / "settings.env").write_text("START_DATE=2024-02-20\n")
    done = run("audience", "--from", LAST, "--to", LAST + timedelta(days=1), "--home", home)
    assert (done.code, [row["dau"] for row in table(done)]) == (0, ["10", ""])
    assert done.err == (
        "11 days that the figures need not computed; for all figures: "
        "analytics-platform materialize --from 2024-02-20 --to 2024-03-09\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            "--from 2024-04-01 --to 2024-04-02",
            1,
            "run analytics-platform materialize --from 2024-04-01 --to 2024-04-02",
        ),
        ("--from 2024-03-01", 2, "give both --from A and --to B, or neither"),
        ("--from 2024-03-02 --to 2024-03-01", 2, "--from 2024-03-02 is after --to 2024-03-01"),
        ("--service mail", 2, "mail"),
        ("--from 2024-03-01 --to 2024-03-02 --csv /no/such/folder/x.csv", 1, "x.csv cannot be written: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Run, home: Path, words: str, code: int, said: str) -> None:
    done = run("audience", *words.split(), "--home", home)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_a_home_without_computed_days_says_so(run: Run, tmp_path: Path) -> None:
    done = run("audience", "--home", tmp_path / "new")
    assert (done.code, done.out) == (1, "")
    assert "no day is computed yet: run analytics-platform materialize" in done.err
