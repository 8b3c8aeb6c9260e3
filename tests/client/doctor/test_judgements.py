"""What the doctor says of facts: each known fault with its version, and the version beside it without."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from forewarn_client.doctor.bluetooth import Adapter, judge_adapter
from forewarn_client.doctor.checks import Check, Findings, Level
from forewarn_client.doctor.energy import OnTime, judge_on_time
from forewarn_client.doctor.faults import FIXED_INTERVAL_S, Stack, judge_versions
from forewarn_client.doctor.machine import CAP_NET_ADMIN, Machine, ask_bluetoothd, has_capability, parse_version
from forewarn_client.doctor.storage import Storage, judge_storage
from forewarn_client.timing import Timing
from forewarn_protocol.errors import BadFeed, Missing, NotVerified

OK, WARNING, FAILURE = Level.OK, Level.WARNING, Level.FAILURE
PI = "6.12.93+rpt-rpi-v8"
DEBIAN = "6.12.43+deb13-amd64"
GOOD = Adapter("hci0", powered=True, hears=True, speaks=True, extended_advertising=True, experimental=True)
CLEAN = Storage(Path("/d"), exists=True, writable=True, free_bytes=10**9)


def levels(checks: list[Check]) -> dict[str, Level]:
    return {check.name: check.level for check in checks}


@pytest.mark.parametrize(
    ("release", "bluetoothd", "extended", "experimental", "judged"),
    [
        # Every advertisement refused: two kernels of Raspberry Pi OS, until bluetoothd 5.87.
        (PI, (5, 86), False, True, (FAILURE, OK)),
        (PI, (5, 86), True, True, (FAILURE, OK)),
        (PI, (5, 87), False, True, (OK, OK)),
        (PI, None, False, True, (WARNING, WARNING)),
        ("6.18.34-v8+", (5, 82), False, True, (FAILURE, OK)),
        ("6.18.34-v7l+", (5, 66), False, False, (FAILURE, WARNING)),
        ("6.12.92+rpt-rpi-v8", (5, 82), False, True, (OK, OK)),
        ("6.12.94+rpt-rpi-v8", (5, 82), False, True, (OK, OK)),
        ("6.18.35-v8+", (5, 82), False, True, (OK, OK)),
        ("6.12.93+deb13-amd64", (5, 82), True, True, (OK, OK)),
        # The interval that is asked for is ignored before 5.77, unless experimental features are on.
        (DEBIAN, (5, 76), True, False, (OK, WARNING)),
        (DEBIAN, (5, 76), True, True, (OK, OK)),
        (DEBIAN, (5, 77), True, False, (OK, OK)),
        (DEBIAN, (5, 100), True, False, (OK, OK)),
        # And always by kernel 6.1 on a controller without extended advertising.
        ("6.1.0-44-amd64", (5, 82), False, True, (WARNING, OK)),
        ("6.1.0-44-amd64", (5, 82), True, True, (OK, OK)),
        ("6.2.0-1-amd64", (5, 82), False, True, (OK, OK)),
        ("6.12.1-1-amd64", (5, 82), False, True, (OK, OK)),
        ("odd", None, False, True, (WARNING, WARNING)),
    ],
)
def test_each_known_fault_is_recognised_and_the_version_beside_it_is_not_blamed(
    release: str,
    bluetoothd: tuple[int, ...] | None,
    extended: bool,  # noqa: FBT001 - a row of the table
    experimental: bool,  # noqa: FBT001
    judged: tuple[Level, Level],
) -> None:
    stack = Stack(Machine(release, bluetoothd, may_administer_network=False), extended, experimental)
    assert levels(judge_versions(stack)) == dict(zip(("kernel", "bluetoothd"), judged, strict=True))


def test_a_kernel_that_refuses_bluetoothd_is_a_warning_where_it_may_be_asked_itself() -> None:
    stack = Stack(Machine(PI, (5, 66), may_administer_network=True), extended_advertising=False, experimental=True)
    (kernel, _) = judge_versions(stack)
    assert kernel.level is WARNING
    assert "the kernel is asked itself" in kernel.sentence


@pytest.mark.parametrize(
    ("adapter", "differs"),
    [
        (GOOD, {}),
        (Adapter("hci0", True, True, True, False, True), {}),  # noqa: FBT003 - as below: a row of the table
        (Adapter("hci0", True, True, True, True, False), {"experimental": WARNING}),  # noqa: FBT003
        (Adapter("hci0", True, False, True, True, True), {"roles": FAILURE}),  # noqa: FBT003
        (Adapter("hci0", True, True, False, True, True), {"roles": FAILURE}),  # noqa: FBT003
        (replace(GOOD, connectable=True), {"adapter": FAILURE}),
        (Adapter("hci0", False, False, False, True, True), {"adapter": FAILURE, "roles": WARNING}),  # noqa: FBT003
    ],
)
def test_an_adapter_is_judged_by_power_roles_and_features(adapter: Adapter, differs: dict[str, Level]) -> None:
    good = {"adapter": OK, "roles": OK, "advertising": OK, "experimental": OK}
    assert levels(judge_adapter(adapter)) == good | differs


def test_interfaces_that_make_no_sense_are_no_roles() -> None:
    assert Adapter.of("hci0", {}) is None
    odd = Adapter.of("hci0", {"org.bluez.Adapter1": {"Powered": 1, "Roles": "central"}})
    assert odd == Adapter("hci0", False, False, False, False, False)  # noqa: FBT003


@pytest.mark.parametrize(
    ("storage", "differs"),
    [
        (CLEAN, {}),
        (Storage(Path("/d"), False, True, 10**9), {}),  # noqa: FBT003 - rows of the table
        (Storage(Path("/d"), True, False, 10**9), {"diary": FAILURE}),  # noqa: FBT003
        (Storage(Path("/d"), True, True, 63 * 2**20), {"disk": WARNING}),  # noqa: FBT003
        (Storage(Path("/d"), True, True, 2**10), {"disk": FAILURE}),  # noqa: FBT003
        (Storage(Path("/d"), True, True, 10**9, open_to_others=True), {"diary": WARNING}),  # noqa: FBT003
        (Storage(Path("/d"), True, True, 10**9, readable=("device.key",)), {"diary": FAILURE}),  # noqa: FBT003
    ],
)
def test_a_folder_is_judged_by_space_rights_and_who_may_read_it(storage: Storage, differs: dict[str, Level]) -> None:
    assert levels(judge_storage(storage)) == {"disk": OK, "diary": OK} | differs


def test_a_folder_is_looked_at_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert not Storage.of(data / "deeper").exists
    data.mkdir(mode=0o700)
    (data / "device.key").touch(mode=0o600)
    assert Storage.of(data).readable == ()
    assert not Storage.of(data).open_to_others
    (data / "device.key").chmod(0o640)
    data.chmod(0o750)
    assert Storage.of(data).readable == ("device.key",)
    assert Storage.of(data).open_to_others
    assert not Storage.of(data / "device.key").writable


def test_the_on_time_is_the_arithmetic_of_the_durations_that_the_daemon_runs() -> None:
    timing = Timing(
        scan_window_s=4, scan_gap_s=(100, 300), rotation_s=(900, 900), rotation_pause_s=(0, 0), random=Random(1)
    )
    day = OnTime.of(timing, (0.2, 0.2))
    assert (day.scanning_s, day.advertisements) == (1728, 432_000)
    assert day.sending_s == pytest.approx(432_000 * 3 * 376e-6)
    assert "1,536 s of scanning (1.8%), 367,547 advertisements" in judge_on_time(Timing(), (0.2, 0.27)).sentence
    assert day.charge_mah(10) == pytest.approx((day.scanning_s + day.sending_s) / 360)
    assert "5.4 mAh for each 10 mA" in judge_on_time(Timing(), (0.2, 0.27)).sentence
    assert OnTime.of(timing, FIXED_INTERVAL_S).advertisements == pytest.approx(691_200)


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ([], 0),
        ([Check.ok("a", ""), Check.warning("b", "")], 0),
        ([Check.failure("a", "")], 1),
        ([Check.failure("a", ""), Check.failure("b", "", missing=True)], 3),
        ([Check.refused("a", NotVerified("no"))], 1),
        ([Check.refused("a", BadFeed("no"))], 1),
        ([Check.refused("a", Missing("gone"))], 3),
    ],
)
def test_the_exit_code_is_3_for_what_is_missing_else_1_for_a_failure_else_0(checks: list[Check], code: int) -> None:
    assert Findings(checks).exit_code == code


def test_the_last_line_is_in_the_persons_language() -> None:
    assert Findings([Check.ok("a", "b")]).as_text("en") == "ok       a  b\nAll is well, nothing to do."
    assert Findings([Check.warning("a", "b")]).as_text("vi").startswith("warning  a  b\nThiết bị hoạt động được; có 1")
    assert "mended first (lines marked failure above): 1" in Findings([Check.failure("a", "b")]).as_text("en")


@pytest.mark.parametrize(
    ("text", "version"),
    [("5.66\n", (5, 66)), ("6.12.93+rpt-rpi-v8", (6, 12, 93)), ("5.87-1", (5, 87)), ("none", None), ("", None)],
)
def test_a_version_is_the_first_dotted_number(text: str, version: tuple[int, ...] | None) -> None:
    assert parse_version(text) == version


def test_bluetoothd_is_asked_for_its_version_where_it_is_installed(tmp_path: Path) -> None:
    program, not_a_program = tmp_path / "bluetoothd", tmp_path / "text"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 5.82\n')
    program.chmod(0o700)
    not_a_program.write_text("5.82")
    assert ask_bluetoothd([tmp_path / "nowhere", program]) == (5, 82)
    assert ask_bluetoothd([not_a_program]) is None
    assert ask_bluetoothd([tmp_path / "nowhere"]) is None


def test_a_capability_is_read_from_what_is_in_force(tmp_path: Path) -> None:
    state = tmp_path / "status"
    state.write_text("CapPrm:\tffffffffffffffff\nCapEff:\t0000000000001000\n")
    assert has_capability(state, CAP_NET_ADMIN)
    state.write_text("CapPrm:\tffffffffffffffff\nCapEff:\t0000000000000fff\n")
    assert not has_capability(state, CAP_NET_ADMIN)
    assert not has_capability(tmp_path / "nowhere", CAP_NET_ADMIN)
