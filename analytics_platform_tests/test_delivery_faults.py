"""Everything that can go wrong while a report is sent, over real HTTP and with killed processes: what arrives, how
often, and what the ledger says of it.

A text, an album of four and a CSV file go to two chats; the trouble is with one part for one of them. Then all is gone
on with three times, as the platform does it, each time past the moment for which something was left. The table of
`docs/delivery.md` is printed by `python -m analytics_platform_tests.test_delivery_faults`.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.defs.deliveries import send_again
from analytics_platform.state.parts import State
from analytics_platform_tests.delivery_faults import (
    ALBUM,
    CSV,
    HELD,
    ME,
    METHODS,
    NEW,
    SENT,
    TEXT,
    Fate,
    Trouble,
    World,
    fault,
    in_a_topic,
    killed,
    nothing,
    unplugged,
    with_a_wrong_token,
)
from analytics_platform_tests.delivery_process import ANN, BOB, LABELS, parcel
from analytics_platform_tests.forked import answer
from analytics_platform_tests.scripted import PERIOD, TOPIC
from analytics_platform_tests.services import until
from analytics_platform_tests.telegram_server import Fault, telegram_server

FAILED = State.FAILED
PAGE = Path(__file__).parents[1] / "docs" / "delivery.md"

ONCE, AGAIN, TWICE = Fate(1, SENT), Fate(1, SENT, marked=True), Fate(2, SENT, marked=True)
NONE_HELD, ONE_HELD, REFUSED = Fate(0, HELD), Fate(1, HELD), Fate(0, FAILED)


@dataclass(frozen=True)
class Case:
    """What goes wrong while a part is sent, what becomes of that part by its kind (None: cannot happen to it), and what
    a person sees and does. `rest`: what becomes of the parts after it; `everybody`: it happens to all chats."""

    what: str
    arrange: Trouble
    fates: tuple[Fate | None, Fate | None, Fate | None]
    person: str
    rest: Fate = ONCE
    everybody: bool = False


# ------------------------------------------------------------------------------------------------- what is promised

LOOK = "a text says that it comes again; what is held: look into the chat, and `deliveries resend` what is missing"
UNSURE = (TWICE, ONE_HELD, ONE_HELD)
CASES = {
    "clean": Case("nothing", nothing, (ONCE, ONCE, ONCE), "nothing to do; sending again sends nothing"),
    "killed before": Case(
        "the process is killed before the request leaves", killed("before"), (AGAIN, NONE_HELD, NONE_HELD), LOOK
    ),
    "killed during": Case(
        "the process is killed while the request is under way, and it arrives", killed("during"), UNSURE, LOOK
    ),
    "killed after": Case(
        "the process is killed before it has noted that Telegram took it", killed("after"), UNSURE, LOOK
    ),
    "stall": Case("Telegram takes it and never answers", fault("stall"), UNSURE, LOOK),
    "drop": Case("Telegram takes it and the connection breaks", fault("drop"), UNSURE, LOOK),
    "502 before": Case(
        "an error of Telegram's own (5xx), and it was not taken",
        fault("bad_gateway"),
        (AGAIN, NONE_HELD, NONE_HELD),
        LOOK,
    ),
    "502 after": Case(
        "an error of Telegram's own (5xx), and it was taken all the same", fault("accepted_bad_gateway"), UNSURE, LOOK
    ),
    "429 short": Case(
        "Telegram asks to wait for up to two minutes", fault("flood", value=3), (ONCE, ONCE, ONCE), "nothing: it waits"
    ),
    "429 long": Case(
        "Telegram asks to wait for longer",
        fault("flood", value=600),
        (ONCE, ONCE, ONCE),
        "it comes later; until then `deliveries list` shows it as pending",
    ),
    "refused connection": Case(
        "no connection to Telegram",
        unplugged,
        (ONCE, ONCE, ONCE),
        "it comes when there is one; until then `deliveries list` shows it as pending",
        everybody=True,
    ),
    "wrong token": Case(
        "the bot's token is not accepted",
        with_a_wrong_token,
        (ONCE, ONCE, ONCE),
        "`deliveries list` says so: put `TELEGRAM_BOT_TOKEN` right, and it comes",
        everybody=True,
    ),
    "block": Case(
        "the person has blocked the bot, or the group has removed it",
        fault("blocked", times=0),
        (REFUSED, REFUSED, REFUSED),
        "`subscribers list` shows the chat as paused; it gets the next report after letting the bot in again",
        rest=REFUSED,
    ),
    "migration": Case(
        "the group has become a supergroup with another number",
        fault("migrate", times=0, value=int(NEW)),
        (ONCE, ONCE, ONCE),
        "nothing: the chat's new number is kept",
    ),
    "topic": Case(
        "the forum topic is closed or deleted",
        in_a_topic,
        (ONCE, ONCE, ONCE),
        "it comes to the chat itself, and a text says why; subscribe another topic",
    ),
    "markup": Case(
        "Telegram does not understand the markup",
        fault("entities", times=0),
        (ONCE, None, None),
        "the text comes without bold and links",
    ),
    "picture": Case(
        "Telegram does not take a picture as one",
        fault("bad_request", value="PHOTO_INVALID_DIMENSIONS"),
        (None, ONCE, None),
        "the album comes as files",
    ),
    "refused": Case(
        "Telegram refuses it for another reason",
        fault("bad_request", times=0, value="something is wrong with it"),
        (REFUSED, REFUSED, REFUSED),
        "`deliveries list` says why; what follows it is sent",
    ),
}
RUNS = [
    (name, part)
    for name, case in CASES.items()
    for part, fate in enumerate(case.fates)
    if fate and not (name in ("clean", "refused connection") and part)  # they are of no single part
]


def table() -> str:
    """The promise as the documentation shows it."""
    head = "| What goes wrong while it is sent | A text | An album | A file | What you see and do |"
    lines = [head, "|" + " --- |" * 5]
    for case in CASES.values():
        cells = [str(fate) if fate else "–" for fate in case.fates]
        lines.append(f"| {case.what} | {' | '.join(cells)} | {case.person} |")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------- that it is kept


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    """Forks a child for each delivery that is to be killed."""
    words = [sys.executable, "-W", "error", "-m", "analytics_platform_tests.delivery_process"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as started:  # type: ignore[call-overload]
        try:
            assert answer(started) == "ready"
            yield started
        finally:
            started.kill()


@pytest.fixture
def world(tmp_path: Path, process: subprocess.Popen[str]) -> Iterator[World]:
    """Two chats, nothing sent yet."""
    with telegram_server() as server:
        yield World(server, tmp_path, server.url, process)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), RUNS, ids=[f"{name}, {LABELS[part]}" for name, part in RUNS])
def test_nothing_is_lost_that_is_promised_and_nothing_comes_twice_that_is_held(
    world: World, name: str, part: int
) -> None:
    case = CASES[name]
    case.arrange(world, part)
    others = [ONCE] * 3
    if not case.everybody:
        assert world.fates(BOB) == others, "the other chat has all at once"
    for _ in range(3):
        world.go_on()

    fate = case.fates[part]
    assert fate
    assert world.fates(ANN, NEW) == [*[ONCE] * part, fate, *[case.rest] * (2 - part)]
    assert world.fates(BOB) == others
    assert {p.attempts for p in world.parts(BOB)} == {1} or case.everybody
    assert world.ledger.due(world.time.moment() + timedelta(hours=1)) == []
    seen = {problem.kind for problem in world.office().ledgers.problems.open()}
    told = {HELD: {"delivery"}, FAILED: {"paused" if name == "block" else "delivery"}}
    assert seen == told.get(fate.state, {"astray"} if name == "topic" else set())
    if fate.state is HELD:
        sent_on_a_persons_word(world, part, fate)


def sent_on_a_persons_word(world: World, part: int, fate: Fate) -> None:
    """What is held goes out once more, and once only."""
    send_again(world.office(), [world.parts(ANN)[part]], ME, world.time.moment())
    world.go_on()
    assert world.fates(ANN)[part] == Fate(fate.times + 1, SENT)
    assert world.fates(BOB) == [ONCE] * 3
    assert world.office().ledgers.problems.open() == []


@pytest.mark.parametrize("part", [TEXT, ALBUM, CSV])
def test_the_other_chat_waits_for_no_answer_to_this_one(world: World, part: int) -> None:
    """The answer stays out until the other chat has everything."""
    world.kind = TelegramChannel  # for as long as a person would wait
    world.server.faults.append(Fault("stall", METHODS[part], ANN))

    def let_go() -> bool:
        until(lambda: len(world.server.to(BOB)) == 3 and bool(world.taken(part, ANN)))
        world.server.closing.set()
        return len(world.taken(part, ANN)) == 1 and not any(world.taken(later, ANN) for later in range(part + 1, 3))

    with ThreadPoolExecutor(1) as thread:
        waited_alone = thread.submit(let_go)
        world.deliver()
        assert waited_alone.result(60)


def test_a_migrated_chat_is_known_by_its_new_number(world: World) -> None:
    fault("migrate", times=0, value=int(NEW))(world, ALBUM)
    office = world.office()
    assert [recipient.address for recipient in office.recipients(TOPIC)] == [NEW, BOB]
    assert [part.address for part in world.parts(ANN, NEW)] == [NEW] * 3
    assert [one.chat for one in world.server.accepted if one.chat != BOB] == [ANN, NEW, NEW]


def test_a_blocked_chat_is_not_asked_again(world: World) -> None:
    fault("blocked", times=0)(world, TEXT)
    [paused] = world.office().ledgers.subscribers.all(active=False)
    assert (paused.address, paused.paused_by) == (ANN, "telegram")
    for _ in range(3):
        world.go_on()
    assert [chat for _, chat in world.server.requests].count(ANN) == 1


def test_what_never_gets_through_is_given_up_in_the_end_and_not_before(world: World) -> None:
    world.server.faults.append(Fault("bad_token", times=0))
    world.deliver(hours=3)
    goes = 0
    while any(part.unfinished for part in world.parts(ANN, BOB)):
        world.go_on()
        goes += 1
    assert {part.state for part in world.parts(ANN, BOB)} == {FAILED}
    assert timedelta(hours=3) <= timedelta(seconds=world.time.seconds) < timedelta(hours=4)
    assert goes < 40, "more and more rarely"
    assert world.server.accepted == []
    problems = world.office().ledgers.problems.open()
    assert any(re.search("failed. not sent by .* TELEGRAM_BOT_TOKEN is not accepted", one.text) for one in problems)


def test_a_chat_that_is_to_be_left_alone_is_so_while_the_other_goes_on(world: World) -> None:
    world.server.faults.append(Fault("flood", "sendMessage", ANN, value=3600))
    world.server.faults.append(Fault("flood", "sendMessage", BOB, value=300))
    world.deliver()
    world.go_on()
    assert [p.state for p in world.parts(BOB)] == [SENT] * 3
    assert [chat for _, chat in world.server.requests].count(ANN) == 1
    assert world.time.seconds < 600
    world.go_on()
    assert world.fates(ANN) == world.fates(BOB) == [ONCE] * 3
    assert 3600 < world.time.seconds < 3700


def test_a_chat_that_is_to_be_left_alone_for_an_hour_keeps_no_other_report_waiting(world: World) -> None:
    world.server.faults.append(Fault("flood", "sendMessage", ANN, value=3600))
    world.deliver()
    office, before = world.office(), world.time.seconds
    office.post.deliver(parcel("app_daily"), office.recipients("app_daily"), ME)
    assert world.time.seconds - before < 150
    for _ in range(3):
        world.go_on()
    for topic in (TOPIC, "app_daily"):
        assert {part.state for part in world.ledger.parts(topic, PERIOD)} == {SENT}
    assert len(world.server.to(ANN)) == len(world.server.to(BOB)) == 6


def test_the_documentation_promises_exactly_this() -> None:
    [shown] = re.findall(r"<!-- faults -->\n(.*?)\n<!-- /faults -->", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown.strip() == table(), "paste what `python -m analytics_platform_tests.test_delivery_faults` prints"


if __name__ == "__main__":
    print(table())
