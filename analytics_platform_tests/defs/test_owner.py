"""Errors reach people: from a failed run, a late report, a scheduler's error to a mail, once, and the all-clear."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from analytics_platform.cadence import Period
from analytics_platform.definitions import build_definitions
from analytics_platform.defs import owner
from analytics_platform.defs.health import examine, unseen
from analytics_platform.defs.schedules import METRICS_JOB
from analytics_platform.reports import all_reports
from analytics_platform.state.runs import Status
from analytics_platform_tests.defs.conftest import FIRST, LAST, Place
from analytics_platform_tests.defs.test_runs import Altered
from analytics_platform_tests.defs.test_scheduling import MORNING, Bench, bench, empty_bench
from analytics_platform_tests.mail_server import Mail, MailStandIn, mail_server

__all__ = ["bench", "empty_bench"]  # fixtures

PASSWORD = "hidden-in-every-log-7f3a"


@pytest.fixture
def mail() -> Iterator[MailStandIn]:
    with mail_server("starttls", user="reports", password=PASSWORD) as server:
        yield server


def with_owner(bench: Bench, mail: MailStandIn, **more: object) -> None:
    """Ann is the owner of everything, and is written to in Russian."""
    server = mail.server
    bench.settings = bench.settings.model_copy(
        update={
            "locale": "ru",
            "owner_emails": ("ann@example.org",),
            "smtp_host": server.host,
            "smtp_port": server.port,
            "smtp_user": "reports",
            "smtp_password": SecretStr(PASSWORD),
            "smtp_from": "Отчёты <reports@example.org>",
            "smtp_ca_file": server.ca_file,
            **more,
        }
    )


def fail(bench: Bench) -> None:
    """A run of the figures whose check fails."""
    definitions = build_definitions(
        bench.place.home,
        bench.settings,
        warehouse=Altered(bench.place.warehouse),  # type: ignore[arg-type]
    )
    result = definitions.resolve_job_def(METRICS_JOB).execute_in_process(
        instance=bench.instance,
        raise_on_error=False,
        partition_key=FIRST.isoformat(),
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert not result.success


def body(mail: Mail) -> str:
    """The plain text of a mail."""
    part = mail.message.get_body(("plain",))
    assert part
    return str(part.get_content())


def told(bench: Bench, now: datetime) -> owner.Told:
    """What the owner's sensor does in a tick."""
    owner.close_recovered(bench.instance, bench.ledgers, now)
    return owner.tell(bench.office, now)


def test_a_failed_run_is_told_once_then_daily_and_closed_when_it_is_over(empty_bench: Bench, mail: MailStandIn) -> None:
    with_owner(empty_bench, mail)
    before = datetime.now(UTC) - timedelta(minutes=1)
    fail(empty_bench)
    now = datetime.now(UTC) + timedelta(seconds=1)
    seen = owner.collect_failures(empty_bench.instance, empty_bench.settings, empty_bench.ledgers, before)
    assert seen > before
    told(empty_bench, now)
    [first] = mail.accepted
    assert first.message["Subject"] == "Аналитическая платформа: 1 новая проблема"
    assert "job daily_metrics" in body(first)

    fail(empty_bench)
    owner.collect_failures(empty_bench.instance, empty_bench.settings, empty_bench.ledgers, seen)
    told(empty_bench, now + timedelta(hours=1))
    assert len(mail.accepted) == 1, "the same trouble again is counted, not told"
    told(empty_bench, now + timedelta(hours=25))
    assert len(mail.accepted) == 2

    empty_bench.work(MORNING)  # computes and delivers, so the job has succeeded since
    told(empty_bench, datetime.now(UTC) + timedelta(hours=26))
    assert mail.accepted[-1].message["Subject"] == "Аналитическая платформа: 1 проблема решена"
    assert len(mail.accepted) == 3
    told(empty_bench, datetime.now(UTC) + timedelta(hours=60))
    assert len(mail.accepted) == 3


def test_a_report_may_have_an_owner_of_its_own(bench: Bench, mail: MailStandIn) -> None:
    with_owner(bench, mail, report_owners={"feed_daily": ("bob@example.org",)})
    now = datetime.now(UTC)
    bench.ledgers.problems.record("report feed_daily", "tick", "no space left", now, report="feed_daily")
    bench.ledgers.problems.record("job daily_metrics", "failed", "no such column", now)
    told(bench, now)
    assert len(mail.to("bob@example.org")) == len(mail.to("ann@example.org")) == 1
    assert "no such column" not in body(mail.to("bob@example.org")[0])
    assert "no space left" not in body(mail.to("ann@example.org")[0])


def test_an_owner_who_cannot_be_reached_is_tried_again_and_the_tick_says_why(bench: Bench, mail: MailStandIn) -> None:
    with_owner(bench, mail, smtp_port=9)
    now = datetime.now(UTC)
    bench.ledgers.problems.record("job daily_metrics", "failed", "no such column", now)
    said = told(bench, now)
    assert said.failed
    assert "ann@example.org was not told" in said.lines[0]
    with_owner(bench, mail)
    told(bench, now + timedelta(minutes=1))
    assert len(mail.accepted) == 1


def test_the_password_is_nowhere(bench: Bench, mail: MailStandIn, caplog: pytest.LogCaptureFixture) -> None:
    with_owner(bench, mail)
    build_definitions(bench.place.home, bench.settings)  # as every process of the daemon does
    bench.ledgers.problems.record("job x", "failed", f"login {PASSWORD} refused", datetime.now(UTC))
    told(bench, datetime.now(UTC))
    [letter] = mail.accepted
    files = [path for path in Path(bench.place.home.path).rglob("*") if path.is_file()]
    assert PASSWORD not in repr(bench.settings) + caplog.text
    assert all(PASSWORD.encode() not in path.read_bytes() for path in files)
    assert PASSWORD not in body(letter)
    assert "refused" in body(letter)


def test_health_finds_a_silent_daemon_a_late_report_and_open_problems(bench: Bench) -> None:
    bench.work(MORNING)
    findings = {f.name: f for f in examine(bench.desk, bench.instance, MORNING)}
    assert findings["daemon"].says == "has never run here"
    assert findings["report feed_daily"].well
    assert findings["problems"].well
    late = MORNING + timedelta(days=1, hours=4)
    bench.ledgers.problems.record("job daily_metrics", "failed", "no such column", late)
    findings = {f.name: f for f in examine(bench.desk, bench.instance, late)}
    assert not findings["report feed_daily"].well
    assert f"{LAST + timedelta(days=1)} was due 4 h ago" in findings["report feed_daily"].says
    assert findings["job daily_metrics"].says == "failed: no such column"


def test_a_day_without_the_expected_report_is_told_though_nothing_failed(bench: Bench) -> None:
    bench.work(MORNING)
    for hours, expected in ((2, []), (4, [f"report feed_daily {LAST + timedelta(days=1)}"])):
        found = list(unseen(all_reports(), bench.settings, bench.ledgers, MORNING + timedelta(days=1, hours=hours)))
        assert [subject for subject, _, _ in found] == expected
    [(subject, text, report)] = found
    assert text.startswith(f"{LAST + timedelta(days=1)} was due 4 h ago and is not out")
    soon = MORNING + timedelta(days=1, hours=4)
    period = Period(LAST + timedelta(days=1), LAST + timedelta(days=1))
    bench.ledgers.runs.expect("feed_daily", period, Status.READY, "", soon - timedelta(minutes=5))
    assert list(unseen(all_reports(), bench.settings, bench.ledgers, soon)) == [], "it has just been asked for"
    bench.ledgers.problems.record(subject, "missing", text, MORNING, report=report)
    assert list(unseen(all_reports(), bench.settings, bench.ledgers, MORNING + timedelta(days=1, hours=5))) == []


def test_the_sensor_collects_tells_and_beats(loaded: Place, mail: MailStandIn, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        made = Bench(loaded, loaded.settings, instance)
        with_owner(made, mail, heartbeat_file=tmp_path / "beat")
        repository = build_definitions(loaded.home, made.settings).get_repository_def()
        sensor = repository.get_sensor_def(owner.SENSOR)
        first = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, repository_def=repository))
        assert first.cursor
        assert mail.accepted == []
        fail(made)
        sensor.evaluate_tick(dg.build_sensor_context(instance=instance, repository_def=repository, cursor=first.cursor))
    assert len(mail.accepted) == 1
    assert (tmp_path / "beat").read_text("utf-8").startswith("20")
