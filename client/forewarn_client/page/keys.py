"""Who may see the page: one secret in the data folder, and what is made from it, each use under its own label.

The secret itself is in no address and no cookie. Deleting its file ends every session and every link.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from forewarn_protocol.errors import Missing
from forewarn_shell.files import read_bounded, write_durably

PAGE_KEY_FILE: Final = "page.key"
_KEY_BYTES: Final = 32
SESSION_S: Final = 14 * 24 * 3600
"""As long as the diary looks back; then the link is opened once more."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that came with the link: `room` is the folder of its pages, `proof` what its cookie holds.

    Cookies are sent to every port of an address. Under a folder that nobody else knows, no page of another user's
    program on this machine gets this one.
    """

    room: str
    ends_s: int
    proof: str = field(repr=False)

    @property
    def cookie(self) -> str:
        """What the browser keeps."""
        return f"{self.ends_s}.{self.proof}"


class PageKeys:
    """What the secret of one data folder proves; every comparison takes the same time whatever it is given."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, data: Path) -> Self:
        """Read the secret, making it (mode 0600) where there is none.

        Raises:
            Missing: it can't be read or written.
        """
        path = data / PAGE_KEY_FILE
        try:
            if not path.exists():
                write_durably(path, secrets.token_bytes(_KEY_BYTES), mode=0o600)
        except OSError as error:
            raise Missing(f"{path} cannot be written ({error.strerror}): check the owner of its folder") from error
        key = read_bounded(path, _KEY_BYTES)
        if len(key) != _KEY_BYTES:
            raise Missing(f"{path} is damaged: delete it, and open the page by a new link")
        return cls(key)

    @property
    def token(self) -> str:
        """What the link carries."""
        return self._proof("link")

    def opens(self, token: str) -> bool:
        """Tell whether a token is the link's."""
        return _same(token, self.token)

    def begin(self, now_s: float) -> Session:
        """Return a new session."""
        room, ends_s = secrets.token_hex(16), int(now_s) + SESSION_S
        return Session(room, ends_s, self._session_proof(room, ends_s))

    def session(self, room: str, cookie: str, now_s: float) -> Session | None:
        """Return the session that a cookie proves for a room, while it lasts."""
        ends, _, proof = cookie.partition(".")
        if not (ends.isascii() and ends.isdigit() and len(ends) <= 12):  # noqa: PLR2004 - digits of any sane time
            return None
        expected = self._session_proof(room, int(ends))
        if not _same(proof, expected) or now_s >= int(ends):
            return None
        return Session(room, int(ends), expected)

    def form_token(self, session: Session) -> str:
        """Return what a form of this session's pages carries, and no other page knows."""
        return self._proof("form", session.room, session.proof)

    def is_form_token(self, session: Session, token: str) -> bool:
        """Tell whether a form was one of this session's."""
        return _same(token, self.form_token(session))

    def seal(self, session: Session, text: str) -> str:
        """Return a mark of what was shown to this session, by which it is known again when it comes back."""
        return self._proof("shown", session.room, text)

    def _session_proof(self, room: str, ends_s: int) -> str:
        return self._proof("session", room, str(ends_s))

    def _proof(self, *parts: str) -> str:
        return hmac.new(self._key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
