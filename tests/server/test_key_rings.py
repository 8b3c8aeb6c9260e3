"""Rings of keys on disk: made once, changed with an overlap, revoked, destroyed; whole after a crash at any step."""

import base64
import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forewarn_protocol.errors import BadInput, ForewarnError, Missing, Refused
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_server.hours import DAY_S
from forewarn_server.keyrings.folder import SCHEDULE_FILE, KeyFolder
from forewarn_server.keyrings.living import KeyRings
from forewarn_server.keyrings.material import SecretKey, SigningKey
from forewarn_server.keyrings.policies import CODE_HASH, EXPORT, FEED, POLICIES, REVISION, TOKEN, Policy, Use
from forewarn_server.keyrings.schedule import Generation
from forewarn_shell.files import write_durably
from tests.dying import dies
from tests.server.hand_clock import NOON, HandClock

USES = tuple(Use)
LEAD_S = 2 * DAY_S


def folder_in(path: Path, **environment: str) -> KeyFolder:
    return KeyFolder(path, path / "code-hash", path / "lock", environment)


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return made_in(tmp_path)


def made_in(path: Path) -> KeyFolder:
    path.mkdir(exist_ok=True)
    folder = folder_in(path)
    for policy in POLICIES.values():
        assert folder.create_missing(policy, NOON)
    return folder


def load(folder: KeyFolder, clock: HandClock | None = None) -> KeyRings:
    rings = KeyRings(folder, clock or HandClock())
    rings.load()
    return rings


def names(keys: tuple[SigningKey | SecretKey, ...]) -> list[str]:
    return [key.name for key in keys]


def test_keys_are_made_once_and_stay(folder: KeyFolder) -> None:
    first = load(folder)
    assert not any(folder.create_missing(policy, NOON) for policy in POLICIES.values())
    again = load(folder)
    assert first.feed.active.public_base64 == again.feed.active.public_base64
    assert first.token.active.secret == again.token.active.secret


def test_each_use_has_a_key_of_its_own(folder: KeyFolder) -> None:
    keys = load(folder)
    pairs = (keys.export, keys.feed, keys.certificate)
    secrets = (keys.code_hash, keys.token, keys.revision)
    assert len({ring.active.public_base64 for ring in pairs}) == len(pairs)
    assert len({ring.active.secret for ring in secrets}) == len(secrets)


def test_the_public_key_is_what_devices_pin(folder: KeyFolder) -> None:
    key = load(folder).feed.active
    assert public_key_from_base64(key.public_base64).public_numbers() == key.private.public_key().public_numbers()


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    folder = folder_in(tmp_path, FOREWARN_SERVER_KEY_TOKEN_V1="planted secret")
    for policy in POLICIES.values():
        folder.create_missing(policy, NOON)
    keys = load(folder)
    told = repr([folder, keys, vars(keys), *(keys.of(policy) for policy in POLICIES.values())])
    assert "planted" not in told
    assert "Private" not in told
    assert repr(keys.token.active.secret) not in told
    assert "secret=" not in told


@pytest.mark.parametrize("use", USES)
def test_a_missing_key_is_named_with_what_to_do(folder: KeyFolder, use: Use) -> None:
    (folder.keys / use / "v1").unlink()
    with pytest.raises(Missing, match=f"{use}.*init"):
        load(folder)


@pytest.mark.parametrize("use", USES)
def test_a_lost_key_is_revoked_by_init_and_followed_at_once(folder: KeyFolder, use: Use) -> None:
    (folder.keys / use / "v1").unlink()
    assert folder.create_missing(POLICIES[use], NOON)
    ring = load(folder).of(POLICIES[use])
    assert (names(ring.accepted), names(ring.announced)) == (["v2"], [])
    assert not folder.create_missing(POLICIES[use], NOON)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", ["v1", SCHEDULE_FILE])
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_a_damaged_key_or_schedule_is_one_line(folder: KeyFolder, use: Use, name: str, content: bytes) -> None:
    before = (folder.keys / use / name).read_bytes()
    (folder.keys / use / name).write_bytes(content)
    with pytest.raises(ForewarnError) as caught:
        load(folder)
    assert str(use) in caught.value.message
    (folder.keys / use / name).write_bytes(before)


def test_a_key_on_another_curve_is_refused(folder: KeyFolder) -> None:
    other = generate_private_key(SECP384R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder.keys / "feed" / "v1").write_bytes(pem)
    with pytest.raises(BadInput, match="P-256"):
        load(folder)


def test_a_secret_shorter_than_32_bytes_is_refused(folder: KeyFolder) -> None:
    (folder.keys / "token" / "v1").write_bytes(base64.b64encode(bytes(31)))
    with pytest.raises(BadInput, match="32 bytes"):
        load(folder)


def test_labels_and_parts_are_never_confused() -> None:
    key = SecretKey("v1", bytes(32))
    macs = [
        key.mac(b"ab", b"c"),
        key.mac(b"a", b"bc"),
        key.mac(b"abc"),
        key.mac(b"ab", b"c", b""),
        key.mac(b"", b"abc"),
    ]
    assert len(set(macs)) == len(macs)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.use)
def test_a_new_key_is_announced_then_active_and_the_old_one_retires_and_ends(
    folder: KeyFolder, policy: Policy[SigningKey]
) -> None:
    clock = HandClock()
    rings = load(folder, clock)
    folder.rotate(policy, NOON, LEAD_S)
    seen = []
    for at_s in (0, LEAD_S - 1, LEAD_S, LEAD_S + policy.overlap_s - 1, LEAD_S + policy.overlap_s):
        clock.now_s = NOON + at_s
        ring = rings.of(policy)
        seen.append((names(ring.announced), names(ring.accepted)))
    announced, both, over = (["v2"], ["v1"]), ([], ["v2", "v1"]), ([], ["v2"])
    assert seen == [announced, announced, both, both, over]


def test_the_next_key_is_announced_once(folder: KeyFolder) -> None:
    folder.rotate(FEED, NOON, LEAD_S)
    with pytest.raises(Refused, match="v2 is announced already"):
        folder.rotate(FEED, NOON + 1, LEAD_S)
    folder.rotate(FEED, NOON + LEAD_S, LEAD_S)
    assert [each.name for each in folder.schedule(FEED).generations] == ["v1", "v2", "v3"]


def test_a_running_server_sees_a_key_that_another_process_made(folder: KeyFolder) -> None:
    rings = load(folder)
    assert rings.token.active.name == "v1"
    folder_in(folder.keys).rotate(TOKEN, NOON, 0)
    assert names(rings.token.accepted) == ["v2", "v1"]


def test_a_running_server_keeps_its_keys_when_the_schedule_is_spoiled(folder: KeyFolder) -> None:
    rings = load(folder)
    (folder.keys / "token" / SCHEDULE_FILE).write_text("{")
    assert rings.token.active.name == "v1"
    with pytest.raises(BadInput, match="restore"):
        load(folder)


def test_a_revoked_active_key_is_followed_by_the_announced_one_at_once(folder: KeyFolder) -> None:
    made = folder.rotate(FEED, NOON, LEAD_S)
    assert folder.revoke(FEED, "v1", NOON + 5).name == made.name
    ring = load(folder, HandClock(NOON + 5)).feed
    assert (names(ring.accepted), ring.announced) == (["v2"], ())
    assert len(ring.over) == 1


def test_a_revoked_active_key_without_a_successor_gets_one_and_never_an_older_one_back(folder: KeyFolder) -> None:
    folder.rotate(EXPORT, NOON, 0)
    assert folder.revoke(EXPORT, "v2", NOON + 5).name == "v3"
    assert names(load(folder, HandClock(NOON + 5)).export.accepted) == ["v3", "v1"]


def test_a_revoked_announced_key_leaves_the_active_one_as_it_was(folder: KeyFolder) -> None:
    folder.rotate(FEED, NOON, LEAD_S)
    assert folder.revoke(FEED, "v2", NOON + 5).name == "v1"
    ring = load(folder, HandClock(NOON + 90 * DAY_S)).feed
    assert names(ring.accepted) == ["v1"]
    assert folder.rotate(FEED, NOON, LEAD_S).name == "v3"


@pytest.mark.parametrize(("name", "said"), [("v1", "revoked already"), ("v9", "there are v1, v2"), ("", "there are")])
def test_only_a_key_that_there_is_can_be_revoked(folder: KeyFolder, name: str, said: str) -> None:
    folder.revoke(TOKEN, "v1", NOON)
    with pytest.raises(Refused, match=said):
        folder.revoke(TOKEN, name, NOON)


def test_a_dead_key_is_overwritten_before_its_name_goes(folder: KeyFolder) -> None:
    path = folder.keys / "revision" / "v1"
    copy = path.with_name("linked")
    copy.hardlink_to(path)  # the same bytes on disk under a name that stays
    folder.revoke(REVISION, "v1", NOON)
    assert not path.exists()
    assert not copy.read_bytes().strip(b"\0")


def test_a_key_that_has_ended_is_destroyed_and_off_the_schedule_but_a_feed_key_is_remembered(
    folder: KeyFolder,
) -> None:
    for policy in (TOKEN, FEED):
        folder.rotate(policy, NOON, 0)
        ends_s = NOON + policy.overlap_s
        assert folder.destroy_ended(policy, ends_s - 1) == 0
        assert (folder.keys / policy.use / "v1").exists()
        folder.destroy_ended(policy, ends_s)
        assert not (folder.keys / policy.use / "v1").exists()
    assert [each.name for each in folder.schedule(TOKEN).generations] == ["v2"]
    assert [each.name for each in folder.schedule(FEED).generations] == ["v1", "v2"]
    assert len(load(folder, HandClock(NOON + FEED.overlap_s)).feed.over) == 1


def test_a_crash_between_secret_and_schedule_leaves_the_old_ring_and_a_rotation_that_can_be_repeated(
    folder: KeyFolder,
) -> None:
    schedule = folder.keys / "export" / SCHEDULE_FILE
    before = schedule.read_bytes()
    folder.rotate(EXPORT, NOON, 0)
    lost = load(folder).export.active.public_base64
    schedule.write_bytes(before)
    assert names(load(folder).export.accepted) == ["v1"]
    folder.rotate(EXPORT, NOON, 0)
    assert load(folder).export.active.public_base64 not in (lost, "")


def test_a_crash_between_revocation_and_destruction_is_made_up_for(folder: KeyFolder) -> None:
    path = folder.keys / "token" / "v1"
    secret = path.read_bytes()
    folder.revoke(TOKEN, "v1", NOON)
    path.write_bytes(secret)
    assert names(load(folder).token.accepted) == ["v2"]
    folder.destroy_ended(TOKEN, NOON)
    assert not path.exists()


CHANGES: dict[str, tuple[Policy[Any], Callable[[KeyFolder], object]]] = {
    "init": (TOKEN, lambda folder: folder.create_missing(TOKEN, NOON)),
    "rotate": (TOKEN, lambda folder: folder.rotate(TOKEN, NOON, 0)),
    "revoke, none announced": (TOKEN, lambda folder: folder.revoke(TOKEN, "v1", NOON)),
    "revoke, one announced": (FEED, lambda folder: folder.revoke(FEED, "v2", NOON)),
    "end": (FEED, lambda folder: folder.destroy_ended(FEED, NOON)),
}


@pytest.fixture
def in_the_middle(tmp_path: Path) -> KeyFolder:
    """A ring of feed keys of which v1 has just ended, v2 is active and v3 announced."""
    folder = made_in(tmp_path / "whole")
    folder.rotate(FEED, NOON - FEED.overlap_s, 0)
    folder.rotate(FEED, NOON, LEAD_S)
    return folder


def killed_at_each_step(
    whole: KeyFolder, tmp_path: Path, change: str, act: Callable[[KeyFolder], object] | None = None
) -> int:
    """Do a change, killed before its first step, its second, … until it comes through; return how many there are."""
    policy, by_the_table = CHANGES[change]
    act = act or by_the_table

    def standing(folder: KeyFolder) -> list[str]:
        ring = KeyRings(folder, HandClock()).of(policy)
        return names((*ring.announced, *ring.accepted))

    def started(name: object) -> KeyFolder:
        folder = folder_in(shutil.copytree(whole.keys, tmp_path / f"{name}"))
        if change == "init":
            shutil.rmtree(folder.keys / policy.use)
        return folder

    done = started("done")
    act(done)
    wanted = [standing(done)] if change == "init" else [standing(whole), standing(done)]
    at, died = 0, True
    while died:
        at += 1
        folder = started(at)
        died = dies(partial(act, folder), folder.keys, at)
        if change == "init":  # nothing serves before it came through
            act(folder)
        assert standing(folder) in wanted
        # The next hour clears up, and leaves no secret that no ring names.
        folder.destroy_ended(policy, NOON)
        assert standing(folder) in wanted
        living = {each.name for each in folder.schedule(policy).living(NOON)}
        assert {path.name for path in (folder.keys / policy.use).iterdir()} == {SCHEDULE_FILE, *living}
    assert standing(folder) == wanted[-1]
    return at - 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_killed_before_any_of_its_steps_on_files_is_done_or_was_never_begun(
    in_the_middle: KeyFolder, tmp_path: Path, figure: Callable[[str], None], change: str
) -> None:
    steps = killed_at_each_step(in_the_middle, tmp_path, change)
    figure(f"keys, {change}: killed before each of its {steps} steps on files: the old ring or the new one")


def test_a_schedule_that_names_a_secret_before_it_is_there_is_found(in_the_middle: KeyFolder, tmp_path: Path) -> None:
    """Positive control for the test above."""

    def schedule_first(folder: KeyFolder) -> None:
        named = folder.schedule(TOKEN).followed_by(Generation(name="v2", active_s=NOON))
        write_durably(folder.keys / "token" / SCHEDULE_FILE, named.encode())
        write_durably(folder.keys / "token" / "v2", TOKEN.kind.fresh())

    with pytest.raises(Missing, match="token/v2"):
        killed_at_each_step(in_the_middle, tmp_path, "rotate", schedule_first)


def test_a_feed_key_that_has_ended_stays_so_when_the_clock_is_set_back(in_the_middle: KeyFolder) -> None:
    in_the_middle.destroy_ended(FEED, NOON)
    ring = KeyRings(in_the_middle, HandClock(NOON - 1)).feed
    assert (names(ring.accepted), len(ring.over)) == (["v2"], 1)


def test_a_clock_that_was_set_back_leaves_a_key_to_work_with(folder: KeyFolder) -> None:
    folder.rotate(CODE_HASH, NOON, 0)
    folder.destroy_ended(CODE_HASH, NOON + CODE_HASH.overlap_s)
    assert names(load(folder, HandClock(NOON - 30 * DAY_S)).code_hash.accepted) == ["v2"]


def test_a_secret_may_come_from_the_environment_instead_of_a_file(folder: KeyFolder) -> None:
    path = folder.keys / "code-hash" / "v1"
    secret = path.read_bytes()
    path.unlink()
    outside = folder_in(folder.keys, FOREWARN_SERVER_KEY_CODE_HASH_V1=secret.decode())
    assert load(outside).code_hash.active.secret == base64.b64decode(secret)
    assert not outside.create_missing(CODE_HASH, NOON)
    wrong = folder_in(folder.keys, FOREWARN_SERVER_KEY_CODE_HASH_V1="planted")
    with pytest.raises(BadInput, match="FOREWARN_SERVER_KEY_CODE_HASH_V1 holds no key") as caught:
        load(wrong)
    assert "planted" not in caught.value.message


def test_secrets_may_come_as_systemd_hands_out_a_folder_of_credentials(folder: KeyFolder, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for path in [path for path in folder.keys.rglob("*") if path.is_file() and path.parent != folder.keys]:
        (credentials / f"keys_{path.parent.name}_{path.name}").write_bytes(path.read_bytes())
    assert load(folder_in(credentials)).feed.active.public_base64 == load(folder).feed.active.public_base64


def test_the_operators_page_has_a_row_for_each_use() -> None:
    page = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == set(Use)


def test_a_schedule_holds_no_secret(folder: KeyFolder) -> None:
    for use in USES:
        shown = (folder.keys / use / SCHEDULE_FILE).read_text()
        assert "PRIVATE" not in shown
        (only,) = json.loads(shown)["generations"]
        assert set(only) == {"name", "active_s", "revoked_s", "public_key"}
        assert bool(only["public_key"]) == ("BEGIN" in (folder.keys / use / "v1").read_text())
