"""What all badges of a site have in common: site.toml, which holds no secret and is checked before anything is made."""

import tempfile
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forewarn_client.config import ClientSettings
from forewarn_protocol.errors import BadSettings
from forewarn_shell.files import read_bounded

_MAX_SITE_BYTES: Final = 64 * 1024
_MAX_PASSWORD_BYTES: Final = 256
_DEMANDED: Final = {
    "server": "the box's address, as in http://192.168.50.1:8080",
    "public_key": "the feed key that 'forewarn-server init' printed",
    "radio": "bluez or hci, for without one a badge is deaf",
}
"""Settings that a badge cannot do its work without, though a device may."""
_PASSWORD: Final = range(0x20, 0x7F)
_PASSWORD_LENGTHS: Final = range(8, 64)


class Wifi(BaseModel):
    """The site's network. Its password lies in a file of its own, so that site.toml may be shown and kept anywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ssid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]([A-Za-z0-9_. -]{0,30}[A-Za-z0-9_.-])?$")]
    password_file: Annotated[str, Field(min_length=1, max_length=1000)]


class Site(BaseModel):
    """A site: what labels say, and what goes onto every badge alike. Nothing here tells one badge from another."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=60, description="the site's name, for the labels")]
    desk: Annotated[str, Field(min_length=1, max_length=120, description="where a badge goes that asks for help")]
    time_server: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,100}$", description="the box's address")] | None = (
        None
    )
    wifi: Wifi | None = None
    badge: Annotated[dict[str, Any], Field(description="a table of settings of forewarn-client")]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check a site.toml, with the settings in it.

        Raises:
            BadInput: there is no such file.
            BadSettings: one line that names what is wrong and what it wants.
        """
        try:
            site = cls(**tomllib.loads(read_bounded(path, _MAX_SITE_BYTES).decode()))
        except ValidationError as error:
            raise BadSettings(f"{path}: {_sentence(error)}") from error
        except (ValueError, RecursionError) as error:
            raise BadSettings(f"{path} is no TOML ({error}): mend it") from None
        for name, wanted in _DEMANDED.items():
            if not site.badge.get(name):
                raise BadSettings(f"{path}: [badge] lacks {name}: {wanted}")
        _ = site.settings_in(path)
        return site

    def settings_in(self, path: Path) -> ClientSettings:
        """Return the settings of every badge, as if each one's data folder were empty; `path` names the site in errors.

        Raises:
            BadSettings: one line.
        """
        if "data" in self.badge:
            raise BadSettings(f"{path}: [badge] holds data: remove it, each badge has its own folder")
        with tempfile.TemporaryDirectory(prefix="forewarn-") as empty:
            try:
                return ClientSettings.load(data=Path(empty), **self.badge)
            except BadSettings as error:
                raise BadSettings(f"{path}: in [badge], {error.message}") from error

    def wifi_password(self, path: Path) -> str | None:
        """Return the network's password, from its file beside site.toml; None without a network.

        Raises:
            BadInput: there is no such file.
            BadSettings: it is no password of WPA.
        """
        if self.wifi is None:
            return None
        file = path.parent / self.wifi.password_file
        password = read_bounded(file, _MAX_PASSWORD_BYTES).decode(errors="replace").rstrip("\r\n")
        if len(password) not in _PASSWORD_LENGTHS or any(ord(letter) not in _PASSWORD for letter in password):
            raise BadSettings(f"{file} holds no password of a network: one line of 8 to 63 plain characters")
        return password


def _sentence(error: ValidationError) -> str:
    found = error.errors(include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"]) or "it"
    if found["type"] == "extra_forbidden":
        return f"{place} is nothing that a site has: remove it (settings of badges stand in [badge])"
    if found["type"] == "missing":
        field = Site.model_fields.get(place)
        return f"{place} is missing: {'set it' if field is None else field.description}"
    return f"{place} is wrong ({found['msg']})"
