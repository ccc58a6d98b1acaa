"""Alerts: how far each source is judged, incidents and what was said of them, mutes, the calendar, fitted detectors."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _needed(kind: type[Any], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=False) for name in names]


def _moment(name: str, *, needed: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not needed)


def upgrade() -> None:
    """From reports, deliveries and subscribers."""
    op.create_table(
        "alert_cursors",
        *_needed(sa.String, "source"),
        _moment("judged_until"),
        *_needed(sa.JSON, "held", "lateness"),
        *_needed(sa.Integer, "version"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("source", name="pk_alert_cursors"),
    )
    op.create_table(
        "incidents",
        *_needed(sa.Integer, "id"),
        *_needed(sa.String, "key", "kind", "status"),
        *_needed(sa.Boolean, "over"),
        _moment("started"),
        _moment("opened_at", needed=False),
        _moment("closed_at", needed=False),
        *_needed(sa.Integer, "revision", "loud_revision", "said_revision"),
        _moment("said_at", needed=False),
        *_needed(sa.JSON, "body"),
        *_needed(sa.Integer, "version"),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
    )
    op.create_index("uq_incidents_key", "incidents", ["key"], unique=True)
    op.create_index("ix_incidents_over", "incidents", ["over"])
    op.create_index("ix_incidents_started", "incidents", ["started"])
    op.create_table(
        "incident_changes",
        *_needed(sa.Integer, "id", "incident_id", "revision"),
        _moment("moment"),
        *_needed(sa.String, "what"),
        *_needed(sa.Boolean, "loud"),
        *_needed(sa.String, "by", "about"),
        sa.PrimaryKeyConstraint("id", name="pk_incident_changes"),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name="fk_incident_changes_incidents", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_incident_changes_incident_id", "incident_changes", ["incident_id"])
    op.create_table(
        "incident_feedback",
        *_needed(sa.Integer, "id"),
        *_needed(sa.String, "incident", "verdict"),
        _moment("moment"),
        *_needed(sa.String, "by"),
        *_needed(sa.JSON, "scores"),
        sa.PrimaryKeyConstraint("id", name="pk_incident_feedback"),
    )
    op.create_index("ix_incident_feedback_incident", "incident_feedback", ["incident"])
    op.create_index("ix_incident_feedback_moment", "incident_feedback", ["moment"])
    op.create_table(
        "alert_mutes",
        *_needed(sa.Integer, "id"),
        *_needed(sa.String, "service", "metric", "dimension", "value"),
        _moment("until"),
        *_needed(sa.String, "by", "reason"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_alert_mutes"),
    )
    op.create_index("ix_alert_mutes_until", "alert_mutes", ["until"])
    op.create_table(
        "alert_calendar",
        *_needed(sa.Integer, "id"),
        *_needed(sa.String, "name", "kind"),
        _moment("starts"),
        _moment("ends"),
        *_needed(sa.JSON, "services", "metrics"),
        *_needed(sa.Float, "slack"),
        *_needed(sa.String, "created_by"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_alert_calendar"),
    )
    op.create_index("ix_alert_calendar_ends", "alert_calendar", ["ends"])
    op.create_table(
        "detector_models",
        *_needed(sa.Integer, "version"),
        *_needed(sa.String, "name"),
        _moment("trained_at"),
        *_needed(sa.JSON, "body", "used_for"),
        sa.PrimaryKeyConstraint("version", name="pk_detector_models"),
    )
