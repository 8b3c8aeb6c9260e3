"""The system's Bluetooth as the radio `bluez` will find it: adapter, roles, extended advertising, features, rights."""

from dataclasses import dataclass
from typing import Any, Self

from forewarn_client.doctor.checks import Check
from forewarn_client.doctor.faults import Stack, judge_versions
from forewarn_client.doctor.machine import Machine
from forewarn_client.radio.bluez.bluetoothd import (
    ADAPTER,
    ADVERTISING_MANAGER,
    MONITOR_MANAGER,
    Bluetoothd,
    is_connectable,
)
from forewarn_client.radio.bluez.radio import PATIENCE_S, capabilities_of
from forewarn_client.radio.bluez.sentences import CONNECTABLE, SWITCHED_OFF, no_adapter
from forewarn_protocol.errors import Missing


@dataclass(frozen=True, slots=True)
class Adapter:
    """Facts about an adapter, as bluetoothd tells them; `hears` is its role of a central."""

    name: str
    powered: bool
    hears: bool
    speaks: bool
    extended_advertising: bool
    experimental: bool
    connectable: bool = False

    @classmethod
    def of(cls, name: str, interfaces: dict[str, dict[str, Any]]) -> Self | None:
        """Read an adapter's interfaces and their properties; None where there is no such adapter."""
        properties, manager = interfaces.get(ADAPTER), interfaces.get(ADVERTISING_MANAGER)
        if properties is None:
            return None
        roles = properties.get("Roles")
        return cls(
            name=name,
            powered=properties.get("Powered") is True,
            hears=isinstance(roles, list) and "central" in roles,
            speaks=manager is not None,
            extended_advertising=manager is not None and capabilities_of(manager).extended_advertising,
            experimental=MONITOR_MANAGER in interfaces,
            connectable=is_connectable(properties),
        )


async def ask(adapter: str, patience_s: float = PATIENCE_S) -> Adapter | None:
    """Ask bluetoothd about an adapter; nothing is started or changed.

    Raises:
        Missing: there is no bus or no bluetoothd, it may not be asked, or it makes no sense.
    """
    bluetoothd = Bluetoothd(adapter, patience_s, lambda _: None)
    try:
        await bluetoothd.connect()
        return Adapter.of(adapter, await bluetoothd.interfaces())
    finally:
        await bluetoothd.leave()


async def examine_bluez(adapter: str, machine: Machine) -> tuple[list[Check], Stack | None]:
    """Judge everything between the daemon and the air; the stack is None where no adapter was found."""
    try:
        found = await ask(adapter)
    except Missing as error:
        return [Check.refused("adapter", error)], None
    if found is None:
        return [Check.failure("adapter", no_adapter(adapter), missing=True)], None
    stack = Stack(machine, found.extended_advertising, found.experimental)
    return [*judge_adapter(found), *judge_versions(stack), _rights(machine)], stack


def judge_adapter(adapter: Adapter) -> list[Check]:
    """Judge the adapter itself and what bluetoothd offers on it."""
    return [_power(adapter), _roles(adapter), _advertising(adapter), _experimental(adapter)]


def _power(adapter: Adapter) -> Check:
    if not adapter.powered:
        return Check.failure("adapter", SWITCHED_OFF, missing=True)
    if adapter.connectable:
        return Check.failure("adapter", CONNECTABLE)
    return Check.ok("adapter", f"{adapter.name} is there and switched on; this user may ask bluetoothd")


def _roles(adapter: Adapter) -> Check:
    lacks = [role for role, there in (("hear", adapter.hears), ("advertise", adapter.speaks)) if not there]
    # An adapter that is switched off has no role yet.
    if lacks and adapter.powered:
        return Check.failure(
            "roles",
            f"{adapter.name} cannot {' or '.join(lacks)} over Bluetooth Low Energy: use another one (setting adapter)",
            missing=True,
        )
    if lacks:
        return Check.warning("roles", "unknown while the adapter is switched off")
    return Check.ok("roles", "Low Energy: hears and advertises")


def _advertising(adapter: Adapter) -> Check:
    if adapter.extended_advertising:
        return Check.ok("advertising", "extended: identifier and address change while it scans too")
    return Check.ok("advertising", "legacy: scanning stops for a moment while identifier and address change")


def _experimental(adapter: Adapter) -> Check:
    if adapter.experimental:
        return Check.ok("experimental", "on: passive scanning, which asks nothing of anybody")
    return Check.warning(
        "experimental",
        "off: a daemon without CAP_NET_ADMIN then scans actively and hears less; start bluetoothd with --experimental",
    )


def _rights(machine: Machine) -> Check:
    if not machine.may_administer_network:
        return Check.warning(
            "rights",
            "this user lacks CAP_NET_ADMIN, so that some samples of signal strength are missed: give the daemon's unit "
            "AmbientCapabilities=CAP_NET_ADMIN",
        )
    return Check.ok("rights", "CAP_NET_ADMIN is there: every sample of signal strength is heard, by passive scans")
