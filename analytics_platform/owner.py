"""What an owner is told of problems: who is told of which, and in which words.

Belongs here: the digest's wording, its bounds, the shares of several owners. Does not: what counts as a problem or as
the same one (`state/problems.py`), sending (`delivery.py`), when it goes out (`defs/owner.py`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from analytics_platform.language import Language
from analytics_platform.messages import Text
from analytics_platform.redaction import redact
from analytics_platform.reports.base import fill
from analytics_platform.state.problems import Digest, Problem

# One Telegram message with room for the mark of a repeat, in the UTF-16 units that Telegram counts.
LIMIT = 3936
_MOST_NEW, _MOST_LINES = 15, 40
_TEXTS, _LONGEST_TEXT, _SHORTEST_TEXT, _TEXT_LINES = 2400, 600, 120, 4
_LONGEST_SUBJECT, _LONGEST_URL = 120, 300
# How much of an error is looked at, of its beginning and of its end, and how much of either is then left out where they
# were cut: half a secret is not recognised as one. Redaction of one long word takes its square, 4 ms for 1,000 letters.
_READ_FIRST, _READ_LAST, _SEAM = 1200, 600, 300
_READ_LINE = 500

_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ADDRESS = re.compile(r"https?://[^\s<>\"'`{}|\\^]+", re.IGNORECASE)


def by_owner(digest: Digest, default: Sequence[str], of_report: Mapping[str, Sequence[str]]) -> Mapping[str, Digest]:
    """Each owner's share, an e-mail address or a Telegram chat as key; whoever has nothing to hear is not in it.

    Problems of a report go to the owners in `of_report` if it has any, all others to `default`.
    """

    def share(owner: str, problems: Sequence[Problem]) -> list[Problem]:
        return [problem for problem in problems if owner in (of_report.get(problem.owner_of) or default)]

    owners = dict.fromkeys((*default, *(owner for owners in of_report.values() for owner in owners)))
    shares = {
        owner: Digest(share(owner, digest.new), share(owner, digest.lasting), share(owner, digest.recovered))
        for owner in owners
    }
    return {owner: one for owner, one in shares.items() if one.new or one.lasting or one.recovered}


def redacted(digest: Digest) -> Digest:
    """The same without secrets, invisible signs and most of very long texts; blank lines are gone."""
    return Digest(*([_redacted(p) for p in part] for part in (digest.new, digest.lasting, digest.recovered)))


def digest_messages(digest: Digest, language: Language, zone: ZoneInfo) -> tuple[Text, ...]:
    """One text of at most `LIMIT` UTF-16 units, times in `zone`; none for an empty digest.

    Whatever the errors hold cannot break its markup; what finds no place is counted, and its first line names all.
    """
    if not (digest.new or digest.lasting or digest.recovered):
        return ()
    found = redacted(Digest(digest.new[:_MOST_NEW], digest.lasting[:_MOST_LINES], digest.recovered[:_MOST_LINES]))
    teller = _Teller(language, zone)
    room = max(min(_TEXTS // max(len(found.new), 1), _LONGEST_TEXT), _SHORTEST_TEXT)
    known: set[str] = set()
    new = [teller.block(problem, room, known) for problem in found.new]
    lasting = [teller.lasting(problem) for problem in found.lasting]
    recovered = [teller.recovered(problem) for problem in found.recovered[: _MOST_LINES - len(lasting)]]
    total = len(digest.new) + len(digest.lasting) + len(digest.recovered)
    while True:
        text = fill(
            "owner_digest",
            language,
            title=teller.title(digest),
            new=new,
            lasting=lasting,
            recovered=recovered,
            more=total - len(new) - len(lasting) - len(recovered),
        )
        if len(text.plain.encode("utf-16-le")) // 2 <= LIMIT:
            return (text,)
        # What needs nothing done gives way first.
        dropped: list[Any] = recovered or lasting or new
        dropped.pop()


@dataclass(frozen=True)
class _Teller:
    lang: Language
    zone: ZoneInfo

    def title(self, digest: Digest) -> str:
        """`Analytics platform: 2 new problems, 1 lasting`: the noun stands with the first number only."""
        parts = []
        if digest.new:
            parts.append(self._counted(digest.new, self.lang.say("new problem|new problems")))
        if digest.lasting and parts:
            parts.append(self._counted(digest.lasting, self.lang.say("lasting")))
        elif digest.lasting:
            parts.append(self._counted(digest.lasting, self.lang.say("lasting problem|lasting problems")))
        if digest.recovered and parts:
            parts.append(self._counted(digest.recovered, self.lang.say("recovered")))
        elif digest.recovered:
            parts.append(self._counted(digest.recovered, self.lang.say("problem recovered|problems recovered")))
        return self.lang.say("Analytics platform: {what}", what=", ".join(parts))

    def block(self, problem: Problem, room: int, known: set[str]) -> dict[str, str]:
        """What the template shows of a new problem; advice that `known` has is not repeated."""
        advice = self._advice(problem)
        advice = "" if advice in known else advice
        known.add(advice)
        return {
            "subject": _line(problem.subject, _LONGEST_SUBJECT),
            "kind": self._kind(problem),
            "when": self._when(problem),
            "text": _shortened(problem.text, room),
            "advice": advice,
            "url": problem.url,
        }

    def lasting(self, problem: Problem) -> str:
        return f"{_line(problem.subject, _LONGEST_SUBJECT)}: {self._kind(problem)}, {self._when(problem)}"

    def recovered(self, problem: Problem) -> str:
        lasted = self._duration((problem.resolved_at or problem.last_seen) - problem.first_seen)
        told = self.lang.say("over after {duration}", duration=lasted)
        why = f" ({_line(problem.resolution, 100)})" if problem.resolution else ""
        return f"{_line(problem.subject, _LONGEST_SUBJECT)}: {told}{why}"

    def _kind(self, problem: Problem) -> str:
        match problem.kind:
            case "failed":
                return self.lang.say("failed")
            case "late":
                return self.lang.say("late")
            case "tick":
                return self.lang.say("scheduling failed")
            case "missing":
                return self.lang.say("missing")
            case "delivery":
                return self.lang.say("not delivered")
            case "sending":
                return self.lang.say("not yet delivered")
            case "paused":
                return self.lang.say("paused")
            case "astray":
                return self.lang.say("its topic is gone")
        return _line(problem.kind, 40)

    def _advice(self, problem: Problem) -> str:
        match problem.kind:
            case "failed" if problem.url:
                return self.lang.say("What to do: see the run's log, mend the cause, run it again.")
            case "late":
                return self.lang.say("What to do: see what loads the events; the report goes out by itself.")
            case "tick":
                return self.lang.say("What to do: mend the cause; it is tried again every minute.")
            case "missing":
                return self.lang.say("What to do: see analytics-platform health.")
            case "delivery":
                return self.lang.say("What to do: see analytics-platform deliveries list --troubled.")
            case "sending":
                return self.lang.say("What to do: mend what is named; it is tried again by itself.")
            case "paused":
                return self.lang.say("What to do: nothing, or let the bot in again and press Start.")
        return ""

    def _when(self, problem: Problem) -> str:
        since = self.lang.say("since {moment}", moment=self._moment(problem.first_seen))
        if problem.times < 2:
            return since
        times = self._counted(problem.times, self.lang.say("time|times"))
        first, last = (moment.astimezone(self.zone) for moment in (problem.first_seen, problem.last_seen))
        moment = f"{last:%H:%M}" if first.date() == last.date() else self._moment(last)
        return self.lang.say("{since}, {times}, last {moment}", since=since, times=times, moment=moment)

    def _moment(self, moment: datetime) -> str:
        local = moment.astimezone(self.zone)
        return f"{self.lang.day(local.date())} {local:%H:%M}"

    def _duration(self, span: timedelta) -> str:
        minutes = max(round(span.total_seconds() / 60), 1)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        if days:
            return self.lang.say("{days} d {hours} h", days=self.lang.count(days), hours=hours)
        if hours:
            return self.lang.say("{hours} h {minutes} min", hours=hours, minutes=minutes)
        return self.lang.say("{n} min", n=minutes)

    def _counted(self, what: Sequence[Problem] | int, forms: str) -> str:
        """`2 problems`: the form that goes with the number, of those the language has (one|few|many)."""
        from babel import Locale

        count = what if isinstance(what, int) else len(what)
        place = {"one": 0, "few": 1}.get(Locale(self.lang.code).plural_form(count), 2)
        words = forms.split("|")
        return f"{self.lang.count(count)} {words[min(place, len(words) - 1)]}"


def _redacted(problem: Problem) -> Problem:
    return replace(
        problem,
        subject=_clean_line(problem.subject),
        kind=_clean_line(problem.kind),
        text=_clean(problem.text),
        url=_link(problem.url),
        resolution=_clean_line(problem.resolution),
    )


def _clean(text: str) -> str:
    lines = (" ".join(_INVISIBLE.sub(" ", line).split()) for line in text.splitlines())
    visible = _SURROGATE.sub("\ufffd", "\n".join(line for line in lines if line))
    if len(visible) <= _READ_FIRST + _READ_LAST:
        return redact(visible)
    return f"{redact(visible[:_READ_FIRST])[:-_SEAM]}\n…\n{redact(visible[-_READ_LAST:])[_SEAM:]}"


def _clean_line(text: str) -> str:
    line = " ".join(_SURROGATE.sub("\ufffd", _INVISIBLE.sub(" ", text)).split())
    return redact(line) if len(line) <= _READ_LINE else redact(line[:_READ_LINE])[:-_SEAM]


def _link(url: str) -> str:
    """The address without login, if it is one that can be followed; else nothing."""
    url = url.strip()
    if not _ADDRESS.fullmatch(url) or not url.isprintable() or len(url) > _LONGEST_URL:
        return ""
    try:
        place = urlsplit(url).netloc
    except ValueError:
        return ""
    return redact(url.replace(place, place.rpartition("@")[2], 1))


def _line(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _shortened(text: str, room: int) -> str:
    """The first lines and the end: errors begin with what happened and end with the cause or the remedy."""
    lines = text.split("\n")
    head = "\n".join(lines[:_TEXT_LINES])
    if len(lines) <= _TEXT_LINES and len(head) <= room:
        return head
    tail = lines[-1][-(room // 3) :].strip()
    return f"{head[: room - len(tail) - 3].rstrip()} …\n{tail}"
