"""Entries, the outbox of the mailing service, the lease, and how the last sync went."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    """From an empty database, or from one where this step was interrupted."""
    _table(
        "funnel_entries",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("funnel_type", sa.String(50), nullable=False),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("test_id", sa.BigInteger()),
        sa.Column("test_key", sa.BigInteger(), sa.Computed("COALESCE(test_id, 0)", persisted=True)),
        sa.Column("entered_at", _MOMENT, nullable=False),
        sa.Column("certificate_purchased", sa.SmallInteger(), nullable=False),
        sa.Column("certificate_purchased_at", _MOMENT),
        sa.Column("already_customer", sa.SmallInteger(), nullable=False),
        sa.Column("customer_since", _MOMENT),
        sa.Column("published", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_funnel_entries"),
        sa.UniqueConstraint("email", "funnel_type", "test_key", name="uq_funnel_entries_email_funnel_type_test_key"),
    )
    _index("funnel_entries", "email", "funnel_type")
    _index("funnel_entries", "user_id", "test_id")
    _index("funnel_entries", "published", "id")
    _index("funnel_entries", "entered_at")
    _table(
        "brevo_sync_outbox",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("funnel_entry_id", _NUMBER, nullable=False),
        sa.Column("operation_type", sa.String(50), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("next_attempt_at", _MOMENT, nullable=False),
        sa.Column("process_id", sa.BigInteger()),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_brevo_sync_outbox"),
        sa.ForeignKeyConstraint(["funnel_entry_id"], ["funnel_entries.id"], name="fk_brevo_sync_outbox_funnel_entries"),
        sa.UniqueConstraint(
            "funnel_entry_id", "operation_type", name="uq_brevo_sync_outbox_funnel_entry_id_operation_type"
        ),
    )
    _index("brevo_sync_outbox", "status", "next_attempt_at")
    _index("brevo_sync_outbox", "status", "id")
    _table(
        "funnel_leases",
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("run_id", sa.String(255), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("lock", sa.Text(), nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("until", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_funnel_leases"),
    )
    _table(
        "funnel_syncs",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_started_at", _MOMENT),
        sa.Column("last_finished_at", _MOMENT),
        sa.Column("published_until", _MOMENT),
        sa.Column("last_mode", sa.String(10)),
        sa.Column("circuit_open_until", _MOMENT),
        sa.Column("published_stamp", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_funnel_syncs"),
    )


def _table(name: str, *items: sa.schema.SchemaItem) -> None:
    con = op.get_bind()
    if sa.inspect(con).has_table(name):
        return
    # Without padding: with it, an address and the same one with a blank behind it would be equal.
    mariadb = bool(getattr(con.dialect, "is_mariadb", False))
    op.create_table(
        name,
        *items,
        mysql_engine="InnoDB",
        mysql_default_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin",
    )


def _index(table: str, *columns: str) -> None:
    name = f"ix_{table}_{'_'.join(columns)}"
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns)
