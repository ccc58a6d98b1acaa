"""A go at a delivery that is broken off, has a defect, or is not the only one."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from analytics_platform.channels.base import Recipient
from analytics_platform.delivery import Parcel, Post
from analytics_platform.dispatch import Tools
from analytics_platform.state.deliveries import Deliveries
from analytics_platform.state.owners import Owner
from analytics_platform.state.parts import Part, State
from analytics_platform_tests.scripted import (
    ALBUM,
    CSV,
    LABELS,
    ME,
    NOT_SENT,
    PERIOD,
    REPORT,
    TEXT,
    TOPIC,
    Desk,
    FakeTime,
    Scripted,
    Try,
    channel,
    chat,
    desk,
    new_database,
)

__all__ = ["channel", "desk"]  # fixtures

ANN, BOB = chat("ann"), chat("bob")
ALL = list(LABELS)
SENT = ["sent", "sent", "sent"]


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """SIGINT is Ctrl-C, whoever runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class DefectError(Exception):
    """What no channel should raise."""


@pytest.mark.parametrize(
    ("label", "states"), [(TEXT, ["uncertain", "pending", "pending"]), (ALBUM, ["sent", "uncertain", "pending"])]
)
def test_a_defect_is_raised_after_everybody_else_got_theirs(
    desk: Desk, channel: Scripted, label: str, states: list[str]
) -> None:
    channel.answers("ann", label, DefectError("a bug"))
    with pytest.raises(DefectError, match="a bug"):
        desk.deliver(ANN, BOB)
    assert channel.got("bob") == ALL
    assert desk.states("bob") == SENT
    assert desk.states("ann") == states
    broken = desk.parts("ann")[ALL.index(label)]
    assert broken.error == "broken off while it was being sent (DefectError)"
    assert broken.owner is None

    desk.send(ANN, BOB)
    if label == TEXT:
        assert channel.got("ann") == [TEXT, "1 text!", ALBUM, CSV]
    else:
        assert channel.got("ann") == [TEXT, ALBUM, CSV], "the album is held, what follows it is sent"
    assert channel.got("bob") == ALL


def test_a_channel_that_cannot_even_begin_keeps_no_other_channel_waiting(desk: Desk, channel: Scripted) -> None:
    class Closed(Scripted):
        def sender(self, files: Any) -> Any:
            raise DefectError("no line")

    desk.channels["closed"] = Closed(desk.time, "closed")
    with pytest.raises(DefectError, match="no line"):
        desk.deliver(chat("ann", channel="closed"), BOB)
    assert channel.got("bob") == ALL
    assert desk.states("ann") == ["pending"] * 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_whoever_ends_the_process_leaves_what_was_on_its_way_uncertain(
    desk: Desk, channel: Scripted, error: type[BaseException]
) -> None:
    """As Dagster's own handler does it: the exception comes up in the middle of a try."""

    async def pause(this: Try) -> None:
        if this.address == "ann" and this.label == ALBUM:
            raise error

    channel.pause = pause
    with pytest.raises(error):
        desk.deliver(ANN)
    assert desk.states("ann") == ["sent", "uncertain", "pending"]
    channel.pause = None
    desk.send(ANN)
    assert channel.got("ann") == [TEXT, ALBUM, CSV]


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_leaves_what_was_on_its_way_uncertain_and_the_rest_to_be_sent(desk: Desk, channel: Scripted) -> None:
    async def pause(this: Try) -> None:
        if len(channel.got("ann")) == 2 and len(channel.got("bob")) == 2:
            signal.raise_signal(signal.SIGINT)
        if this.label == ALBUM:
            await asyncio.Event().wait()

    channel.pause = pause
    with pytest.raises(KeyboardInterrupt):
        desk.deliver(ANN, BOB)
    for who in ("ann", "bob"):
        assert desk.states(who) == ["sent", "uncertain", "pending"]
        assert desk.parts(who)[1].error == "broken off while it was being sent (CancelledError)"
    channel.pause = None
    desk.send(ANN, BOB)
    assert channel.got("ann") == channel.got("bob") == ALL


class Slow(Deliveries):
    """A ledger in which something happens at a moment: `before` and `after` a method's transaction, by its name."""

    before: Callable[[str], None]
    after: Callable[[str], None]

    def begin(self, *args: Any, **named: Any) -> Part | None:
        """See `Deliveries`."""
        self.before("begin")
        begun = super().begin(*args, **named)
        self.after("begin")
        return begun

    def end(self, *args: Any, **named: Any) -> Part:
        """See `Deliveries`."""
        self.before("end")
        ended = super().end(*args, **named)
        self.after("end")
        return ended


def slow(desk: Desk, folder: Path) -> Slow:
    """The desk's ledger, slowed down."""
    ledger = Slow(new_database(folder / "state.sqlite"))
    ledger.before = ledger.after = lambda _: None
    desk.tools = replace(desk.tools, ledger=ledger)
    desk.again()
    return ledger


def go_round(loop: asyncio.AbstractEventLoop) -> None:
    """Wait, in another thread, until the loop has seen to all that there is: steps begun, signals raised."""
    done = threading.Event()
    loop.call_soon_threadsafe(done.set)
    assert done.wait(60)


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_takes_back_no_word_of_what_was_accepted(desk: Desk, channel: Scripted, tmp_path: Path) -> None:
    """Both texts were accepted: the word of one is just being written, that of the other waits for its turn."""
    ledger, once = slow(desk, tmp_path), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def pause(this: Try) -> None:
        loops.append(asyncio.get_running_loop())

    def before(what: str) -> None:
        if what == "end" and not once.is_set():
            once.set()
            until = time.monotonic() + 60
            while len(channel.tries) < 2 and time.monotonic() < until:
                time.sleep(0.001)
            go_round(loops[0])
            signal.raise_signal(signal.SIGINT)
            go_round(loops[0])

    channel.pause = pause

    # Both are begun before the first ends: one thread asks the ledger, in order.
    ledger.before = before
    with pytest.raises(KeyboardInterrupt):
        desk.deliver(ANN, BOB)
    assert len(channel.tries) == 2
    assert desk.states("ann")[0] == desk.states("bob")[0] == "sent"
    ledger.before = lambda _: None
    desk.send(ANN, BOB)
    assert channel.got("ann") == channel.got("bob") == ALL


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_before_the_request_leaves_nothing_to_wonder_about(
    desk: Desk, channel: Scripted, tmp_path: Path
) -> None:
    ledger = slow(desk, tmp_path)
    begun: list[str] = []

    def after(what: str) -> None:
        begun.append(what)
        if begun.count("begin") == 2 and what == "begin":  # the album's
            signal.raise_signal(signal.SIGINT)

    ledger.after = after
    with pytest.raises(KeyboardInterrupt):
        desk.deliver(ANN)
    assert channel.got("ann") == [TEXT]
    assert desk.states("ann") == ["sent", "pending", "pending"]
    assert not desk.parts("ann")[1].doubtful
    ledger.after = lambda _: None
    desk.send(ANN)
    assert channel.got("ann") == ALL


# ----------------------------------------------------------------- not the only one


def test_what_a_dead_process_was_sending_is_taken_over(desk: Desk, channel: Scripted) -> None:
    """Nobody has looked for its leftovers yet."""
    dead = Owner("dead", "here", 2)
    desk.post.hand_over(parcel(), [ANN, BOB])
    for who, number in (("ann", 0), ("bob", 1)):
        part = desk.parts(who)[number]
        assert desk.ledger.begin(part.id, dead, desk.time.moment(), lease=desk.tools.lease, gone=lambda _: False)
    desk.tools = replace(desk.tools, gone=lambda owner: owner == dead)
    desk.send(ANN, BOB)
    assert channel.got("ann") == ["1 text!", ALBUM, CSV]
    assert channel.got("bob") == [TEXT, CSV]
    assert desk.states("bob") == ["sent", "uncertain", "sent"]


def test_what_a_living_process_is_sending_is_left_to_it_and_so_is_what_follows(desk: Desk, channel: Scripted) -> None:
    other = Owner("other", "here", 2)
    desk.post.hand_over(parcel(), [ANN, BOB])
    part = desk.parts("ann")[0]
    assert desk.ledger.begin(part.id, other, desk.time.moment(), lease=desk.tools.lease, gone=lambda _: False)
    assert desk.send(ANN, BOB).unfinished
    assert (channel.got("ann"), channel.got("bob")) == ([], ALL)


def parcel(period: str = PERIOD) -> Parcel:
    """A report in English."""
    return Parcel(TOPIC, period, {"en": REPORT})


@pytest.mark.parametrize("trouble", [False, True])
def test_processes_that_send_the_same_delivery_at_once_send_every_piece_once(tmp_path: Path, trouble: bool) -> None:
    """Four engines, each with a database, a channel and a thread of its own, as processes have."""
    time_of_all, folder = FakeTime(), tmp_path
    people = [chat(f"p{number}") for number in range(5)]
    accepted: list[tuple[str, str]] = []
    lock = threading.Lock()
    failures = {("p1", TEXT), ("p2", ALBUM), ("p3", CSV)} if trouble else set()

    class Slowly(Scripted):
        async def send(self, recipient: Recipient, piece: Any, *, repeat: bool, silent: bool) -> Any:
            key = (recipient.address, piece.label)
            time.sleep(0.001)
            with lock:
                if key in failures:
                    failures.discard(key)
                    return NOT_SENT
                accepted.append(key)
            return await super().send(recipient, piece, repeat=repeat, silent=silent)

    first = Desk(folder, time_of_all, Slowly(time_of_all))
    first.post.hand_over(parcel(), people)
    start = threading.Barrier(4)

    def work(number: int) -> None:
        desk = Desk(folder, time_of_all, Slowly(time_of_all))
        start.wait(30)
        desk.post.send(TOPIC, PERIOD, people, Owner(f"run{number}", "here", number))

    with ThreadPoolExecutor(4) as threads:
        for end in [threads.submit(work, number) for number in range(4)]:
            end.result(60)
    for one in people:
        assert [label for who, label in accepted if who == one.address] == ALL
        assert first.states(one.address) == SENT
    assert {part.doubtful for part in first.ledger.parts(TOPIC, PERIOD)} == {False}


def test_it_can_be_sent_from_within_a_running_loop(desk: Desk, channel: Scripted) -> None:
    """As in a notebook or a bot's handler."""

    async def handler() -> None:
        desk.deliver(ANN)

    asyncio.run(handler())
    assert channel.got("ann") == ALL


def test_the_engine_needs_no_clock_but_the_one_it_is_given(desk: Desk) -> None:
    moments: list[datetime] = []

    def clock() -> datetime:
        moments.append(desk.time.moment())
        return moments[-1]

    tools = Tools(desk.ledger, desk.subscribers, clock, lambda _: False, sleep=desk.time.sleep)
    post = Post(tools, desk.sent, lambda name: desk.channels[name])
    delivered = post.deliver(parcel(), [ANN], ME)
    assert {part.sent_at for part in delivered.parts} == set(moments)
    assert delivered.parts[0].state is State.SENT
