"""Two SQLite databases that are never joined: `exposure` for the anonymous zone, `registry` for the authority's people.

`engine` opens them, `schema` migrates them, `exposure_tables` and `registry_tables` are the tables. Each feature speaks
SQLAlchemy Core to its own tables in its `service` or store module.
"""
