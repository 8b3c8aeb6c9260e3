"""The kernel's management packets: what a stranger's bytes look like below bluetoothd."""

from collections.abc import Mapping

from forewarn_client.radio import REAL_RSSI_DBM
from forewarn_client.radio.bluez.management_packets import Answer, Packet, Tap, current_settings, new_settings
from forewarn_protocol.advertisement import EXPOSURE_NOTIFICATION_UUID, Payload, encode
from tests.client.fake_kernel import DEVICE_FOUND, MONITOR_FOUND, heard
from tests.fuzz.target import Target

_SAID = encode(Payload.from_service_data(bytes(range(20))))
_HEARD = heard("0A:01:02:03:04:05", _SAID, -60)


def check(data: bytes) -> None:
    current_settings(data)
    packet = Packet.parse(data)
    if packet is None:
        return
    assert len(packet.body) == len(data) - 6
    Answer.of(packet)
    new_settings(packet)
    tap = Tap(EXPOSURE_NOTIFICATION_UUID)
    sample = tap.take(packet)
    if sample is not None:
        assert sample.rssi_dbm in REAL_RSSI_DBM
        assert sample.service_data in data
        assert len(sample.address) == 6
        assert tap.take(packet) == sample


def seeds() -> Mapping[str, bytes]:
    return {
        "heard": _packet(DEVICE_FOUND, _HEARD),
        "heard-by-a-monitor": _packet(MONITOR_FOUND, b"\1\0" + _HEARD),
        "answer": _packet(1, b"\x04\0\0" + bytes(20)),
        "refusal": _packet(2, b"\x3e\0\x0d"),
        "settings": _packet(6, b"\3\0\0\0"),
    }


def _packet(event: int, body: bytes) -> bytes:
    return event.to_bytes(2, "little") + bytes(2) + len(body).to_bytes(2, "little") + body


TARGET = Target(check, seeds, (b"\x12\0", b"\x2f\0", b"\x17\x16\x6f\xfd", b"\x1f\0", b"\x81"), 96)
