"""The tables of the funnel ledger, as the newest migration leaves them.

Belongs here: tables, keys, column types. Does not: rules about their rows; how an older schema becomes this one
(`funnel_migrations/`, checked to end up here). Imported only when the ledger is used: SQLAlchemy is heavy.

Other programs read these tables, so their names and their 0 and 1 are those that such systems know.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from analytics_platform.state.models import Moment, Words

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only in a column of exactly this type.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")


class UtcMoment(Moment):
    """A `Moment` also on MySQL: there without a zone, and to the microsecond only when that is asked for."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """DATETIME(6) on MySQL."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return super().load_dialect_impl(dialect)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As UTC; ValueError for a moment without a zone."""
        moment = super().process_bind_param(value, dialect)
        return moment.replace(tzinfo=None) if moment and dialect.name == "mysql" else moment


class LongWords(Words):
    """`Words` of any length."""

    impl = Text
    cache_ok = True


def _column(name: str, kind: Any, *, nullable: bool = False) -> Column[Any]:
    return Column(name, kind, nullable=nullable)


ENTRIES = Table(
    "funnel_entries",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    # Equal only byte for byte: on MySQL by the collation that the step gives the table.
    _column("email", String(255)),
    _column("funnel_type", String(50)),
    _column("user_id", BigInteger, nullable=True),
    _column("test_id", BigInteger, nullable=True),
    # No two NULLs are equal in a key, and the test may be unknown.
    Column("test_key", BigInteger, Computed("COALESCE(test_id, 0)", persisted=True)),
    _column("entered_at", UtcMoment),
    _column("certificate_purchased", SmallInteger),
    _column("certificate_purchased_at", UtcMoment, nullable=True),
    _column("already_customer", SmallInteger),
    _column("customer_since", UtcMoment, nullable=True),
    # Whether the warehouse has the row as it is here.
    _column("published", SmallInteger),
    UniqueConstraint("email", "funnel_type", "test_key"),
    Index(None, "email", "funnel_type"),
    Index(None, "user_id", "test_id"),
    Index(None, "published", "id"),
    Index(None, "entered_at"),
)

OUTBOX = Table(
    "brevo_sync_outbox",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("funnel_entry_id", _NUMBER, ForeignKey(ENTRIES.c.id), nullable=False),
    _column("operation_type", String(50)),
    # JSON, without the address: that stands in the entry alone.
    _column("payload", Text),
    _column("status", String(20)),
    _column("retry_count", Integer),
    _column("last_error", LongWords),
    _column("next_attempt_at", UtcMoment),
    _column("process_id", BigInteger, nullable=True),
    _column("created_at", UtcMoment),
    _column("updated_at", UtcMoment),
    # Nobody is told the same twice.
    UniqueConstraint("funnel_entry_id", "operation_type"),
    Index(None, "status", "next_attempt_at"),
    # Pages by id: with the other one alone, each page would sort all that is pending.
    Index(None, "status", "id"),
)

# A row without a token is nobody's. `lock`: the file that the holder's process keeps locked.
LEASES = Table(
    "funnel_leases",
    METADATA,
    Column("name", String(50), primary_key=True),
    _column("token", String(64)),
    _column("run_id", String(255)),
    _column("host", String(255)),
    _column("pid", Integer),
    _column("lock", Text),
    _column("since", UtcMoment),
    _column("until", UtcMoment),
)

# One row, its id 1.
SYNCS = Table(
    "funnel_syncs",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _column("last_started_at", UtcMoment, nullable=True),
    _column("last_finished_at", UtcMoment, nullable=True),
    _column("published_until", UtcMoment, nullable=True),
    _column("last_mode", String(10), nullable=True),
    _column("circuit_open_until", UtcMoment, nullable=True),
    # What the warehouse said of itself when it was last published to.
    _column("published_stamp", LongWords, nullable=True),
)
