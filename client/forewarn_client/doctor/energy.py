"""How long the radio is on, and so what it costs: arithmetic on the durations that the daemon runs."""

from dataclasses import dataclass
from typing import Final, Self

from forewarn_client.doctor.checks import Check
from forewarn_client.timing import Span, Timing

_DAY_S: Final = 24 * 3600
_PACKET_BYTES: Final = 1 + 4 + 2 + 6 + 31 + 3
"""Preamble, access address, header, address, payload, checksum of ADV_NONCONN_IND (Core specification, 6.B.2.3)."""
_S_PER_BYTE: Final = 8e-6
"""At 1 Mbit/s."""
_CHANNELS: Final = 3
_EACH_MA: Final = 10.0
"""A round figure, to be scaled by what the controller's data sheet says."""


@dataclass(frozen=True, slots=True)
class OnTime:
    """What the radio does in 24 hours: seconds of hearing, advertisements, seconds of sending them."""

    scanning_s: float
    advertisements: float

    @classmethod
    def of(cls, timing: Timing, interval_s: Span) -> Self:
        """Add up a day: windows by their mean gap, advertisements by their mean interval less the pauses."""
        speaking_s = _mean(timing.rotation_s)
        share = speaking_s / (speaking_s + _mean(timing.rotation_pause_s))
        return cls(
            scanning_s=_DAY_S * timing.scan_window_s / _mean(timing.scan_gap_s),
            advertisements=_DAY_S * share / _mean(interval_s),
        )

    @property
    def sending_s(self) -> float:
        """Seconds of a day in which the sender is on: each advertisement goes out on three channels."""
        return self.advertisements * _CHANNELS * _PACKET_BYTES * _S_PER_BYTE

    def charge_mah(self, current_ma: float) -> float:
        """Return what a day costs a battery when the controller draws so much while it hears or sends."""
        return current_ma * (self.scanning_s + self.sending_s) / 3600


def judge_on_time(timing: Timing, interval_s: Span) -> Check:
    """Say what the radio's work amounts to; the interval is what the controller really keeps."""
    day = OnTime.of(timing, interval_s)
    return Check.ok(
        "on-time",
        f"a day: {day.scanning_s:,.0f} s of scanning ({day.scanning_s / _DAY_S:.1%}), {day.advertisements:,.0f} "
        f"advertisements, {day.sending_s:,.0f} s of sending ({day.sending_s / _DAY_S:.1%}); "
        f"{day.charge_mah(_EACH_MA):.1f} mAh for each {_EACH_MA:.0f} mA that the controller draws meanwhile",
    )


def _mean(span: Span) -> float:
    return sum(span) / 2
