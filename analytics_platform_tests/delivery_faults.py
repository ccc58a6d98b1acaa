"""Two chats, a Bot API server, a state folder and a clock; and the ways in which a delivery between them goes wrong.

Belongs here: making it happen at one part of the report, and counting what arrived. Does not: what is promised then
(`test_delivery_faults.py`), the process that is killed (`delivery_process.py`).
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event

from analytics_platform.channels.telegram import TelegramChannel
from analytics_platform.channels.telegram_pacing import MemorySlots
from analytics_platform.defs.deliveries import see_to, send_due
from analytics_platform.defs.liveness import this_host
from analytics_platform.defs.office import Office, note
from analytics_platform.settings import Home
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import Part, State
from analytics_platform_tests.delivery_process import ANN, BOB, CARDS, LABELS, card, new_office, parcel
from analytics_platform_tests.forked import answer, tell
from analytics_platform_tests.scripted import PERIOD, TOPIC, FakeTime, new_database
from analytics_platform_tests.services import until
from analytics_platform_tests.telegram_server import Accepted, Fault, FaultKind, TelegramServer
from analytics_platform_tests.telegram_silence import Hurried

METHODS = ("sendMessage", "sendMediaGroup", "sendDocument")
TEXT, ALBUM, CSV = range(3)
NEW = "-1009"
ME = Owner("later", this_host(), os.getpid())
SENT, HELD = State.SENT, State.UNCERTAIN

# Brings trouble to one part of the report, by its number, and makes the first go at it.
Trouble = Callable[["World", int], None]


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


@dataclass
class World:
    """A server, a state folder, a clock; `chats` as they are configured; the delivery that goes wrong, by the labels of
    its parts and the requests that they take; how many requests had been taken before it."""

    server: TelegramServer
    folder: Path
    url: str
    process: subprocess.Popen[str]
    chats: tuple[str, ...] = (ANN, BOB)
    time: FakeTime = field(default_factory=FakeTime)
    kind: type[TelegramChannel] = Hurried
    period: str = PERIOD
    labels: Sequence[str] = LABELS
    methods: Sequence[str] = METHODS
    before: int = 0

    def __post_init__(self) -> None:
        self.slots = MemorySlots(self.time.clock)
        self.ledger = Deliveries(new_database(Home(self.folder).state))

    def office(self) -> Office:
        """As the next process builds it."""
        return new_office(self.folder, self.url, self.chats, self.time, self.slots, kind=self.kind)

    def deliver(self, *, hours: float = 24) -> None:
        """The first go, as a run does it."""
        office = self.office()
        sent = card(self.period, hours=hours) if self.period in CARDS else parcel(hours=hours)
        delivered = office.post.deliver(sent, office.recipients(TOPIC), ME)
        note(office.ledgers, TOPIC, self.period, delivered, self.time.moment())

    def go_on(self) -> None:
        """What the platform does by itself, past the moment for which something was left."""
        office, waiting = self.office(), self.ledger.waiting(self.time.moment())
        pause = waiting - self.time.moment() if waiting else timedelta(minutes=1)
        self.time.pass_by(pause + timedelta(seconds=1))
        see_to(office, self.time.moment())
        send_due(office, ME, self.time.moment())

    def parts(self, *addresses: str) -> list[Part]:
        """What the ledger says of a chat, under whichever address it is there."""
        return [part for part in self.ledger.parts(TOPIC, self.period) if part.address in addresses]

    def state(self, part: int) -> State:
        """What the ledger says of that part for the chat in trouble."""
        [found] = [one.state for one in self.parts(ANN) if one.part == self.labels[part]]
        return found

    def taken(self, part: int, *addresses: str) -> list[Accepted]:
        """What Telegram took of that part for the chat."""
        here = [one for one in self.server.accepted[self.before :] if one.chat in addresses]
        return [one for one in here if one.method == self.methods[part]]

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


def fault(kind: FaultKind, *, times: int = 1, value: float | str | None = None) -> Trouble:
    """The server answers the part's first requests so; 0 times is for ever."""

    def arrange(world: World, part: int) -> None:
        world.server.faults.append(Fault(kind, world.methods[part], ANN, times, value))
        world.deliver()

    return arrange


def in_a_topic(world: World, part: int) -> None:
    """The chat's topic is closed before the part comes."""
    world.chats = (f"{ANN}/45", BOB)
    fault("topic_gone", times=0)(world, part)


def unplugged(world: World, part: int) -> None:
    """There is no way to the server at first."""
    url, asked = world.url, len(world.server.requests)
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        world.url = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}"
        world.deliver()
        world.go_on()
    assert len(world.server.requests) == asked
    world.url = url


def with_a_wrong_token(world: World, part: int) -> None:
    """The token is not accepted from this part on; then it is put right."""
    world.server.faults.append(Fault("bad_token", world.methods[part], times=0))
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


def killed(when: str) -> Trouble:
    """The process is killed `before` the request, `during` it, or `after` Telegram took it."""

    def arrange(world: World, part: int) -> None:
        job = {"folder": str(world.folder), "url": world.server.url, "address": ANN, "label": world.labels[part]}
        job["period"] = world.period
        tell(world.process, json.dumps(job))
        child = answer(world.process)
        # The other chat is done by then: nobody waits for this one.
        until((world.folder / "there").exists)
        until(lambda: {p.state for p in world.parts(BOB)} == {SENT})
        assert world.state(part) is State.SENDING
        held = Held("page", world.methods[part], ANN)
        if when == "during":
            world.server.faults.append(held)
        elif when == "after":
            world.server.faults.append(Fault("stall", world.methods[part], ANN))
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
        assert world.state(part) is State.SENDING

    return arrange
