"""Everything that can go wrong while a report is sent, over real HTTP and with killed processes: what arrives, how
often, and what the ledger says of it.

A text, an album of four and a CSV file go to two chats; the trouble is with one part for one of them. Then all is gone
on with three times, as the platform does it, each time past the moment for which something was left.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from analytics_platform.channels.telegram_pacing import MemorySlots
from analytics_platform.defs.deliveries import see_to, send_again, send_due
from analytics_platform.defs.liveness import this_host
from analytics_platform.defs.office import Office, note
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import Part, State
from analytics_platform_tests.delivery_process import ANN, BOB, LABELS, new_office, parcel
from analytics_platform_tests.scripted import PERIOD, TOPIC, FakeTime
from analytics_platform_tests.state.test_processes import Process, answer, tell
from analytics_platform_tests.telegram_server import Accepted, Fault, FaultKind, TelegramServer, telegram_server

METHODS = ("sendMessage", "sendMediaGroup", "sendDocument")
TEXT, ALBUM, CSV = range(3)
NEW = "-1009"
ME = Owner("later", this_host(), os.getpid())
SENT, FAILED, HELD = State.SENT, State.FAILED, State.UNCERTAIN
PAGE = Path(__file__).parents[1] / "docs" / "delivery.md"


@dataclass(frozen=True)
class Fate:
    """How often Telegram took the part, what the ledger says in the end, and whether the last one says that it is a
    repeat."""

    times: int
    state: State
    marked: bool = False

    def __str__(self) -> str:
        state = "held" if self.state is HELD else self.state.value
        return f"{self.times}, {state}{', marked' if self.marked else ''}"


ONCE, AGAIN, TWICE = Fate(1, SENT), Fate(1, SENT, marked=True), Fate(2, SENT, marked=True)
NONE_HELD, ONE_HELD, REFUSED = Fate(0, HELD), Fate(1, HELD), Fate(0, FAILED)


@dataclass(frozen=True)
class Case:
    """What goes wrong while a part is sent, what becomes of that part by its kind (None: cannot happen to it), and what
    a person sees and does. `rest`: what becomes of the parts after it; `everybody`: it happens to all chats."""

    what: str
    arrange: "Callable[[World, int], None]"
    fates: tuple[Fate | None, Fate | None, Fate | None]
    person: str
    rest: Fate = ONCE
    everybody: bool = False


@dataclass
class World:
    """A server, a state folder, a clock; `chats` as they are configured."""

    server: TelegramServer
    folder: Path
    url: str
    process: Process
    chats: tuple[str, ...] = (ANN, BOB)
    time: FakeTime = field(default_factory=FakeTime)
    patient: bool = True
    cleared: bool = False

    def __post_init__(self) -> None:
        self.slots = MemorySlots(self.time.clock)

    def office(self) -> Office:
        """As the next process builds it."""
        return new_office(self.folder, self.url, self.chats, self.time, self.slots)

    def deliver(self) -> None:
        """The first go, as a run does it."""
        office = self.office()
        delivered = office.post.deliver(parcel(), office.recipients(TOPIC), ME)
        note(office.ledgers, TOPIC, PERIOD, delivered, self.time.moment())

    def go_on(self) -> None:
        """What the platform does by itself, past the moment for which something was left."""
        office, ledger = self.office(), self.office().ledgers.deliveries
        waiting = ledger.waiting(self.time.moment())
        pause = waiting - self.time.moment() if waiting else timedelta(minutes=1)
        self.time.pass_by(pause + timedelta(seconds=1))
        see_to(office, self.time.moment())
        send_due(office, ME, self.time.moment())

    def parts(self, *addresses: str) -> list[Part]:
        """What the ledger says of a chat, under whichever address it is there."""
        found = self.office().ledgers.deliveries.parts(TOPIC, PERIOD)
        return [part for part in found if part.address in addresses]

    def taken(self, part: int, *addresses: str) -> list[Accepted]:
        """What Telegram took of that part for the chat."""
        here = [one for one in self.server.accepted if one.chat in addresses]
        return [one for one in here if one.method == METHODS[part]]

    def fates(self, *addresses: str) -> list[Fate]:
        """What has become of each part."""
        found = []
        for number, part in enumerate(self.parts(*addresses)):
            taken = self.taken(number, *addresses)
            found.append(Fate(len(taken), part.state, bool(taken) and taken[-1].text.startswith("Sent again")))
        return found


# ------------------------------------------------------------------------------------------------- how it goes wrong


def nothing(world: World, part: int) -> None:
    """All is well."""
    world.deliver()


def fault(kind: FaultKind, *, times: int = 1, value: float | str | None = None) -> Callable[[World, int], None]:
    """The server answers the part's first requests so; 0 times is for ever."""

    def arrange(world: World, part: int) -> None:
        world.server.faults.append(Fault(kind, METHODS[part], ANN, times, value))
        world.deliver()

    return arrange


def in_a_topic(world: World, part: int) -> None:
    """The chat's topic is closed before the part comes."""
    world.chats = (f"{ANN}/45", BOB)
    fault("topic_gone", times=0)(world, part)


def unplugged(world: World, part: int) -> None:
    """There is no way to the server at first."""
    url = world.url
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        world.url = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}"
        world.deliver()
        world.go_on()
    assert not world.server.requests
    world.url = url


def with_a_wrong_token(world: World, part: int) -> None:
    """The token is not accepted from this part on; then it is put right."""
    world.server.faults.append(Fault("bad_token", METHODS[part], times=0))
    world.deliver()
    world.go_on()
    assert not world.taken(part, ANN, BOB)
    world.server.faults.clear()


@dataclass
class Held(Fault):
    """The request is there and is taken only when it is let go; its sender may be dead by then."""

    reached: Event = field(default_factory=Event)
    released: Event = field(default_factory=Event)

    def matches(self, method: str, chat: str, fields: dict[str, object]) -> bool:
        """Takes its time, and then nothing goes wrong."""
        if super().matches(method, chat, fields):
            self.reached.set()
            self.released.wait(30)
        return False


def killed(when: str) -> Callable[[World, int], None]:
    """The process is killed `before` the request, `during` it, or `after` Telegram took it."""

    def arrange(world: World, part: int) -> None:
        job = {"folder": str(world.folder), "url": world.server.url, "address": ANN, "label": LABELS[part]}
        world.office().ledgers.deliveries.due(world.time.moment())
        tell(world.process, json.dumps(job))
        child = answer(world.process)
        # The other chat is done by then: nobody waits for this one.
        until((world.folder / "there").exists)
        until(lambda: [p.state for p in world.parts(BOB)] == [SENT] * 3)
        assert world.parts(ANN)[part].state is State.SENDING
        held = Held("page", METHODS[part], ANN)
        if when == "during":
            world.server.faults.append(held)
        elif when == "after":
            world.server.faults.append(Fault("stall", METHODS[part], ANN))
        if when != "before":
            (world.folder / "go").touch()
        if when == "during":
            assert held.reached.wait(30)
        elif when == "after":
            until(lambda: bool(world.taken(part, ANN)))
        os.kill(child, signal.SIGKILL)
        assert answer(world.process) == -signal.SIGKILL
        held.released.set()
        until(lambda: when == "before" or bool(world.taken(part, ANN)))
        assert world.parts(ANN)[part].state is State.SENDING

    return arrange


def until(there: Callable[[], bool]) -> None:
    """Wait for it, not for ever."""
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ------------------------------------------------------------------------------------------------- what is promised

LOOK = "`deliveries list` shows it as held: look into the chat, then `deliveries resend` if it is missing"
UNSURE = (TWICE, ONE_HELD, ONE_HELD)
CASES = {
    "clean": Case("nothing", nothing, (ONCE, ONCE, ONCE), "nothing to do; sending again sends nothing"),
    "killed before": Case(
        "the process is killed before the request leaves", killed("before"), (AGAIN, NONE_HELD, NONE_HELD), LOOK
    ),
    "killed during": Case(
        "the process is killed while the request is under way, and it arrives", killed("during"), UNSURE, LOOK
    ),
    "killed after": Case("the process is killed before it has noted that Telegram took it", killed("after"), UNSURE, LOOK),
    "stall": Case("Telegram takes it and never answers", fault("stall"), UNSURE, LOOK),
    "drop": Case("Telegram takes it and the connection breaks", fault("drop"), UNSURE, LOOK),
    "502 before": Case(
        "an error of Telegram's own (5xx), and it was not taken", fault("bad_gateway"), (AGAIN, NONE_HELD, NONE_HELD), LOOK
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
        "it comes to the chat itself, a text says why; subscribe another topic",
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
def process() -> Iterator[Process]:
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
def world(tmp_path: Path, process: Process) -> Iterator[World]:
    """Two chats, nothing sent yet."""
    with ExitStack() as stack:
        server = stack.enter_context(telegram_server())
        yield World(server, tmp_path, server.url, process)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), RUNS, ids=[f"{name}, {LABELS[part]}" for name, part in RUNS])
def test_nothing_is_lost_that_is_promised_and_nothing_comes_twice_that_is_held(
    world: World, name: str, part: int
) -> None:
    case = CASES[name]
    started = time.monotonic()
    case.arrange(world, part)
    others = [ONCE] * 3
    if not case.everybody:
        assert world.fates(BOB) == others, "the other chat has all at once"
        if name == "stall":
            assert world.server.to(BOB)[-1].at - started < 1.4, "and does not wait until this one's patience ends"
    for _ in range(3):
        world.go_on()

    fate = case.fates[part]
    assert fate
    assert world.fates(ANN, NEW) == [*[ONCE] * part, fate, *[case.rest] * (2 - part)]
    assert world.fates(BOB) == others
    assert {p.attempts for p in world.parts(BOB)} == {1} or case.everybody
    ledgers = world.office().ledgers
    assert ledgers.deliveries.due(world.time.moment() + timedelta(hours=1)) == []
    seen = {problem.kind for problem in ledgers.problems.open()}
    assert seen == {HELD: {"delivery"}, FAILED: {"paused" if name == "block" else "delivery"}}.get(fate.state, set())
    if fate.state is HELD:
        sent_on_a_persons_word(world, part, fate)


def sent_on_a_persons_word(world: World, part: int, fate: Fate) -> None:
    """What is held goes out once more, and once only."""
    send_again(world.office(), [world.parts(ANN)[part]], ME, world.time.moment())
    world.go_on()
    assert world.fates(ANN)[part] == Fate(fate.times + 1, SENT)
    assert world.fates(BOB) == [ONCE] * 3
    assert world.office().ledgers.problems.open() == []


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


def test_what_never_gets_through_is_given_up_after_a_day_and_not_before(world: World) -> None:
    world.server.faults.append(Fault("bad_token", times=0))
    world.deliver()
    goes = 0
    while any(part.unfinished for part in world.parts(ANN, BOB)):
        world.go_on()
        goes += 1
    assert {part.state for part in world.parts(ANN, BOB)} == {FAILED}
    assert timedelta(hours=24) <= timedelta(seconds=world.time.seconds) < timedelta(hours=25)
    assert goes < 80, "more and more rarely"
    assert world.server.accepted == []
    [problem] = world.office().ledgers.problems.open()
    assert "TELEGRAM_BOT_TOKEN is not accepted" in problem.text


def test_a_chat_that_is_to_be_left_alone_for_an_hour_keeps_no_other_report_waiting(world: World) -> None:
    world.server.faults.append(Fault("flood", "sendMessage", ANN, value=3600))
    world.deliver()
    office, before = world.office(), world.time.seconds
    office.post.deliver(parcel("app_daily"), office.recipients("app_daily"), ME)
    assert world.time.seconds - before < 150
    for _ in range(3):
        world.go_on()
    for topic in (TOPIC, "app_daily"):
        assert {part.state for part in office.ledgers.deliveries.parts(topic, PERIOD)} == {SENT}
    assert len(world.server.to(ANN)) == len(world.server.to(BOB)) == 6


def test_the_documentation_promises_exactly_this() -> None:
    [shown] = re.findall(r"<!-- faults -->\n(.*?)\n<!-- /faults -->", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown.strip() == table(), "paste what `python -m analytics_platform_tests.test_delivery_faults` prints"


if __name__ == "__main__":
    print(table())
