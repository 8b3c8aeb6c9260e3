"""What an operator may set: name, default, unit and bounds on one line, read once, injected."""

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from forewarn_protocol.errors import BadSettings, Missing
from forewarn_protocol.feeds import Region
from forewarn_shell.files import read_bounded

SETTINGS_FILE: Final = "settings.toml"
ENVIRONMENT_PREFIX: Final = "FOREWARN_SERVER_"
KEY_VARIABLE_PREFIX: Final = f"{ENVIRONMENT_PREFIX}KEY_"
"""Before use and name of a single key whose secret stands in the environment, as in FOREWARN_SERVER_KEY_FEED_V1."""
_MAX_SETTINGS_BYTES: Final = 65_536
_KEY_VARIABLE: Final = re.compile(rf"{KEY_VARIABLE_PREFIX}[A-Z_]+_V[1-9][0-9]*")

_AUTHORITY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _authority_id(text: str) -> str:
    if not _AUTHORITY_ID.fullmatch(text):
        raise ValueError("the name of an authority is 1 to 64 letters, digits, dots, hyphens or underscores")
    return text


AuthorityId = Annotated[str, AfterValidator(_authority_id)]


class ServerSettings(BaseSettings):
    """One deployment: what stands in DATA/settings.toml, over it FOREWARN_SERVER_*, over that the command line."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    data: Path = Field(description="folder with databases, keys and the public folder")
    region: Region = Field(description="the region whose keys this server publishes")
    health_authority_id: AuthorityId = Field(
        "", validate_default=False, description="name in certificates; empty: the region"
    )
    keys: Path | None = Field(None, description="folder of the keys; none: `keys` in the data folder")
    code_hash_keys: Path | None = Field(
        None,
        description="folder of the daily code-hash keys; none: `code-hash` in that of the keys",
    )
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8080, ge=0, le=65_535, description="port to listen on; 0: any free one")
    metrics_port: int = Field(
        0, ge=0, le=65_535, description="port on 127.0.0.1 where the operator reads metrics; 0: none"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least severe lines that are logged"
    )

    answer_grid_ms: int = Field(
        50, ge=0, le=1_000, description="milliseconds of a slot of the clock grid on which phones are answered"
    )
    upload_wait_seconds: int = Field(
        20, ge=1, le=600, description="seconds that the head of a request may take, and then its body"
    )

    codes_per_key_and_day: int = Field(1_000, ge=0, le=1_000_000, description="codes an API key may issue in a UTC day")
    maximum_symptom_days: int = Field(14, ge=1, le=28, description="days that a symptom or test date may lie back")

    minimum_reports_per_file: int = Field(3, ge=1, le=1_000, description="distinct publishes an export file waits for")
    maximum_wait_h: int = Field(
        6, ge=0, le=24, description="hours after which a file no longer waits for more publishes"
    )
    padded_keys: int = Field(1_000, ge=0, le=500_000, description="keys an export file holds at least")
    maximum_keys_per_file: int = Field(500_000, ge=1, le=500_000, description="keys an export file holds at most")
    embargo_h: int = Field(2, ge=2, le=24, description="hours between a key's expiry and its publication")
    key_retention_days: int = Field(14, ge=1, le=14, description="days that keys and export files stay")
    audit_retention_days: int = Field(365, ge=1, le=365, description="days that an act of staff stays in the audit")

    feed_key_overlap_days: int = Field(
        30, ge=2, le=365, description="days that a new feed key is announced before it signs"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth(cls, value: object) -> object:
        # true would else pass for the number 1.
        if isinstance(value, bool):
            raise ValueError("true and false are no values here: give a number, or text in quotes")  # noqa: TRY004 - pydantic tells of a ValueError only
        return value

    @classmethod
    def load(cls, data: Path, **overrides: object) -> Self:
        """Read the settings of an initialised data folder; overrides that are None count as not given.

        Raises:
            Missing: the folder holds no server.
            BadSettings: a setting is unknown or out of its bounds.
        """
        path = data / SETTINGS_FILE
        if not path.is_file():
            raise Missing(f"{data} holds no server: run forewarn-server init --data {data} --region REGION")
        try:
            stored = tomllib.loads(read_bounded(path, _MAX_SETTINGS_BYTES).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings(f"{path} is no TOML: mend it or run init in a new folder") from error
        return cls.checked(data, stored, {name: value for name, value in overrides.items() if value is not None})

    @classmethod
    def checked(cls, data: Path, stored: dict[str, object], given: dict[str, object]) -> Self:
        """Lay the sources over each other and refuse what is unknown or out of bounds, in one line."""
        _refuse_unknown_variables(os.environ)
        try:
            from_environment = EnvSettingsSource(cls)()
            return cls.model_validate({**stored, **from_environment, **given, "data": data})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = ".".join(str(part) for part in first["loc"]) or "settings"
            raise BadSettings(f"the setting {name} is wrong: {first['msg'].removeprefix('Value error, ')}") from error

    @property
    def authority(self) -> str:
        """The name of the health authority in certificates and publishes."""
        return self.health_authority_id or self.region

    @property
    def keys_folder(self) -> Path:
        """The folder of the rings of keys."""
        return self.keys or self.data / "keys"

    @property
    def code_hash_folder(self) -> Path:
        """The folder of the ring that changes by itself each day."""
        return self.code_hash_keys or self.keys_folder / "code-hash"

    @property
    def equal_answers(self) -> bool:
        """Whether a report and chaff take as long; where not, answers leave at once and chaff waits for nobody."""
        return self.answer_grid_ms > 0

    @property
    def public(self) -> Path:
        """The folder that anybody may download."""
        return self.data / "public"


def _refuse_unknown_variables(environment: Iterable[str]) -> None:
    # A slip in a name would else leave the default in force without a word.
    for name in environment:
        if name.startswith(ENVIRONMENT_PREFIX):
            setting = name.removeprefix(ENVIRONMENT_PREFIX).lower()
            if setting not in ServerSettings.model_fields and not _KEY_VARIABLE.fullmatch(name):
                raise BadSettings(f"the environment variable {name} is no setting of forewarn-server: unset it")
