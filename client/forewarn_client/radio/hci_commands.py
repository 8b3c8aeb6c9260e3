"""What is said to a controller: the commands of each step, for controllers with extended advertising and without.

Both speak legacy ADV_NONCONN_IND under a random address, and hear passively without the filter of duplicates, which
would leave one RSSI of each device and window. Paragraphs are those of the Core Specification 5.3, vol 4 part E.
"""

from typing import Any, Final, Protocol

from bumble import hci

from forewarn_protocol.metadata import PLAUSIBLE_TX_DBM

Command = hci.HCI_SyncCommand[Any]

_UNIT_S: Final = 0.000625
_ALL_CHANNELS: Final = 0x07
_ANYBODY: Final = 0x00
"""No filter by address."""
_SCAN_UNITS: Final = 0x60
"""Interval and window alike, 60 ms: the receiver is on for the whole of a scan."""
_SET: Final = 0
"""The one advertising set there ever is."""


class Dialect(Protocol):
    """How one kind of controller is spoken to."""

    extended: bool
    """Whether an advertising set has an address of its own, which may change while a scan runs."""

    def silence(self) -> list[Command]:
        """Return what ends advertising; harmless when nothing is on the air."""
        ...

    def speak(self, address: bytes, advertisement: bytes, interval_s: float) -> list[Command]:
        """Return what puts new bytes on the air under a new address, in an order that only the last command sends."""
        ...

    def hear(self) -> list[Command]:
        """Return what begins a scan."""
        ...

    def stop_hearing(self) -> list[Command]:
        """Return what ends it."""
        ...


def random_address(address: bytes) -> hci.Address:
    """Return an address, given with its most significant byte first, as bumble holds it."""
    return hci.Address(address[::-1], hci.Address.RANDOM_DEVICE_ADDRESS)


def own_address(address: bytes) -> Command:
    """Return what sets the address of all but advertising sets (7.8.4); refused while one of those is on."""
    return hci.HCI_LE_Set_Random_Address_Command(random_address=random_address(address))


class Legacy:
    """Bluetooth 4 and Raspberry Pis: one address, which changes only while neither scan nor advertising is on."""

    extended = False

    def silence(self) -> list[Command]:
        """Disable advertising (7.8.9)."""
        return [hci.HCI_LE_Set_Advertising_Enable_Command(advertising_enable=0)]

    def speak(self, address: bytes, advertisement: bytes, interval_s: float) -> list[Command]:
        """Set address, parameters (7.8.5) and data (7.8.7), then enable."""
        units = round(interval_s / _UNIT_S)
        return [
            own_address(address),
            hci.HCI_LE_Set_Advertising_Parameters_Command(
                advertising_interval_min=units,
                advertising_interval_max=units,
                advertising_type=hci.HCI_LE_Set_Advertising_Parameters_Command.AdvertisingType.ADV_NONCONN_IND,
                own_address_type=hci.OwnAddressType.RANDOM,
                peer_address_type=hci.AddressType.PUBLIC_DEVICE,
                peer_address=hci.Address.ANY,
                advertising_channel_map=_ALL_CHANNELS,
                advertising_filter_policy=_ANYBODY,
            ),
            hci.HCI_LE_Set_Advertising_Data_Command(advertising_data=advertisement),
            hci.HCI_LE_Set_Advertising_Enable_Command(advertising_enable=1),
        ]

    def hear(self) -> list[Command]:
        """Set the parameters of a passive scan (7.8.10) and enable it (7.8.11)."""
        return [
            hci.HCI_LE_Set_Scan_Parameters_Command(
                le_scan_type=hci.HCI_LE_Set_Scan_Parameters_Command.PASSIVE_SCANNING,
                le_scan_interval=_SCAN_UNITS,
                le_scan_window=_SCAN_UNITS,
                own_address_type=hci.OwnAddressType.RANDOM,
                scanning_filter_policy=hci.HCI_LE_Set_Scan_Parameters_Command.BASIC_UNFILTERED_POLICY,
            ),
            hci.HCI_LE_Set_Scan_Enable_Command(le_scan_enable=1, filter_duplicates=0),
        ]

    def stop_hearing(self) -> list[Command]:
        """Disable the scan."""
        return [hci.HCI_LE_Set_Scan_Enable_Command(le_scan_enable=0, filter_duplicates=0)]


class Extended:
    """Bluetooth 5 with extended advertising: one set with its own address, beside which a scan goes on undisturbed."""

    extended = True

    def silence(self) -> list[Command]:
        """Disable every set (7.8.56): naming none is allowed before there is one."""
        return [_enable(on=False)]

    def speak(self, address: bytes, advertisement: bytes, interval_s: float) -> list[Command]:
        """Set parameters (7.8.53), which make the set, then its address (7.8.52) and data (7.8.54), then enable it."""
        units = round(interval_s / _UNIT_S)
        properties = hci.HCI_LE_Set_Extended_Advertising_Parameters_Command.AdvertisingProperties
        return [
            hci.HCI_LE_Set_Extended_Advertising_Parameters_Command(
                advertising_handle=_SET,
                advertising_event_properties=properties.USE_LEGACY_ADVERTISING_PDUS,  # alone: ADV_NONCONN_IND
                primary_advertising_interval_min=units,
                primary_advertising_interval_max=units,
                primary_advertising_channel_map=_ALL_CHANNELS,
                own_address_type=hci.OwnAddressType.RANDOM,
                peer_address_type=hci.AddressType.PUBLIC_DEVICE,
                peer_address=hci.Address.ANY,
                advertising_filter_policy=_ANYBODY,
                # A cap: past it the metadata could not say how strongly this device speaks.
                advertising_tx_power=PLAUSIBLE_TX_DBM[-1],
                primary_advertising_phy=hci.Phy.LE_1M,
                secondary_advertising_max_skip=0,
                secondary_advertising_phy=hci.Phy.LE_1M,
                advertising_sid=0,
                scan_request_notification_enable=0,
            ),
            hci.HCI_LE_Set_Advertising_Set_Random_Address_Command(
                advertising_handle=_SET, random_address=random_address(address)
            ),
            hci.HCI_LE_Set_Extended_Advertising_Data_Command(
                advertising_handle=_SET,
                operation=hci.HCI_LE_Set_Extended_Advertising_Data_Command.Operation.COMPLETE_DATA,
                fragment_preference=hci.HCI_LE_Set_Extended_Advertising_Parameters_Command.SHOULD_NOT_FRAGMENT,
                advertising_data=advertisement,
            ),
            _enable(on=True),
        ]

    def hear(self) -> list[Command]:
        """Set the parameters of a passive scan (7.8.64) and enable it without end (7.8.65)."""
        return [
            hci.HCI_LE_Set_Extended_Scan_Parameters_Command(
                own_address_type=hci.OwnAddressType.RANDOM,
                scanning_filter_policy=hci.HCI_LE_Set_Extended_Scan_Parameters_Command.BASIC_UNFILTERED_POLICY,
                scanning_phys=1 << hci.HCI_LE_1M_PHY_BIT,
                scan_types=[hci.HCI_LE_Set_Extended_Scan_Parameters_Command.PASSIVE_SCANNING],
                scan_intervals=[_SCAN_UNITS],
                scan_windows=[_SCAN_UNITS],
            ),
            _scan(on=True),
        ]

    def stop_hearing(self) -> list[Command]:
        """Disable the scan."""
        return [_scan(on=False)]


def _enable(*, on: bool) -> Command:
    sets = [_SET] if on else []
    return hci.HCI_LE_Set_Extended_Advertising_Enable_Command(
        enable=int(on),
        advertising_handles=sets,
        durations=[0 for _ in sets],
        max_extended_advertising_events=[0 for _ in sets],
    )


def _scan(*, on: bool) -> Command:
    return hci.HCI_LE_Set_Extended_Scan_Enable_Command(enable=int(on), filter_duplicates=0, duration=0, period=0)
