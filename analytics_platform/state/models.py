"""The tables of the state, as the newest migration leaves them.

Belongs here: tables, keys, column types. Does not: rules about their rows; how an older schema becomes this one
(`migrations/`, checked to end up here). Imported only when the database is used: SQLAlchemy is heavy.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
)

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """An aware moment, stored as UTC to the microsecond, aware and UTC when it comes back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """ValueError for a moment without a zone: nobody knows which one it means."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """SQLite keeps no zone; PostgreSQL gives the session's."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Any text, also the worst an error brings: NUL and broken surrogates, which the engines refuse, are replaced."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The same text for whatever is text."""
        return value if value is None else value.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _column(name: str, kind: Any, *, key: bool = False) -> Column[Any]:
    return Column(name, kind, primary_key=key, nullable=False)


# Alembic's own table. Not by its usual name: Dagster keeps one of that name in its database, which may be the same.
REVISION = Table("state_revision", MetaData(), Column("version_num", String(32), primary_key=True))

CURSORS = Table(
    "report_cursors",
    METADATA,
    _column("report", String, key=True),
    _column("settled_until", Date),
)

PERIODS = Table(
    "report_periods",
    METADATA,
    _column("report", String, key=True),
    _column("period_last", Date, key=True),
    _column("period_first", Date),
    _column("status", String),
    _column("reason", Words),
    _column("attempts", Integer),
    _column("numbers", JSON),
    _column("delivering", Boolean),
    Column("run_id", String),  # this and the three below: whose claim it is; all or none
    Column("host", String),
    Column("pid", Integer),
    Column("lock", Words),
    Column("lease_until", Moment),
    _column("created_at", Moment),
    _column("updated_at", Moment),
    Column("waiting_since", Moment),
    Column("ready_at", Moment),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("corrected_at", Moment),
    Column("numbers_at", Moment),
    Column("late_told_at", Moment),
    Index(None, "status"),
)

CHANGES = Table(
    "report_changes",
    METADATA,
    _column("id", Integer, key=True),
    _column("report", String),
    _column("period_last", Date),
    _column("moment", Moment),
    _column("status", String),
    _column("reason", Words),
    _column("run_id", String),
    ForeignKeyConstraint(["report", "period_last"], ["report_periods.report", "report_periods.period_last"]),
    Index(None, "report", "period_last"),
)

PROBLEMS = Table(
    "problems",
    METADATA,
    _column("fingerprint", String, key=True),
    _column("subject", Words),
    _column("kind", String),
    _column("owner_of", String),
    _column("text", Words),
    _column("url", Words),
    _column("first_seen", Moment),
    _column("last_seen", Moment),
    _column("times", Integer),
    Column("told_at", Moment),
    Column("resolved_at", Moment),
    _column("resolution", Words),
    Column("recovery_told_at", Moment),
    Index(None, "subject"),
)
