"""Bluetooth controllers inside this process, put right where bumble's own are not like real ones, and their air.

bumble 0.0.236 gives every report an RSSI of -50, sends no ADV_NONCONN_IND from an advertising set, reports each twice
and accepts what the Core Specification has a controller refuse. What was on the air is kept as ground truth.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bumble import controller, hci, link, ll
from bumble.transport.common import BaseSource, Transport

from tests.contracts.air_log import Sent

Status = hci.HCI_StatusReturnParameters
ADVERTISING_TYPE = hci.HCI_LE_Set_Advertising_Parameters_Command.AdvertisingType
LEGACY_PDU = hci.HCI_LE_Set_Extended_Advertising_Parameters_Command.AdvertisingProperties.USE_LEGACY_ADVERTISING_PDUS
REPORT = hci.HCI_LE_Advertising_Report_Event
EXTENDED_REPORT = hci.HCI_LE_Extended_Advertising_Report_Event
NO_ADDRESS = hci.Address(bytes(6))
FAMILIES = {
    "legacy": {
        "HCI_LE_READ_ADVERTISING_PHYSICAL_CHANNEL_TX_POWER_COMMAND",
        "HCI_LE_SET_ADVERTISING_DATA_COMMAND",
        "HCI_LE_SET_ADVERTISING_ENABLE_COMMAND",
        "HCI_LE_SET_ADVERTISING_PARAMETERS_COMMAND",
        "HCI_LE_SET_SCAN_ENABLE_COMMAND",
        "HCI_LE_SET_SCAN_PARAMETERS_COMMAND",
    },
    "extended": {
        "HCI_LE_SET_ADVERTISING_SET_RANDOM_ADDRESS_COMMAND",
        "HCI_LE_SET_EXTENDED_ADVERTISING_DATA_COMMAND",
        "HCI_LE_SET_EXTENDED_ADVERTISING_ENABLE_COMMAND",
        "HCI_LE_SET_EXTENDED_ADVERTISING_PARAMETERS_COMMAND",
        "HCI_LE_SET_EXTENDED_SCAN_ENABLE_COMMAND",
        "HCI_LE_SET_EXTENDED_SCAN_PARAMETERS_COMMAND",
    },
}
"""Commands that may not be mixed; a legacy controller knows the first kind alone."""
SCAN_ENABLE = {"HCI_LE_SET_SCAN_ENABLE_COMMAND", "HCI_LE_SET_EXTENDED_SCAN_ENABLE_COMMAND"}
BEYOND_BUMBLE = {
    *FAMILIES["extended"],
    "HCI_LE_CLEAR_ADVERTISING_SETS_COMMAND",
    "HCI_LE_READ_MAXIMUM_ADVERTISING_DATA_LENGTH_COMMAND",
    "HCI_LE_READ_NUMBER_OF_SUPPORTED_ADVERTISING_SETS_COMMAND",
    "HCI_LE_REMOVE_ADVERTISING_SET_COMMAND",
    "HCI_LE_SET_EXTENDED_SCAN_RESPONSE_DATA_COMMAND",
}
"""What bumble's controller does without saying so; a kernel that is not told speaks the legacy commands to it."""


@dataclass
class VirtualAir(link.LocalLink):
    """Who hears whom how strongly, in dBm; None is out of range."""

    rssi_dbm: Callable[[str, str], int | None] = lambda _sender, _receiver: -60
    log: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def send_advertising_pdu(self, sender: controller.Controller, pdu: Any) -> None:
        loop = asyncio.get_running_loop()
        address = bytes(pdu.advertiser_address)[::-1]
        connectable = not isinstance(pdu, ll.AdvNonConnInd)
        self.log.append(Sent(loop.time(), sender.name, address, bytes(pdu.data), connectable))
        for receiver in self.controllers:
            if receiver is not sender and (rssi_dbm := self.rssi_dbm(sender.name, receiver.name)) is not None:
                loop.call_soon(receiver.hear, pdu, rssi_dbm)


class _LegacyAdvertiser(controller.LegacyAdvertiser):
    """Sends at its interval in units of 0.625 ms, and up to 10 ms later (Core 5.3, vol 6 part B 4.4.2.2)."""

    def _on_timer_fired(self) -> None:
        self.send_advertising_data()
        delay_s = self.advertising_interval_min * 0.000625 + self.controller.random.uniform(0, 0.01)
        self.timer_handle = asyncio.get_running_loop().call_later(delay_s, self._on_timer_fired)

    def send_advertising_data(self) -> None:
        kind = ll.AdvNonConnInd if self.advertising_type == ADVERTISING_TYPE.ADV_NONCONN_IND else ll.AdvInd
        if self.enabled:
            self.controller.send_advertising_pdu(kind(self.address, self.advertising_data))


class _AdvertisingSet(controller.AdvertisingSet):
    def send_extended_advertising_data(self) -> None:
        assert self.parameters is not None
        legacy = self.parameters.advertising_event_properties == LEGACY_PDU
        kind = ll.AdvNonConnInd if legacy else ll.AdvInd
        self.controller.send_advertising_pdu(kind(self.address, bytes(self.data)))


class VirtualController(controller.Controller):
    """A controller with extended advertising. `refuses` are names of commands that it will not do."""

    extended = True
    supported_commands = controller.Controller.supported_commands | {getattr(hci, name) for name in BEYOND_BUMBLE}

    def __init__(self, name: str, air: VirtualAir, random: Random) -> None:
        super().__init__(name, link=air, public_address=f"F0:00:00:00:00:{len(air.controllers):02X}")
        self.random = random
        self.le_legacy_advertiser = _LegacyAdvertiser(self)
        self.refuses: set[str] = set()
        self.ignores: set[str] = set()
        self.asked: list[str] = []
        self.tx_power_dbm = (0, 0)
        self._family: str | None = None
        self._seen: set[bytes] = set()

    def on_hci_command_packet(self, command: hci.HCI_Command) -> None:
        self.asked.append(command.name)
        if command.name in self.ignores:
            return
        if command.name in self.refuses or self._must_refuse(command):
            refusal = Status(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
            self.send_hci_packet(
                hci.HCI_Command_Complete_Event(
                    num_hci_command_packets=1, command_opcode=command.op_code, return_parameters=refusal
                )
            )
        else:
            if command.name in SCAN_ENABLE:
                self._seen.clear()  # duplicates are those of one scan
            super().on_hci_command_packet(command)

    def on_hci_reset_command(self, command: hci.HCI_Reset_Command) -> Status:
        self.le_legacy_advertiser.stop()
        for advertising_set in self.advertising_sets.values():
            advertising_set.stop()
        self.advertising_sets.clear()
        self.le_scan_enable = False
        self._family = None
        self.random_address = NO_ADDRESS
        return super().on_hci_reset_command(command)

    def on_hci_le_set_extended_scan_parameters_command(self, command: Any) -> Any:
        (self.le_scan_type,) = command.scan_types
        return super().on_hci_le_set_extended_scan_parameters_command(command)

    def on_hci_le_read_transmit_power_command(self, command: Any) -> Any:
        del command
        least, most = (dbm % 256 for dbm in self.tx_power_dbm)
        return hci.HCI_LE_Read_Transmit_Power_ReturnParameters(
            hci.HCI_ErrorCode.SUCCESS, min_tx_power=least, max_tx_power=most
        )

    def on_hci_le_read_advertising_physical_channel_tx_power_command(self, command: Any) -> Any:
        parameters = super().on_hci_le_read_advertising_physical_channel_tx_power_command(command)
        parameters.tx_power_level = self.tx_power_dbm[1]
        return parameters

    def on_hci_le_set_extended_advertising_parameters_command(self, command: Any) -> Any:
        handle = command.advertising_handle
        self.advertising_sets.setdefault(handle, _AdvertisingSet(controller=self, handle=handle))
        return super().on_hci_le_set_extended_advertising_parameters_command(command)

    def hear(self, pdu: Any, rssi_dbm: int) -> None:
        address = pdu.advertiser_address
        if not self.le_scan_enable or (self.filter_duplicates and bytes(address) in self._seen):
            return
        self._seen.add(bytes(address))
        common = {"address_type": address.address_type, "address": address, "data": pdu.data, "rssi": rssi_dbm}
        if self.extended:
            report = EXTENDED_REPORT.Report(
                event_type=EXTENDED_REPORT.EventType.LEGACY_ADVERTISING_PDU_USED,
                primary_phy=hci.Phy.LE_1M,
                secondary_phy=0,
                advertising_sid=EXTENDED_REPORT.NO_ADI_FIELD_PROVIDED,
                tx_power=EXTENDED_REPORT.TX_POWER_INFORMATION_NOT_AVAILABLE,
                periodic_advertising_interval=0,
                direct_address_type=0,
                direct_address=hci.Address.ANY,
                **common,
            )
            self.send_hci_packet(EXTENDED_REPORT([report]))
        else:
            self.send_hci_packet(REPORT([REPORT.Report(event_type=REPORT.EventType.ADV_NONCONN_IND, **common)]))

    def _must_refuse(self, command: hci.HCI_Command) -> bool:
        return self._is_of_the_other_family(command.name) or self._comes_out_of_order(command)

    def _is_of_the_other_family(self, name: str) -> bool:
        # Core 5.3, vol 4 part E 3.1.1: until the next reset only the kind of commands that was used first is allowed.
        family = next((family for family, names in FAMILIES.items() if name in names), None)
        if family is None:
            return False
        self._family = self._family or ("extended" if self.extended and family == "extended" else "legacy")
        return family != self._family

    def _comes_out_of_order(self, command: hci.HCI_Command) -> bool:
        # Core 5.3, vol 4 part E, 7.8.4, 7.8.5, 7.8.10, 7.8.11, 7.8.52, 7.8.53, 7.8.65.
        speaks = self.le_legacy_advertiser.enabled
        sets = [advertising_set.enabled for advertising_set in self.advertising_sets.values()]
        scans_namelessly = (
            self.le_scan_own_address_type == hci.Address.RANDOM_DEVICE_ADDRESS and self.random_address == NO_ADDRESS
        )
        disallowed = {
            "HCI_LE_SET_RANDOM_ADDRESS_COMMAND": speaks or self.le_scan_enable,
            "HCI_LE_SET_ADVERTISING_PARAMETERS_COMMAND": speaks,
            "HCI_LE_SET_SCAN_PARAMETERS_COMMAND": self.le_scan_enable,
            "HCI_LE_SET_EXTENDED_SCAN_PARAMETERS_COMMAND": self.le_scan_enable,
            "HCI_LE_SET_SCAN_ENABLE_COMMAND": scans_namelessly,
            "HCI_LE_SET_EXTENDED_SCAN_ENABLE_COMMAND": scans_namelessly,
            "HCI_LE_SET_ADVERTISING_SET_RANDOM_ADDRESS_COMMAND": not sets or any(sets),
            "HCI_LE_SET_EXTENDED_ADVERTISING_PARAMETERS_COMMAND": any(sets),
        }
        return disallowed.get(command.name, False)


class LegacyVirtualController(VirtualController):
    """A controller of Bluetooth 4.2, as on Raspberry Pis."""

    extended = False
    hci_version = lmp_version = hci.HCI_VERSION_BLUETOOTH_CORE_4_2
    le_features = controller.Controller.le_features & ~(
        hci.LeFeatureMask.LE_EXTENDED_ADVERTISING | hci.LeFeatureMask.LE_PERIODIC_ADVERTISING
    )
    supported_commands = controller.Controller.supported_commands - {hci.HCI_LE_READ_TRANSMIT_POWER_COMMAND}


class VirtualTransport(Transport):
    """The wire to a controller, which can be pulled out."""

    def __init__(self, plugged: VirtualController) -> None:
        self._controller = plugged
        super().__init__(BaseSource(), self)
        plugged.host = self._Incoming(self.source)

    class _Incoming:
        def __init__(self, source: Any) -> None:
            self._source = source

        def on_packet(self, packet: bytes) -> None:
            self._source.sink.on_packet(packet)

    def on_packet(self, packet: bytes) -> None:
        if self._controller.host is not None:
            asyncio.get_running_loop().call_soon(self._controller.on_packet, packet)

    def pull(self) -> None:
        """Lose the controller, as when it is unplugged: it falls silent, too."""
        self._controller.on_packet(bytes(hci.HCI_Reset_Command()))
        self._controller.host = None
        self.source.on_transport_lost()

    async def close(self) -> None:
        self._controller.host = None
