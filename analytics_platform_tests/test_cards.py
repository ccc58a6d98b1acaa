"""Cards from the parcel to what readers see: edited while they live, sent anew where they cannot be, told once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path

import pytest

from analytics_platform.artifacts import Artifacts
from analytics_platform.channels.base import Recipient
from analytics_platform.channels.email import EmailChannel
from analytics_platform.channels.folder import FolderChannel
from analytics_platform.channels.telegram_pacing import MemorySlots
from analytics_platform.delivery import Delivered, Parcel
from analytics_platform.messages import Card, Document, Picture, Text, original, revision
from analytics_platform.state.parts import State
from analytics_platform_tests.mail_server import MailStandIn, mail_server
from analytics_platform_tests.scripted import ME, Desk, FakeTime
from analytics_platform_tests.telegram_server import Fault, TelegramServer, telegram_server
from analytics_platform_tests.telegram_silence import Hurried
from analytics_platform_tests.telegram_wire import TOKEN

PNG = b"\x89PNG\r\n\x1a\n"
ANN, BOB = Recipient("telegram", "-1001"), Recipient("telegram", "42")
FALLS, WORSE, OVER = (
    Card(Text("<b>Views</b> -31%")),
    Card(Text("<b>Views</b> -45%")),
    Card(Text("<b>Views</b> are back")),
)
LONG = "\n".join(f"{number} feed users see fewer posts" for number in range(60))


class House(Desk):
    """A desk with Telegram, a folder and mail."""

    def __init__(self, folder: Path, server: TelegramServer, mail: MailStandIn) -> None:
        clock = FakeTime()
        telegram = Hurried(
            TOKEN,
            slots=MemorySlots(clock.clock),
            api_url=server.url,
            clock=clock.clock,
            sleep=clock.sleep,
        )
        super().__init__(folder, clock, telegram, FolderChannel(), EmailChannel(mail.server))
        self.server, self.mail = server, mail

    def hand_over(self, period: str, card: Card, *recipients: Recipient, loud: bool = False) -> Delivered:
        edits = "" if original(period) == period else original(period)
        return self.post.hand_over(Parcel("alerts", period, {"en": (card,)}, edits=edits, loud=loud), recipients)

    def go(self, period: str, *recipients: Recipient) -> Delivered:
        return self.again().send("alerts", period, recipients, ME)

    def say(self, period: str, card: Card, *recipients: Recipient, loud: bool = False) -> Delivered:
        handed = self.hand_over(period, card, *recipients, loud=loud)
        return self.go(period, *recipients) if handed.parts else handed

    def shown(self, recipient: Recipient = ANN) -> list[str]:
        return self.server.chats.shown(recipient.address)

    def states(self, period: str) -> list[str]:  # type: ignore[override]  # by what is named, not by whom
        return [f"{part.part}: {part.state.value}" for part in self.ledger.parts("alerts", period)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with telegram_server() as server, mail_server() as mail:
        yield House(tmp_path, server, mail)


def drawn(card: Card, content: bytes = b"1") -> Card:
    return replace(card, picture=Picture("views.png", PNG + content))


# --------------------------------------------------------------------------------------------------- edited in place


def test_one_message_is_edited_and_only_the_first_makes_a_sound(house: House) -> None:
    house.say("17", FALLS, ANN, BOB)
    for number, card in enumerate((WORSE, OVER), start=2):
        assert house.say(f"17 r{number}", card, ANN, BOB).summary() == ""
    assert house.shown() == house.shown(BOB) == ["Views are back"]
    assert [one.method for one in house.server.to(ANN.address)] == ["sendMessage", "editMessageText", "editMessageText"]
    assert {part.message_ids for part in house.ledger.parts("alerts", "17 r3")} == {
        part.message_ids for part in house.ledger.parts("alerts", "17")
    }


def test_the_text_goes_first_and_the_picture_into_it(house: House) -> None:
    house.say("17", drawn(FALLS), ANN)
    house.say("17 r2", drawn(WORSE, b"2"), ANN)
    assert house.shown() == ["* Views -45%"]
    methods = [one.method for one in house.server.accepted]
    assert methods == ["sendMessage", "editMessageMedia", "editMessageCaption", "editMessageMedia"]
    assert not house.server.requests[4:], "no request was refused on the way"


def test_a_loud_revision_is_answered_and_a_quiet_one_is_not(house: House) -> None:
    house.say("17", FALLS, ANN)
    house.say("17 r2", replace(WORSE, notice=Text("<b>Worse</b>: -45%")), ANN, loud=True)
    house.say("17 r3", replace(OVER, notice=Text("never said")), ANN)
    assert house.shown() == ["Views are back", "Worse: -45%"]
    told = house.server.accepted[2]
    assert (told.answers, told.silent) == (house.server.accepted[0].message_ids[0], False)


def test_a_loud_revision_without_a_notice_says_its_first_line(house: House) -> None:
    house.say("17", FALLS, ANN)
    house.say("17 r2", Card(Text("<b>Views &lt; 5</b>\nsince noon")), ANN, loud=True)
    assert house.shown()[1] == "Views < 5"


def test_in_quiet_hours_the_notice_comes_without_a_sound(house: House) -> None:
    asleep = replace(ANN, quiet=(time(0), time(23, 59)))
    house.say("17", FALLS, asleep)
    house.say("17 r2", WORSE, asleep, loud=True)
    assert [one.silent for one in house.server.accepted if one.method == "sendMessage"] == [True, True]


def test_two_incidents_are_two_messages(house: House) -> None:
    house.say("17", FALLS, ANN)
    house.say("170", drawn(FALLS), ANN)
    house.say("17 r2", OVER, ANN)
    assert house.shown() == ["Views are back", "* Views -31%"]


def test_the_same_again_is_sent(house: House) -> None:
    house.say("17", FALLS, ANN)
    delivered = house.say("17 r2", FALLS, ANN)
    assert [part.state for part in delivered.parts] == [State.SENT]
    assert house.server.requests[-1][0] == "editMessageText"


def test_a_file_that_is_told_with_a_card_is_sent_after_it(house: House) -> None:
    parcel = Parcel("alerts", "17", {"en": (drawn(FALLS), Document("views.csv", b"1"))})
    house.server.faults.append(Fault("bad_gateway", "editMessageMedia", times=0))
    delivered = house.post.deliver(parcel, (ANN,), ME)
    assert [part.state.value for part in delivered.parts] == ["sent", "uncertain", "sent"], "it waits for no picture"


# --------------------------------------------------------------------------------------------------- the newest wins


@pytest.mark.parametrize("doubtful", [False, True])
def test_what_is_overtaken_before_it_was_sent_is_never_sent(house: House, doubtful: bool) -> None:
    if doubtful:
        house.server.faults.append(Fault("bad_gateway", "sendMessage", times=0))
        house.say("17", drawn(FALLS), ANN)
        house.server.faults.clear()
    else:
        house.hand_over("17", drawn(FALLS), ANN)
    house.hand_over("17 r2", WORSE, ANN, loud=True)
    house.hand_over("17 r3", OVER, ANN, loud=True)
    for period in ("17", "17 r2", "17 r3", "17", "17 r2"):
        assert house.go(period, ANN).trouble == ()
    mark = "Sent again: it is not known whether this arrived before.\n" * doubtful
    assert house.shown() == [f"{mark}Views are back"], "and no notice, as the message itself is new"
    assert house.states("17") == ["1 card: failed", "1 card picture: failed"]
    assert house.states("17 r2") == ["1 card: failed", "1 card notice: failed"]
    said = {part.error for part in house.ledger.parts("alerts", "17")}
    assert said == {"superseded: 17 r2 says how things stand now"}
    assert house.ledger.overview(topic="alerts", states=(State.FAILED,)) == []
    assert Delivered(tuple(house.ledger.parts("alerts", "17"))).summary() == ""


def test_an_edit_that_waits_is_overtaken(house: House) -> None:
    house.say("17", FALLS, ANN, BOB)
    house.server.faults.append(Fault("flood", "editMessageText", ANN.address, value=600))
    house.say("17 r2", WORSE, ANN, BOB, loud=True)
    assert (house.shown(), house.shown(BOB)) == (["Views -31%"], ["Views -45%", "Views -45%"])
    house.time.pass_by(timedelta(minutes=11))
    house.say("17 r3", OVER, ANN, BOB)
    assert (house.shown(), house.shown(BOB)) == (["Views are back"], ["Views are back", "Views -45%"])


def test_a_revision_that_nobody_else_has_is_left_to_those_who_have_no_newer_one(house: House) -> None:
    house.hand_over("17", FALLS, ANN, BOB)
    house.hand_over("17 r2", WORSE, ANN)
    house.go("17", ANN, BOB)
    house.go("17 r2", ANN, BOB)
    assert (house.shown(), house.shown(BOB)) == (["Views -45%"], ["Views -31%"])


def test_on_a_persons_word_nothing_is_told_that_is_over(house: House) -> None:
    house.hand_over("17", FALLS, ANN)
    house.say("17 r2", OVER, ANN)
    [old] = house.ledger.parts("alerts", "17")
    house.ledger.again([old.id], house.time.moment(), house.time.moment() + timedelta(hours=1))
    house.again().send("alerts", "17", (ANN,), ME, only=[old.id])
    assert house.shown() == ["Views are back"]


# ----------------------------------------------------------------------------------------------------- sent anew


def test_who_comes_later_gets_the_newest_whole_and_no_notice(house: House) -> None:
    house.say("17", drawn(FALLS), ANN)
    house.say("17 r2", drawn(WORSE), ANN, BOB, loud=True)
    assert (house.shown(), house.shown(BOB)) == (["* Views -45%", "Views -45%"], ["* Views -45%"])
    house.say("17 r3", drawn(OVER), ANN, BOB)
    assert (house.shown(), house.shown(BOB)) == (["* Views are back", "Views -45%"], ["* Views are back"])


@pytest.mark.parametrize("loud", [False, True])
def test_a_deleted_card_comes_anew_and_a_quiet_one_quietly(house: House, loud: bool) -> None:
    house.say("17", FALLS, ANN)
    house.server.chats.delete(ANN.address, 1)
    delivered = house.say("17 r2", WORSE, ANN, loud=loud)
    assert house.shown() == ["Views -45%"]
    assert house.server.accepted[-1].silent is not loud
    assert "could not be edited (Bad Request: message to edit not found), so it came anew." in delivered.parts[0].error
    house.say("17 r3", OVER, ANN)
    assert house.shown() == ["Views are back"], "from then on, that one is edited"


def test_a_chat_that_has_moved_gets_a_message_of_its_own(house: House) -> None:
    house.say("17", FALLS, ANN)
    house.server.faults.append(Fault("migrate", chat=ANN.address, times=0, value=-1009))
    new = replace(ANN, address="-1009")
    house.say("18", FALLS, ANN)
    house.server.press_start("-1009")
    # Another message of the bot's has the number there that the card had before.
    house.server.chats.messages["-1009", 1] = replace(house.server.chats.messages["-1001", 1], text="of another")
    house.say("17 r2", WORSE, new)
    assert house.shown(new) == ["of another", "Views -31%", "Views -45%"]


# ------------------------------------------------------------------------------------------------------- the picture


def test_a_text_that_is_too_long_for_a_caption_is_answered_with_the_picture(house: House) -> None:
    house.say("17", drawn(Card(Text(LONG))), ANN)
    assert house.shown() == [LONG, "* "]
    assert (house.server.accepted[1].method, house.server.accepted[1].answers) == ("sendPhoto", 1)
    assert house.server.accepted[1].silent
    house.say("17 r2", OVER, ANN)
    assert house.shown() == ["Views are back", "* "]


def test_a_picture_in_an_answer_of_unknown_fate_is_not_sent_twice(house: House) -> None:
    house.server.faults.append(Fault("stall", "sendPhoto"))
    delivered = house.say("17", drawn(Card(Text(LONG))), ANN)
    assert house.shown() == [LONG, "* "]
    assert (delivered.parts[1].state, delivered.parts[1].error) == (
        State.SENT,
        "It is not known whether its picture arrived.",
    )


def test_a_server_that_puts_no_picture_into_a_text_is_given_it_as_an_answer(house: House) -> None:
    house.server.chats.old = True
    house.say("17", drawn(FALLS), ANN, BOB)
    assert house.shown() == house.shown(BOB) == ["Views -31%", "* "]
    house.say("17 r2", drawn(WORSE), ANN)
    assert house.shown()[0] == "Views -45%"


def test_a_long_text_beneath_a_picture_is_cut_and_says_so(house: House) -> None:
    house.say("17", drawn(FALLS), ANN)
    house.say("17 r2", Card(Text(LONG)), ANN)
    [shown] = house.shown()
    assert shown.startswith("* 0 feed users see")
    assert shown.endswith("posts\n\n…") or shown.endswith("posts\n…")
    assert len(shown) < 1024


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (b"not a picture", "IMAGE_PROCESS_FAILED"),
        (b"", "file must be non-empty"),
        (PNG + bytes(10_000_001), "more than 10 MB"),
    ],
    ids=["unreadable", "empty", "large"],
)
def test_a_picture_that_is_refused_is_missing_and_nothing_else_is(house: House, picture: bytes, said: str) -> None:
    delivered = house.say("17", replace(FALLS, picture=Picture("views.png", picture)), ANN)
    assert house.shown() == ["Views -31%"]
    assert (delivered.summary(), delivered.unfinished) == ("", False)
    assert delivered.parts[1].error.startswith("Its picture is missing")
    assert said in delivered.parts[1].error


def test_a_picture_that_cannot_be_sent_holds_nothing_up_and_is_no_trouble(house: House) -> None:
    house.server.faults.append(Fault("bad_gateway", "editMessageMedia", times=0))
    house.say("17", drawn(FALLS), ANN)
    house.say("18", WORSE, ANN)
    assert house.shown() == ["Views -31%", "Views -45%"]
    assert house.states("17") == ["1 card: sent", "1 card picture: uncertain"]
    house.ledger.expire(house.time.moment() + timedelta(days=2))
    delivered = Delivered(tuple(house.ledger.parts("alerts", "17")))
    assert (delivered.trouble, delivered.summary(), delivered.unfinished) == ((), "", False)


def test_a_picture_is_uploaded_once_for_all_chats(house: House) -> None:
    house.say("17", drawn(FALLS), ANN, BOB)
    assert sum(media.uploaded for one in house.server.accepted for media in one.media) == 1


def test_the_mark_of_a_repeat_stays_when_the_picture_comes(house: House) -> None:
    house.server.faults.append(Fault("stall", "sendMessage"))
    house.say("17", drawn(FALLS), ANN)
    mark = "Sent again: it is not known whether this arrived before."
    assert house.shown() == ["Views -31%", f"* {mark}\nViews -31%"]
    house.say("17 r2", drawn(OVER), ANN)
    assert house.shown()[1] == "* Views are back"


# ------------------------------------------------------------------------------------------------- mail and folders


def test_a_mail_cannot_be_edited_so_only_what_is_loud_is_sent_and_as_one_conversation(house: House) -> None:
    ann = Recipient("email", "ann@example.org")
    house.say("17", drawn(FALLS), ann)
    quiet = house.say("17 r2", WORSE, ann)
    assert (quiet.parts, quiet.summary()) == ((), "")
    house.say("17 r3", replace(drawn(OVER), notice=Text("It is over")), ann, loud=True)
    first, over = (mail.message for mail in house.mail.accepted)
    assert [first["Subject"], over["Subject"]] == ["Views -31%", "It is over"]
    assert first["In-Reply-To"] is None
    assert over["In-Reply-To"] == over["References"] == first["Message-ID"] != over["Message-ID"]
    assert "Views are back" in str(over.get_body(("plain",)))
    assert [part.get_filename() for part in over.walk() if part.get_filename()] == ["views.png"]


def test_a_first_mail_that_was_not_sent_yet_goes_as_things_stand_now(house: House) -> None:
    ann, bob = Recipient("email", "ann@example.org"), Recipient("email", "bob@example.org")
    house.hand_over("17", FALLS, ann)
    house.hand_over("17 r2", WORSE, ann, bob)
    house.go("17", ann, bob)
    house.go("17 r2", ann, bob)
    assert sorted((mail.message["To"], mail.message["Subject"]) for mail in house.mail.accepted) == [
        ("ann@example.org", "Views -45%"),
        ("bob@example.org", "Views -45%"),
    ]


def test_a_folder_has_a_card_as_it_is_now(house: House, tmp_path: Path) -> None:
    folder = Recipient("folder", str(tmp_path / "outbox"))
    house.say("17", drawn(FALLS), folder)
    house.say("17 r2", OVER, folder, loud=True)
    found = sorted(path.name for path in (tmp_path / "outbox" / "alerts" / "17").iterdir())
    assert found == ["01-text.html", "01-text.txt"]
    assert (tmp_path / "outbox" / "alerts" / "17" / "01-text.txt").read_text("utf-8") == "Views are back\n"
    assert [path.name for path in (tmp_path / "outbox" / "alerts").iterdir()] == ["17"]


# --------------------------------------------------------------------------------------------------------- the words


@pytest.mark.parametrize(
    ("name", "first", "number"),
    [("17", "17", 1), ("17 r2", "17", 2), ("alerts/17 r30", "alerts/17", 30), ("17 r0", "17 r0", 1), ("r2", "r2", 1)],
)
def test_revisions_are_known_by_their_names(name: str, first: str, number: int) -> None:
    assert (original(name), revision(name)) == (first, number)


@pytest.mark.parametrize(("period", "edits"), [("17", "17"), ("18 r2", "17"), ("17 r2", "17 r1"), ("17 #2", "17")])
def test_a_parcel_that_edits_is_named_after_what_it_edits(period: str, edits: str) -> None:
    with pytest.raises(ValueError, match=f"{period} is no revision of {edits}: name it {edits} r2, r3 and so on"):
        Parcel("alerts", period, {}, edits=edits)


def test_a_card_is_kept_as_it_was_handed_over(tmp_path: Path) -> None:
    kept = Artifacts(tmp_path)
    cards = (replace(drawn(FALLS), notice=Text("<i>now</i>")), WORSE, Card(Text("a"), Picture("../b.png", PNG, "c")))
    kept.save_messages("alerts", "17 r2", cards, "en")
    assert kept.load_messages("alerts", "17 r2", "en") == cards
