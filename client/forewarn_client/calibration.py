"""What a calibration found of this device's radio, in a file of its own that no person edits, beside settings.toml."""

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forewarn_protocol.errors import BadSettings, Missing
from forewarn_protocol.metadata import PLAUSIBLE_TX_DBM
from forewarn_shell.files import read_bounded, write_durably

CALIBRATION_FILE: Final = "calibration.toml"
MAX_CORRECTION_DB: Final = 40
CALIBRATED: Final = ("tx_power_dbm", "confidence", "receiver_correction_db")
"""The settings that a calibration measures, by their names in ClientSettings."""

_MAX_BYTES: Final = 4096
_HEAD: Final = "# Written by 'forewarn-client calibrate'. What settings.toml or the environment says goes before it.\n"

Decibels = Annotated[float, Field(strict=False, allow_inf_nan=False)]


class Calibration(BaseModel):
    """Measured values of one radio: they say nothing about another one in the same machine.

    `error_db` is the standard error of power and correction as the bench knows it; `measured` is absent where nobody
    kept the clock.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    radio: Annotated[str, Field(max_length=240)]
    tx_power_dbm: Annotated[int, Field(ge=PLAUSIBLE_TX_DBM[0], le=PLAUSIBLE_TX_DBM[-1])]
    confidence: Annotated[int, Field(ge=1, le=3)]
    receiver_correction_db: Annotated[Decibels, Field(ge=-MAX_CORRECTION_DB, le=MAX_CORRECTION_DB)]
    error_db: Annotated[Decibels, Field(ge=0, le=30)]
    measured: date | None = None

    @property
    def settings(self) -> dict[str, int | float]:
        """The values under the names that they have among the settings."""
        return {name: getattr(self, name) for name in CALIBRATED}


def read_calibration(data: Path) -> Calibration | None:
    """Return the calibration of a data folder, or None where there is none.

    Raises:
        BadSettings: the file is damaged; one line.
    """
    path = data / CALIBRATION_FILE
    if not path.exists():
        return None
    try:
        return Calibration(**tomllib.loads(read_bounded(path, _MAX_BYTES).decode()))
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        problem = f"{wrong['loc'][0]}: {wrong['msg']}"
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:
        problem = str(error)
    raise BadSettings(f"{path} cannot be read ({problem}): delete it, then run 'calibrate' again")


def write_calibration(data: Path, calibration: Calibration) -> Path:
    """Write the file so that there is the old calibration or the new one, and return where it lies.

    Raises:
        Missing: the folder can't be written; the old calibration stands.
    """
    path = data / CALIBRATION_FILE
    # JSON's strings in ASCII, and its numbers, are TOML's, too.
    lines = [
        f"{name} = {value.isoformat() if isinstance(value, date) else json.dumps(value)}\n"
        for name, value in calibration.model_dump(exclude_none=True).items()
    ]
    try:
        write_durably(path, "".join([_HEAD, *lines]).encode(), mode=0o600)
    except OSError as error:
        raise Missing(f"{path} cannot be written ({error.strerror}): the old calibration stands") from error
    return path
