"""When the next message may go, given what was sent and promised before.

Belongs here: the arithmetic of a pace, pure. Does not: which limits there are (`channels/telegram_pacing.py`), where
what was taken is kept (`state/slots.py`), waiting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# Seconds by which a moment may lie further ahead than the queue explains: a clock that was put back, and not by more
# than this, only makes us wait; what was reserved by a clock more wrong than this is nobody's any more.
CLOCK_SLACK = 600.0

Slot = tuple[float, int]  # seconds since the epoch, weight
Window = tuple[int, float]  # at most so many units within so many seconds


@dataclass(frozen=True)
class Limit:
    """What limits a bucket: `spacing` seconds a unit, during which nothing else begins, and so many in a `window`.

    Both are the bucket's own, the same in every call. ValueError for a spacing under zero, a window without room or
    length.
    """

    bucket: str
    spacing: float = 0.0
    window: Window | None = None

    def __post_init__(self) -> None:
        if self.spacing < 0 or (self.window is not None and (self.window[0] < 1 or self.window[1] <= 0)):
            raise ValueError(f"{self.spacing} s apart, within {self.window}: nothing can be reserved")


@dataclass(frozen=True)
class Turn:
    """A moment, `seconds` from now, for `weight` units in those buckets; nobody's when it is not `reserved`."""

    seconds: float
    moment: float
    weight: int
    buckets: tuple[str, ...] = ()

    @property
    def reserved(self) -> bool:
        """Whether it is ours."""
        return bool(self.buckets)


def put_off(taken: Sequence[Slot], slot: Slot, seconds: float) -> list[Slot]:
    """What is taken when that slot, if it is among them, is so many seconds later; the earliest first."""
    after = list(taken)
    if slot in after:
        after.remove(slot)
        after.append((slot[0] + seconds, slot[1]))
    return sorted(after)


def earliest(
    taken: Sequence[Slot],
    free_at: float,
    now: float,
    weight: int,
    *,
    spacing: float = 0.0,
    window: Window | None = None,
) -> tuple[float, list[Slot]]:
    """The first moment for `weight` units, and what is taken then, without what no longer matters.

    Not before `now`, `free_at`, any moment in `taken` (the earliest first), nor its end (`spacing` seconds a unit
    later). With `window`, no half-open window of that many seconds has more units than its limit; what weighs more than
    the limit has a window to itself. All in seconds since the epoch.
    """
    limit, seconds = window or (1, 0.0)  # without length, a window keeps nobody waiting
    # What weighs together more than the limit is at least a window long; counted twice, as windows share their ends.
    queue = _explained(taken, max(now, free_at), spacing + 2 * seconds / limit)
    moment = max((now, free_at, *(begin + units * spacing for begin, units in queue)))
    room = limit - weight
    for begin, units in reversed(queue):
        room -= units
        if room < 0:
            # It and all before it must have left the window; all after it fit.
            moment = max(moment, begin + seconds)
            break
    needed = [(begin, units) for begin, units in queue if begin + max(seconds, units * spacing) > now]
    return moment, [*needed, (moment, weight)]


def _explained(taken: Sequence[Slot], since: float, pace: float) -> Sequence[Slot]:
    """The slots up to the first that lies further ahead than those before it, `pace` seconds a unit, can explain."""
    ahead = since + CLOCK_SLACK
    for number, (begin, units) in enumerate(taken):
        ahead += units * pace
        if begin > ahead:
            return taken[:number]
    return taken
