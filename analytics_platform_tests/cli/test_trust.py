"""What a newcomer trips over: settings that change under computed days, mixed homes, narrow terminals, taken ports."""

import io
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from analytics_platform.cli import console
from analytics_platform_tests.cli.conftest import FIRST, LAST, Run


def test_days_computed_in_another_zone_are_said_to_be_outdated(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("slices", "--from", LAST, "--to", LAST, "--dimension", "total", "--home", home)
    assert "older than" not in run(*words).err
    monkeypatch.setenv("TIMEZONE", "Asia/Tokyo")
    said = run(*words)
    assert said.code == 0
    assert f"materialize --from {LAST} --to {LAST}" in said.err
    assert "older than what they come from" in run("doctor", "--home", home).out
    assert run("materialize", "--date", LAST, "--home", home).code == 0
    assert "older than" not in run(*words).err


def test_ones_own_events_are_not_loaded_into_the_demos_home(run: Run, home: Path, tmp_path: Path) -> None:
    (home / "own_events").unlink()
    (home / "generated").mkdir()
    before = (home / "events.duckdb").read_bytes()
    (tmp_path / "feed.csv").write_text(f"user_id,post_id,action,time\n1,1,view,{LAST} 10:00:00\n")
    done = run("load", "--feed", tmp_path / "feed.csv", "--home", home)
    assert done.code == 1
    assert "holds the demo's simulated events" in done.err
    assert (home / "events.duckdb").read_bytes() == before


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_figure_is_cut_on_a_narrow_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"event_date": str(LAST), "dimension": "os", "dimension_value": "Android"}
        | {
            name: 1_234_567 + k
            for k, name in enumerate(("views", "likes", "messages_received", "messages_sent", "ctr"))
        }
        for _ in range(2)
    ]
    screen = io.StringIO()
    monkeypatch.setattr(console, "out", Console(force_terminal=True, width=width))
    monkeypatch.setattr("sys.stdout", screen)
    console.show_table(rows)
    shown = screen.getvalue()
    assert "…" not in shown
    assert all(f"{1_234_567 + k:,}" in shown for k in range(5))
    assert all(len(line) <= width for line in shown.splitlines() if "\x1b" not in line)


def test_a_taken_port_is_one_sentence(run: Run, home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--port", port, "--home", home)
    assert done.code == 1
    assert f"127.0.0.1:{port} cannot be used" in done.err


def test_a_misspelt_setting_is_pointed_out(run: Run, home: Path) -> None:
    with (home / "settings.env").open("a") as settings:
        settings.write("TIMEZON=Europe/Moscow\n")
    said = run("doctor", "--home", home).out
    assert "TIMEZON in" in said
    assert "write TIMEZONE" in said


def test_a_dry_run_leaves_the_receipt_of_the_real_delivery(run: Run, home: Path, tmp_path: Path) -> None:
    done = run("report", "feed", "--date", LAST, "--dry-run", "--out", tmp_path / "out", "--home", home)
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "feed_daily" / str(LAST) / "01-text.txt").exists()

    import dagster as dg

    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey(["reports", "feed_daily"])) == {str(LAST)}
        assert not instance.get_materialized_partitions(dg.AssetKey(["deliveries", "feed_daily"]))


def test_late_events_of_an_earlier_day_make_the_days_after_it_outdated(run: Run, home: Path, tmp_path: Path) -> None:
    early = FIRST - timedelta(days=5)
    (tmp_path / "late.csv").write_text(f"user_id,post_id,action,time\n1,1,view,{early} 10:00:00\n")
    assert run("load", "--feed", tmp_path / "late.csv", "--home", home).code == 0
    assert "older than" in run("slices", "--from", LAST, "--to", LAST, "--home", home).err
