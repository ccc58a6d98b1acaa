"""Everything that can go wrong while a card is sent and edited, over real HTTP and with killed processes: how many
messages the chat has of it then, what they say, and what the ledger says.

A card with a picture goes to two chats and is then edited aloud; the trouble is with one request for one of them. Then
all is gone on with three times, as the platform does it. The table of `docs/delivery.md` is printed by
`python -m analytics_platform_tests.test_card_faults`.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from analytics_platform.state.parts import State
from analytics_platform_tests.delivery_faults import (
    ME,
    NEW,
    Trouble,
    World,
    fault,
    in_a_topic,
    killed,
    unplugged,
)
from analytics_platform_tests.delivery_process import ANN, BOB, card
from analytics_platform_tests.forked import answer
from analytics_platform_tests.scripted import TOPIC
from analytics_platform_tests.telegram_server import telegram_server

PAGE = Path(__file__).parents[1] / "docs" / "delivery.md"
FIRST, PICTURE, EDIT, NOTICE = range(4)
# The requests of the card of the first delivery, and of its revision.
LABELS = ("1 card", "1 card picture", "1 card", "1 card notice")
METHODS = ("sendMessage", "editMessageMedia", "editMessageCaption", "sendMessage")
AGAIN = "Sent again: it is not known whether this arrived before.\n"
OLD, NOW, ALOUD = "Views -31%", "Views -45%", "Worse: -45%"


@dataclass(frozen=True)
class Fate:
    """What the chat shows of the piece in the end, how often, and what the ledger says of it; `marked`: the last one
    says that it is a repeat."""

    times: int
    state: State = State.SENT
    marked: bool = False

    def __str__(self) -> str:
        return f"{self.times}, {self.state.value}{', marked' if self.marked else ''}"


ONCE, MARKED, TWICE, ANEW = Fate(1), Fate(1, marked=True), Fate(2, marked=True), Fate(2)
NONE, REFUSED, STANDS = Fate(0), Fate(0, State.FAILED), Fate(1, State.FAILED)
ALL_ONCE = (ONCE, ONCE, ONCE, ONCE)


@dataclass(frozen=True)
class Case:
    """What goes wrong, what becomes of a new card's text, its picture, an edit and its notice (None: cannot happen),
    and what a person sees and does. `everybody`: it happens to all chats."""

    what: str
    arrange: Trouble
    fates: tuple[Fate | None, Fate | None, Fate | None, Fate | None]
    person: str
    everybody: bool = False


def with_its_message(change: Callable[[World, int], None]) -> Trouble:
    """That happens to the chat's card before it is edited."""

    def arrange(world: World, part: int) -> None:
        [number] = [number for chat, number in world.server.chats.messages if chat == ANN]
        change(world, number)
        world.deliver()

    return arrange


def deleted(world: World, number: int) -> None:
    world.server.chats.delete(ANN, number)


def locked(world: World, number: int) -> None:
    world.server.chats.messages[ANN, number].locked = True


UNSURE = (TWICE, ONCE, ONCE, TWICE)
COMES_AGAIN = "a text may come twice and says so; edits are repeated without harm"
CASES = {
    "killed before": Case(
        "the process is killed before the request leaves", killed("before"), (MARKED, ONCE, ONCE, MARKED), COMES_AGAIN
    ),
    "killed during": Case(
        "the process is killed while the request is under way, and it arrives", killed("during"), UNSURE, COMES_AGAIN
    ),
    "killed after": Case(
        "the process is killed before it has noted that Telegram took it", killed("after"), UNSURE, COMES_AGAIN
    ),
    "stall": Case("Telegram takes it and never answers", fault("stall"), UNSURE, COMES_AGAIN),
    "502 after": Case(
        "an error of Telegram's own (5xx), and it was taken all the same",
        fault("accepted_bad_gateway"),
        UNSURE,
        COMES_AGAIN,
    ),
    "429 short": Case("Telegram asks to wait for up to two minutes", fault("flood", value=3), ALL_ONCE, "it waits"),
    "429 long": Case(
        "Telegram asks to wait for longer",
        fault("flood", value=600),
        ALL_ONCE,
        "it comes later, or what is newer by then in its place",
    ),
    "refused connection": Case(
        "no connection to Telegram",
        unplugged,
        (ONCE, None, ONCE, None),
        "it comes when there is one, or what is newer by then in its place",
        everybody=True,
    ),
    "block": Case(
        "the person has blocked the bot, or the group has removed it",
        fault("blocked", times=0),
        (REFUSED, REFUSED, STANDS, REFUSED),
        "`subscribers list` shows the chat as paused",
    ),
    "migration": Case(
        "the group has become a supergroup with another number",
        fault("migrate", times=0, value=int(NEW)),
        (ONCE, NONE, ANEW, ONCE),
        "the card comes anew at the new number",
    ),
    "topic": Case(
        "the forum topic is closed or deleted",
        in_a_topic,
        (ONCE, None, None, ONCE),
        "it comes to the chat itself and says why; subscribe another topic",
    ),
    "deleted": Case(
        "people have deleted the card", with_its_message(deleted), (None, None, ONCE, None), "it comes anew"
    ),
    "locked": Case(
        "the card cannot be edited any more",
        with_its_message(locked),
        (None, None, ANEW, None),
        "it comes anew; the old one stays as it was",
    ),
    "picture": Case(
        "Telegram does not take the picture",
        fault("bad_request", value="PHOTO_INVALID_DIMENSIONS"),
        (None, NONE, None, None),
        "the text stands without it; `deliveries show` says why",
    ),
    "refused": Case(
        "Telegram refuses it for another reason",
        fault("bad_request", times=0, value="something is wrong with it"),
        (REFUSED, NONE, ANEW, REFUSED),
        "`deliveries list` says why; an edit comes as a message of its own",
    ),
}
RUNS = [(name, part) for name, case in CASES.items() for part, fate in enumerate(case.fates) if fate]


def table() -> str:
    """The promise as the documentation shows it."""
    head = "| What goes wrong | A new card | Its picture | An edit | Its notice | What you see and do |"
    lines = [head, "|" + " --- |" * 6]
    for case in CASES.values():
        cells = [str(fate) if fate else "\u2013" for fate in case.fates]
        lines.append(f"| {case.what} | {' | '.join(cells)} | {case.person} |")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    """Forks a child for each delivery that is to be killed."""
    words = [sys.executable, "-W", "error", "-m", "analytics_platform_tests.delivery_process"]
    with subprocess.Popen(
        words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as started:
        try:
            assert answer(started) == "ready"
            yield started
        finally:
            started.kill()


@pytest.fixture
def world(tmp_path: Path, process: subprocess.Popen[str]) -> Iterator[World]:
    """Two chats, nothing sent yet."""
    with telegram_server() as server:
        yield World(server, tmp_path, server.url, process, period="17", labels=LABELS, methods=METHODS)


def revise(world: World) -> None:
    """The card has arrived everywhere; next comes its revision."""
    world.deliver()
    assert world.server.chats.shown(ANN) == world.server.chats.shown(BOB) == [f"* {OLD}"]
    world.period, world.before = "17 r2", len(world.server.accepted)


def fate(world: World, part: int) -> Fate:
    """What has become of that piece."""
    [state] = [one.state for one in world.parts(ANN, NEW) if one.part == LABELS[part]]
    shown = [*world.server.chats.shown(ANN), *world.server.chats.shown(NEW)]
    if part == PICTURE:
        return Fate(sum(text.startswith("* ") for text in shown), state)
    texts = [re.sub("^Its topic .*\n", "", text.removeprefix("* ")) for text in shown]
    told = [text for text in texts if (ALOUD in text) == (part == NOTICE)]
    return Fate(len(told), state, marked=bool(told) and told[-1].startswith(AGAIN))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), RUNS, ids=[f"{name}, {METHODS[part]} {part}" for name, part in RUNS])
def test_a_card_is_there_as_often_as_is_promised_and_says_what_is_so_now(world: World, name: str, part: int) -> None:
    case = CASES[name]
    if name == "topic":
        world.chats = (f"{ANN}/45", BOB)
    if part in (EDIT, NOTICE):
        revise(world)
    case.arrange(world, part)
    for _ in range(3):
        world.go_on()

    assert fate(world, part) == case.fates[part]
    whole = [f"* {OLD}"] if world.period == "17" else [f"* {NOW}", ALOUD]
    assert world.server.chats.shown(BOB) == whole
    assert {p.attempts for p in world.parts(BOB)} == {1} or case.everybody
    assert world.ledger.due(world.time.moment() + timedelta(hours=1)) == []
    seen = {problem.kind for problem in world.office().ledgers.problems.open()}
    given_up = any(p.state is State.FAILED and not p.optional for p in world.parts(ANN, NEW))
    astray = {"astray"} if name == "topic" else set()
    assert seen == ({"paused"} if name == "block" else {"delivery"} if given_up else astray)
    if name not in ("block", "refused") and part in (EDIT, NOTICE):
        newest = [text for text in [*world.server.chats.shown(ANN), *world.server.chats.shown(NEW)] if NOW in text]
        assert len(newest) == 1


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_process_that_dies_with_the_card_in_hand_leaves_one_message_of_unknown_fate(world: World, when: str) -> None:
    """What is newer comes meanwhile, and it alone is sent."""
    killed(when)(world, FIRST)
    world.period, office = "17 r2", world.office()
    world.go_on()
    post = office.post
    post.hand_over(card("17 r2"), office.recipients(TOPIC))
    post.send(TOPIC, "17 r2", office.recipients(TOPIC), ME)
    for _ in range(3):
        world.go_on()

    shown = world.server.chats.shown(ANN)
    assert len([text for text in shown if ALOUD not in text]) <= 2
    assert len([text for text in shown if NOW in text]) == 1
    assert world.server.chats.shown(BOB) == [f"* {NOW}", ALOUD]


def test_the_documentation_promises_exactly_this() -> None:
    [shown] = re.findall(r"<!-- card faults -->\n(.*?)\n<!-- /card faults -->", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown.strip() == table(), "paste what `python -m analytics_platform_tests.test_card_faults` prints"


if __name__ == "__main__":
    print(table())
