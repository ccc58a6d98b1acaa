"""Who gets what, added and taken off by hand or by a word in a chat; and who is left in peace."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from analytics_platform.state.database import Database, StateError
from analytics_platform.state.models import SUBSCRIPTIONS
from analytics_platform.state.subscribers import EVERYTHING, Subscriber, Subscribers

NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
REPORTS = ["app_daily", "feed_daily", "retention"]


@pytest.fixture
def subscribers(database: Database) -> Subscribers:
    """Nobody yet."""
    return Subscribers(database)


def add(subscribers: Subscribers, address: str = "-100123", *topics: str, **given: Any) -> Subscriber:
    """A chat with those topics, or `feed_daily`."""
    attributes = {"kind": "group", "language": "en", "zone": "UTC", "now": NOW, "channel": "telegram", **given}
    attributes.setdefault("topics", dict.fromkeys(topics or ["feed_daily"], False))
    return subscribers.add(address=address, **attributes)[0]


# ------------------------------------------------------------------ subscribing


def test_a_subscriber_comes_back_as_it_was_added(subscribers: Subscribers) -> None:
    quiet = (time(22), time(8, 30))
    made, added = subscribers.add(
        "telegram",
        "-100123",
        thread="45",
        kind="topic",
        name="Метрики",
        language="ru",
        zone="Asia/Tokyo",
        quiet=quiet,
        topics={"feed_daily": False, "problems": True},
        now=NOW.astimezone(),
    )
    assert added
    assert [made] == subscribers.all()
    assert (made.address, made.thread, made.kind, made.name) == ("-100123", "45", "topic", "Метрики")
    assert (made.language, made.zone, made.quiet) == ("ru", "Asia/Tokyo", quiet)
    assert (made.topics, made.configured, made.created_at) == ({"feed_daily": False, "problems": True}, "", NOW)
    assert (made.active, made.paused_reason, made.paused_by) == (True, "", "")
    assert made == subscribers.get(made.id)
    assert str(made) == "telegram -100123/45"
    assert len({made, made}) == 1


def test_a_token_is_nobodys_elses_and_stays_out_of_sight(subscribers: Subscribers) -> None:
    one, other = add(subscribers), add(subscribers, "@other")
    assert len(one.token) == 32
    assert one.token != other.token
    assert subscribers.by_token(one.token) == one
    assert subscribers.by_token("") is None
    assert subscribers.by_token(one.token.swapcase()) is None
    assert one.token not in f"{one!r} {one}"


def test_a_token_that_is_somebodys_already_is_not_given_again(database: Database) -> None:
    subscribers = Subscribers(database, lambda: "the same")
    add(subscribers)
    with pytest.raises(StateError, match="vanished"):
        add(subscribers, "@other")
    assert len(subscribers.all()) == 1


def test_adding_again_merges_topics_and_replaces_only_what_is_given(subscribers: Subscribers) -> None:
    first = add(subscribers, quiet=(time(22), time(8)), name="Metrics", topics={"feed_daily": False, "app_daily": True})

    second, added = subscribers.add(
        "telegram",
        " -100123 ",
        kind=None,
        language="ru",
        zone=None,
        topics={"feed_daily": True, "problems": False},
        now=NOW + HOUR,
    )

    assert not added
    assert [second] == subscribers.all()
    assert second.topics == {"app_daily": True, "feed_daily": True, "problems": False}
    kept = ("id", "kind", "name", "zone", "quiet", "token", "created_at")
    assert [getattr(second, name) for name in kept] == [getattr(first, name) for name in kept]
    assert second.language == "ru"
    assert add(subscribers, quiet=(None, None), topics={}).quiet is None


def test_what_is_paused_stays_so_when_it_is_added_again(subscribers: Subscribers) -> None:
    made = add(subscribers)
    subscribers.pause(made.id, "left the group", NOW, by="telegram")
    again = add(subscribers, "-100123", "app_daily")
    assert (again.active, again.paused_reason) == (False, "left the group")
    assert again.topics.keys() == {"feed_daily", "app_daily"}


def test_threads_of_a_chat_are_subscribers_of_their_own(subscribers: Subscribers) -> None:
    made = [add(subscribers, thread=thread) for thread in ("", "45", "46")]
    assert subscribers.all() == made


def test_addresses_have_one_spelling(subscribers: Subscribers) -> None:
    name = add(subscribers, " @Our_Metrics ")
    mail = add(subscribers, "Ann@Example.ORG ", channel="email", kind="email")
    assert (name.address, mail.address) == ("@our_metrics", "Ann@example.org")
    assert add(subscribers, "@OUR_metrics").id == name.id
    assert add(subscribers, "Ann@example.org", channel="email").id == mail.id
    # What comes before the @ is the mailbox's own affair.
    assert add(subscribers, "ann@example.org", channel="email").id != mail.id
    assert subscribers.find("@our_METRICS") == name
    assert subscribers.find("Ann@EXAMPLE.org") == subscribers.get(mail.id)


def test_somebody_is_found_by_id_address_or_topic_but_not_by_name(subscribers: Subscribers) -> None:
    group, topic = add(subscribers, name="Metrics"), add(subscribers, thread="45")
    private = add(subscribers, "123456789")
    folder = add(subscribers, "a/b", channel="folder")
    assert subscribers.find(f" {topic.id} ") == topic
    assert subscribers.find("-100123") == group
    assert subscribers.find("-100123/45") == topic
    assert subscribers.find("123456789") == private
    assert subscribers.find("a/b") == folder
    assert subscribers.at("telegram", " -100123", "45") == topic
    assert subscribers.at("telegram", str(topic.id)) is None
    assert subscribers.at("email", "-100123") is None
    for nobody in ("", "/", "/45", "Metrics", "-100123/46", "-100", "9" * 30, "٣", "0"):
        assert subscribers.find(nobody) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"language": "de"}, "'de' is not a language of this platform; use one of en, ru"),
        ({"zone": "Mars/Base"}, "'Mars/Base' is not an IANA time zone; write one such as"),
        ({"zone": "Europe"}, "not an IANA time zone"),
        ({"zone": "../etc"}, "not an IANA time zone"),
        ({"quiet": (time(22), time(22))}, "from 22:00 until 22:00 never begin"),
        ({"quiet": (time(22), None)}, "need both a beginning and an end"),
        ({"quiet": (None, time(8))}, "need both a beginning and an end"),
        ({"address": "  "}, "not an address"),
        ({"address": "Ann <ann@example.org>"}, "not an address"),
        ({"topics": {}}, "is new; tell its kind, language, time zone and topics"),
        ({"language": None}, "is new; tell its kind"),
        ({"now": datetime(2026, 11, 21)}, "no time zone"),  # noqa: DTZ001
    ],
)
def test_what_makes_no_subscriber_is_refused(subscribers: Subscribers, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        add(subscribers, **given)
    assert subscribers.all() == []


# -------------------------------------------------------------------- receiving


def test_everything_is_every_report_and_nothing_else(subscribers: Subscribers) -> None:
    every = add(subscribers, "@every", topics={EVERYTHING: True, "app_daily": False})
    feed, alerts = add(subscribers, "@feed"), add(subscribers, "@alerts", "problems")

    assert subscribers.recipients_of("feed_daily", is_report=True) == [every, feed]
    assert subscribers.recipients_of("new_report", is_report=True) == [every]
    assert subscribers.recipients_of("problems", is_report=False) == [alerts]
    assert subscribers.all(topic="feed_daily") == [feed]
    assert subscribers.all(topic=EVERYTHING) == [every]
    assert every.gets("feed_daily", REPORTS)
    assert not every.gets("problems", REPORTS)
    assert alerts.gets("problems", REPORTS)
    assert not feed.gets("app_daily", REPORTS)
    assert (every.silent("feed_daily"), every.silent("app_daily"), feed.silent("other")) == (True, False, False)


def test_who_is_paused_gets_nothing(subscribers: Subscribers) -> None:
    one, other = add(subscribers, "@one"), add(subscribers, "@other")
    paused = subscribers.pause(one.id, "blocked", NOW, by="telegram")
    assert subscribers.recipients_of("feed_daily", is_report=True) == [other]
    assert subscribers.all() == [paused, other]
    assert (subscribers.all(active=True), subscribers.all(active=False)) == ([other], [paused])
    assert subscribers.all(active=False, topic="app_daily") == []


# ---------------------------------------------------------------------- pausing


def test_the_first_reason_of_a_pause_stays(subscribers: Subscribers) -> None:
    made = add(subscribers)
    paused = subscribers.pause(made.id, "asked at https://h:pa55word@example.org/", NOW, by="person")
    assert paused
    assert (paused.active, paused.paused_at, paused.paused_by) == (False, NOW, "person")
    assert paused.paused_reason == "asked at https://h:<password>@example.org/"
    assert subscribers.pause(made.id, "blocked", NOW + HOUR, by="telegram") is None
    assert subscribers.get(made.id) == paused
    assert subscribers.resume(made.id, NOW + HOUR) == made
    assert subscribers.resume(made.id, NOW + HOUR) is None
    assert subscribers.pause(99, "gone", NOW, by="person") is None
    assert subscribers.resume(99, NOW) is None


def test_a_chat_that_is_left_is_paused_in_every_thread_that_was_active(subscribers: Subscribers) -> None:
    made = [add(subscribers, thread=thread) for thread in ("", "45", "46")]
    add(subscribers, "@other")
    subscribers.pause(made[1].id, "on holiday", NOW, by="person")

    paused = subscribers.pause_address("telegram", "-100123", "blocked", NOW + HOUR, by="telegram")
    assert [one.id for one in paused] == [made[0].id, made[2].id]
    assert [one.paused_by for one in subscribers.all()] == ["telegram", "person", "telegram", ""]
    assert subscribers.pause_address("telegram", "-100123", "blocked", NOW, by="telegram") == []
    assert subscribers.pause_address("email", "-100123", "blocked", NOW, by="email") == []


# --------------------------------------------------------------------- removing


def test_the_last_topic_takes_its_subscriber_along(subscribers: Subscribers, database: Database) -> None:
    made = add(subscribers, "-100123", "feed_daily", "problems")
    left = subscribers.remove(made.id, topic="problems")
    assert left
    assert left.topics == {"feed_daily": False}
    assert subscribers.get(made.id) == left
    assert subscribers.remove(made.id, topic="problems") is None
    gone = subscribers.remove(made.id, topic="feed_daily")
    assert gone
    assert gone.topics == {}
    assert subscribers.all() == []
    assert subscribers.remove(made.id) is None
    with database.read() as con:
        assert con.execute(select(SUBSCRIPTIONS)).all() == []


def test_a_subscriber_is_removed_with_all_of_its_topics(subscribers: Subscribers) -> None:
    made, other = add(subscribers, "@one", "feed_daily", "problems"), add(subscribers, "@other")
    gone = subscribers.remove(made.id)
    assert gone
    assert (gone.id, gone.topics) == (made.id, {})
    assert subscribers.all() == [other]


def test_one_report_less_than_everything_is_all_the_others(subscribers: Subscribers) -> None:
    made = add(subscribers, topics={EVERYTHING: True, "retention": False, "problems": False})
    left = subscribers.remove(made.id, topic="feed_daily", reports=REPORTS)
    assert left
    assert left.topics == {"app_daily": True, "retention": False, "problems": False}
    assert subscribers.get(made.id) == left


def test_everything_stays_when_something_else_is_taken_off(subscribers: Subscribers) -> None:
    made = add(subscribers, "-100123", EVERYTHING, "problems")
    with pytest.raises(ValueError, match=r"^telegram -100123 gets every report; tell which others there are"):
        subscribers.remove(made.id, topic="feed_daily")
    left = subscribers.remove(made.id, topic="problems", reports=REPORTS)
    assert left
    assert left.topics == {EVERYTHING: False}
    assert subscribers.remove(made.id, topic="problems", reports=REPORTS) is None
    gone = subscribers.remove(made.id, topic=EVERYTHING)
    assert gone
    assert gone.topics == {}
