"""What is handed over, to whom it goes, and what is said of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_platform.artifacts import ArtifactError
from analytics_platform.channels.base import Piece
from analytics_platform.channels.folder import FolderChannel
from analytics_platform.delivery import UNCUT, Delivered, Parcel, name
from analytics_platform.dispatch import PAUSED
from analytics_platform.messages import Document, Message, Text
from analytics_platform.state.parts import Part, State
from analytics_platform_tests.scripted import (
    ALBUM,
    BLOCKED,
    CSV,
    DAY,
    LABELS,
    ME,
    NOT_SENT,
    PERIOD,
    REFUSED,
    REPORT,
    START,
    TEXT,
    TOPIC,
    UNKNOWN,
    Desk,
    Scripted,
    channel,
    chat,
    desk,
)

__all__ = ["channel", "desk"]  # fixtures

ANN, BOB = chat("ann"), chat("bob")
ALL = list(LABELS)
SENT = ["sent", "sent", "sent"]
NEXT = "2026-11-21"
HELLO, PRIVET = (Text("Hello"),), (Text("Привет"),)


def parcel(period: str = PERIOD, **messages: Sequence[Message]) -> Parcel:
    """What is to be delivered, by language; the report in English when nothing is told."""
    return Parcel(TOPIC, period, messages or {"en": REPORT}, timedelta(hours=6))


# ----------------------------------------------------------------- handing over


def test_what_is_handed_over_is_written_down_before_anything_is_sent(desk: Desk, channel: Scripted) -> None:
    handed = desk.post.hand_over(parcel(), [ANN, BOB])
    assert channel.tries == []
    assert [(p.address, p.part, p.state, p.repeatable) for p in handed.parts] == [
        (who, label, State.PENDING, label == TEXT) for who in ("ann", "bob") for label in ALL
    ]
    assert {part.try_until for part in handed.parts} == {START + timedelta(hours=6)}
    assert desk.post.messages(TOPIC, PERIOD, "en") == REPORT
    assert handed.unfinished
    assert desk.ledger.due(desk.time.moment()) == [(TOPIC, PERIOD)]
    assert desk.send(ANN, BOB).summary() == ""


def test_until_the_first_piece_is_begun_the_latest_word_counts(desk: Desk, channel: Scripted) -> None:
    desk.post.hand_over(parcel(), [ANN, BOB])
    handed = desk.post.hand_over(parcel(en=HELLO), [ANN])
    assert [(part.address, part.part) for part in handed.parts] == [("ann", TEXT)]
    desk.send(ANN)
    assert [one.said for one in channel.tries] == ["Hello"]


def test_from_then_on_later_figures_do_not_mix_with_what_was_sent(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, *[NOT_SENT] * 4)
    desk.deliver(ANN)
    changed = (Text("<b>Feed, corrected</b>"), REPORT[1], Document("other.csv", b"x"))
    desk.post.hand_over(parcel(en=changed), [ANN, BOB])
    desk.send(ANN, BOB)
    assert [one.said for one in channel.tries if one.address == "bob"] == ["Feed", "a.png b.png", "feed.csv"]
    assert [one.said for one in channel.tries][-1] == "feed.csv"


def test_who_comes_later_gets_it_all_and_the_others_nothing_twice(desk: Desk, channel: Scripted) -> None:
    desk.deliver(ANN)
    desk.deliver(ANN, BOB)
    assert channel.got("ann") == channel.got("bob") == ALL


def test_each_gets_it_in_their_language_and_in_the_first_when_there_is_none(desk: Desk, channel: Scripted) -> None:
    people = [replace(ANN, language="ru"), BOB, replace(chat("eve"), language="de")]
    desk.post.deliver(parcel(en=HELLO, ru=PRIVET), people, ME)
    assert {one.address: one.said for one in channel.tries} == {"ann": "Привет", "bob": "Hello", "eve": "Hello"}
    assert {part.address: part.language for part in desk.ledger.parts(TOPIC, PERIOD)} == {
        **{"ann": "ru", "bob": "en"},
        "eve": "en",
    }
    desk.post.deliver(parcel(NEXT, ru=PRIVET, en=HELLO), [replace(BOB, language="de")], ME)
    assert channel.tries[-1].said == "Привет"


def test_a_language_that_is_asked_for_later_is_not_there_once_anything_was_sent(desk: Desk, channel: Scripted) -> None:
    desk.post.deliver(parcel(en=HELLO), [ANN], ME)
    desk.post.deliver(parcel(ru=(Text("Другие числа"),), en=HELLO), [ANN, replace(BOB, language="ru")], ME)
    assert [(one.address, one.said) for one in channel.tries] == [("ann", "Hello"), ("bob", "Hello")]


def test_what_is_kept_no_longer_is_handed_over_anew_and_not_sent_twice(desk: Desk, channel: Scripted) -> None:
    desk.deliver(ANN)
    folder = desk.sent.folder(TOPIC, PERIOD)
    folder.rename(folder.with_name("removed"))
    desk.deliver(ANN, BOB)
    assert channel.got("ann") == channel.got("bob") == ALL


def test_what_is_kept_no_longer_and_was_not_handed_over_again_is_an_error(desk: Desk) -> None:
    desk.post.hand_over(parcel(), [ANN])
    folder = desk.sent.folder(TOPIC, PERIOD)
    folder.rename(folder.with_name("removed"))
    with pytest.raises(ArtifactError, match="has not been built"):
        desk.send(ANN)


# ----------------------------------------------------------------- to whom


def test_one_who_is_named_twice_gets_it_once(desk: Desk, channel: Scripted) -> None:
    desk.deliver(ANN, replace(ANN, silent=True))
    assert channel.got("ann") == ALL


def test_topics_of_a_chat_are_recipients_of_their_own(desk: Desk, channel: Scripted) -> None:
    desk.deliver(chat("-1"), chat("-1", "5"))
    assert channel.got("-1") == channel.got("-1", "5") == ALL


def test_who_receives_it_no_longer_is_not_written_to(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, *[NOT_SENT] * 4)
    channel.answers("bob", TEXT, UNKNOWN, UNKNOWN, UNKNOWN)
    desk.deliver(ANN, BOB)
    tries = len(channel.tries)
    delivered = desk.send()
    assert len(channel.tries) == tries
    assert desk.states("ann") == ["sent", "failed", "failed"]
    assert desk.states("bob") == ["failed"] * 3
    assert {part.error for part in delivered.parts if part.state is State.FAILED} == {f"{PAUSED} no longer receives it"}
    assert not delivered.unfinished
    assert delivered.trouble == ()


def test_on_a_persons_word_it_also_goes_to_who_gets_nothing_any_more(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, REFUSED)
    desk.deliver(ANN)
    desk.ledger.again([desk.parts("ann")[1].id], desk.time.moment(), desk.time.moment() + DAY)
    desk.send(only=[desk.parts("ann")[1].id])
    assert channel.got("ann") == [*ALL, ALBUM], "it was refused, and is no repeat"


def test_a_persons_word_for_one_part_sends_no_other(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, REFUSED)
    channel.answers("bob", TEXT, *[NOT_SENT] * 4)
    desk.deliver(ANN, BOB)
    refused = desk.parts("ann")[1].id
    desk.ledger.again([refused], desk.time.moment(), desk.time.moment() + DAY)
    delivered = desk.send(only=[refused])
    assert channel.got("ann") == [*ALL, ALBUM]
    assert channel.got("bob") == [TEXT] * 4, "Bob is nobody's business here, and wants it all the same"
    assert desk.states("bob") == ["pending"] * 3
    assert delivered.unfinished


def test_a_newer_report_waits_for_an_older_one_of_its_kind_to_the_same_recipient(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, *[NOT_SENT] * 4)
    desk.deliver(ANN, BOB)
    desk.time.pass_by(timedelta(seconds=1))
    newer = desk.deliver(ANN, BOB, period=NEXT)
    assert desk.states("ann", period=NEXT) == ["pending"] * 3
    assert desk.states("bob", period=NEXT) == SENT
    assert newer.unfinished
    desk.send(ANN, BOB)
    desk.send(ANN, BOB, period=NEXT)
    assert channel.got("ann")[-5:] == [ALBUM, CSV, *ALL]
    assert desk.ledger.due(desk.time.moment()) == []


def test_what_is_held_keeps_no_newer_report(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, UNKNOWN)
    desk.deliver(ANN)
    desk.deliver(ANN, period=NEXT)
    assert channel.got("ann") == [*ALL, *ALL]


# ----------------------------------------------------------------- channels that cannot be used


def test_a_channel_that_cannot_be_used_keeps_nobody_waiting_who_has_another(desk: Desk, channel: Scripted) -> None:
    delivered = desk.deliver(chat("eve", channel="mail"), ANN)
    assert channel.got("ann") == ALL
    assert [(p.part, p.state, p.error) for p in desk.parts("eve")] == [
        (UNCUT, State.PENDING, "mail: mail cannot be used: set ITS_TOKEN.")
    ]
    assert delivered.unfinished
    assert delivered.summary().splitlines() == [
        "mail: mail cannot be used: set ITS_TOKEN.",
        "1 of 4 parts have not arrived for certain:",
        f"mail eve, {UNCUT}: pending.",
    ]
    assert desk.ledger.due(desk.time.moment()) == [], "it is left alone for a while"


def test_as_soon_as_it_can_be_used_its_recipients_get_theirs(desk: Desk, channel: Scripted) -> None:
    eve = chat("eve", channel="mail")
    desk.deliver(eve, ANN)
    desk.send(eve, ANN)
    mail = desk.channels["mail"] = Scripted(desk.time, "mail")
    delivered = desk.send(eve, ANN)
    assert mail.got("eve") == channel.got("ann") == ALL
    assert [(part.part, part.state.value) for part in desk.parts("eve")] == [(label, "sent") for label in ALL]
    assert not delivered.unfinished
    assert delivered.summary() == ""
    desk.send(eve, ANN)
    assert len(mail.tries) == 3


def test_a_channel_that_is_lost_between_two_tries_is_waited_for(desk: Desk, channel: Scripted) -> None:
    channel.answers("ann", ALBUM, *[NOT_SENT] * 4)
    desk.deliver(ANN, BOB)
    del desk.channels["scripted"]
    delivered = desk.send(ANN, BOB)
    assert desk.states("ann") == ["sent", "pending", "pending"]
    assert delivered.errors == ("scripted: scripted cannot be used: set ITS_TOKEN.",)
    desk.channels["scripted"] = channel
    assert desk.send(ANN, BOB).summary() == ""
    assert channel.got("ann")[-2:] == [ALBUM, CSV]
    assert channel.got("bob") == ALL


def test_one_channel_comes_back_while_another_is_lost(desk: Desk, channel: Scripted) -> None:
    """Both of them then get each piece once, whichever was cut first."""
    eve = chat("eve", channel="mail")
    channel.answers("ann", TEXT, *[NOT_SENT] * 4)
    desk.deliver(eve, ANN)
    del desk.channels["scripted"]
    mail = desk.channels["mail"] = Scripted(desk.time, "mail")
    desk.send(eve, ANN)
    assert mail.got("eve") == ALL
    desk.channels["scripted"] = channel
    delivered = desk.send(eve, ANN)
    assert channel.got("ann") == [*[TEXT] * 4, *ALL]
    assert delivered.summary() == ""
    assert not delivered.unfinished


def test_a_parcel_without_pieces_reaches_nobody(desk: Desk) -> None:
    assert desk.deliver(ANN, messages=()).summary() == "nobody was told: it has no recipient"


def test_a_folder_is_a_recipient_like_any_other(desk: Desk, tmp_path: Path) -> None:
    desk.channels["folder"] = FolderChannel()
    delivered = desk.deliver(chat(str(tmp_path / "out"), channel="folder"))
    assert delivered.summary() == ""
    assert [path.name for path in (tmp_path / "out" / TOPIC / PERIOD).iterdir() if path.name.endswith(".csv")]


# ----------------------------------------------------------------- what is said of it


def test_a_delivery_to_nobody_says_so(desk: Desk) -> None:
    delivered = desk.deliver()
    assert delivered.summary() == "nobody was told: it has no recipient"
    assert not delivered.reached


def test_a_summary_names_recipients_as_people_know_them(desk: Desk, channel: Scripted) -> None:
    channel.answers("-1", ALBUM, UNKNOWN)
    channel.answers("bob", TEXT, REFUSED)
    channel.answers("eve", CSV, BLOCKED)
    delivered = desk.deliver(chat("-1", "5"), BOB, chat("eve"))
    assert delivered.summary() == (
        "2 of 9 parts have not arrived for certain:\n"
        "scripted -1/5, 2 album: uncertain (held). No answer came.\n"
        "scripted bob, 1 text: failed. It is too long."
    )
    assert name(delivered.trouble[0]) == "scripted -1/5"


def test_a_long_summary_is_cut(desk: Desk, channel: Scripted) -> None:
    people = [chat(f"p{number:02}") for number in range(23)]
    for one in people:
        channel.answers(one.address, TEXT, REFUSED)
    lines = desk.deliver(*people, messages=HELLO).summary().splitlines()
    assert lines[0] == "23 of 23 parts have not arrived for certain:"
    assert lines[20] == "scripted p19, 1 text: failed. It is too long."
    assert lines[21:] == ["and 3 more: analytics-platform deliveries list"]


@pytest.mark.parametrize(
    ("state", "error", "come_to"),
    [
        (State.SENT, "", {"reached"}),
        (State.PENDING, "", {"unfinished", "trouble"}),
        (State.SENDING, "", {"unfinished", "trouble"}),
        (State.FAILED, "No.", {"trouble"}),
        (State.FAILED, f"{PAUSED} no.", set()),
    ],
)
def test_what_a_delivery_has_come_to(desk: Desk, state: State, error: str, come_to: set[str]) -> None:
    [part] = desk.post.hand_over(parcel(en=HELLO), [ANN]).parts
    delivered = Delivered((replace(part, state=state, error=error),))
    assert {name for name in ("reached", "unfinished", "trouble") if getattr(delivered, name)} == come_to


@pytest.mark.parametrize(("repeatable", "said"), [(True, "uncertain"), (False, "uncertain (held)")])
def test_what_is_held_is_finished_and_what_is_sent_again_is_not(desk: Desk, repeatable: bool, said: str) -> None:
    [part] = desk.post.hand_over(parcel(en=HELLO), [ANN]).parts
    unsure: Part = replace(part, state=State.UNCERTAIN, repeatable=repeatable)
    delivered = Delivered((unsure,))
    assert delivered.unfinished is repeatable
    assert delivered.summary().splitlines()[1] == f"scripted ann, 1 text: {said}."


def test_a_channel_is_built_once(desk: Desk) -> None:
    built: list[str] = []

    def build(named: str) -> Any:
        built.append(named)
        return desk.channels[named]

    desk.post._channel_of = build
    desk.deliver(ANN, BOB)
    desk.deliver(ANN, BOB, period=NEXT)
    assert built == ["scripted"]


def test_pieces_are_cut_once_for_all_who_speak_a_language(desk: Desk, channel: Scripted) -> None:
    cuts: list[str] = []

    class Counting(Scripted):
        def pieces(self, messages: Sequence[Message], *, key: str, language: Any) -> Sequence[Piece]:
            cuts.append(key)
            return super().pieces(messages, key=key, language=language)

    desk.channels["scripted"] = Counting(desk.time)
    desk.deliver(*(chat(f"p{number}") for number in range(9)))
    assert cuts == [f"{TOPIC}/{PERIOD}"] * 2, "when it is handed over, and when it is sent"
