"""Scenes for incidents: one sign a bucket and series, played through the state machine.

Belongs here: what each sign means, playing. Does not: assertions.

  D d  down, strong or weak     U u  up, strong or weak     X  down, critical, strong     0  zero, critical
  F    frozen                   .    as usual               -  beyond the band, below     +  above
  ?    nothing is known         (blank) not looked at
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from analytics_platform.alerts.findings import Direction, Finding, Reading, Severity, What
from analytics_platform.alerts.incident import Event, Incident, Policy, Step
from analytics_platform.alerts.incidents import advance
from analytics_platform.metrics.series import BUCKET, SeriesKey

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LIKES, VIEWS, USERS = SeriesKey("feed", "likes"), SeriesKey("feed", "views"), SeriesKey("feed", "feed_users")
CTR = SeriesKey("feed", "ctr")
IOS, ANDROID = SeriesKey("feed", "likes", "os", "iOS"), SeriesKey("feed", "likes", "os", "Android")
SENT, SENDERS = SeriesKey("messenger", "messages_sent"), SeriesKey("messenger", "senders")
EXPECTED = 100.0
_STRONG, _WEAK = 2.0, 1.2


def at(bucket: int) -> datetime:
    """Start of the bucket of that number."""
    return NOON + bucket * BUCKET


def finding(series: SeriesKey, bucket: int, sign: str = "D", score: float | None = None) -> Finding:
    """What the sign says. A ratio of 0.2 expected on a base of 1000; counts of 100 expected."""
    ratio = series.metric == "ctr"
    expected = 0.2 if ratio else EXPECTED
    value = {"0": 0.0, "F": 1.0, "D": 0.5, "d": 0.7, "X": 0.3, "U": 1.5, "u": 1.3}[sign] * expected
    return Finding(
        series=series,
        bucket=at(bucket),
        what={"0": What.ZERO, "F": What.FREEZE}.get(sign, What.JUMP),
        direction=Direction.UP if sign in "Uu" else Direction.DOWN,
        severity=Severity.CRITICAL if sign in "0X" else Severity.WARNING,
        score=score or (_WEAK if sign in "duF" else _STRONG),
        value=value,
        expected=expected,
        low=0.8 * expected,
        high=1.2 * expected,
        base=1000.0 if ratio else None,
    )


def reading(series: SeriesKey, bucket: int, sign: str = ".") -> Reading:
    """What the sign says."""
    expected = 0.2 if series.metric == "ctr" else EXPECTED
    value = {".": 1.0, "-": 0.75, "+": 1.25}.get(sign)
    if value is None:
        return Reading(series, at(bucket), None, None, usual=False)
    return Reading(series, at(bucket), value * expected, expected, usual=sign == ".")


@dataclass
class Play:
    """What came of it. `steps`: by bucket."""

    policy: Policy = field(default_factory=Policy)
    incidents: tuple[Incident, ...] = ()
    steps: list[Step] = field(default_factory=list)
    now: int = 0
    every: dict[str, Incident] = field(default_factory=dict)

    def bucket(self, signs: dict[SeriesKey, str]) -> Step:
        """One more bucket."""
        findings = [finding(key, self.now, sign) for key, sign in signs.items() if sign not in ".-+? "]
        readings = [reading(key, self.now, sign) for key, sign in signs.items() if sign in ".-+?"]
        step = advance(self.incidents, at(self.now), findings, readings, self.policy)
        self.keep(step)
        self.now += 1
        return step

    def keep(self, step: Step) -> None:
        """What a step came to, whoever made it."""
        self.steps.append(step)
        self.incidents = step.living
        self.every.update({incident.key: incident for incident in step.incidents})
        for gone in step.dropped:
            self.every.pop(gone.key, None)

    def run(self, scene: dict[SeriesKey, str]) -> "Play":
        """All buckets of the scene; shorter lines end with usual ones."""
        for k in range(max(map(len, scene.values()))):
            self.bucket({key: line[k] if k < len(line) else "." for key, line in scene.items()})
        return self

    def change(self, after: Incident) -> None:
        """What a person has made of an incident."""
        self.incidents = tuple(after if one.key == after.key else one for one in self.incidents)
        self.every[after.key] = after

    @property
    def one(self) -> Incident:
        """The only incident there ever was."""
        [only] = self.every.values()
        return only

    @property
    def events(self) -> list[Event]:
        """All of them."""
        return [event for step in self.steps for event in step.events]

    @property
    def said(self) -> list[str]:
        """`3 opened!`: bucket, reason, and whether it is loud."""
        return [f"{(e.moment - NOON) // BUCKET} {e.reason}{'!' if e.loud else ''}" for e in self.events]


def play(scene: dict[SeriesKey, str], policy: Policy | None = None, **changes: object) -> Play:
    """The whole scene. `changes`: of the policy."""
    return Play(replace(policy or Policy(), **changes)).run(scene)  # type: ignore[arg-type]  # fields by name
