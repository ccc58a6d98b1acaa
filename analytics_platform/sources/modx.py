"""Tests taken and certificates paid for, from the database of a MODX site.

Belongs here: what is read and what rows mean. Does not: names (`modx_names.py`), statements (`modx_sql.py`), times
(`modx_times.py`), the connection (`modx_client.py`), whether all of it is as it must be (`modx_check.py`), who enters
a funnel (`funnels/`).

The account needs SELECT and nothing else; the session could not write with more. Texts of different tables are never
compared, so charsets and collations may be mixed.
"""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from analytics_platform.funnels.plan import FunnelType
from analytics_platform.funnels.records import Payment, Taken
from analytics_platform.sources.modx_check import found
from analytics_platform.sources.modx_client import Client, Session, SiteBusyError, SiteError
from analytics_platform.sources.modx_names import Names, parse_names
from analytics_platform.sources.modx_tables import SiteFinding, Tables, read_tables
from analytics_platform.sources.modx_times import earliest, not_before, reader, written

if TYPE_CHECKING:
    from analytics_platform.sources.modx_sql import Statements

__all__ = ["LeftOut", "ModxSite", "Names", "SiteBusyError", "SiteError", "SiteFinding", "parse_names"]


@dataclass(frozen=True)
class LeftOut:
    """Tests that nobody can enter a funnel by. Of those at or after a moment: `tests` in all, `blank` without an
    e-mail, `no_test` (with one) whose test does not exist. Of the whole table: `no_time`.
    """

    tests: int
    blank: int
    no_test: int
    no_time: int


class ModxSite:
    """One site. Nothing is opened before it is used; one thread at a time.

    `url`: `mysql://user:password@host:3306/database` or `mariadb://`, with `?charset=` and `?ssl_ca=` if need be; in
    the password a sign such as @ is written %40. `zone`: of DATETIME and DATE columns. `statuses`: of tests that
    count, as they stand there, capitals included; empty: all, and the site needs no such column. `timeout_seconds`:
    how long the server may say nothing.

    Raises SiteError, in one sentence, for what cannot be right; SiteBusyError where only waiting helps.
    """

    def __init__(
        self,
        url: SecretStr,
        names: Names,
        zone: ZoneInfo,
        *,
        statuses: frozenset[str] = frozenset(),
        timeout_seconds: float = 120,
    ) -> None:
        self._client = Client(url, timeout_seconds)
        self._names, self._zone, self._statuses = names, zone, statuses
        self._session: Session | None = None
        self._streaming: Generator[Sequence[Any]] | None = None
        self._tables: Tables | None = None

    def __repr__(self) -> str:
        return f"ModxSite({self.place})"

    @property
    def place(self) -> str:
        """Where it is, in words that hold no secret."""
        return self._client.place

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All reads inside see one moment of the site (MyISAM tables: their own). Inside another one: that one.

        Raises SiteError; what the block raises goes through as it is.
        """
        if self._session is not None:
            yield
            return
        with self._client.session() as session:
            self._session = session
            try:
                yield
            finally:
                self._end_stream()
                self._session = None

    def taken(self, since: datetime, funnels: Collection[FunnelType]) -> Iterator[Taken]:
        """Tests taken at or after `since` whose kind is one of `funnels`, newest first; of one second the highest id.

        E-mails are as they stand there; blank ones, tests that do not exist and times that are none are left out.
        Tests dated after now are among them. A few thousand rows are held, whatever there is; stopping early is
        cheap. Raises SiteError, ValueError for a moment without a zone.
        """
        if since.utcoffset() is None:
            raise ValueError("tests are looked for from a moment with a time zone on")
        return self._taken(since, frozenset(funnels))

    def taken_counts(self, since: datetime) -> LeftOut:
        """How many tests are left out, and why. Raises SiteError."""
        with self.reading():
            kind = self._described().time("simpletest_users.Datep")
            known = self._tests()
            counts = self._rows(self._statements.counts(written(kind, since, self._zone)))
            blank = sum(int(without) for _, _, without in counts)
            no_test = sum(int(number) - int(without) for test, number, without in counts if test not in known)
            ((no_time,),) = self._rows(self._statements.timeless(earliest(kind)))
            return LeftOut(sum(int(number) for _, number, _ in counts), blank, no_test, int(no_time))

    def payments(self) -> Iterator[Payment]:
        """All certificates paid for, in no order; e-mails as they stand there, times that are none left out.

        Raises SiteError.
        """
        with self.reading():
            kind = self._described().time("cert_payment.datetime_payment")
            moment = reader(kind, self._zone)
            funnels = {1: FunnelType.LANGUAGE, 2: FunnelType.NON_LANGUAGE}
            for rows in self._stream(self._statements.payments()):
                for email, number, raw in rows:
                    paid_at = moment(raw)
                    if paid_at is not None:
                        yield Payment(email, funnels[int(number)], paid_at)

    def check(self, now: datetime | None = None, window: timedelta = timedelta(days=30)) -> Sequence[SiteFinding]:
        """Whether everything is there and as it must be, a finding a thing, the worst of them `problem`.

        `now`: default is the server's clock; `window`: tests within it before now are counted. Raises nothing of the
        site's: what goes wrong is a finding.
        """
        try:
            with self._client.session() as session:
                return found(
                    session,
                    names=self._names,
                    zone=self._zone,
                    statuses=self._statuses,
                    now=now,
                    window=window,
                )
        except SiteError as error:
            remedy = "try again when it answers" if isinstance(error, SiteBusyError) else ""
            return [SiteFinding("problem", str(error), remedy)]

    # ------------------------------------------------------------ rows

    def _taken(self, since: datetime, funnels: frozenset[FunnelType]) -> Iterator[Taken]:
        from analytics_platform.sources.modx_sql import FIRST_PAGE

        with self.reading():
            kind = self._described().time("simpletest_users.Datep")
            funnel_of = {test: funnel for test, funnel in self._tests().items() if funnel in funnels}.get
            moment = reader(kind, self._zone)
            bound, last, limit = not_before(kind, since, self._zone), None, FIRST_PAGE
            while True:
                read = 0
                for rows in self._stream(self._statements.taken(bound, last, limit)):
                    read += len(rows)
                    for key, email, test, raw in rows:
                        funnel = funnel_of(test)
                        if funnel is None:
                            continue
                        taken_at = moment(raw)
                        if taken_at is not None and taken_at >= since:
                            yield Taken(key, email, test, taken_at, funnel)
                    last = (rows[-1][3], rows[-1][0])
                if read < limit:
                    return
                limit *= 4

    def _tests(self) -> Mapping[int, FunnelType]:
        """All tests of the site, with the funnel they lead to."""
        rows = self._rows(self._statements.tests())
        return {key: FunnelType.LANGUAGE if language else FunnelType.NON_LANGUAGE for key, language in rows}

    # ------------------------------------------------------------ asking

    @property
    def _statements(self) -> "Statements":
        from analytics_platform.sources.modx_sql import Statements

        return Statements(self._names, self._statuses)

    def _described(self) -> Tables:
        """The columns' types. Raises SiteError where one is missing or cannot be what it is for."""
        if self._tables is None:
            tables = read_tables(self._asking, self._names)
            if problems := tables.problems(with_status=bool(self._statuses)):
                raise SiteError(f"the site in {self.place} cannot be read: {problems[0].what}; {problems[0].remedy}")
            self._tables = tables
        return self._tables

    @property
    def _asking(self) -> Session:
        assert self._session is not None, "asked outside of `reading`"
        if self._streaming is not None:
            raise RuntimeError("the site is still being read; take all rows, or close what gives them, before the next")
        return self._session

    def _rows(self, statement: Any) -> list[Any]:
        return self._asking.rows(statement)

    def _stream(self, statement: Any) -> Iterator[Sequence[Any]]:
        # The driver would end a result without a word when the next statement comes.
        self._streaming = stream = self._asking.chunks(statement)
        try:
            yield from stream
            if self._streaming is not stream:
                raise RuntimeError("the site was left before all rows were taken; take them inside `reading`")
        finally:
            if self._streaming is stream:
                self._end_stream()

    def _end_stream(self) -> None:
        stream, self._streaming = self._streaming, None
        if stream is not None:
            stream.close()
