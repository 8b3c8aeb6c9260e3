"""Keys on disk: a schedule and a file per generation; each change is whole or not there, and a dead key is overwritten.

Order is what makes a crash harmless. A new secret is durable before the schedule names it; a secret is destroyed after
the schedule calls it dead. What is left over in between, the next hour's work destroys.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from forewarn_protocol.errors import BadInput, Missing, Refused
from forewarn_server.config import KEY_VARIABLE_PREFIX, ServerSettings
from forewarn_server.keyrings.policies import Policy, Use
from forewarn_server.keyrings.schedule import FIRST, Generation, Schedule
from forewarn_shell.files import clear_left_overs, make_folder, read_bounded, sync_folder, write_durably

K = TypeVar("K")

SCHEDULE_FILE: Final = "schedule.json"
LOCK_FILE: Final = "keys.lock"
_MAX_KEY_BYTES: Final = 4_096
_MAX_SCHEDULE_BYTES: Final = 256 * 1024
_OWNER_ONLY: Final = 0o600
_CREDENTIAL: Final = "keys"
"""What a systemd unit calls the folder: `LoadCredential=keys:/etc/forewarn/keys` gives flat files `keys_feed_v1`."""


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """Where the rings of one server lie; secrets may stand in the environment instead of a file."""

    keys: Path
    code_hash: Path
    lock: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @classmethod
    def of(cls, settings: ServerSettings) -> "KeyFolder":
        """Return the folders that the settings name."""
        return cls(settings.keys_folder, settings.code_hash_folder, settings.data / LOCK_FILE)

    def stamp(self, use: Use) -> tuple[int, int] | None:
        """Return what changes whenever the schedule does; None where there is none."""
        try:
            found = self._path(use, SCHEDULE_FILE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def schedule(self, policy: Policy[K]) -> Schedule:
        """Read the schedule of one use.

        Raises:
            Missing: there is none; init makes it.
            BadInput: it is damaged.
        """
        path = self._path(policy.use, SCHEDULE_FILE)
        if not path.is_file():
            raise Missing(f"{path} is missing: restore it from a backup, or let forewarn-server init make a new one")
        try:
            return Schedule.parse(read_bounded(path, _MAX_SCHEDULE_BYTES), policy.overlap_s)
        except BadInput as error:
            raise BadInput(f"{path} {error.message}: restore it from a backup") from None

    def key(self, policy: Policy[K], name: str) -> K:
        """Read one key, from its file or from its environment variable.

        Raises:
            Missing: it stands in neither.
            BadInput: what is there is another kind of key.
        """
        path, variable = self._path(policy.use, name), _variable(policy.use, name)
        if path.is_file():
            source, data = str(path), read_bounded(path, _MAX_KEY_BYTES)
        elif variable in self.environment:
            source, data = f"the environment variable {variable}", self.environment[variable].encode()
        else:
            raise Missing(
                f"the key {path} is missing: restore it from a backup, or let forewarn-server init make a new one"
            )
        try:
            return policy.kind.read(name, data)
        except BadInput as error:
            raise BadInput(f"{source} {error.message}: restore it from a backup") from None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other process changes keys of this server, and hold the turn; the kernel ends it with us."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Half a change of somebody who was killed: nothing names it, and nothing has used it.
            for folder in (self.keys, self.code_hash):
                clear_left_overs(folder)
            yield
        finally:
            os.close(descriptor)

    def create_missing(self, policy: Policy[K], now_s: int) -> bool:
        """Make a first key where there is none, and a successor at once for one that is lost; tell whether it did."""
        with self.turn():
            if not self._path(policy.use, SCHEDULE_FILE).is_file():
                # From the beginning of time: a clock that is wrong on the first day must not leave it unused.
                first = self._made(policy, FIRST, 0)
                self._write(policy.use, Schedule((first,), policy.overlap_s))
                return True
            schedule = self.schedule(policy)
            lost = [each.name for each in schedule.living(now_s) if not self._holds(policy.use, each.name)]
            for name in lost:
                schedule = self._without(policy, schedule, name, now_s)
            if lost:
                self._write(policy.use, schedule)
            return bool(lost)

    def rotate(self, policy: Policy[K], now_s: int, lead_s: int) -> Generation:
        """Make the next key, which takes over `lead_s` from now.

        Raises:
            Refused: one is announced already.
        """
        with self.turn():
            schedule = self.schedule(policy)
            if announced := schedule.announced(now_s):
                raise Refused(
                    f"the {policy.use} key {announced[0].name} is announced already: wait until it is active, "
                    "or revoke it first",
                    "already_announced",
                )
            schedule = schedule.followed_by(self._made(policy, schedule.next_name(), now_s + lead_s))
            self._write(policy.use, schedule)
            return schedule.generations[-1]

    def revoke(self, policy: Policy[K], name: str, now_s: int) -> Generation:
        """Revoke a key, destroy it, and return the one that is active now.

        Raises:
            Refused: there is no such key, or it is revoked already.
        """
        with self.turn():
            schedule = self._without(policy, self.schedule(policy), name, now_s)
            self._write(policy.use, schedule)
            self._destroy(policy.use, name)
            return schedule.active(now_s)

    def destroy_ended(self, policy: Policy[K], now_s: int) -> int:
        """Take what has ended off the schedule, destroy every secret that is not needed, and return how many ended.

        Also destroyed is what a change that was cut off left behind: a secret that the schedule never named.
        """
        with self.turn():
            schedule, folder = self.schedule(policy), self._folder(policy.use)
            over = [each for each in schedule.generations if _is_over(schedule, each, now_s)]
            if policy.remembered:
                over = [each for each in over if each.revoked_s is None]
            if over:
                schedule = schedule.ended(over, now_s) if policy.remembered else schedule.dropped(over)
                self._write(policy.use, schedule)
            clear_left_overs(folder)
            living = {each.name for each in schedule.living(now_s)}
            for path in folder.glob("v[1-9]*"):
                if path.name not in living:
                    self._destroy(policy.use, path.name)
            return len(over)

    def _without(self, policy: Policy[K], schedule: Schedule, name: str, now_s: int) -> Schedule:
        changed = schedule.without(name, now_s)
        if schedule.leaves_a_gap(name, now_s):
            changed = changed.followed_by(self._made(policy, changed.next_name(), now_s))
        return changed

    def _made(self, policy: Policy[K], name: str, active_s: int) -> Generation:
        data = policy.kind.fresh()
        public_key = policy.kind.public(policy.kind.read(name, data))
        folder = self._folder(policy.use)
        try:
            make_folder(folder, mode=0o700)
            write_durably(folder / name, data, mode=_OWNER_ONLY)
        except OSError as error:
            raise Missing(f"{folder} cannot be written ({error.strerror}): change keys where it can be") from error
        return Generation(name=name, active_s=active_s, public_key=public_key)

    def _write(self, use: Use, schedule: Schedule) -> None:
        write_durably(self._folder(use) / SCHEDULE_FILE, schedule.encode(), mode=_OWNER_ONLY)

    def _destroy(self, use: Use, name: str) -> None:
        path = self._folder(use) / name
        if not path.is_file():
            return
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        sync_folder(path.parent)

    def _holds(self, use: Use, name: str) -> bool:
        return self._path(use, name).is_file() or _variable(use, name) in self.environment

    def _folder(self, use: Use) -> Path:
        return self.code_hash if use is Use.CODE_HASH else self.keys / use

    def _path(self, use: Use, name: str) -> Path:
        path, credential = self._folder(use) / name, self.keys / f"{_CREDENTIAL}_{use}_{name}"
        return credential if credential.is_file() else path


def _variable(use: Use, name: str) -> str:
    return KEY_VARIABLE_PREFIX + f"{use}_{name}".upper().replace("-", "_")


def _is_over(schedule: Schedule, generation: Generation, now_s: int) -> bool:
    until_s = schedule.until_s(generation)
    return until_s is not None and until_s <= now_s
