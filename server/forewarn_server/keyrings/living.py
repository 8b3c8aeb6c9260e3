"""The keys that a running server uses, by use: read anew as soon as a command in another process changed them."""

from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from forewarn_protocol.errors import ForewarnError
from forewarn_server.keyrings.folder import KeyFolder
from forewarn_server.keyrings.material import SealingKey, SecretKey, SigningKey
from forewarn_server.keyrings.policies import (
    CERTIFICATE,
    CODE_HASH,
    EXPORT,
    FEED,
    POLICIES,
    REVISION,
    TOKEN,
    UPLOAD,
    Policy,
    Use,
)
from forewarn_server.keyrings.schedule import Schedule, State
from forewarn_server.logs import logger
from forewarn_shell.clock import Clock

K = TypeVar("K")
_log: Final = logger()


@dataclass(frozen=True, slots=True)
class Ring(Generic[K]):
    """The keys of one use at one moment; `over` holds the public keys of those that are revoked or have ended."""

    active: K
    retiring: tuple[K, ...]
    announced: tuple[K, ...]
    over: tuple[str, ...]

    @property
    def accepted(self) -> tuple[K, ...]:
        """Every key whose work still counts, the active one first, then the younger before the older."""
        return (self.active, *self.retiring)


@dataclass(frozen=True, slots=True)
class _Loaded:
    stamp: tuple[int, int] | None
    schedule: Schedule
    keys: dict[str, Any] = field(repr=False)


class KeyRings:
    """Every ring of one server. Asking costs a look at one file's time; a key is read only when its schedule changed.

    `export` signs export files, `feed` index, configuration and advice, `certificate` the JWTs; `code_hash` hides codes
    in the database, `token` derives verification tokens and `revision` revision tokens; uploads are sealed to `upload`.
    """

    def __init__(self, folder: KeyFolder, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock
        self._loaded: dict[Use, _Loaded] = {}

    def load(self) -> None:
        """Read all keys.

        Raises:
            Missing: one is not there; init creates it.
            BadInput: a file holds something else.
        """
        for policy in POLICIES.values():
            self.of(policy)

    @property
    def certificate(self) -> Ring[SigningKey]:
        """The keys that sign certificates."""
        return self.of(CERTIFICATE)

    @property
    def export(self) -> Ring[SigningKey]:
        """The keys that sign export files."""
        return self.of(EXPORT)

    @property
    def feed(self) -> Ring[SigningKey]:
        """The keys that sign feeds."""
        return self.of(FEED)

    @property
    def revision(self) -> Ring[SecretKey]:
        """The keys that revision tokens are derived from."""
        return self.of(REVISION)

    @property
    def upload(self) -> Ring[SealingKey]:
        """The keys that uploads are sealed to."""
        return self.of(UPLOAD)

    @property
    def code_hash(self) -> Ring[SecretKey]:
        """The keys that codes are hashed with."""
        return self.of(CODE_HASH)

    @property
    def token(self) -> Ring[SecretKey]:
        """The keys that verification tokens are derived from."""
        return self.of(TOKEN)

    def of(self, policy: Policy[K]) -> Ring[K]:
        """Return the ring of one use as it is now."""
        now_s = self._clock.utc()
        loaded = self._fresh(policy, now_s)
        schedule, keys = loaded.schedule, loaded.keys
        by_state: dict[State, list[str]] = {state: [] for state in State}
        for generation in reversed(schedule.generations):
            by_state[schedule.state(generation, now_s)].append(generation.name)
        over = [*by_state[State.REVOKED], *by_state[State.ENDED]]
        return Ring(
            active=keys[by_state[State.ACTIVE][0]],
            retiring=tuple(keys[name] for name in by_state[State.RETIRING]),
            announced=tuple(keys[name] for name in by_state[State.ANNOUNCED]),
            over=tuple(each.public_key for each in schedule.generations if each.name in over),
        )

    def _fresh(self, policy: Policy[K], now_s: float) -> _Loaded:
        last = self._loaded.get(policy.use)
        stamp = self.folder.stamp(policy.use)
        if last is not None and last.stamp == stamp:
            return last
        try:
            schedule = self.folder.schedule(policy)
            keys = {each.name: self.folder.key(policy, each.name) for each in schedule.living(now_s)}
        except ForewarnError as error:
            if last is None:
                raise
            # What was good a moment ago is better than no server at all; the next start will refuse.
            _log.error("keys not read anew", reason=error.message)
            schedule, keys = last.schedule, last.keys
        fresh = self._loaded[policy.use] = _Loaded(stamp, schedule, keys)
        return fresh
