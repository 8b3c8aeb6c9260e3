"""Every setting of the tracer: name, default, unit and bounds on one line, read once, refused early."""

import os
import shlex
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from forewarn_client.calibration import CALIBRATED, MAX_CORRECTION_DB, read_calibration
from forewarn_protocol.errors import BadSettings, ForewarnError
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_protocol.feeds import Region

ENVIRONMENT_PREFIX: Final = "FOREWARN_CLIENT_"
SETTINGS_FILE: Final = "settings.toml"
"""In the data folder; an environment variable goes before it, an option of the command line before both."""
_RADIO: Final = ("radio", "adapter", "hci_transport")

_LED: Final = r"^([A-Za-z0-9_:-][A-Za-z0-9_.:-]*|(/[A-Za-z0-9_:-][A-Za-z0-9_.:-]*)+)$"


def default_data_folder() -> Path:
    """Return where this person's diary lies unless a setting says otherwise."""
    return platformdirs.user_data_path("forewarn")


def _radio_name(radio: str, adapter: str, hci_transport: str) -> str:
    return {"bluez": f"bluez {adapter}", "hci": f"hci {hci_transport}"}.get(radio, radio)


def _fits_dns(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:  # a label that is empty or over 63 bytes: the resolver would raise the same, in the daemon
        return False
    return True


class _SettingsFile(TomlConfigSettingsSource):
    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        if "data" in values:
            raise ValueError("it lies in the data folder and cannot name another one: remove data, and give --data")
        _refuse_quoted_numbers(values)
        return values


class _CalibrationFile(InitSettingsSource):
    """What was measured of the radio that these settings name; of another one it says nothing."""

    def __init__(self, settings_cls: type[BaseSettings], data: Path) -> None:
        self._calibration = read_calibration(data)
        super().__init__(settings_cls, {} if self._calibration is None else self._calibration.settings)

    def __call__(self) -> dict[str, Any]:
        named = {name: str(self.current_state.get(name, ClientSettings.model_fields[name].default)) for name in _RADIO}
        if self._calibration is None or self._calibration.radio != _radio_name(**named):
            return {}
        return super().__call__()


class ClientSettings(BaseSettings):
    """One frozen value, passed to whoever needs it. `settings.toml` is read from the data folder."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True)

    data: Path = Field(default_factory=default_data_folder, description="folder of diary, device key and settings.toml")
    server: str | None = Field(
        None, max_length=500, description="address of the health authority's server, as in https://example.org"
    )
    public_key: Annotated[tuple[str, ...], NoDecode] = Field(
        (), max_length=8, description="feed keys that are trusted, at most 8: base64 of a DER SubjectPublicKeyInfo"
    )
    region: Region = Field("vn", description="region whose keys are fetched, such as vn")
    language: Literal["vi", "en"] = Field("vi", description="language of alerts: vi or en")
    radio: Literal["loopback", "bluez", "hci"] = Field("loopback", description="radio to use: loopback, bluez or hci")
    hci_transport: str = Field(
        "hci-socket:0",
        max_length=200,
        pattern=r"^(hci-socket:[0-9]{1,3}|(usb|serial|tcp-client|unix):[!-~]+)$",
        description="where radio hci finds its controller: hci-socket:0, usb:0, serial:/dev/ttyACM0 or the like",
    )
    adapter: str = Field("hci0", pattern=r"^hci[0-9]{1,3}$", description="Bluetooth adapter of bluez, such as hci0")
    service_uuid: int = Field(0xFD6F, ge=0, le=0xFFFF, description="16-bit UUID of the service data, 0..65535")
    tx_power_dbm: int = Field(
        -20, ge=-50, le=20, description="transmit power written into the metadata, whole dBm, -50..20"
    )
    confidence: int = Field(
        0, ge=0, le=3, description="how well that power is calibrated: 0 none, 1 low, 2 medium, 3 high"
    )
    receiver_correction_db: float = Field(
        0.0,
        ge=-MAX_CORRECTION_DB,
        le=MAX_CORRECTION_DB,
        allow_inf_nan=False,
        description="correction added to each RSSI, dB, -40..40",
    )
    maximum_sightings_per_window: int = Field(
        4000, ge=100, le=20_000, description="sightings kept of a scan window, the strongest first, 100..20000"
    )
    led: str | None = Field(
        None,
        max_length=200,
        pattern=_LED,
        description="LED that shows the condition: a name in /sys/class/leds, or a path",
    )
    led_alert: Literal["discreet", "own"] = Field(
        "discreet", description="how an alert looks: discreet, as a call for help does, or with a rhythm of its own"
    )
    buzzer: str | None = Field(
        None, max_length=200, pattern=_LED, description="active buzzer, the kernel's LED too: its name, or a path"
    )
    quiet_hours: str = Field(
        "21-7",
        pattern=r"^([01]?[0-9]|2[0-3])-([01]?[0-9]|2[0-3])$",
        description="hours of local time in which the buzzer is silent: from-to; 0-0: none",
    )
    page_host: str = Field(
        "127.0.0.1",
        max_length=15,
        description="address of the person's page: 127.0.0.1, or this machine's own on a USB link",
    )
    page_port: int = Field(
        0, ge=0, le=65535, description="port where the daemon offers the page; 0: only 'forewarn-client page' does"
    )
    assessing: Literal["process", "thread"] = Field(
        "process",
        description="where files are compared and matches judged: process (whose memory is given back) or thread",
    )
    state_socket: Path | None = Field(
        None, description="socket on which the daemon tells its state to its group, for notify: an absolute path"
    )
    hook: Annotated[tuple[str, ...], NoDecode] = Field(
        (), max_length=32, description="program, by its absolute path, and its arguments, run when the state changes"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least log lines written: debug, info, warning or error"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: object) -> object:
        # No setting is one, and Python would count true as 1.
        if isinstance(value, bool):
            raise ValueError("true and false are no values here")  # noqa: TRY004 - pydantic maps ValueError only
        return value

    @field_validator("server")
    @classmethod
    def _check_server(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
        ):
            raise ValueError("is no address of a server")
        _ = parts.port  # raises ValueError outside 0..65535
        if not value.isprintable() or " " in value or not _fits_dns(parts.hostname):
            raise ValueError("is no address of a server")
        return value.rstrip("/")

    @field_validator("page_host")
    @classmethod
    def _check_page_host(cls, value: str) -> str:
        try:
            address = IPv4Address(value)
        except ValueError:
            raise ValueError("is no IPv4 address") from None
        # The page is for one person beside the machine: no wildcard, and nothing that the internet can reach.
        if address.is_unspecified or address.is_multicast or not address.is_private:
            raise ValueError("is not the address of this machine on a link of its own")
        return value

    @field_validator("public_key", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("public_key")
    @classmethod
    def _check_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                public_key_from_base64(text)
            except ForewarnError:
                raise ValueError("a key is no public key on the curve P-256") from None
        return value

    @field_validator("state_socket")
    @classmethod
    def _check_socket(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError("it is no absolute path")
        return value

    @field_validator("hook", mode="before")
    @classmethod
    def _split_hook(cls, value: object) -> object:
        return tuple(shlex.split(value)) if isinstance(value, str) else value

    @field_validator("hook")
    @classmethod
    def _check_hook(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value and not value[0].startswith("/"):
            raise ValueError("the program has no absolute path")  # whose it is must not hang on a variable
        if any("\0" in part for part in value):
            raise ValueError("it holds a null character")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, the data folder's settings.toml, what a calibration measured."""
        del dotenv_settings, file_secret_settings
        data = Path(init_settings().get("data") or env_settings().get("data") or default_data_folder())
        file = _SettingsFile(settings_cls, data / SETTINGS_FILE)
        return init_settings, env_settings, file, _CalibrationFile(settings_cls, data)

    @property
    def radio_name(self) -> str:
        """The radio, and which one of its kind, as a calibration names it."""
        return _radio_name(self.radio, self.adapter, self.hci_transport)

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the settings; `given` goes before environment and file, None counts as not given.

        Raises:
            BadSettings: one line that names the setting, what is wrong, and what it wants.
        """
        _refuse_unknown_variables(os.environ)
        _refuse_quoted_numbers(given)
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise BadSettings(_sentence(error.errors(include_input=False)[0])) from error
        except RecursionError:
            raise BadSettings(f"{SETTINGS_FILE} cannot be read: it is nested too deeply") from None
        except (ValueError, OSError) as error:
            # tomllib's sentence names line and column, an OSError the file.
            raise BadSettings(f"{SETTINGS_FILE} cannot be read: {error}") from None


def set_by_hand(data: Path) -> list[str]:
    """Return which of the settings that a calibration measures are given in settings.toml or the environment."""
    given = TomlConfigSettingsSource(ClientSettings, data / SETTINGS_FILE)() | EnvSettingsSource(ClientSettings)()
    return [name for name in CALIBRATED if name in given]


def _refuse_quoted_numbers(values: Mapping[str, Any]) -> None:
    # In the environment everything is text; elsewhere, who writes a number as text means something else by it.
    for name, value in values.items():
        field = ClientSettings.model_fields.get(name)
        if isinstance(value, str) and field is not None and field.annotation in {int, float}:
            raise BadSettings(_wrong(name, "text in quotes is no number"))


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in ClientSettings.model_fields}
    for name in environment:
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            raise BadSettings(f"the environment variable {name} is no setting of forewarn-client: unset it")


def _sentence(error: ErrorDetails) -> str:
    name = str(error["loc"][0]) if error["loc"] else "a setting"
    if name not in ClientSettings.model_fields:
        return f"{name} is no setting: remove it (the settings are {', '.join(ClientSettings.model_fields)})"
    return _wrong(name, error["msg"].removeprefix("Value error, "))


def _wrong(name: str, problem: str) -> str:
    return f"the setting {name} is wrong ({problem}); wanted: {ClientSettings.model_fields[name].description}"
