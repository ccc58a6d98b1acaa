"""The delivery ledger over time and over several deliveries: what is due, given up, sent again, moved, forgotten."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from analytics_platform.state.database import Database
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.part_rows import PartRows
from analytics_platform.state.parts import Overview, Part, State
from analytics_platform_tests.state.test_deliveries import (
    ABC,
    ALBUM,
    DAY,
    FAILED,
    FEED,
    LEASE,
    MINUTE,
    NOW,
    PENDING,
    SENDING,
    SENT,
    TEXT,
    UNCERTAIN,
    UNTIL,
    XYZ,
    alive,
    begin,
    ended,
    enter,
)

NEXT = ("feed", "2026-11-21")


@pytest.fixture
def deliveries(database: Database) -> Deliveries:
    """An empty delivery ledger."""
    return Deliveries(database)


def put_off(deliveries: Deliveries, part: Part, until: datetime, state: State = PENDING) -> Part:
    """The part after a try, not to be tried again before then."""
    assert begin(deliveries, part)
    return deliveries.end(part.id, ABC, state, NOW, error="no answer", next_at=until)


# ----------------------------------------------------------------- what is due


def test_deliveries_are_due_while_a_part_may_be_tried_the_oldest_first(deliveries: Deliveries) -> None:
    assert (deliveries.due(NOW), deliveries.waiting(NOW)) == ([], None)
    text, album = enter(deliveries, now=NOW + MINUTE)
    [older] = enter(deliveries, TEXT, period="2026-11-19")
    # Entered last, but into the oldest delivery.
    enter(deliveries, TEXT, replace(TEXT, address="-2"), now=NOW + 2 * MINUTE, period="2026-11-19")
    assert deliveries.due(NOW) == [("feed", "2026-11-19"), FEED]

    deliveries.withdraw("feed", "2026-11-19", NOW)
    assert deliveries.find([older.id]) == []
    put_off(deliveries, text, NOW + 5 * MINUTE, UNCERTAIN)
    put_off(deliveries, album, NOW + 3 * MINUTE)
    assert deliveries.due(NOW + 2 * MINUTE) == []
    assert deliveries.waiting(NOW + 2 * MINUTE) == NOW + 3 * MINUTE
    assert deliveries.due(NOW + 3 * MINUTE) == [FEED]
    assert deliveries.waiting(NOW + 3 * MINUTE) == NOW + 5 * MINUTE
    assert deliveries.waiting(NOW + 5 * MINUTE) is None
    assert deliveries.due(NOW + MINUTE + DAY) == []


@pytest.mark.parametrize("state", [SENDING, SENT, FAILED, UNCERTAIN])
def test_what_is_under_way_over_or_held_is_not_due(deliveries: Deliveries, state: State) -> None:
    [album] = enter(deliveries, ALBUM)
    assert (deliveries.unfinished(*FEED), deliveries.begun(*FEED)) == (True, False)
    assert begin(deliveries, album)
    if state is not SENDING:
        deliveries.end(album.id, ABC, state, NOW)
    assert (deliveries.due(NOW), deliveries.waiting(NOW)) == ([], None)
    assert (deliveries.unfinished(*FEED), deliveries.begun(*FEED)) == (state is SENDING, True)
    assert (deliveries.unfinished(*NEXT), deliveries.begun(*NEXT)) == (False, False)


def test_a_recipient_with_an_unfinished_older_delivery_is_behind(deliveries: Deliveries) -> None:
    other = replace(TEXT, address="-2")
    old = enter(deliveries, TEXT, other)
    [between] = enter(deliveries, TEXT, now=NOW + MINUTE, period="2026-11-20 correction")
    enter(deliveries, TEXT, other, now=NOW + 2 * MINUTE, period="2026-11-21")
    deliveries.enter("app", "2026-11-19", [replace(TEXT, address="-3")], NOW - MINUTE, UNTIL)
    one, two = TEXT.key[:3], other.key[:3]

    assert deliveries.behind(*NEXT, NOW) == {one, two}
    assert deliveries.behind("feed", "2026-11-20 correction", NOW) == {one, two}
    assert deliveries.behind(*FEED, NOW) == set()
    assert deliveries.behind("feed", "unknown", NOW) == set()
    ended(deliveries, next(p for p in old if p.recipient == two), SENT)
    put_off(deliveries, next(p for p in old if p.recipient == one), NOW + 5 * MINUTE, UNCERTAIN)
    assert deliveries.behind(*NEXT, NOW) == {one}
    # What is no longer tried holds nobody up; what is being sent does.
    assert deliveries.behind(*NEXT, NOW + 2 * DAY) == set()
    assert begin(deliveries, between)
    assert deliveries.behind(*NEXT, NOW + 2 * DAY) == {one}
    # A recipient added to an old delivery late is still one of the old delivery.
    third = replace(TEXT, address="-3")
    enter(deliveries, TEXT, other, third, now=NOW + 3 * MINUTE)
    assert deliveries.behind(*NEXT, NOW) == {one, third.key[:3]}


def test_deliveries_of_one_moment_are_ordered_too(deliveries: Deliveries) -> None:
    for period in ("b", "a"):
        enter(deliveries, TEXT, period=period)
    assert deliveries.due(NOW) == [("feed", "b"), ("feed", "a")]
    assert deliveries.behind("feed", "a", NOW) == {TEXT.key[:3]}
    assert deliveries.behind("feed", "b", NOW) == set()


# ----------------------------------------------------- given up, expired, sent again


def test_given_up_is_what_is_still_in_such_a_state(deliveries: Deliveries) -> None:
    text, album = enter(deliveries)
    third, fourth = enter(deliveries, TEXT, ALBUM, period=NEXT[1])
    held = ended(deliveries, album, UNCERTAIN)
    assert begin(deliveries, third)
    put_off(deliveries, fourth, NOW + MINUTE)
    ids = [text.id, album.id, third.id, fourth.id, 999]

    given_up = deliveries.give_up(ids, "blocked", NOW + MINUTE)

    assert [(p.id, p.state, p.error, p.next_at) for p in given_up] == [
        (text.id, FAILED, "blocked", None),
        (fourth.id, FAILED, "blocked", None),
    ]
    assert given_up == deliveries.find([text.id, fourth.id])
    assert deliveries.find([album.id]) == [held]
    assert [p.id for p in deliveries.give_up(ids, "enough", NOW, states=(PENDING, UNCERTAIN))] == [album.id]
    for state in (SENDING, SENT):
        with pytest.raises(ValueError, match="cannot be given up"):
            deliveries.give_up(ids, "", NOW, states=(state,))


def test_what_is_not_sent_in_time_fails_and_what_may_have_arrived_is_held(deliveries: Deliveries) -> None:
    text, album = enter(deliveries)
    other, sending = enter(deliveries, TEXT, replace(TEXT, address="-2"), period=NEXT[1])
    put_off(deliveries, text, NOW + MINUTE, UNCERTAIN)
    put_off(deliveries, album, UNTIL + MINUTE)
    under_way = begin(deliveries, sending)
    assert deliveries.expire(UNTIL - MINUTE) == []

    changed = deliveries.expire(UNTIL)

    by_id = {p.id: p for p in changed}
    assert changed == deliveries.find(list(by_id))
    assert set(by_id) == {text.id, album.id, other.id}
    assert (by_id[text.id].state, by_id[text.id].repeatable, by_id[text.id].next_at) == (UNCERTAIN, False, None)
    assert by_id[text.id].error == "no answer"
    failed = by_id[album.id]
    assert (failed.state, failed.next_at) == (FAILED, None)
    assert failed.error == "not sent by 2026-11-22 11:00 UTC: no answer"
    assert by_id[other.id].error == "not sent by 2026-11-22 11:00 UTC"
    assert deliveries.find([sending.id]) == [under_way]
    assert deliveries.expire(UNTIL) == []
    assert not deliveries.unfinished(*FEED)


def test_the_answer_may_come_even_after_the_part_is_held(deliveries: Deliveries) -> None:
    text, _ = enter(deliveries)
    assert begin(deliveries, text)
    deliveries.release_dead(UNTIL, alive)
    assert UNCERTAIN in {p.state for p in deliveries.expire(UNTIL)}
    assert deliveries.end(text.id, ABC, SENT, UNTIL).state is SENT


def test_a_person_can_have_anything_sent_again(deliveries: Deliveries) -> None:
    wanted = [replace(ALBUM, address=f"-{number}") for number in range(6)]
    sent, uncertain, failed, refused_later, sending, pending = enter(deliveries, *wanted)
    deliveries.end(_begun(deliveries, sent).id, ABC, SENT, NOW, message_ids=["5"], file_ids=["f"])
    ended(deliveries, uncertain, UNCERTAIN)
    ended(deliveries, failed, FAILED, error="refused")
    deliveries.again([ended(deliveries, refused_later, SENT).id], NOW, UNTIL)
    ended(deliveries, refused_later, FAILED)
    under_way = begin(deliveries, sending, XYZ)
    late = UNTIL + DAY

    again = deliveries.again([p.id for p in (sent, uncertain, failed, refused_later, sending, pending)], NOW, late)

    assert [(p.id, p.doubtful) for p in again] == [
        (sent.id, True),
        (uncertain.id, True),
        (failed.id, False),
        (refused_later.id, True),
    ]
    assert again == deliveries.find([p.id for p in again])
    assert {(p.state, p.next_at, p.try_until, p.error, p.owner) for p in again} == {(PENDING, None, late, "", None)}
    assert (again[0].attempts, again[0].message_ids, again[0].sent_at) == (1, ("5",), NOW)
    assert deliveries.find([sending.id, pending.id]) == [under_way, pending]
    # What was once begun is not withdrawn.
    assert deliveries.withdraw(*FEED, NOW) == 1
    assert begin(deliveries, again[0], XYZ)


def _begun(deliveries: Deliveries, part: Part) -> Part:
    found = begin(deliveries, part)
    assert found
    return found


# ------------------------------------------------------------ overview, files, moves


def test_the_overview_has_a_row_a_delivery_the_newest_first(deliveries: Deliveries) -> None:
    two = replace(TEXT, address="-2")
    text, album, other = enter(deliveries, TEXT, ALBUM, two)
    ended(deliveries, text, FAILED, NOW + MINUTE, "refused")
    ended(deliveries, album, UNCERTAIN, NOW + 2 * MINUTE, "no answer")
    ended(deliveries, other, SENT, NOW + 3 * MINUTE, "sent as text")
    enter(deliveries, TEXT, now=NOW + MINUTE, period=NEXT[1])
    deliveries.enter("app", "2026-11-20", [two], NOW + 2 * MINUTE, UNTIL)

    app, newer, older = deliveries.overview()

    none = dict.fromkeys(State, 0)
    assert older == Overview(
        *(*FEED, NOW, NOW + 3 * MINUTE, 2, none | {FAILED: 1, UNCERTAIN: 1, SENT: 1}, "no answer"),
    )
    assert newer == Overview(*NEXT, NOW + MINUTE, NOW + MINUTE, 1, none | {PENDING: 1}, "")
    assert (app.topic, app.period) == ("app", "2026-11-20")
    assert deliveries.overview(limit=1) == [app]
    assert deliveries.overview(topic="feed") == [newer, older]
    assert deliveries.overview(since=NOW + MINUTE) == [app, newer]
    assert deliveries.overview(states=(FAILED, SENDING)) == [older]
    assert deliveries.overview(states={SENDING}) == []
    mine = deliveries.overview(address="-2")
    assert [(row.topic, row.period, row.recipients, row.error) for row in mine] == [
        ("app", "2026-11-20", 1, ""),
        (*FEED, 1, ""),
    ]
    assert mine[1].counts == none | {SENT: 1}
    assert deliveries.overview(address="-2", states=(FAILED,)) == []


def test_files_are_known_by_the_digest_of_what_was_sent(deliveries: Deliveries) -> None:
    wanted = [replace(ALBUM, address=f"-{number}") for number in range(3)]
    first, second, third = enter(deliveries, *wanted)
    assert deliveries.files(*FEED) == {}
    for moment, part in ((NOW + MINUTE, first), (NOW, second)):
        assert begin(deliveries, part)
        deliveries.end(part.id, ABC, SENT, moment, file_ids=[f"of {part.address}", "two"])
    assert begin(deliveries, third)
    assert deliveries.files(*FEED) == {"d2": ("of -0", "two")}
    assert deliveries.files(*NEXT) == {}


def test_a_chat_that_moved_keeps_its_parts(deliveries: Deliveries) -> None:
    text, album = enter(deliveries)
    sent, elsewhere = ended(deliveries, text, SENT), enter(deliveries, replace(TEXT, channel="email"), period="mail")
    under_way = begin(deliveries, album)
    assert under_way
    assert deliveries.moved("telegram", "-1001", "-1001", NOW) == 0
    assert deliveries.moved("telegram", "-1001", "-100777", NOW + MINUTE) == 2
    assert deliveries.parts(*FEED) == [replace(sent, address="-100777"), replace(under_way, address="-100777")]
    assert deliveries.end(album.id, ABC, SENT, NOW).address == "-100777"
    assert deliveries.parts("feed", "mail") == elsewhere
    assert deliveries.moved("telegram", "-1001", "-100777", NOW + MINUTE) == 0


def test_what_the_new_address_is_to_get_anyway_is_not_sent_twice(deliveries: Deliveries) -> None:
    new = [replace(one, address="-100777") for one in (TEXT, ALBUM)]
    only_old = replace(TEXT, part="3 text", place=3)
    parts = {p.key: p for p in enter(deliveries, TEXT, ALBUM, only_old, *new)}
    begun = ended(deliveries, parts[TEXT.key], PENDING)

    assert deliveries.moved("telegram", "-1001", "-100777", NOW) == 1

    assert {(p.address, p.part) for p in deliveries.parts(*FEED)} == {
        ("-1001", "1 text"),
        ("-100777", "1 text"),
        ("-100777", "2 album"),
        ("-100777", "3 text"),
    }
    assert deliveries.find([begun.id]) == [begun]
    assert deliveries.find([parts[ALBUM.key].id]) == []


def test_a_chat_can_move_while_its_new_address_is_being_entered(database: Database, deliveries: Deliveries) -> None:
    text, album = enter(deliveries)
    with ThreadPoolExecutor(1) as thread:
        with database.write() as con:
            PartRows(con).add(*FEED, [replace(TEXT, address="-100777")], NOW, UNTIL)
            moved = thread.submit(deliveries.moved, "telegram", "-1001", "-100777", NOW)
            time.sleep(0.5)  # it waits for this transaction, whose rows it cannot see
        assert moved.result(60) == 1
    assert [(p.address, p.part) for p in deliveries.parts(*FEED)] == [("-100777", "1 text"), ("-100777", "2 album")]
    assert deliveries.find([text.id, album.id]) == [replace(album, address="-100777")]


# ----------------------------------------------------------------- forgetting


def test_deliveries_are_forgotten_when_all_of_them_is_old_and_over(deliveries: Deliveries) -> None:
    text, album = enter(deliveries)
    ended(deliveries, text, SENT)
    assert deliveries.forget(NOW + DAY) == 0  # the album is still to be sent
    ended(deliveries, album, UNCERTAIN, NOW + LEASE)
    [newer] = enter(deliveries, TEXT, now=NOW + DAY, period=NEXT[1])
    ended(deliveries, newer, SENT, NOW + DAY)

    assert deliveries.forget(NOW + LEASE) == 0  # a part has changed since
    assert deliveries.forget(NOW + LEASE + timedelta(microseconds=1)) == 1
    assert deliveries.parts(*FEED) == []
    assert [row.period for row in deliveries.overview()] == [NEXT[1]]
    assert deliveries.forget(NOW + LEASE + timedelta(microseconds=1)) == 0


def test_moments_need_a_zone(deliveries: Deliveries) -> None:
    naive = NOW.replace(tzinfo=None)
    for ask in (deliveries.due, deliveries.waiting, deliveries.expire, deliveries.forget):
        with pytest.raises(ValueError, match="has no time zone"):
            ask(naive)
    with pytest.raises(ValueError, match="has no time zone"):
        deliveries.enter(*FEED, [TEXT], NOW, naive)
