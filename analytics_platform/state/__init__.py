"""What the platform must not forget between two moments: small, transactional, in SQLite or PostgreSQL.

Belongs here: tables, migrations, and the rules by which their rows change: whose a report's period is (`runs.py`), what
the owner is to be told (`problems.py`). Does not: events and results (`warehouses/`), Dagster, settings, clocks: the
URL, the moment and the test for a dead process come as arguments.

SQLAlchemy is imported on first use, not with these modules: it costs 0.2 s of CPU, Alembic 0.1 s more.
"""
