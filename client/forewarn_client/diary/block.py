"""One scan window ⇄ bytes: per identifier its metadata and each sample's time and strength."""

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, Self

from forewarn_protocol.advertisement import SERVICE_DATA_BYTES, Payload
from forewarn_protocol.errors import BadInput
from forewarn_protocol.identifiers import RPI_BYTES
from forewarn_protocol.sightings import Sighting

MAX_SAMPLES: Final = 255
"""Of one identifier in one window: a device that speaks every 100 ms is heard 40 times in 4 s."""
MAX_OFFSET_MS: Final = 0xFFFF
Samples = list[tuple[int, int]]
"""Milliseconds since the window opened (0..65535) and RSSI in dBm, as heard."""

_HEADER: Final = struct.Struct("<Bdf")
_BURST: Final = struct.Struct(f"<{SERVICE_DATA_BYTES}sB")
_SAMPLE_BYTES: Final = 3
_FORMAT: Final = 1
_UNKNOWN: Final = -1.0


@dataclass(frozen=True, slots=True)
class ScanWindow:
    """What one scan heard: when it opened (Unix seconds), how long after the one before, samples by service data."""

    start_s: float
    since_last_scan_s: float | None
    bursts: dict[bytes, Samples] = field(repr=False)

    @classmethod
    def of(cls, sightings: Iterable[Sighting]) -> Self:
        """Gather sightings of one window; their times must span less than 65 s."""
        ordered = sorted(sightings, key=lambda sighting: sighting.time_s)
        if not ordered:
            raise BadInput("a scan window needs at least one sighting")
        start_s, bursts = ordered[0].time_s, dict[bytes, Samples]()
        for sighting in ordered:
            offset_ms = round((sighting.time_s - start_s) * 1000)
            bursts.setdefault(sighting.payload.service_data, []).append((offset_ms, sighting.rssi_dbm))
        return cls(start_s, ordered[0].since_last_scan_s, bursts)

    @property
    def count(self) -> int:
        """How many samples the window holds."""
        return sum(map(len, self.bursts.values()))

    def encode(self) -> bytes:
        """Return the block that the diary seals."""
        since = _UNKNOWN if self.since_last_scan_s is None else self.since_last_scan_s
        parts = [_HEADER.pack(_FORMAT, self.start_s, since)]
        for service_data, samples in self.bursts.items():
            kept = samples[:MAX_SAMPLES]
            parts.append(_BURST.pack(service_data, len(kept)))
            parts.append(struct.pack("<" + "Hb" * len(kept), *(number for sample in kept for number in sample)))
        return b"".join(parts)

    @classmethod
    def decode(cls, block: bytes, only: Collection[bytes] | None = None) -> Self:
        """Read a block; of it, with `only`, what was heard of these RPIs.

        Raises:
            BadInput: the block is cut off or of an unknown form.
        """
        start_s, since = _head(block)
        bursts = {
            service_data: list(struct.iter_unpack("<Hb", samples))
            for service_data, samples in _bursts(block)
            if only is None or service_data[:RPI_BYTES] in only
        }
        return cls(start_s, None if since < 0 else since, bursts)

    def sightings(self) -> Iterator[Sighting]:
        """Yield each sample as a sighting, identifier by identifier."""
        for service_data, samples in self.bursts.items():
            payload = Payload.from_service_data(service_data)
            for offset_ms, rssi_dbm in samples:
                yield Sighting(payload, rssi_dbm, self.start_s + offset_ms / 1000, self.since_last_scan_s)


def identifiers(block: bytes) -> set[bytes]:
    """Return the RPIs of a block, without making anything of their samples; raises as `decode` does."""
    _head(block)
    return {service_data[:RPI_BYTES] for service_data, _ in _bursts(block)}


def _head(block: bytes) -> tuple[float, float]:
    try:
        form, start_s, since = _HEADER.unpack_from(block)
    except struct.error as error:
        raise BadInput("a scan window is cut off") from error
    if form != _FORMAT:
        raise BadInput(f"a scan window of form {form} is unknown: update Forewarn")
    return start_s, since


def _bursts(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = _HEADER.size
    while at < len(block):
        try:
            service_data, count = _BURST.unpack_from(block, at)
        except struct.error as error:
            raise BadInput("a scan window is cut off") from error
        at += _BURST.size
        end = at + count * _SAMPLE_BYTES
        if end > len(block):
            raise BadInput("a scan window is cut off")
        yield service_data, block[at:end]
        at = end


def strongest(bursts: dict[bytes, Samples], maximum: int) -> dict[bytes, Samples]:
    """Keep the identifiers heard strongest, until `maximum` samples are full.

    A flood of invented identifiers comes from one transmitter; the person at the same table is heard louder than all
    but the nearest flood.
    """
    kept: dict[bytes, Samples] = {}
    room = maximum
    by_strength = sorted(bursts.items(), key=lambda item: max(map(itemgetter(1), item[1])), reverse=True)
    for service_data, samples in by_strength:
        if room <= 0:
            break
        kept[service_data] = samples[:room]
        room -= len(kept[service_data])
    return kept
