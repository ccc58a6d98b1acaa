"""Run by Alembic, never imported: migrates inside the transaction that `state/database.py` has opened."""

from alembic import context

from analytics_platform.state.models import METADATA, REVISION

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=REVISION.name
)
context.run_migrations()
