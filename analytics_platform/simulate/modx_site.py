"""A simulated site: tests taken, certificates paid for, and what funnels are to make of them.

Belongs here: seeded rows of the seven tables, the truth about them, told without SQL. Does not: writing them to a
database (`modx.py`), reading them (`sources/modx.py`). Imported lazily only: numpy is imported at the top.

Planted on purpose: people with several tests, addresses in capitals and among blanks, blank ones, texts that are no
address, tests that do not exist, times that are none, payments that were not completed, certificates of other kinds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analytics_platform.funnels.plan import FunnelType

Row = tuple[object, ...]
_Numbers = npt.NDArray[np.int64]
FINISHED: Final = "finished"
_STATUSES: Final = (FINISHED, "started", "Finished", None)
_SHARES: Final = (0.80, 0.15, 0.03, 0.02)
_QUARTER: Final = 900  # seconds; no clock is put forward or back within one
_DANGLING: Final = 900_000  # ids of tests from here on do not exist
_MALFORMED: Final = ("person{}", "person{}@", "@example.org", "person{} at example.org", "a@b@example.org", "n/a {}")
# How an address is written: as it is, in capitals, among blanks.
_PLAIN, _CAPITALS, _BLANKS, _EMPTY, _SPACES, _NULL = range(6)
_SPELLINGS: Final = (0.85, 0.06, 0.05, 0.02, 0.01, 0.01)
_DELETED: Final = 888_888_888  # a result that is not there
_CHUNK: Final = 20_000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is to enter a funnel: the newest test of it that counts. `email`: normalised."""

    email: str = field(repr=False)
    result_id: int
    test_id: int
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment to be written. `status`: 2 is paid; `paid_at`: UTC, to the second."""

    email: str = field(repr=False)
    funnel: FunnelType
    paid_at: datetime
    status: int = 2


@dataclass(frozen=True)
class Later:
    """What people did after they entered. `payments`: to be written to the site; `purchased`: what of it is to count,
    by (normalised e-mail, funnel)."""

    payments: tuple[Paid, ...]
    purchased: Mapping[tuple[str, FunnelType], datetime]


@dataclass(frozen=True)
class Site:
    """A site as it is at `until` (aware): `results` tests taken by `people` in the `days` before, `payments` by some of
    them and by others. `zone`: of its clock. The same arguments give the same rows.
    """

    seed: int = 1
    people: int = 400
    results: int = 1_000
    payments: int = 100
    days: int = 60
    until: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    tests: int = 40
    languages: int = 6
    malformed: float = 0.02  # of the people
    dangling: float = 0.01  # of the results
    timeless: float = 0.005  # of the results and payments

    # ------------------------------------------------------------ truth

    def email(self, person: int) -> str:
        """The normalised e-mail of a person, 0 <= person < 2 x people; the second half took no test."""
        return f"person{person}.{self.seed}@example.org"

    def candidates(
        self, moment: datetime, window: timedelta = timedelta(days=30), statuses: frozenset[str] = frozenset()
    ) -> dict[FunnelType, list[Person]]:
        """Who may enter each funnel, newest test first, each person once; earlier buyers are among them."""
        drawn = self._drawn
        counting = np.isin(drawn.status, [n for n, status in enumerate(_STATUSES) if status in statuses])
        late = drawn.time >= (moment - window).timestamp()
        usable = (drawn.spelling < _EMPTY) & ~drawn.malformed[drawn.person] & ~drawn.timeless & late
        usable &= (drawn.test <= self.tests) & (counting if statuses else True)
        found: dict[FunnelType, list[Person]] = {}
        for funnel in FunnelType:
            rows = np.flatnonzero(usable & (drawn.language[drawn.test % (self.tests + 1)] == _kind(funnel)))
            newest_first = rows[np.lexsort((-rows, -drawn.time[rows]))]
            _, first = np.unique(drawn.person[newest_first], return_index=True)
            found[funnel] = [
                Person(self.email(int(drawn.person[row])), int(row) + 1, int(drawn.test[row]), _moment(drawn.time[row]))
                for row in newest_first[np.sort(first)]
            ]
        return found

    def bought(self, before: datetime) -> dict[FunnelType, dict[str, datetime]]:
        """The first payment of each funnel's kind that each person made before a moment."""
        first: dict[FunnelType, dict[str, datetime]] = {funnel: {} for funnel in FunnelType}
        paid = self._paid
        for person, funnel, time, counts in zip(paid.person, paid.kind, paid.time, paid.counts, strict=True):
            if counts and funnel in (1, 2) and (at := _moment(time)) < before:
                known = first[FunnelType.LANGUAGE if funnel == 1 else FunnelType.NON_LANGUAGE]
                known[self.email(person)] = min(at, known.get(self.email(person), at))
        return first

    def entering(
        self,
        moment: datetime,
        window: timedelta = timedelta(days=30),
        statuses: frozenset[str] = frozenset(),
        batch: int = 0,
    ) -> dict[FunnelType, tuple[list[Person], list[Person]]]:
        """Of a first sync at that moment, for each funnel: who is written to, who is a customer already. `batch`: how
        many of both together, the newest; 0: all."""
        buyers = self.bought(moment)
        chosen = {
            funnel: people[: batch or None] for funnel, people in self.candidates(moment, window, statuses).items()
        }
        return {
            funnel: (
                [person for person in people if person.email not in buyers[funnel]],
                [person for person in people if person.email in buyers[funnel]],
            )
            for funnel, people in chosen.items()
        }

    def later(
        self,
        entered: Iterable[tuple[str, FunnelType]],
        entered_at: datetime,
        attribution: timedelta = timedelta(days=30),
        share: float = 0.3,
    ) -> Later:
        """What those who entered at a moment do then. `share` of them buy in time, one each right at the window's
        beginning and in its last second; others too late, without paying, or the other kind of certificate.
        `entered`: who was written to, so no earlier buyers; `entered_at` is not before `until`.
        """
        rng = np.random.default_rng([self.seed, 3])
        start = entered_at.replace(microsecond=0) + timedelta(seconds=1 if entered_at.microsecond else 0)
        last = int(attribution.total_seconds()) - 1
        end = start + timedelta(seconds=last + 1)
        payments, purchased = [], {}
        for number, (email, funnel) in enumerate(sorted(entered)):
            draw, seconds = rng.random(), int(rng.integers(last + 1))
            if number < 2 or draw < share:
                at = start + timedelta(seconds=(0, last)[number] if number < 2 else seconds)
                purchased[email, funnel] = at
                written = email.upper() if seconds % 3 == 0 else f" {email}" if seconds % 3 == 1 else email
                # The second certificate changes nothing: the first one counts.
                payments += [Paid(written, funnel, at), Paid(email, funnel, at + timedelta(days=1))]
            elif draw < share + 0.1:
                payments.append(Paid(email, funnel, end))
            elif draw < share + 0.2:
                payments.append(Paid(email, funnel, start, status=1))
            elif draw < share + 0.3:
                other = FunnelType.LANGUAGE if funnel is FunnelType.NON_LANGUAGE else FunnelType.NON_LANGUAGE
                payments.append(Paid(email, other, end))
        return Later(tuple(payments), purchased)

    # ------------------------------------------------------------ rows

    def test_rows(self) -> list[Row]:
        """simpletest_test: Id, LangId. Without a language: NULL, 0, or an id that no language has."""
        kinds = self._drawn.language
        none = (None, 0, 77_777)
        return [(n, n % self.languages + 1 if kinds[n] == 1 else none[n % 3]) for n in range(1, self.tests + 1)]

    def language_rows(self) -> list[Row]:
        """simpletest_lang: Id."""
        return [(n,) for n in range(1, self.languages + 1)]

    def result_rows(self) -> Iterator[list[tuple[int, str | None, int, datetime | None, str | None]]]:
        """simpletest_users in parts: Id, Email, TestId, Datep (of the site's clock, None for a time that is none),
        Status."""
        drawn = self._drawn
        for start in range(0, self.results, _CHUNK):
            part = slice(start, start + _CHUNK)
            walls = self._walls(drawn.time[part])
            columns = (drawn.person[part], drawn.spelling[part], drawn.test[part], drawn.timeless[part])
            lists = (column.tolist() for column in (*columns, drawn.status[part]))
            yield [
                (start + n, self._spelt(person, spelling), test, None if timeless else wall, _STATUSES[status])
                for n, (wall, person, spelling, test, timeless, status) in enumerate(zip(walls, *lists, strict=True), 1)
            ]

    def certificate_rows(self) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
        """cert_test (id, type), cert_users (id, email), cert_result (id, id_user, id_test), cert_payment (id,
        id_result, id_status, datetime_payment of the site's clock or None). Each payment has an account of its own.
        """
        paid = self._paid
        tests: list[Row] = [(1, 1), (2, 2), (3, 3)]
        numbers = range(1, len(paid.person) + 1)
        persons, spellings = paid.person.tolist(), paid.spelling.tolist()
        users: list[Row] = [(n, self._spelt(p, s) or "") for n, p, s in zip(numbers, persons, spellings, strict=True)]
        results: list[Row] = [(n, n, kind) for n, kind in zip(numbers, paid.kind.tolist(), strict=True)]
        walls = zip(numbers, self._walls(paid.time), paid.timeless.tolist(), paid.status.tolist(), strict=True)
        payments: list[Row] = [(n, n, status, None if timeless else wall) for n, wall, timeless, status in walls]
        payments.append((len(paid.person) + 1, _DELETED, 2, self.until.replace(tzinfo=None)))
        return tests, users, results, payments

    # ------------------------------------------------------------ drawing

    def _spelt(self, person: int, spelling: int) -> str | None:
        if spelling >= _EMPTY:
            return (None, "", "   ")[(_NULL, _EMPTY, _SPACES).index(spelling)]
        if person < self.people and self._drawn.malformed[person]:
            email = _MALFORMED[person % len(_MALFORMED)].format(person)
        else:
            email = self.email(person)
        return email.upper() if spelling == _CAPITALS else f" {email}  " if spelling == _BLANKS else email

    @cached_property
    def _drawn(self) -> "_Drawn":
        rng = np.random.default_rng([self.seed, 1])
        language = np.zeros(self.tests + 1, dtype=np.int64)
        language[1:] = 1 + (np.arange(1, self.tests + 1) % 2 == 0)
        test = rng.integers(1, self.tests + 1, self.results)
        test[rng.random(self.results) < self.dangling] += _DANGLING
        return _Drawn(
            language=language,
            malformed=rng.random(self.people) < self.malformed,
            person=rng.integers(0, self.people, self.results),
            test=test,
            time=np.sort(self._times(rng, self.results)),
            spelling=rng.choice(6, self.results, p=_SPELLINGS),
            status=rng.choice(len(_STATUSES), self.results, p=_SHARES),
            timeless=rng.random(self.results) < self.timeless,
        )

    @cached_property
    def _paid(self) -> "_Paid":
        rng = np.random.default_rng([self.seed, 2])
        person = rng.integers(0, self.people, self.payments)
        person[rng.random(self.payments) < 0.3] += self.people  # they took no test
        kind = rng.choice((1, 2, 3), self.payments, p=(0.5, 0.4, 0.1))
        status = rng.choice((2, 1, 3), self.payments, p=(0.8, 0.1, 0.1))
        timeless = rng.random(self.payments) < self.timeless
        spelling = rng.choice((_PLAIN, _CAPITALS, _BLANKS), self.payments, p=(0.8, 0.1, 0.1))
        malformed = (person < self.people) & self._drawn.malformed[np.minimum(person, self.people - 1)]
        counts = (status == 2) & ~timeless & ~malformed
        return _Paid(person, kind, status, self._times(rng, self.payments), timeless, spelling, counts)

    def _times(self, rng: np.random.Generator, number: int) -> _Numbers:
        """Moments, Unix seconds; none in the hour of autumn that a clock shows twice, the second time."""
        end = int(self.until.timestamp())
        times = rng.integers(end - self.days * 86_400, end, number)
        _, twice = self._quarters
        moved: _Numbers = times - twice[times // _QUARTER - self._first_quarter]
        return moved

    @property
    def _first_quarter(self) -> int:
        # A day earlier: what is moved out of an hour may lie before the first.
        return int(self.until.timestamp()) // _QUARTER - (self.days + 1) * 96

    @cached_property
    def _quarters(self) -> tuple[_Numbers, _Numbers]:
        """For each quarter of an hour: seconds that the site's clock is ahead of UTC, and by how many it was put back
        where it shows a time for the second time."""
        first = self._first_quarter
        walls = [datetime.fromtimestamp((first + n) * _QUARTER, self.zone) for n in range((self.days + 1) * 96 + 1)]
        offsets = [wall.utcoffset() or timedelta(0) for wall in walls]
        backs = [
            (wall.replace(fold=0).utcoffset() or timedelta(0)) - at for wall, at in zip(walls, offsets, strict=True)
        ]
        seconds = (np.array([int(d.total_seconds()) for d in deltas], dtype=np.int64) for deltas in (offsets, backs))
        ahead, back = seconds
        return ahead, back

    def _walls(self, times: _Numbers) -> list[datetime]:
        ahead, _ = self._quarters
        walls = times + ahead[times // _QUARTER - self._first_quarter]
        told: list[datetime] = walls.astype("datetime64[s]").tolist()
        return told


@dataclass(frozen=True)
class _Drawn:
    """`language`: by test, 1 or 2 as certificates say it; `malformed`: by person; the others: by result."""

    language: _Numbers
    malformed: npt.NDArray[np.bool_]
    person: _Numbers
    test: _Numbers
    time: _Numbers
    spelling: _Numbers
    status: _Numbers
    timeless: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Paid:
    person: _Numbers
    kind: _Numbers
    status: _Numbers
    time: _Numbers
    timeless: npt.NDArray[np.bool_]
    spelling: _Numbers
    counts: npt.NDArray[np.bool_]


def _kind(funnel: FunnelType) -> int:
    return 1 if funnel is FunnelType.LANGUAGE else 2


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
