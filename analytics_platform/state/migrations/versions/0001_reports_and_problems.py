"""The run ledger with its history and cursors; what the owner is to be told."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty database."""
    op.create_table(
        "report_cursors",
        sa.Column("report", sa.String(), nullable=False),
        sa.Column("settled_until", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("report", name="pk_report_cursors"),
    )
    op.create_table(
        "report_periods",
        sa.Column("report", sa.String(), nullable=False),
        sa.Column("period_last", sa.Date(), nullable=False),
        sa.Column("period_first", sa.Date(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.Column("delivering", sa.Boolean(), nullable=False),
        sa.Column("run_id", sa.String()),
        sa.Column("host", sa.String()),
        sa.Column("pid", sa.Integer()),
        sa.Column("lock", sa.String()),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waiting_since", sa.DateTime(timezone=True)),
        sa.Column("ready_at", sa.DateTime(timezone=True)),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("corrected_at", sa.DateTime(timezone=True)),
        sa.Column("numbers_at", sa.DateTime(timezone=True)),
        sa.Column("late_told_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("report", "period_last", name="pk_report_periods"),
    )
    op.create_index("ix_report_periods_status", "report_periods", ["status"])
    op.create_table(
        "report_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("report", sa.String(), nullable=False),
        sa.Column("period_last", sa.Date(), nullable=False),
        sa.Column("moment", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_report_changes"),
        sa.ForeignKeyConstraint(
            ["report", "period_last"],
            ["report_periods.report", "report_periods.period_last"],
            name="fk_report_changes_report_periods",
        ),
    )
    op.create_index("ix_report_changes_report_period_last", "report_changes", ["report", "period_last"])
    op.create_table(
        "problems",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("owner_of", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True)),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("resolution", sa.String(), nullable=False),
        sa.Column("recovery_told_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_problems"),
    )
    op.create_index("ix_problems_subject", "problems", ["subject"])
