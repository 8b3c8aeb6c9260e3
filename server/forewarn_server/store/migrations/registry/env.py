"""Alembic's entry for the registry database: the caller brings an open transaction."""

from alembic import context

from forewarn_server.store.registry_tables import registry

context.configure(connection=context.config.attributes["connection"], target_metadata=registry, transactional_ddl=True)
context.run_migrations()
