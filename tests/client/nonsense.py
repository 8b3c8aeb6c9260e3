"""What a D-Bus service may say that makes no sense: bodies of any signature, the names that BlueZ uses among them."""

from typing import Any

from dbus_fast import Variant
from hypothesis import strategies as st

Body = tuple[str, list[Any]]

PATHS = ("/", "/org/bluez", "/org/bluez/hci0", "/org/bluez/hci0/dev_00_11_22_33_44_55", "/org/bluez/hci1")
INTERFACES = (
    "org.bluez.Adapter1",
    "org.bluez.Device1",
    "org.bluez.LEAdvertisingManager1",
    "org.bluez.AdvertisementMonitorManager1",
    "org.bluez.GattService1",
)
PROPERTIES = (
    *("Powered", "Roles", "SupportedCapabilities", "MinTxPower", "SupportedSecondaryChannels", "Discovering"),
    *("Adapter", "Address", "Alias", "Name", "UUIDs", "RSSI", "TxPower", "ServiceData", "ManufacturerData"),
    *("AddressType", "Connected", "ServicesResolved", "Device", "0000fd6f-0000-1000-8000-00805f9b34fb"),
)
_WORDS = st.sampled_from(PATHS + INTERFACES + PROPERTIES) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=12
)
_BASIC: dict[str, st.SearchStrategy[Any]] = {
    "y": st.integers(0, 255),
    "b": st.booleans(),
    "n": st.integers(-(2**15), 2**15 - 1),
    "q": st.integers(0, 2**16 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
    "u": st.integers(0, 2**32 - 1),
    "x": st.integers(-(2**63), 2**63 - 1),
    "t": st.integers(0, 2**64 - 1),
    "d": st.floats(),
    "s": _WORDS,
    "o": st.sampled_from(PATHS),
    "g": st.sampled_from(["", "s", "a{sv}"]),
}
_KEYS = "ysoq"
_LIKELY = ("a{oa{sa{sv}}}", "sa{sv}as", "oa{sa{sv}}", "oas", "a{sv}", "sss", "b", "ay", "as", "v", "")


def _type(depth: int) -> st.SearchStrategy[str]:
    basic = st.sampled_from(sorted(_BASIC))
    if depth == 0:
        return basic
    inner = _type(depth - 1)
    return (
        basic
        | st.just("v")
        | inner.map("a{}".format)
        | st.lists(inner, min_size=1, max_size=3).map(lambda types: f"({''.join(types)})")
        | st.builds("a{{{}{}}}".format, st.sampled_from(_KEYS), inner)
    )


def _split(signature: str) -> list[str]:
    """Return the complete types of a signature, one after the other."""
    types, start = [], 0
    while start < len(signature):
        end = start
        while signature[end] == "a":
            end += 1
        if signature[end] in "({":
            depth = 0
            while True:
                depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[end], 0)
                if depth == 0:
                    break
                end += 1
        types.append(signature[start : end + 1])
        start = end + 1
    return types


def _value(kind: str) -> st.SearchStrategy[Any]:
    if kind in _BASIC:
        return _BASIC[kind]
    if kind == "v":
        return _type(1).filter(lambda inner: "v" not in inner).flatmap(lambda i: _value(i).map(lambda x: Variant(i, x)))
    if kind == "ay":
        return st.binary(max_size=40) | st.just(bytes(100_000))
    if kind.startswith("a{"):
        return st.dictionaries(_value(kind[2]), _value(kind[3:-1]), max_size=4)
    if kind.startswith("a"):
        return st.lists(_value(kind[1:]), max_size=4)
    return st.tuples(*(_value(part) for part in _split(kind[1:-1]))).map(list)


def bodies(signature: str) -> st.SearchStrategy[Body]:
    """Return bodies of one signature."""
    return st.tuples(*(_value(kind) for kind in _split(signature))).map(lambda values: (signature, list(values)))


ANY_BODY = (st.sampled_from(_LIKELY) | st.lists(_type(2), max_size=3).map("".join)).flatmap(bodies)
"""Bodies of any signature, those that BlueZ uses most of all."""
ERRORS = st.sampled_from(
    [
        *(f"org.bluez.Error.{name}" for name in ("Failed", "InProgress", "NotReady", "NotPermitted", "Made.Up")),
        *(
            f"org.freedesktop.DBus.Error.{name}"
            for name in ("NoReply", "UnknownMethod", "AccessDenied", "ServiceUnknown")
        ),
    ]
)
