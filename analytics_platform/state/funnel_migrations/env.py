"""Run by Alembic, never imported: migrates on the connection that `state/database.py` has opened."""

from alembic import context

from analytics_platform.state.funnel_models import METADATA
from analytics_platform.state.schema import FUNNELS

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=FUNNELS.revision_table,
)
context.run_migrations()
