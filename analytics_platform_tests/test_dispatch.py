"""One go at a delivery: order, pauses, repeats, holds, moves, and who is not written to any more."""

import asyncio
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from analytics_platform.channels.base import Outcome, Recipient, Sent
from analytics_platform.delivery import Parcel
from analytics_platform.dispatch import PAUSED
from analytics_platform.messages import Text
from analytics_platform.state.parts import LostPartError, State
from analytics_platform_tests.scripted import (
    ACCEPTED,
    ALBUM,
    BLOCKED,
    CSV,
    DAY,
    LABELS,
    ME,
    NOT_SENT,
    PERIOD,
    REFUSED,
    START,
    TEXT,
    TOPIC,
    UNKNOWN,
    Desk,
    Scripted,
    Try,
    channel,
    chat,
    desk,
    flood,
    moved,
)

__all__ = ["channel", "desk"]  # fixtures

ANN, BOB, EVE = chat("ann"), chat("bob"), chat("eve")
ALL = list(LABELS)
SENT = ["sent", "sent", "sent"]


def test_everybody_gets_everything_once_and_in_order(desk: Desk, channel: Scripted) -> None:
    delivered = desk.deliver(ANN, BOB, EVE)
    assert not delivered.unfinished
    assert delivered.reached
    assert delivered.summary() == ""
    for one in ("ann", "bob", "eve"):
        assert channel.got(one) == ALL
        assert [(p.state.value, p.attempts, p.doubtful) for p in desk.parts(one)] == [("sent", 1, False)] * 3
    assert all(part.message_ids and part.sent_at == START for part in delivered.parts)
    for _ in range(3):
        desk.time.pass_by(timedelta(hours=1))
        assert desk.send(ANN, BOB, EVE) == delivered
    assert len(channel.tries) == 9


def test_who_is_slow_keeps_nobody_waiting(desk: Desk, channel: Scripted) -> None:
    others_are_done = asyncio.Event()

    async def pause(this: Try) -> None:
        if this.address == "ann" and this.label == TEXT:
            await asyncio.wait_for(others_are_done.wait(), 60)
        elif len(channel.got("bob")) + len(channel.got("eve")) == 6:
            others_are_done.set()

    channel.pause = pause
    assert desk.deliver(ANN, BOB, EVE).summary() == ""
    assert [one.address for one in channel.tries][-2:] == ["ann", "ann"]


def test_what_goes_after_a_text_that_is_pending_waits_for_it(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", TEXT, *[NOT_SENT] * 4)
    delivered = desk.deliver(ANN, BOB)
    assert channel.got("ann") == [TEXT] * 4
    assert desk.time.slept == [1.0, 2.0, 4.0]
    assert desk.states("ann") == ["pending"] * 3
    assert desk.states("bob") == SENT
    assert delivered.summary().splitlines()[1] == "scripted ann, 1 text: pending. No connection."
    desk.send(ANN, BOB)
    assert channel.got("ann") == [*[TEXT] * 4, TEXT, ALBUM, CSV]
    assert channel.got("bob") == ALL


def test_what_goes_after_a_text_of_unknown_fate_waits_for_it(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", TEXT, UNKNOWN, UNKNOWN, UNKNOWN)
    desk.deliver(ANN)
    assert channel.got("ann") == ["1 text", "1 text!", "1 text!"]
    assert desk.time.slept == [2.0, 10.0]
    assert desk.states("ann") == ["uncertain", "pending", "pending"]
    desk.send(ANN)
    assert channel.got("ann")[3:] == ["1 text!", "2 album", "3 document"]
    assert desk.states("ann") == SENT


def test_a_text_of_unknown_fate_is_sent_again_and_says_so(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", TEXT, UNKNOWN)
    assert desk.deliver(ANN).summary() == ""
    assert channel.got("ann") == ["1 text", "1 text!", "2 album", "3 document"]
    [text, *_] = desk.parts("ann")
    assert (text.state.value, text.attempts, text.doubtful) == ("sent", 2, True)


def test_a_repeat_that_was_proven_not_to_arrive_is_still_a_repeat(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", TEXT, UNKNOWN, NOT_SENT)
    desk.deliver(ANN)
    assert channel.got("ann")[:3] == ["1 text", "1 text!", "1 text!"]


def test_an_album_of_unknown_fate_is_held_and_what_follows_goes_on(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, UNKNOWN)
    delivered = desk.deliver(ANN)
    assert channel.got("ann") == ALL
    assert desk.states("ann") == ["sent", "uncertain", "sent"]
    assert not delivered.unfinished
    assert delivered.summary().splitlines() == [
        "1 of 3 parts have not arrived for certain:",
        "scripted ann, 2 album: uncertain (held). No answer came.",
    ]
    for _ in range(3):
        desk.time.pass_by(timedelta(hours=1))
        assert desk.ledger.due(desk.time.moment()) == []
        desk.send(ANN)
    assert channel.got("ann") == ALL

    [album] = desk.ledger.again([desk.parts("ann")[1].id], desk.time.moment(), desk.time.moment() + DAY)
    assert album.doubtful
    desk.send(ANN)
    assert channel.got("ann") == [*ALL, "2 album!"]
    assert desk.states("ann") == SENT


def test_a_refused_text_does_not_keep_the_pictures(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", TEXT, REFUSED)
    assert desk.deliver(ANN).reached
    assert channel.got("ann") == ALL
    assert desk.states("ann") == ["failed", "sent", "sent"]
    desk.send(ANN)
    assert channel.got("ann") == ALL


def test_the_longer_it_does_not_get_through_the_rarer_it_is_tried(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", TEXT, *[NOT_SENT] * 200)
    desk.deliver(ANN)
    waits = []
    for _ in range(24):
        [text, *_] = desk.parts("ann")
        assert text.next_at
        waits.append((text.next_at - desk.time.moment()).total_seconds() / 60)
        desk.send(ANN)
    assert waits[0] == 1
    assert waits == sorted(waits)
    assert waits[-1] == 30
    assert 2 < waits[10] < 20


def test_a_short_wait_that_is_asked_for_is_kept_to_and_is_no_failed_try(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, flood(50), flood(60), NOT_SENT)
    desk.deliver(ANN)
    assert desk.time.slept == [50, 60, 1]
    album = [(ALBUM, seconds) for seconds in (0, 50, 110, 111)]
    assert [(one.label, one.after) for one in channel.tries] == [(TEXT, 0), *album, (CSV, 111)]
    assert desk.states("ann") == SENT
    assert not any(part.doubtful for part in desk.parts("ann"))


def test_a_long_wait_that_is_asked_for_is_left_for_later(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, flood(50), flood(80), flood(3600))
    desk.deliver(ANN)
    assert desk.time.slept == [50], "both are more than the two minutes for one go"
    [_, album, document] = desk.parts("ann")
    assert [part.state.value for part in (album, document)] == ["pending", "pending"]
    assert album.next_at == START + timedelta(seconds=50 + 80)
    desk.send(ANN)
    [_, album, _] = desk.parts("ann")
    assert album.next_at == START + timedelta(seconds=130 + 3600)
    assert desk.ledger.due(desk.time.moment() + timedelta(minutes=59)) == []
    desk.send(ANN)
    assert desk.states("ann") == SENT
    assert channel.tries[-2].after == 3730


def test_a_chat_that_has_moved_gets_it_once_at_its_new_address(desk: Desk, channel: Scripted) -> None:
    desk.subscribe("-1")
    channel.answers("-1", ALBUM, moved("-1009"))
    assert desk.deliver(chat("-1")).summary() == ""
    assert (channel.got("-1"), channel.got("-1009")) == ([TEXT, ALBUM], [ALBUM, CSV])
    assert (desk.states("-1"), desk.states("-1009")) == ([], SENT)
    assert desk.time.slept == []
    assert [one.address for one in desk.subscribers.all()] == ["-1009"]
    desk.send(chat("-1009"))
    assert len(channel.tries) == 4


def test_topics_of_a_chat_that_has_moved_each_get_theirs(desk: Desk, channel: Scripted) -> None:
    one, other = chat("-1", "5"), chat("-1", "7")
    desk.subscribe("-1", "5")
    desk.subscribe("-1", "7")
    for _ in range(2):
        channel.answers("-1", TEXT, moved("-1009"))
    assert desk.deliver(one, other).summary() == ""
    for thread in ("5", "7"):
        assert channel.got("-1009", thread) == ALL
        assert desk.states("-1009", thread) == SENT
    assert {(s.address, s.thread) for s in desk.subscribers.all()} == {("-1009", "5"), ("-1009", "7")}


@pytest.mark.parametrize("begun", ["first", "second"])
def test_a_chat_that_has_moved_to_where_it_is_sent_anyway_gets_it_once(
    desk: Desk, channel: Scripted, begun: str
) -> None:
    old, new = chat("-1"), chat("-1009")
    desk.subscribe("-1")
    desk.subscribe("-1009")
    channel.answers("-1", TEXT if begun == "first" else ALBUM, moved("-1009"))
    delivered = desk.deliver(old, new)
    assert channel.got("-1009") == ALL
    assert channel.got("-1") == ([TEXT] if begun == "first" else [TEXT, ALBUM])
    assert not delivered.unfinished
    assert delivered.trouble == ()
    assert [one.address for one in desk.subscribers.all()] == ["-1009"]
    desk.send(new)
    assert channel.got("-1009") == ALL


def test_a_chat_that_moves_in_a_circle_is_left_for_later(desk: Desk, channel: Scripted) -> None:
    for _ in range(50):
        channel.answers("-1", TEXT, moved("-1009"))
        channel.answers("-1009", TEXT, moved("-1"))
    delivered = desk.deliver(chat("-1"), BOB)
    assert len(channel.tries) < 20
    assert delivered.unfinished
    assert desk.states("bob") == SENT


def test_who_is_gone_gets_nothing_more_in_any_topic(desk: Desk, channel: Scripted) -> None:
    here, topic = desk.subscribe("-1"), desk.subscribe("-1", "5")
    elsewhere, bob = desk.subscribe("-1", channel="email"), desk.subscribe("bob")
    channel.answers("-1", ALBUM, BLOCKED)
    delivered = desk.deliver(chat("-1"), BOB)
    assert channel.got("-1") == [TEXT, ALBUM]
    assert desk.states("-1") == ["sent", "failed", "failed"]
    assert {part.error for part in desk.parts("-1")[1:]} == {f"{PAUSED} The bot was blocked."}
    assert desk.states("bob") == SENT
    assert not delivered.unfinished
    assert delivered.trouble == ()
    paused = {one.id: (one.paused_reason, one.paused_by) for one in desk.subscribers.all(active=False)}
    assert paused == dict.fromkeys((here.id, topic.id), ("The bot was blocked.", "scripted"))
    assert {one.id for one in desk.subscribers.all(active=True)} == {elsewhere.id, bob.id}


def test_when_all_are_gone_nobody_was_reached_and_it_says_why(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", TEXT, BLOCKED)
    delivered = desk.deliver(ANN)
    assert not delivered.reached
    assert "The bot was blocked." in delivered.summary()


def test_files_that_are_there_already_are_told_to_the_channel(desk: Desk, channel: Scripted) -> None:
    channel.answers("bob", TEXT, *[NOT_SENT] * 4)
    desk.deliver(ANN, BOB)
    assert channel.known == [{}]
    desk.send(ANN, BOB)
    pictures = "a.png b.png"
    assert channel.known[1][pictures] == (f"file of {pictures}",)


def test_messages_within_quiet_hours_are_silent(desk: Desk, channel: Scripted) -> None:
    moscow = ZoneInfo("Europe/Moscow")
    quiet = Recipient("scripted", "quiet", zone=moscow, quiet=(time(13, 59), time(14, 1)))
    awake = Recipient("scripted", "awake", zone=moscow, quiet=(time(10, 0), time(12, 0)))
    silent = Recipient("scripted", "silent", silent=True)
    assert datetime(2026, 11, 21, 14, 0, tzinfo=moscow).astimezone(UTC) == START
    channel.answers("quiet", ALBUM, flood(60))
    desk.deliver(quiet, awake, silent)
    heard = {who: [one.silent for one in channel.tries if one.address == who] for who in ("quiet", "awake", "silent")}
    assert heard == {"quiet": [True, True, False, False], "awake": [False] * 3, "silent": [True] * 3}


def test_progress_counts_every_part_that_is_done(desk: Desk, channel: Scripted) -> None:
    told: list[tuple[int, int]] = []
    channel.answers("bob", TEXT, REFUSED)
    desk.post.hand_over(Parcel(TOPIC, PERIOD, {"en": (Text("a"), Text("b"))}), [ANN, BOB])
    desk.post.send(TOPIC, PERIOD, [ANN, BOB], ME, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_answer_that_comes_after_another_process_took_over_changes_nothing(desk: Desk, channel: Scripted) -> None:
    async def pause(this: Try) -> None:
        # The clock of the other machine says that we were silent for too long.
        [text, *_] = desk.parts("ann")
        desk.ledger.release_dead(desk.time.moment() + timedelta(minutes=11), lambda _: False)
        desk.ledger.give_up([text.id], "enough", desk.time.moment(), states=[State.UNCERTAIN])

    channel.pause = pause
    with pytest.raises(LostPartError, match="no longer run me's"):
        desk.deliver(ANN)
    assert desk.parts("ann")[0].error == "enough"
    assert channel.got("ann") == [TEXT]


def test_a_piece_that_is_there_no_longer_is_given_up(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", TEXT, UNKNOWN, UNKNOWN, UNKNOWN)
    desk.deliver(ANN)
    desk.sent.save_messages(TOPIC, PERIOD, [], "en")
    delivered = desk.send(ANN)
    assert desk.states("ann") == ["failed"] * 3
    assert not delivered.unfinished
    assert "no longer cut into this piece" in delivered.summary()


def test_sent_as_something_else_is_sent(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, Sent(Outcome.SENT, "It went as a file."), ACCEPTED)
    assert desk.deliver(ANN).summary() == ""
    assert desk.parts("ann")[1].error == "It went as a file."
