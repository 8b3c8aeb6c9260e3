"""What the report says about the run's parameters: groups of names and values with their units."""

from importlib.metadata import version

from forewarn_client.timing import Timing
from forewarn_simulations import radio_model as radio
from forewarn_simulations.demo.outcome import Outcome

Group = tuple[str, list[tuple[str, str]]]


def parameters(outcome: Outcome) -> list[Group]:
    """Return every parameter that a reader needs to judge or repeat the run."""
    return [_run(outcome), _radio(), _phones(), _rule(outcome)]


def _run(outcome: Outcome) -> Group:
    hours = max(outcome.loop.fetched_s.values(), default=0.0) / 3600
    entries = [
        ("seed", str(outcome.seed)),
        ("phones", str(len(outcome.layout.people))),
        ("simulated time", f"{hours:.1f} h"),
        ("real time", f"{outcome.seconds:.1f} s"),
        ("Forewarn", version("forewarn")),
    ]
    return "This run", entries


def _radio() -> Group:
    place, vehicle = radio.OPEN_AREA, radio.VEHICLE
    entries = [
        ("path loss at 1 m", f"{radio.PATH_LOSS_AT_1_M_DB:g} dB"),
        ("exponent, lunch area and bus", f"{place.exponent:g} and {vehicle.exponent:g}"),
        ("transmit power", f"{radio.TX_POWER_MEAN_DBM:g} dBm, sd {radio.TX_POWER_SD_DB:g} dB"),
        ("RSSI offset", f"{radio.RSSI_OFFSET_MEAN_DB:g} dB, sd {radio.RSSI_OFFSET_SD_DB:g} dB"),
        ("calibration (high confidence)", f"off by sd {radio.CALIBRATION_SD_DB:g} dB at each end"),
        ("own body, drawn per seat", f"{radio.OWN_BODY_MEAN_DB:g} dB, sd {radio.OWN_BODY_SD_DB:g} dB"),
        ("another body in the way", _span(radio.OTHER_BODY_DB, "dB")),
        ("shadowing", f"sd {place.shadowing_sd_db:g} dB, on the bus {vehicle.shadowing_sd_db:g} dB"),
        ("shadowing's memory", _span(radio.SHADOWING_CORRELATION_S, "s")),
        ("fading", f"Rician, K {radio.RICIAN_K_DB:g} dB; Rayleigh when blocked; {radio.CHANNELS} channels"),
        ("not heard below", f"{radio.SENSITIVITY_DBM:g} dBm"),
    ]
    return "Radio (the noise has no switch)", entries


def _phones() -> Group:
    timing = Timing()
    entries = [
        ("scan window", f"{timing.scan_window_s:g} s every {_span(timing.scan_gap_s, 's')}"),
        ("new identifier every", _span(timing.rotation_s, "min", 60)),
        ("advertising interval", _span(timing.advertise_interval_s, "ms", 0.001)),
        ("downloads every", _span(timing.fetch_gap_s, "h", 3600)),
    ]
    return "Phones (as the product)", entries


def _rule(outcome: Outcome) -> Group:
    rule = outcome.configuration.risk.minutes
    model = rule.proximity
    entries = [
        ("rule", outcome.configuration.risk.rule.value),
        ("alert from", f"{rule.alert_minutes:g} expected minutes a day"),
        ("counts from a chance of", f"{rule.least_probability:.0%}"),
        ("loss at 1 m, bodies included", f"{model.path_loss_1m_db:g} dB"),
        ("even chance of 2 m at", f"{model.path_loss_1m_db + model.boundary_db:g} dB"),
        ("keys in the file, padding included", str(outcome.file_keys)),
    ]
    return "The authority's rule (signed)", entries


def _span(bounds: tuple[float, float], unit: str, scale: float = 1.0) -> str:
    return f"{bounds[0] / scale:g} to {bounds[1] / scale:g} {unit}"
