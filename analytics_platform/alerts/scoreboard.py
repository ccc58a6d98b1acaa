"""The scoreboard: what alerts made of incidents that were planted, and what they told besides.

Belongs here: which told incident is which planted one, what counts as false, rows to show. Does not: the replay
(`replay.py`), finding explanations (the caller's function), printing. Pure. Imported lazily only: what it imports needs
numpy.

How they are matched, in order:
1. Rows of the truth of one kind and span are one planted incident. Daily figures (`retention_day_1`) are never judged
   by the quarter hour; a campaign is looked for by what its newcomers do in the feed.
2. A planted incident is found by the first incident that started within it (or the bucket before), was told of its
   service before it was over, and moved its way: down where the size is below 1, up where it is above. A slide of the
   click rate is found only by ctr or likes. An incident that was open already before is none: nobody hears of another.
3. The delay runs from the planted start to the end of the bucket that opened the incident, when its message goes.
4. Blame is right when the explanation names one of the planted slices, or, of a planted change of everybody, none.
5. False is what overlaps no planted incident of a service of its own, nor the hour after one. What overlaps one and did
   not find it is neither: it is counted as `beside`. Of a slide of five days that is five days' benefit of the doubt.
6. Planted incidents that began before the detector could tell anything are left out, and said to be.

A campaign's newcomers may be too few to be seen in a quarter of an hour; it then reads "not seen" and counts as missed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from analytics_platform.alerts.explanation import Explanation, Verdict, slice_name
from analytics_platform.alerts.findings import Direction
from analytics_platform.alerts.incident import Incident
from analytics_platform.alerts.replay import Replayed, Told
from analytics_platform.language import Language
from analytics_platform.metrics.series import BUCKET

_ECHO = timedelta(hours=1)
_BY_METRIC = {"ctr": ("ctr", "likes")}
_SERVICES = {"message_actions": "messenger"}
_DAILY = ("retention_day_1",)


class Truth(Protocol):
    """A row of the truth: see `simulate.incidents.Incident`, which is one."""

    @property
    def kind(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def slice(self) -> str: ...
    @property
    def start(self) -> datetime: ...
    @property
    def end(self) -> datetime: ...
    @property
    def size(self) -> float: ...


@dataclass(frozen=True)
class Planted:
    """One thing that was made to go wrong. `metrics` as the truth names them, `slices` as `dimension=value`."""

    kind: str
    start: datetime
    end: datetime
    metrics: tuple[str, ...]
    slices: tuple[str, ...]
    direction: Direction

    @property
    def services(self) -> tuple[str, ...]:
        """Whose series show it."""
        return tuple(sorted({_SERVICES.get(metric, "feed") for metric in self.metrics}))

    def is_found_by(self, told: Told) -> bool:
        """Whether that incident is this one. Rule 2."""
        incident = told.incident
        if not self.start - BUCKET <= incident.started < self.end or not told.opened <= self.end + BUCKET:
            return False
        wanted = {metric for name in self.metrics for metric in _BY_METRIC.get(name, ())}
        return any(
            member.series.service in self.services
            and member.direction is self.direction
            and (not wanted or member.series.metric in wanted)
            for member in incident.members
        )

    def excuses(self, told: Told) -> bool:
        """Whether that incident is no false alarm. Rule 5."""
        own = set(self.services) & set(told.incident.services)
        return bool(own) and told.overlaps(self.start - BUCKET, self.end + _ECHO)


@dataclass(frozen=True)
class Score:
    """What became of a planted incident. `blamed` is None where there was nothing to explain."""

    planted: Planted
    told: Told | None
    explanation: Explanation | None = None

    @property
    def delay(self) -> timedelta | None:
        """From its start until its message."""
        return max(self.told.opened - self.planted.start, BUCKET) if self.told else None

    @property
    def right(self) -> bool | None:
        """Whether the blame is. Rule 4; None where nothing could be told."""
        if self.explanation is None or self.explanation.verdict is Verdict.NOT_ENOUGH:
            return None
        named = {
            f"{part.dimension}={value}"
            for found in self.explanation.slices
            for part in found.parts
            for value in part.values
        }
        return bool(named & set(self.planted.slices)) if self.planted.slices else not named


@dataclass(frozen=True)
class Scoreboard:
    """All of it. `false`: rule 5; `beside`: told within a planted incident, and not it; `skipped`: rule 6.

    `since`: from when on the detector could tell. `weeks`: how long that was until the end.
    """

    scores: tuple[Score, ...]
    false: tuple[Told, ...]
    beside: tuple[Told, ...]
    skipped: tuple[Planted, ...]
    since: datetime
    weeks: float

    @property
    def found(self) -> int:
        """Planted incidents that were."""
        return sum(score.told is not None for score in self.scores)


def planted(truth: Iterable[Truth]) -> tuple[Planted, ...]:
    """The rows of the truth by incident, in order of time. Rule 1."""
    groups: dict[tuple[datetime, datetime, str], list[Truth]] = {}
    for row in truth:
        groups.setdefault((row.start, row.end, row.kind), []).append(row)
    found = []
    for (start, end, kind), rows in sorted(groups.items(), key=lambda item: item[0]):
        quarter = [row for row in rows if row.metric not in _DAILY]
        if quarter:
            direction = Direction.DOWN if quarter[0].size < 1 else Direction.UP
            metrics, slices = (tuple(sorted({getattr(r, n) for r in quarter} - {""})) for n in ("metric", "slice"))
            found.append(Planted(str(kind), start, end, metrics, slices, direction))
    return tuple(found)


def score(
    truth: Iterable[Truth], replayed: Replayed, explain: Callable[[Incident], Explanation | None], since: datetime
) -> Scoreboard:
    """The planted incidents against those that the replay told. `since`: aware; earlier ones are left out.

    `explain` is asked once for each incident that found a planted one.
    """
    end = replayed.last
    every = [one for one in planted(truth) if one.start < end]
    counted = [one for one in every if one.start >= since]
    told = [one for one in replayed.told if one.incident.started >= since]
    scores = []
    for one in counted:
        first = min((t for t in told if one.is_found_by(t)), key=lambda t: t.opened, default=None)
        scores.append(Score(one, first, explain(first.incident) if first else None))
    finders = {score.told.incident.key for score in scores if score.told}
    rest = [t for t in told if t.incident.key not in finders]
    beside = tuple(t for t in rest if any(one.excuses(t) for one in every))
    false = tuple(t for t in rest if t not in beside)
    skipped = tuple(one for one in every if one.start < since)
    return Scoreboard(tuple(scores), false, beside, skipped, since, (end - since) / timedelta(weeks=1))


def rows(board: Scoreboard, zone: ZoneInfo, language: Language) -> Iterator[dict[str, object]]:
    """One row for each planted incident; moments in `zone`."""
    for one in board.scores:
        yield {
            "planted": one.planted.kind.replace("_", " "),
            "in": ", ".join(s.partition("=")[2] for s in one.planted.slices) or ", ".join(one.planted.metrics),
            "from": f"{one.planted.start.astimezone(zone):%Y-%m-%d %H:%M}",
            "lasted": span(one.planted.end - one.planted.start),
            "told after": span(one.delay) if one.delay else "not seen",
            "told as": _told_as(one.told) if one.told else "",
            "blamed on": blame(one.explanation, language) if one.told else "",
            "right": {True: "yes", False: "no", None: ""}[one.right],
        }


def summary(board: Scoreboard, zone: ZoneInfo) -> tuple[str, ...]:
    """Plain sentences: found, false alarms, what is left out."""
    total = len(board.scores)
    delays = sorted(score.delay for score in board.scores if score.delay)
    found = f"{board.found} of {_many(total, 'planted incident')} {'was' if board.found == 1 else 'were'} told"
    if delays:
        found += f", half of them within {span(delays[(len(delays) - 1) // 2])}"
    rate = len(board.false) / board.weeks if board.weeks else 0.0
    said = [
        f"{found}; {_many(len(board.false), 'false alarm')} in {board.weeks:.1f} weeks ({rate:.1f} a week, all metrics "
        f"and slices together)"
        + (f"; {_many(len(board.beside), 'alert')} more at the time of planted ones." if board.beside else "."),
        f"The days before {board.since.astimezone(zone):%Y-%m-%d} are learned from and not judged"
        + (f"; {_many(len(board.skipped), 'planted incident')} lay there." if board.skipped else "."),
    ]
    if board.false:
        said.append("False: " + "; ".join(_when(one, zone) for one in board.false[:5]) + _more(board.false[5:]))
    return tuple(said)


def blame(explanation: Explanation | None, language: Language) -> str:
    """What an explanation names, in a few words."""
    if explanation is None or explanation.verdict is Verdict.NOT_ENOUGH:
        return "too little to tell"
    if explanation.slices:
        named = "; ".join(slice_name(found.parts, language) for found in explanation.slices)
        return f"mix: {named}" if explanation.verdict is Verdict.MIX else named
    return "mix" if explanation.verdict is Verdict.MIX else "everybody"


def span(length: timedelta) -> str:
    """`45 min`, `1 h 30 min`, `5 d`."""
    minutes = int(length / timedelta(minutes=1))
    days, hours, rest = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = ((days, "d"), (hours, "h"), (rest, "min"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 min"


def _told_as(told: Told) -> str:
    lead = told.incident.lead
    member = told.incident.member(lead) if lead else None
    more = len(told.incident.members) - 1
    said = f"{lead} {member.direction}" if lead and member else ""
    return said + (f" and {more} more" if more else "")


def _when(told: Told, zone: ZoneInfo) -> str:
    return f"{told.incident.started.astimezone(zone):%Y-%m-%d %H:%M} {_told_as(told)}"


def _more(rest: Sequence[Told]) -> str:
    return f"; and {len(rest)} more." if rest else "."


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
