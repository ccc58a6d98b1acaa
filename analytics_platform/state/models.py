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
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Time,
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
    Column("round", Integer, nullable=False, server_default="1"),
    Column("delivery", String),  # this and the two below: what readers are being sent; all or none
    Column("becomes", String),
    Column("becomes_reason", Words),
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

# One row a delivery, recipient and piece. `period` is what of the topic: a day, a correction of it, a moment.
PARTS = Table(
    "delivery_parts",
    METADATA,
    _column("id", Integer, key=True),
    _column("topic", String),
    _column("period", String),
    _column("channel", String),
    _column("address", Words),
    _column("thread", String),
    _column("part", Words),
    _column("place", Integer),
    _column("language", String),
    _column("digest", String),
    _column("repeatable", Boolean),
    _column("state", String),
    _column("doubtful", Boolean),
    _column("attempts", Integer),
    _column("message_ids", JSON),
    _column("file_ids", JSON),
    _column("error", Words),
    _column("created_at", Moment),
    _column("updated_at", Moment),
    Column("sent_at", Moment),
    Column("next_at", Moment),
    _column("try_until", Moment),
    Column("run_id", String),  # this and the four below: whose try it is; all or none
    Column("host", String),
    Column("pid", Integer),
    Column("lock", Words),
    Column("lease_until", Moment),
    Index("uq_delivery_parts_piece", "topic", "period", "channel", "address", "thread", "part", unique=True),
    Index(None, "state"),
    Index(None, "channel", "address"),
    Index(None, "created_at"),
)

SUBSCRIBERS = Table(
    "subscribers",
    METADATA,
    _column("id", Integer, key=True),
    _column("channel", String),
    _column("address", Words),
    _column("thread", String),
    _column("kind", String),
    _column("name", Words),
    _column("language", String),
    _column("zone", String),
    Column("quiet_from", Time),
    Column("quiet_until", Time),
    _column("configured", Words),
    _column("token", String),
    _column("created_at", Moment),
    Column("paused_at", Moment),
    _column("paused_reason", Words),
    _column("paused_by", String),
    Index("uq_subscribers_recipient", "channel", "address", "thread", unique=True),
    Index("uq_subscribers_token", "token", unique=True),
)

SUBSCRIPTIONS = Table(
    "subscriptions",
    METADATA,
    Column(
        "subscriber_id",
        Integer,
        ForeignKey("subscribers.id", ondelete="CASCADE", name="fk_subscriptions_subscribers"),
        primary_key=True,
    ),
    _column("topic", String, key=True),
    _column("silent", Boolean),
)

# When messages were or will be sent, by limit (a bot, a chat): what keeps several processes to one pace.
SLOTS = Table(
    "sending_slots",
    METADATA,
    _column("bucket", String, key=True),
    _column("taken", JSON),
    _column("free_at", Moment),
)

# How far each source is judged. `version` grows with every step: what a process must have seen to take the next one.
ALERT_CURSORS = Table(
    "alert_cursors",
    METADATA,
    _column("source", String, key=True),
    _column("judged_until", Moment),
    _column("held", JSON),
    _column("lateness", JSON),
    _column("version", Integer),
    _column("updated_at", Moment),
)

# One row an incident: what is asked for as columns, all of it in `body`. `version` grows with every change of `body`.
INCIDENTS = Table(
    "incidents",
    METADATA,
    _column("id", Integer, key=True),
    _column("key", Words),
    _column("kind", String),
    _column("status", String),
    _column("over", Boolean),
    _column("started", Moment),
    Column("opened_at", Moment),
    Column("closed_at", Moment),
    _column("revision", Integer),
    _column("loud_revision", Integer),
    _column("said_revision", Integer),
    Column("said_at", Moment),
    _column("body", JSON),
    _column("version", Integer),
    _column("created_at", Moment),
    _column("updated_at", Moment),
    Index("uq_incidents_key", "key", unique=True),
    Index(None, "over"),
    Index(None, "started"),
)

INCIDENT_CHANGES = Table(
    "incident_changes",
    METADATA,
    _column("id", Integer, key=True),
    Column(
        "incident_id",
        Integer,
        ForeignKey("incidents.id", ondelete="CASCADE", name="fk_incident_changes_incidents"),
        nullable=False,
    ),
    _column("revision", Integer),
    _column("moment", Moment),
    _column("what", String),
    _column("loud", Boolean),
    _column("by", Words),
    _column("about", Words),
    Index(None, "incident_id"),
)

# Kept when its incident is forgotten: thresholds and baselines depend on it.
INCIDENT_FEEDBACK = Table(
    "incident_feedback",
    METADATA,
    _column("id", Integer, key=True),
    _column("incident", Words),
    _column("verdict", String),
    _column("moment", Moment),
    _column("by", Words),
    _column("scores", JSON),
    Index(None, "incident"),
    Index(None, "moment"),
)

ALERT_MUTES = Table(
    "alert_mutes",
    METADATA,
    _column("id", Integer, key=True),
    _column("service", Words),
    _column("metric", Words),
    _column("dimension", Words),
    _column("value", Words),
    _column("until", Moment),
    _column("by", Words),
    _column("reason", Words),
    _column("created_at", Moment),
    Index(None, "until"),
)

ALERT_CALENDAR = Table(
    "alert_calendar",
    METADATA,
    _column("id", Integer, key=True),
    _column("name", Words),
    _column("kind", String),
    _column("starts", Moment),
    _column("ends", Moment),
    _column("services", JSON),
    _column("metrics", JSON),
    _column("slack", Float),
    _column("created_by", Words),
    _column("created_at", Moment),
    Index(None, "ends"),
)

# Detectors fitted on labels, by version; `used_for` are the metrics for which one proved better than the default.
DETECTOR_MODELS = Table(
    "detector_models",
    METADATA,
    _column("version", Integer, key=True),
    _column("name", String),
    _column("trained_at", Moment),
    _column("body", JSON),
    _column("used_for", JSON),
)
