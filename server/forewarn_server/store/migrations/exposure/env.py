"""Alembic's entry for the exposure database: the caller brings an open transaction."""

from alembic import context

from forewarn_server.store.exposure_tables import exposure

context.configure(connection=context.config.attributes["connection"], target_metadata=exposure, transactional_ddl=True)
context.run_migrations()
