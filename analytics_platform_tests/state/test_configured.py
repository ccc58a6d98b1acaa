"""Chats of the settings and chats that move, also when several processes see to it at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from analytics_platform.state.database import Database
from analytics_platform.state.subscribers import EVERYTHING, Subscriber, Subscribers

NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
REPORTS = ["app_daily", "feed_daily", "retention"]
GROUP = ("-100123", "-100123", "", "group")
TOPIC = ("-100123/45", "-100123", "45", "topic")


@pytest.fixture
def subscribers(database: Database) -> Subscribers:
    """Nobody yet."""
    return Subscribers(database)


def add(subscribers: Subscribers, address: str = "-100123", *topics: str, **given: Any) -> Subscriber:
    """A chat with those topics, or `feed_daily`."""
    attributes = {"kind": "group", "language": "en", "zone": "UTC", "now": NOW, "channel": "telegram", **given}
    attributes.setdefault("topics", dict.fromkeys(topics or ["feed_daily"], False))
    return subscribers.add(address=address, **attributes)[0]


def configure(subscribers: Subscribers, *chats: tuple[str, str, str, str], now: datetime = NOW) -> list[Subscriber]:
    """Those chats are in the settings; everybody then."""
    subscribers.configure(chats, language="ru", zone="Europe/Moscow", now=now)
    return subscribers.all()


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What any database is asked from now on."""
    said: list[str] = []

    def note(_con: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield said
    event.remove(Engine, "before_cursor_execute", note)


# --------------------------------------------------------------------- settings


def test_a_chat_in_the_settings_gets_every_report_until_it_is_taken_off(subscribers: Subscribers) -> None:
    by_hand = add(subscribers, "@other")
    _, group, topic = configure(subscribers, GROUP, TOPIC)
    assert (group.configured, group.kind, group.topics) == ("-100123", "group", {EVERYTHING: False})
    assert (group.language, group.zone, group.created_at) == ("ru", "Europe/Moscow", NOW)
    assert (topic.configured, topic.thread, topic.kind) == ("-100123/45", "45", "topic")
    assert configure(subscribers, TOPIC) == [by_hand, topic]
    assert configure(subscribers) == [by_hand]


def test_settings_that_say_the_same_cost_one_read(subscribers: Subscribers, statements: list[str]) -> None:
    add(subscribers, "@other")
    before = configure(subscribers, GROUP, TOPIC)
    statements.clear()
    subscribers.configure([TOPIC, GROUP], language="en", zone="UTC", now=NOW + HOUR)
    assert [statement.split()[0] for statement in statements if statement.split()[0] != "BEGIN"] == ["SELECT"]
    assert subscribers.all() == before


def test_what_people_chose_outlives_the_settings_next_word(subscribers: Subscribers) -> None:
    group, topic = configure(subscribers, GROUP, TOPIC)
    subscribers.pause(group.id, "holiday", NOW, by="person")
    subscribers.remove(topic.id, topic="feed_daily", reports=REPORTS)
    other = ("@other", "@other", "", "channel")
    paused, fewer, _ = configure(subscribers, GROUP, TOPIC, other, now=NOW + HOUR)
    assert (paused.active, paused.paused_reason) == (False, "holiday")
    assert fewer.topics.keys() == {"app_daily", "retention"}


def test_a_chat_added_by_hand_keeps_its_topics_when_it_is_configured_and_after(subscribers: Subscribers) -> None:
    made = add(subscribers, "-100123", "problems", name="Metrics")
    [configured] = configure(subscribers, GROUP)
    assert (configured.id, configured.configured, configured.name) == (made.id, "-100123", "Metrics")
    assert (configured.topics, configured.language) == ({"problems": False}, "en")
    assert configure(subscribers) == [made]


def test_a_chat_that_is_configured_is_not_removed_by_hand(subscribers: Subscribers) -> None:
    [group] = configure(subscribers, GROUP)
    with pytest.raises(ValueError, match=r"^telegram -100123 is in TELEGRAM_CHAT_IDS"):
        subscribers.remove(group.id)
    with pytest.raises(ValueError, match="take it off there, or pause it"):
        subscribers.remove(group.id, topic="feed_daily", reports=["feed_daily"])
    assert subscribers.all() == [group]


def test_a_chat_that_moved_is_still_known_by_its_setting(subscribers: Subscribers) -> None:
    configure(subscribers, GROUP)
    [moved] = subscribers.moved("telegram", "-100123", "-100999", NOW)
    assert moved.address == "-100999"
    assert configure(subscribers, GROUP) == [moved]
    # The setting catches up: the same subscriber, by its address.
    [renamed] = configure(subscribers, ("-100999", "-100999", "", "group"))
    assert (renamed.id, renamed.token, renamed.configured) == (moved.id, moved.token, "-100999")


def test_two_spellings_of_one_chat_are_one_subscriber(subscribers: Subscribers, statements: list[str]) -> None:
    other = ("-100123/1", "-100123", "", "group")
    [both] = configure(subscribers, GROUP, other)
    statements.clear()
    assert configure(subscribers, GROUP, other) == [both]
    assert not [statement for statement in statements if statement.startswith(("INSERT", "UPDATE", "DELETE"))]
    [one] = configure(subscribers, other)
    assert (one.id, one.configured) == (both.id, "-100123/1")
    assert configure(subscribers) == []


def test_settings_of_a_wrong_language_or_zone_change_nothing(subscribers: Subscribers) -> None:
    with pytest.raises(ValueError, match="not a language"):
        subscribers.configure([GROUP], language="de", zone="UTC", now=NOW)
    with pytest.raises(ValueError, match="not an IANA time zone"):
        subscribers.configure([GROUP], language="en", zone="Mars", now=NOW)
    assert subscribers.all() == []


# ------------------------------------------------------------------------ moves


def test_a_chat_moves_with_all_of_its_threads(subscribers: Subscribers) -> None:
    made = [add(subscribers, thread=thread) for thread in ("", "45")]
    other = add(subscribers, "@other")
    moved = subscribers.moved("telegram", "-100123", " -100999 ", NOW)
    assert [(one.id, one.address, one.thread) for one in moved] == [
        (made[0].id, "-100999", ""),
        (made[1].id, "-100999", "45"),
    ]
    assert subscribers.all() == [*moved, other]
    assert subscribers.moved("telegram", "-100123", "-100999", NOW) == []
    assert subscribers.moved("telegram", "-100999", "-100999", NOW) == []
    assert subscribers.moved("email", "-100999", "-100123", NOW) == []


def test_a_chat_that_moves_to_where_somebody_is_joins_them(subscribers: Subscribers) -> None:
    old = add(subscribers, topics={"feed_daily": True, "app_daily": True})
    new = add(subscribers, "-100999", topics={"feed_daily": False})
    bystander = add(subscribers, "-100999", thread="45")

    [joined] = subscribers.moved("telegram", "-100123", "-100999", NOW)

    assert (joined.id, joined.token) == (new.id, new.token)
    assert joined.topics == {"feed_daily": False, "app_daily": True}
    assert subscribers.all() == [joined, bystander]
    assert subscribers.get(old.id) is None


def test_a_chat_configured_before_and_after_its_move_stays_one(subscribers: Subscribers) -> None:
    new = ("-100999", "-100999", "", "group")
    configure(subscribers, GROUP, new)
    [joined] = subscribers.moved("telegram", "-100123", "-100999", NOW)
    assert configure(subscribers, GROUP, new) == [joined]
    [left] = configure(subscribers, new)
    assert (left.id, left.configured) == (joined.id, "-100999")


# ---------------------------------------------------------------------- at once


def at_once(url: str, work: Callable[[Subscribers, int], object], many: int = 4) -> None:
    """The work on as many databases of their own, begun at the same moment."""
    start = threading.Barrier(many)

    def one(number: int) -> None:
        database = Database(url)
        database.prepare()
        start.wait(60)
        work(Subscribers(database), number)
        database.close()

    with ThreadPoolExecutor(many) as pool:
        list(pool.map(one, range(many)))


def test_those_who_add_the_same_at_once_add_one(subscribers: Subscribers, url: str) -> None:
    reports = [f"report_{number}" for number in range(4)]
    for turn in range(5):
        at_once(url, lambda mine, number, turn=turn: add(mine, f"@chat_{turn}", reports[number]))  # type: ignore[misc]
        assert [one.topics.keys() for one in subscribers.all()] == [set(reports)] * (turn + 1)


def test_those_who_take_topics_off_at_once_leave_nothing_behind(subscribers: Subscribers, url: str) -> None:
    reports = [f"report_{number}" for number in range(4)]
    made = add(subscribers, "-100123", *reports)
    at_once(url, lambda mine, number: mine.remove(made.id, topic=reports[number]))
    assert subscribers.all() == []


def test_those_who_read_the_settings_at_once_make_one_of_each(subscribers: Subscribers, url: str) -> None:
    at_once(url, lambda mine, number: configure(mine, GROUP, TOPIC))
    assert [one.configured for one in subscribers.all()] == ["-100123", "-100123/45"]
    at_once(url, lambda mine, number: mine.moved("telegram", "-100123", "-100999", NOW))
    assert [one.address for one in subscribers.all()] == ["-100999"] * 2
    at_once(url, lambda mine, number: mine.pause(1, f"reason {number}", NOW, by="person"))
    at_once(url, lambda mine, number: configure(mine))
    assert subscribers.all() == []
