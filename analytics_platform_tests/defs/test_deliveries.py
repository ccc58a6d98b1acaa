"""Deliveries after their first go: through the sensor and its jobs, with chats at a real Bot API server."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from analytics_platform.channels.base import Outcome, Sent
from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.definitions import build_definitions
from analytics_platform.defs import deliveries
from analytics_platform.defs import owner as owners
from analytics_platform.defs.liveness import this_host
from analytics_platform.defs.office import Office, note
from analytics_platform.defs.reports import delivery_key
from analytics_platform.delivery import Parcel
from analytics_platform.messages import Document, Text
from analytics_platform.reports import all_reports
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import State
from analytics_platform.state.runs import Status
from analytics_platform_tests.defs.conftest import LAST
from analytics_platform_tests.defs.test_scheduling import MORNING, Bench, bench
from analytics_platform_tests.recording import no_sleep
from analytics_platform_tests.telegram_server import Fault, TelegramServer, telegram_server
from analytics_platform_tests.telegram_wire import TOKEN

__all__ = ["bench"]  # a fixture

DELIVERY = delivery_key(all_reports()["feed_daily"])
ME = Owner("test", this_host(), os.getpid())


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with telegram_server() as server:
        yield server


def with_telegram(bench: Bench, server: TelegramServer, *chats: str) -> Office:
    """The bench's home, its reports going to these chats."""
    bench.settings = bench.settings.model_copy(
        update={"telegram_bot_token": SecretStr(TOKEN), "telegram_api_url": server.url, "telegram_chat_ids": chats}
    )
    return real_office(bench)


def real_office(bench: Bench) -> Office:
    return Office(bench.place.home, bench.settings, bench.ledgers, all_reports(), sleep=no_sleep)


def run(bench: Bench, job: str, office: Office | None = None, **config: str) -> dg.ExecuteInProcessResult:
    """One of the sending jobs."""
    op = {"send_due": "send_what_is_due", "send_again": "send_parts_again"}[job]
    definitions = build_definitions(
        bench.place.home, bench.settings, warehouse=bench.place.warehouse, office=office or bench.office
    )
    return definitions.resolve_job_def(job).execute_in_process(
        instance=bench.instance,
        raise_on_error=False,
        run_config={
            "ops": {op: {"config": config}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )


def tick(bench: Bench, office: Office) -> Any:
    """The sensor's answer."""
    definitions = build_definitions(bench.place.home, bench.settings, office=office)
    repository = definitions.get_repository_def()
    sensor = repository.get_sensor_def(deliveries.SENSOR)
    context = dg.build_sensor_context(instance=bench.instance, repository_def=repository)
    return sensor.evaluate_tick(context)


def status(bench: Bench) -> Status | None:
    entry = bench.ledgers.runs.entry("feed_daily", LAST)
    return entry.status if entry else None


def made_due(bench: Bench) -> None:
    """Time passes."""
    from sqlalchemy import update

    from analytics_platform.state.models import PARTS

    with bench.ledgers.deliveries._database.write() as con:
        con.execute(update(PARTS).values(next_at=datetime.now(UTC) - timedelta(seconds=1)))


def test_the_sensor_asks_for_one_run_when_something_is_due_and_the_run_ends_the_period(bench: Bench) -> None:
    bench.channel.outcome = Outcome.NOT_SENT
    bench.work(MORNING)
    quiet = tick(bench, bench.office)
    assert quiet.run_requests == []
    assert status(bench) is Status.SENDING
    made_due(bench)
    [request] = tick(bench, bench.office).run_requests
    assert request.run_key.startswith("send_due@")
    bench.channel.outcome = Outcome.SENT
    result = run(bench, "send_due")
    assert result.success
    assert status(bench) is Status.DELIVERED
    assert bench.instance.get_materialized_partitions(DELIVERY) == {str(LAST)}
    assert tick(bench, bench.office).skip_message == "nothing is left to send"


def test_a_defect_in_one_delivery_keeps_no_other_from_its_turn_and_reaches_the_owner(bench: Bench) -> None:
    bench.channel.outcomes = [Sent(Outcome.NOT_SENT, retry_after=500), Sent(Outcome.NOT_SENT, retry_after=500)]
    for number in (1, 2):
        file = Document("a.csv", str(number).encode())
        parcel = Parcel("app_daily" if number == 1 else "feed_daily", "2026-03-11", {"en": (file,)})
        bench.office.post.deliver(parcel, bench.office.recipients("feed_daily"), ME)
    made_due(bench)
    damaged = bench.office.home.sent / "app_daily" / "2026-03-11" / "en" / "messages" / "1-a.csv"
    damaged.unlink()
    damaged.mkdir()
    found = deliveries.send_due(bench.office, ME, datetime.now(UTC))
    assert [key for key, _ in bench.channel.sent][2:] == ["feed_daily/2026-03-11"]
    assert "IsADirectoryError" in found.troubled[0]
    [problem] = bench.ledgers.problems.open()
    assert problem.subject == "delivery app_daily 2026-03-11"


def test_a_wrong_setting_gives_nobody_up(bench: Bench, telegram: TelegramServer) -> None:
    telegram.faults.append(Fault("flood", value=500))
    office = with_telegram(bench, telegram, "41")
    office.post.deliver(Parcel("feed_daily", "x", {"en": (Text("one"),)}), office.recipients("feed_daily"), ME)
    made_due(bench)
    wrong = with_telegram(bench, telegram, "41", "no chat")
    [trouble] = deliveries.send_due(wrong, ME, datetime.now(UTC)).troubled
    assert "TELEGRAM_CHAT_IDS: 'no chat' is not a Telegram chat" in trouble
    [part] = bench.ledgers.deliveries.parts("feed_daily", "x")
    assert part.state is State.PENDING
    assert deliveries.due(wrong, datetime.now(UTC)) == [], "not asked again every minute"


def test_another_home_of_the_same_database_leaves_alone_what_it_does_not_keep(bench: Bench) -> None:
    bench.channel.outcome = Outcome.NOT_SENT
    bench.work(MORNING)
    made_due(bench)
    elsewhere = replace(bench.office, home=type(bench.place.home)(bench.place.home.path / "another"))
    assert deliveries.due(bench.office, datetime.now(UTC)) == [("feed_daily", str(LAST))]
    assert deliveries.due(elsewhere, datetime.now(UTC)) == []


def test_a_run_that_is_stopped_while_it_sends_leaves_nothing_unsaid(bench: Bench) -> None:
    """Ctrl-C in the last picture: its fate is unknown, nothing goes on by itself, and the owner hears of it."""

    async def stopped(*_: object, **__: object) -> Sent:
        raise KeyboardInterrupt

    bench.channel.send = stopped  # type: ignore[method-assign]
    [request] = bench.tick(MORNING).requests
    assert not bench.run(request).success
    assert status(bench) is Status.SENDING
    assert bench.ledgers.deliveries.quiet() is False
    deliveries.see_to(bench.office, datetime.now(UTC))
    assert status(bench) is Status.FAILED
    assert [p.subject for p in bench.ledgers.problems.open()] == [f"delivery feed_daily {LAST}"]


def test_what_is_held_is_sent_by_the_job_and_its_receipt_is_the_latest(bench: Bench) -> None:
    bench.channel.outcome = Outcome.UNCERTAIN
    bench.work(MORNING)
    assert status(bench) is Status.FAILED
    [problem] = bench.ledgers.problems.open()
    made_due(bench)
    assert deliveries.due(bench.office, datetime.now(UTC)) == []
    bench.channel.outcome = Outcome.SENT
    assert run(bench, "send_again").success, "without a word about which: all that is held"
    assert len(bench.channel.sent) == 2
    assert status(bench) is Status.DELIVERED
    event = bench.instance.get_latest_materialization_event(DELIVERY)
    assert event
    assert event.asset_materialization
    assert event.asset_materialization.metadata["parts_arrived"].value == 1
    assert problem.subject not in {p.subject for p in bench.ledgers.problems.open()}
    assert not run(bench, "send_again", topic="feed_daily", period=str(LAST)).success, "all has arrived"
    assert not run(bench, "send_again").success
    assert run(bench, "send_again", topic="feed_daily", period=str(LAST), part="all").success
    assert len(bench.channel.sent) == 3, "a person named it"


def test_what_is_held_and_was_seen_in_the_chat_is_not_sent_again(bench: Bench) -> None:
    bench.channel.outcome = Outcome.UNCERTAIN
    bench.work(MORNING)
    [part] = deliveries.held(bench.office, datetime.now(UTC))
    assert deliveries.arrived(bench.office, [part]) == bench.ledgers.deliveries.parts("feed_daily", str(LAST))
    assert status(bench) is Status.DELIVERED
    assert bench.ledgers.problems.open() == []
    assert deliveries.held(bench.office, datetime.now(UTC)) == []
    assert len(bench.channel.sent) == 1


def test_a_topic_that_is_gone_is_told_until_something_arrives_in_one(bench: Bench, telegram: TelegramServer) -> None:
    office = with_telegram(bench, telegram, "-5/7")
    telegram.faults.append(Fault("topic_gone", chat="-5"))
    for number in (1, 2):
        parcel = Parcel("feed_daily", f"2026-03-11 correction {number}", {"en": (Text("one"),)})
        delivered = office.post.deliver(parcel, office.recipients("feed_daily"), ME)
        note(office.ledgers, parcel.topic, parcel.period, delivered, MORNING)
        kinds = [(p.subject, p.kind) for p in bench.ledgers.problems.open()]
        assert kinds == ([("subscriber telegram -5/7", "astray")] if number == 1 else [])
    assert [(a.chat, a.thread) for a in telegram.accepted] == [("-5", None), ("-5", 7)]


def test_a_run_that_died_while_sending_is_gone_on_with(bench: Bench) -> None:
    """Its period is on its way, its part of unknown fate, and a text goes once more, marked."""
    bench.channel.repeatable = True
    bench.channel.outcomes = [Sent(Outcome.NOT_SENT, retry_after=500)]
    bench.work(MORNING)
    [part] = bench.ledgers.deliveries.parts("feed_daily", str(LAST))
    dead = Owner("dead", this_host(), 1, str(bench.place.home.path / "never.lock"))
    (bench.place.home.path / "never.lock").touch()
    soon = datetime.now(UTC)
    assert bench.ledgers.deliveries.begin(part.id, dead, soon, lease=timedelta(minutes=1), gone=lambda _: False)
    lines = deliveries.see_to(bench.office, soon)
    assert lines == [f"feed_daily {LAST}: 1 left behind by a process that ended"]
    deliveries.send_due(bench.office, ME, soon + timedelta(minutes=2))
    assert status(bench) is Status.DELIVERED
    [after] = bench.ledgers.deliveries.parts("feed_daily", str(LAST))
    assert (after.state, after.doubtful, after.attempts) == (State.SENT, True, 3)


def test_a_period_that_was_begun_and_never_written_down_is_made_anew(bench: Bench) -> None:
    bench.channel.outcome = Outcome.NOT_SENT
    bench.work(MORNING)
    bench.ledgers.deliveries.give_up(
        [p.id for p in bench.ledgers.deliveries.parts("feed_daily", str(LAST))], "", MORNING
    )
    from sqlalchemy import delete

    from analytics_platform.state.models import PARTS

    with bench.ledgers.deliveries._database.write() as con:
        con.execute(delete(PARTS))
    assert deliveries.see_to(bench.office, MORNING) == [f"feed_daily {LAST}: ready"]
    bench.channel.outcome = Outcome.SENT
    bench.work(MORNING + timedelta(minutes=1))
    assert status(bench) is Status.DELIVERED


def test_a_report_goes_to_chats_once_and_a_blocked_one_is_paused_until_it_presses_start(
    bench: Bench, telegram: TelegramServer
) -> None:
    office = with_telegram(bench, telegram, "41", "42")
    office = replace(office, fixed=None)
    telegram.faults.append(Fault("blocked", chat="42", times=0))
    definitions = build_definitions(bench.place.home, bench.settings, warehouse=bench.place.warehouse, office=office)
    [request] = bench.tick(MORNING).requests
    result = definitions.resolve_job_def("report_feed_daily").execute_in_process(
        instance=bench.instance, partition_key=request.partition_key, tags=dict(request.tags), raise_on_error=False
    )
    assert result.success, "one of two wants no more, which is no failure"
    assert [a.method for a in telegram.to(41)] == ["sendMessage", "sendPhoto", "sendDocument"]
    assert telegram.to(42) == []
    owners.close_recovered(bench.instance, bench.ledgers, MORNING)
    [problem] = bench.ledgers.problems.open()
    assert (problem.subject, problem.kind) == ("subscriber telegram 42", "paused")
    assert "blocked" in problem.text
    assert [r.address for r in office.recipients("feed_daily")] == ["41"]

    telegram.faults.clear()
    telegram.press_start(42)
    assert deliveries.see_to_paused(office) == ["telegram 42 is active again (start)"]
    assert [r.address for r in office.recipients("feed_daily")] == ["41", "42"]
    assert bench.ledgers.problems.open() == []
    bench.ledgers.subscribers.pause(2, "blocked", datetime.now(UTC), by="telegram")
    assert deliveries.see_to_paused(office) == [], "what was told once is not told again"
    bench.ledgers.subscribers.resume(2, MORNING)
    telegram.press_start(42)
    bench.ledgers.subscribers.pause(2, "blocked", datetime.now(UTC) + timedelta(hours=1), by="telegram")
    assert deliveries.see_to_paused(office) == [], "somebody who pressed it long before leaving"


def test_nobody_is_asked_for_updates_unless_a_chat_is_paused(bench: Bench, telegram: TelegramServer) -> None:
    office = with_telegram(bench, telegram, "41")
    tick(bench, office)
    assert telegram.requests == []


def test_a_group_that_moved_is_found_again_under_its_new_id(bench: Bench, telegram: TelegramServer) -> None:
    office = with_telegram(bench, telegram, "-5/7")
    telegram.faults.append(Fault("migrate", chat="-5", value=-1001))
    parcel = Parcel("feed_daily", "2026-03-11 correction 1", {"en": (Text("one"),)})
    delivered = office.post.deliver(parcel, office.recipients("feed_daily"), ME)
    assert [(a.chat, a.thread) for a in telegram.accepted] == [("-1001", 7)]
    assert [part.address for part in delivered.parts] == ["-1001"]
    assert [r.address for r in office.recipients("feed_daily")] == ["-1001"], "TELEGRAM_CHAT_IDS still has the old one"


def test_without_subscribers_reports_go_to_the_folder_and_with_all_paused_it_is_said(
    bench: Bench, telegram: TelegramServer
) -> None:
    from analytics_platform.channels.base import ChannelError

    office = with_telegram(bench, telegram)
    assert [r.channel for r in office.recipients("feed_daily")] == ["folder"]
    strict = replace(office, settings=office.settings.model_copy(update={"delivery_channel": "subscribers"}))
    with pytest.raises(ChannelError, match="nobody gets feed_daily; analytics-platform subscribers add"):
        strict.recipients("feed_daily")
    office = with_telegram(bench, telegram, "41")
    [one] = office.recipients("feed_daily")
    assert one.address == "41"
    bench.ledgers.subscribers.pause(1, "on holiday", MORNING, by="person")
    with pytest.raises(ChannelError, match="all who get feed_daily are paused"):
        office.recipients("feed_daily")


def test_a_channel_that_cannot_be_used_keeps_nobody_else_waiting(bench: Bench, telegram: TelegramServer) -> None:
    office = with_telegram(bench, telegram, "41")
    subscribers = bench.ledgers.subscribers
    office.configure()
    subscribers.add(
        "email", "ann@example.org", kind="email", language="en", zone="UTC", topics={"*": False}, now=MORNING
    )
    parcel = Parcel("feed_daily", "2026-03-11", {"en": (Text("one"),)})
    delivered = office.post.deliver(parcel, office.recipients("feed_daily"), ME)
    assert len(telegram.to(41)) == 1
    assert "email: mail cannot be sent: set SMTP_HOST and SMTP_FROM." in delivered.summary()
    assert delivered.unfinished
    again = office.post.send("feed_daily", "2026-03-11", office.recipients("feed_daily"), ME)
    assert again.unfinished
    assert len(telegram.to(41)) == 1


def test_the_token_is_in_no_file_of_the_home(bench: Bench, telegram: TelegramServer) -> None:
    office = with_telegram(bench, telegram, "41")
    telegram.faults.append(Fault("bad_token"))
    office.post.deliver(Parcel("feed_daily", "x", {"en": (Text("one"),)}), office.recipients("feed_daily"), ME)
    assert isinstance(office.post.channel("telegram"), TelegramChannel)
    assert TOKEN not in repr(office) + repr(office.post.channel("telegram"))
    files = [path for path in bench.place.home.path.rglob("*") if path.is_file()]
    assert all(TOKEN.encode() not in path.read_bytes() for path in files)
