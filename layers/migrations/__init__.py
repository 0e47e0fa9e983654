"""The schema's history: Alembic runs these in order, under a lock (see `layers.database.migrate`)."""
