"""Makes a data folder a server: settings, keys, databases. Safe to repeat: what is there stays as it is."""

from dataclasses import dataclass
from pathlib import Path

from forewarn_protocol.errors import BadInput
from forewarn_server.config import SETTINGS_FILE, ServerSettings
from forewarn_server.keyrings.folder import KeyFolder
from forewarn_server.keyrings.living import KeyRings
from forewarn_server.keyrings.policies import POLICIES
from forewarn_server.store.schema import SCHEMAS
from forewarn_shell.clock import Clock, SystemClock
from forewarn_shell.files import clear_left_overs, make_folder, write_durably


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `init` tells: public keys as base64 SubjectPublicKeyInfo, and what was created this time."""

    region: str
    health_authority_id: str
    feed_key: str
    export_key: str
    created: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the form for programs."""
        return {
            "region": self.region,
            "health_authority_id": self.health_authority_id,
            "feed_key": self.feed_key,
            "export_key": self.export_key,
            "created": list(self.created),
        }


def initialise(data: Path, region: str, health_authority_id: str = "", clock: Clock | None = None) -> Initialised:
    """Create what is missing in a data folder and return its public keys.

    Raises:
        BadInput: the folder belongs to another region or authority; a name has impossible characters.
    """
    created = []
    stored: dict[str, object] = {"region": region}
    if health_authority_id:
        stored["health_authority_id"] = health_authority_id
    if (data / SETTINGS_FILE).exists():
        _refuse_another_owner(ServerSettings.load(data), region, health_authority_id, data)
    else:
        ServerSettings.checked(data, stored, {})
        try:
            make_folder(data, mode=0o700)
        except (FileExistsError, NotADirectoryError) as error:
            raise BadInput(f"{data} is or lies in a file: give a folder as --data") from error
        # Without its settings the folder serves nobody yet: what lies there is of an init that was killed.
        clear_left_overs(data)
        lines = "".join(f'{name} = "{value}"\n' for name, value in stored.items())
        write_durably(data / SETTINGS_FILE, lines.encode())
        created.append("settings")
    settings, clock = ServerSettings.load(data), clock or SystemClock()
    folder = KeyFolder.of(settings)
    created += [f"{use} key" for use in POLICIES if folder.create_missing(POLICIES[use], int(clock.utc()))]
    created += [f"{schema.name} database" for schema in SCHEMAS if schema.migrate(data)]
    keys = KeyRings(folder, clock)
    keys.load()
    feed_key, export_key = keys.feed.active.public_base64, keys.export.active.public_base64
    return Initialised(settings.region, settings.authority, feed_key, export_key, tuple(created))


def _refuse_another_owner(settings: ServerSettings, region: str, health_authority_id: str, data: Path) -> None:
    if settings.region != region or (health_authority_id and settings.authority != health_authority_id):
        raise BadInput(f"{data} is the server of region {settings.region} already: give another --data for {region}")
