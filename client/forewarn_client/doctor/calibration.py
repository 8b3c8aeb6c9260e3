"""Whether what this device says of its own power was measured, when, and how well it is known."""

from forewarn_client.calibration import CALIBRATION_FILE, Calibration, read_calibration
from forewarn_client.config import ClientSettings, set_by_hand
from forewarn_client.doctor.checks import Check
from forewarn_protocol.metadata import Confidence

_WHAT_TO_DO = "run 'calibrate' beside a reference device"


def judge_calibration(settings: ClientSettings) -> Check:
    """Judge transmit power, its confidence and the receiver's correction."""
    measured = read_calibration(settings.data)
    if by_hand := set_by_hand(settings.data):
        return _by_hand(settings, by_hand, measured)
    if measured is None:
        return Check.warning(
            "calibration",
            "none: neighbours take this device's power for a guess, and their warnings are the less sure: "
            f"{_WHAT_TO_DO}",
        )
    if measured.radio != settings.radio_name:
        return Check.warning(
            "calibration",
            f"it was measured with {measured.radio} and does not count for {settings.radio_name}: {_WHAT_TO_DO}",
        )
    when = "" if measured.measured is None else f" on {measured.measured.isoformat()}"
    confidence = Confidence(measured.confidence).name.lower()
    sentence = f"measured{when}, confidence {confidence} (± {measured.error_db:g} dB)"
    if measured.confidence == Confidence.LOW:
        return Check.warning("calibration", f"{sentence}: measure again, away from metal and walls")
    return Check.ok("calibration", sentence)


def _by_hand(settings: ClientSettings, names: list[str], measured: Calibration | None) -> Check:
    given = ", ".join(f"{name} = {getattr(settings, name):g}" for name in names)
    if measured is not None:
        return Check.warning(
            "calibration", f"{given} was given by hand and goes before {CALIBRATION_FILE}: remove one of the two"
        )
    return Check.ok("calibration", f"given by hand: {given}")
