"""The tables of the script that funnels replace: who entered, what Brevo was told; they lie in the site's database.

Belongs here: what is read and what rows mean. Does not: whom they stand for (`funnels/adoption.py`), times
(`modx_times.py`), the connection (`modx_client.py`).

As with the site, SELECT is enough, and the session could not write with more. Texts are compared here, not in the
database, whatever their collations.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from analytics_platform.funnels.adoption import FormerEntry, FormerJob
from analytics_platform.sources.modx_client import Client, Session, SiteError
from analytics_platform.sources.modx_times import INTEGERS, Kind, earliest, kind_of, reader, written

if TYPE_CHECKING:
    from sqlalchemy import ColumnClause, FromClause

ENTRIES: Final = "funnel_entries"
OUTBOX: Final = "brevo_sync_outbox"
# What each column has to hold.
_NUMBER, _TEXT, _TIME = "an integer", "text", "DATETIME, TIMESTAMP, DATE or an integer"
_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "entries": {
        "id": _NUMBER,
        "email": _TEXT,
        "funnel_type": _TEXT,
        "user_id": _NUMBER,
        "test_id": _NUMBER,
        "entered_at": _TIME,
        "certificate_purchased": _NUMBER,
        "certificate_purchased_at": _TIME,
    },
    "outbox": {"funnel_entry_id": _NUMBER, "operation_type": _TEXT, "status": _TEXT},
}
_THERE: Final = (
    "SELECT table_name, column_name, data_type, COALESCE(collation_name, '') FROM information_schema.columns "
    "WHERE table_schema = :database AND table_name IN :names ORDER BY ordinal_position"
)
_TABLES: Final = "SELECT table_name FROM information_schema.tables WHERE table_schema = :database"
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


class FormerTables:
    """The two tables, by their names there. Nothing is opened before it is used; one thread at a time.

    `url`: as of a `ModxSite`. `zone`: of the times of entry, which were the script's own session's. `site_zone`: of
    those of purchases, which the script took from the site as they stood there. TIMESTAMP columns need neither.

    Raises SiteError, in one sentence, for what cannot be right; SiteBusyError where only waiting helps.
    """

    def __init__(
        self,
        url: SecretStr,
        zone: ZoneInfo,
        site_zone: ZoneInfo,
        *,
        entries: str = ENTRIES,
        outbox: str = OUTBOX,
        timeout_seconds: float = 120,
    ) -> None:
        self._client = Client(url, timeout_seconds)
        self.zone, self._site_zone = zone, site_zone
        self.names = {"entries": entries, "outbox": outbox}
        for option, name in self.names.items():
            if not _IDENTIFIER.fullmatch(name):
                raise SiteError(f"--{option}: {name!r} is no name of a table; letters, digits and _ only, at most 64")
        self._session: Session | None = None
        self._kinds: dict[str, Kind] = {}

    def __repr__(self) -> str:
        return f"FormerTables({self.place})"

    @property
    def place(self) -> str:
        """The database, host and port, in words that hold no secret."""
        return self._client.place

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All reads have to be inside, and see one moment of the database (MyISAM tables: their own)."""
        with self._client.session() as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None

    def others(self) -> set[str]:
        """The names of all tables of the database, in small letters."""
        return {str(name).lower() for (name,) in self._asking.ask(_TABLES, database=self._client.database)}

    def check(self) -> None:
        """Raises SiteError where a table or a column is missing or cannot be what it is for."""
        names = sorted({form for name in self.names.values() for form in (name, name.lower())})
        rows = self._asking.ask(_THERE, database=self._client.database, names=names)
        for ours, name in self.names.items():
            theirs = [row for row in rows if str(row[0]).lower() == name.lower()]
            there = {str(column).lower(): (str(kind).lower(), collation) for _, column, kind, collation in theirs}
            if not there:
                raise SiteError(
                    f"table {name} is not in {self.place}, or the account may not read it; "
                    f"name it by --{ours}, or grant SELECT on it"
                )
            for column, wanted in _COLUMNS[ours].items():
                if column not in there:
                    raise SiteError(
                        f"table {name} in {self.place} has no column {column}, or the account may not read it; "
                        f"if it is not the script's, name that one by --{ours}"
                    )
                data_type, collation = there[column]
                kind = kind_of(data_type)
                fits = {_NUMBER: data_type in INTEGERS, _TEXT: bool(collation), _TIME: kind is not None}
                if not fits[wanted]:
                    raise SiteError(
                        f"column {name}.{column} ({data_type}) in {self.place} is not {wanted}; "
                        f"if the table is not the script's, name that one by --{ours}"
                    )
                if wanted == _TIME and kind is not None:
                    self._kinds[column] = kind

    def sizes(self) -> tuple[int, int]:
        """How many rows entries and outbox have."""
        from sqlalchemy import func, select

        counts = (select(func.count()).select_from(self._table(ours)) for ours in ("entries", "outbox"))
        entries, outbox = (int(self._asking.rows(count)[0][0]) for count in counts)
        return entries, outbox

    def newest(self, until: datetime) -> datetime | None:
        """When the newest entry was made that is not after `until`. Only after `check`."""
        from sqlalchemy import func, select

        kind, table = self._kinds["entered_at"], self._table("entries")
        column, bound = table.c.entered_at, written(self._kinds["entered_at"], until, self.zone)
        query = select(func.max(column)).where(column <= bound, column >= earliest(kind))
        return reader(kind, self.zone)(self._asking.rows(query)[0][0])

    def entries(self) -> Generator[FormerEntry]:
        """All rows, in no order; a few thousand are held. Only after `check`. To be closed, or taken to the end."""
        entered = reader(self._kinds["entered_at"], self.zone)
        paid = reader(self._kinds["certificate_purchased_at"], self._site_zone)
        for key, email, funnel, user, test, at, purchased, purchased_at in self._rows("entries"):
            yield FormerEntry(key, email, funnel, user, test, entered(at), bool(purchased), paid(purchased_at))

    def jobs(self) -> Generator[FormerJob]:
        """All rows, in no order; a few thousand are held. To be closed, or taken to the end."""
        for entry_id, operation, status in self._rows("outbox"):
            yield FormerJob(entry_id, operation, status)

    def _rows(self, ours: str) -> Generator[Any]:
        from sqlalchemy import select

        table = self._table(ours)
        for rows in self._asking.chunks(select(*(table.c[name] for name in _COLUMNS[ours]))):
            yield from rows

    def _table(self, ours: str) -> "FromClause":
        from sqlalchemy import column, table
        from sqlalchemy.sql.elements import quoted_name

        columns: list[ColumnClause[Any]] = [column(quoted_name(name, quote=True)) for name in _COLUMNS[ours]]
        return table(quoted_name(self.names[ours], quote=True), *columns)

    @property
    def _asking(self) -> Session:
        assert self._session is not None, "asked outside of `reading`"
        return self._session
