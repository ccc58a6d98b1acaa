"""The statements that the site is asked, built with SQLAlchemy's expressions over `Names`.

Belongs here: SQL that MySQL 5.7 and MariaDB 10.6 understand; names quoted, values bound. Does not: running it.
Imported lazily only: SQLAlchemy is imported at the top.

No text of one table is compared with one of another, so that their collations may differ.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Executable,
    Integer,
    Select,
    case,
    collate,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.sql.selectable import NamedFromClause

from analytics_platform.sources.modx_names import STATUS, TABLES, Names

PAID = 2
LANGUAGE, NON_LANGUAGE = 1, 2
Raw = str | int
# Of the newest tests, so many first and four times as many with each next page: whoever needs a few is not sent all.
FIRST_PAGE = 10_000


class Statements:
    """The statements for one site. `statuses`: of tests that count; empty: all, and the column may be missing."""

    def __init__(self, names: Names, statuses: Collection[str]) -> None:
        self._names, self._statuses = names, sorted(statuses)

    def taken(self, since: Raw, last: tuple[Raw, int] | None, limit: int) -> Executable:
        """Tests at or after `since`, newest first, after the one of (time, id) `last`: id, e-mail, test, time."""
        users = self._table("simpletest_users")
        taken, key = self._column(users, "Datep"), self._column(users, "Id")
        asked = (
            select(key, self._column(users, "Email"), self._column(users, "TestId"), taken)
            .where(taken >= since, *self._counting(users), ~self._blank(users, "Email"))
            .order_by(taken.desc(), key.desc())
            .limit(limit)
        )
        if last is not None:
            # The first condition is for the index; both together are "after it".
            asked = asked.where(taken <= last[0], or_(taken < last[0], key < last[1]))
        return asked

    def tests(self) -> Executable:
        """All tests: id, 1 where there is a language."""
        tests, languages = self._table("simpletest_test"), self._table("simpletest_lang")
        key, language = self._column(tests, "Id"), self._column(languages, "Id")
        joined = tests.outerjoin(languages, language == self._column(tests, "LangId"))
        # The site's own key may be another column: an id that is there twice is one test.
        return select(key, func.max(language.is_not(None))).select_from(joined).group_by(key)

    def counts(self, since: Raw) -> Executable:
        """Tests at or after `since` by test: its id, how many, how many of them without an e-mail."""
        users = self._table("simpletest_users")
        test = self._column(users, "TestId")
        return (
            select(test, func.count(), func.sum(self._blank(users, "Email"), type_=Integer))
            .where(self._column(users, "Datep") >= since, *self._counting(users))
            .group_by(test)
        )

    def timeless(self, earliest: Raw) -> Executable:
        """How many tests have no time."""
        users = self._table("simpletest_users")
        taken = self._column(users, "Datep")
        return (
            select(func.count())
            .select_from(users)
            .where(or_(taken.is_(None), taken < earliest), *self._counting(users))
        )

    def payments(self) -> Select[Any, Any, Any]:
        """Certificates paid for: e-mail, type, time."""
        paid, results, users, tests = map(self._table, ("cert_payment", "cert_result", "cert_users", "cert_test"))
        kind, when = self._column(tests, "type"), self._column(paid, "datetime_payment")
        joined = (
            paid.join(results, self._column(results, "id") == self._column(paid, "id_result"))
            .join(users, self._column(users, "id") == self._column(results, "id_user"))
            .join(tests, self._column(tests, "id") == self._column(results, "id_test"))
        )
        # A number, whatever the column holds it as: a word that begins with 1 is one of it to the server alone.
        number = case((kind == LANGUAGE, LANGUAGE), else_=NON_LANGUAGE)
        return (
            select(self._column(users, "email"), number.label("kind"), when)
            .select_from(joined)
            .where(
                self._column(paid, "id_status") == PAID,
                when.is_not(None),
                kind.in_((LANGUAGE, NON_LANGUAGE)),
                ~self._blank(users, "email"),
            )
        )

    def statuses(self, since: Raw) -> Executable:
        """The values of the tests' status at or after `since`, with how many tests have them; the 20 most frequent."""
        users = self._table("simpletest_users")
        status, number = self._status(users).label("status"), func.count().label("number")
        return (
            select(status, number)
            .where(self._column(users, "Datep") >= since)
            .group_by(status)
            .order_by(number.desc())
            .limit(20)
        )

    def paid(self) -> Executable:
        """How many certificates were paid for."""
        return select(func.count()).select_from(self.payments().subquery())

    def total(self, since: Raw) -> Executable:
        """How many tests there are at or after `since`, whatever their status."""
        users = self._table("simpletest_users")
        return select(func.count()).select_from(users).where(self._column(users, "Datep") >= since)

    def newest(self, until: Raw) -> Executable:
        """The time of the newest test that is not after `until`."""
        users = self._table("simpletest_users")
        taken = self._column(users, "Datep")
        return select(func.max(taken)).where(taken <= until)

    def after(self, until: Raw) -> Executable:
        """How many tests are dated after `until`."""
        users = self._table("simpletest_users")
        return select(func.count()).select_from(users).where(self._column(users, "Datep") > until)

    def readable(self, ours: str) -> Executable:
        """Nothing, of a table, all of whose columns must be readable."""
        named = self._table(ours)
        lacking = STATUS if not self._statuses else ""
        columns = [self._column(named, name) for name in TABLES[ours] if f"{ours}.{name}" != lacking]
        return select(*columns).limit(0)

    def _table(self, ours: str) -> NamedFromClause:
        columns: list[ColumnClause[Any]] = [
            column(quoted_name(self._names.column(f"{ours}.{name}"), quote=True)) for name in TABLES[ours]
        ]
        return table(quoted_name(self._names.table(ours), quote=True), *columns).alias(ours)

    def _column(self, named: NamedFromClause, ours: str) -> "ColumnElement[object]":
        found: ColumnElement[object] = named.c[self._names.column(f"{named.name}.{ours}")]
        return found

    def _counting(self, users: NamedFromClause) -> list[ColumnElement[bool]]:
        return [self._status(users).in_(self._statuses)] if self._statuses else []

    def _status(self, users: NamedFromClause) -> "ColumnElement[str]":
        # As text, whatever it is there: compared with a number, each word would be 0.
        text = func.convert(self._column(users, "Status").op("USING")(literal_column("utf8mb4")))
        return collate(text, "utf8mb4_bin")

    def _blank(self, users: NamedFromClause, ours: str) -> ColumnElement[bool]:
        # By length: no two texts are compared, so no collation is asked for.
        return func.coalesce(func.char_length(func.trim(self._column(users, ours))), literal(0)) == 0
