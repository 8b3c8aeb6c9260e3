"""Brings both databases to the schema of this version, and refuses to run on any other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from forewarn_protocol.errors import Missing
from forewarn_server.store.engine import open_blocking


@dataclass(frozen=True, slots=True)
class Schema:
    """One of the two databases: its file in the data folder and its line of migrations."""

    name: str

    def path(self, data: Path) -> Path:
        """Return the database's file."""
        return data / f"{self.name}.db"

    def migrate(self, data: Path) -> bool:
        """Create the database or bring it to the newest schema, in one transaction; tell whether anything changed.

        Raises:
            Missing: the file is no database, or was made by a newer Forewarn.
        """
        path = self.path(data)
        # Nobody but the server's user reads it; SQLite gives its journal the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with self._connection(path) as connection:
            before = self._revision(connection)
            self._refuse_newer(path, before)
            config = self._config
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return before != self._head

    def check(self, data: Path) -> None:
        """Refuse a database that is missing, older or newer than this version.

        Raises:
            Missing: with what to do.
        """
        path = self.path(data)
        if not path.is_file():
            raise Missing(f"{path} is missing: run forewarn-server init --data {data}, or restore it")
        with self._connection(path) as connection:
            revision = self._revision(connection)
        if revision is None:
            raise Missing(f"{path} is empty: restore it from a backup, or run forewarn-server init --data {data} anew")
        self._refuse_newer(path, revision)
        if revision != self._head:
            raise Missing(f"{path} has an older schema: run forewarn-server migrate --data {data}")

    @property
    def _config(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations") / self.name))
        return config

    @property
    def _scripts(self) -> ScriptDirectory:
        return ScriptDirectory.from_config(self._config)

    @property
    def _head(self) -> str | None:
        return self._scripts.get_current_head()

    def _refuse_newer(self, path: Path, revision: str | None) -> None:
        known = {script.revision for script in self._scripts.walk_revisions()}
        if revision is not None and revision not in known:
            raise Missing(f"{path} was made by a newer Forewarn: install that version, nothing was changed")

    @staticmethod
    def _revision(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    @staticmethod
    @contextmanager
    def _connection(path: Path) -> Iterator[Connection]:
        engine = open_blocking(path)
        try:
            with engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            raise Missing(
                f"{path} cannot be used ({error.orig}): restore it from a backup, or free disk space"
            ) from error
        finally:
            engine.dispose()


SCHEMAS: Final = (Schema("exposure"), Schema("registry"))
EXPOSURE, REGISTRY = SCHEMAS
