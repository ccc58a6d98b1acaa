"""What the users write to each other on one day: conversations with replies.

Belongs here: the day's messages. Does not: who the users are (`population.py`), Arrow tables (`generator.py`).
Imported lazily only: numpy is imported at the top.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics_platform.simulate.activity import chat_curve, chat_factor, undisturbed, whole_seconds
from analytics_platform.simulate.population import FRIENDS, Ints, Population
from analytics_platform.simulate.scenario import Day

CONVERSATIONS = 0.7  # a starter and day, mean, beyond the first
ANSWERED = 0.55  # of the conversations with somebody who is around and writes
MESSAGES = 5.5  # a conversation, mean
SECONDS_PER_MESSAGE = 50
FOUND_ANOTHER = 0.85  # of the starters whose friend has left write to somebody who is around


@dataclass(frozen=True)
class ChatRows:
    """One day's messages by time. `sender`, `receiver`: rows of the population. `second`: since local midnight."""

    sender: Ints
    receiver: Ints
    second: NDArray[np.int64]

    def only(self, keep: NDArray[np.bool_] | None) -> "ChatRows":
        """The marked messages; None: all."""
        return self if keep is None else ChatRows(self.sender[keep], self.receiver[keep], self.second[keep])


def chat_day(rng: np.random.Generator, day: Day, people: Population) -> ChatRows:
    """Everything that is written on that day."""
    starters = people.in_chat(rng, day.index, chat_factor(day.seed, day.index, rng))
    if not day.chat_open:
        starters = starters[:0]
    curve, length = chat_curve(day, rng), day.window.seconds
    starter = np.repeat(starters, 1 + rng.poisson(CONVERSATIONS * people.talk[starters]))
    partner = _partners(rng, people, day.index, starter)
    able = (people.chat_habit[partner] > 0) & people.around(partner, day.index)
    answers = able & (rng.random(starter.size) < ANSWERED)

    messages = rng.geometric(1 / MESSAGES, starter.size)
    conversation = np.repeat(np.arange(starter.size), messages)
    first = np.concatenate(([0], np.cumsum(messages)[:-1])) if starter.size else np.empty(0, dtype=np.int64)
    start = curve.draw(rng, starter.size)
    spread = rng.random(conversation.size)
    spread[first] = 0  # the one who starts writes first
    # Around the curve's moment, not after it: else the first minutes of every day would lack what began before.
    offset = (spread - 0.5) * (messages * SECONDS_PER_MESSAGE)[conversation]
    second = whole_seconds(start[conversation] + offset, (0, length))

    reply = answers[conversation] & (rng.random(conversation.size) < 0.5)
    reply[first] = False
    sender = np.where(reply, partner[conversation], starter[conversation])
    receiver = np.where(reply, starter[conversation], partner[conversation])
    order = np.argsort(second, kind="stable")
    rows = ChatRows(sender[order], receiver[order], second[order])
    rows = rows.only(rows.sender != rows.receiver)
    everyone = np.arange(rows.sender.size)
    return rows.only(undisturbed(day, rows.second, people.city[rows.sender], everyone, messages=True))


def _partners(rng: np.random.Generator, people: Population, index: int, starter: Ints) -> Ints:
    # The first friends get most; who has left is mostly replaced by somebody known that day.
    place = np.minimum(rng.geometric(0.45, starter.size) - 1, FRIENDS - 1)
    partner = people.members[people.friends[np.searchsorted(people.members, starter), place]]
    around = people.members[: np.searchsorted(people.members, people.arrived[index])]
    around = around[people.around(around, index)]
    if around.size:
        another = rng.choice(around, starter.size)
        partner = np.where(people.around(partner, index) | (rng.random(starter.size) > FOUND_ANOTHER), partner, another)
    return partner
