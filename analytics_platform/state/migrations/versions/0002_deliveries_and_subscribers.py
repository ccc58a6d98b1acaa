"""The delivery ledger, subscribers, the shared pace; a report's period knows the delivery that carries it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From run ledger and problems alone."""
    op.add_column("report_periods", sa.Column("round", sa.Integer(), nullable=False, server_default="1"))
    for name in ("delivery", "becomes", "becomes_reason"):
        op.add_column("report_periods", sa.Column(name, sa.String()))
    op.create_table(
        "delivery_parts",
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("topic", "period", "channel", "address", "thread")),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("repeatable", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("doubtful", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("message_ids", sa.JSON(), nullable=False),
        sa.Column("file_ids", sa.JSON(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("try_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.String()),
        sa.Column("host", sa.String()),
        sa.Column("pid", sa.Integer()),
        sa.Column("lock", sa.String()),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_parts"),
    )
    piece = ["topic", "period", "channel", "address", "thread", "part"]
    op.create_index("uq_delivery_parts_piece", "delivery_parts", piece, unique=True)
    op.create_index("ix_delivery_parts_state", "delivery_parts", ["state"])
    op.create_index("ix_delivery_parts_channel_address", "delivery_parts", ["channel", "address"])
    op.create_index("ix_delivery_parts_created_at", "delivery_parts", ["created_at"])
    op.create_table(
        "subscribers",
        sa.Column("id", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("channel", "address", "thread", "kind", "name", "language", "zone")
        ),
        sa.Column("quiet_from", sa.Time()),
        sa.Column("quiet_until", sa.Time()),
        sa.Column("configured", sa.String(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True)),
        sa.Column("paused_reason", sa.String(), nullable=False),
        sa.Column("paused_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscribers"),
    )
    op.create_index("uq_subscribers_recipient", "subscribers", ["channel", "address", "thread"], unique=True)
    op.create_index("uq_subscribers_token", "subscribers", ["token"], unique=True)
    op.create_table(
        "subscriptions",
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("silent", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("subscriber_id", "topic", name="pk_subscriptions"),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscribers.id"], name="fk_subscriptions_subscribers", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "sending_slots",
        sa.Column("bucket", sa.String(), nullable=False),
        sa.Column("taken", sa.JSON(), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bucket", name="pk_sending_slots"),
    )
