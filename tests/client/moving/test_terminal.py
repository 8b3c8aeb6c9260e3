"""`move out` on a real terminal: what is typed there, and what can be read over the person's shoulder."""

import asyncio
import os
import pty
import select
import sys
from pathlib import Path

from forewarn_client.device import Device
from forewarn_shell.clock import SystemClock
from tests.client.moving.diaries import settings_of, speak

PHRASE = "river lantern copper window seven"
PATIENCE_S = 60.0


class Person:
    """Somebody at a terminal of their own, in which a command runs."""

    def __init__(self, *arguments: str) -> None:
        self.shown = b""
        self.process, self._terminal = pty.fork()
        if not self.process:
            code = "from forewarn_client.__main__ import main; main()"
            os.environ["FOREWARN_CLIENT_LANGUAGE"] = "en"
            os.execv(sys.executable, [sys.executable, "-c", code, *arguments])  # noqa: S606 - our own command

    def waits_for(self, words: bytes) -> None:
        """Read until the terminal shows some words."""
        while words not in self.shown:
            self._read()

    def types(self, line: str) -> None:
        os.write(self._terminal, line.encode() + b"\n")

    def leaves(self) -> int:
        """Read to the end and return the command's exit code."""
        try:
            while True:
                self._read()
        except OSError:  # how Linux says that nobody is at the other end any more
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def _read(self) -> None:
        ready, _, _ = select.select([self._terminal], [], [], PATIENCE_S)
        assert ready, self.shown
        self.shown += os.read(self._terminal, 4096)


def test_a_passphrase_is_not_shown_as_it_is_typed_and_an_answer_is(tmp_path: Path) -> None:
    async def live() -> None:
        async with Device.open(settings_of(tmp_path / "old"), SystemClock()) as device:
            await speak(device, range(1))

    asyncio.run(live())
    person = Person("--data", str(tmp_path / "old"), "move", "out", str(tmp_path / "diary.move"))
    person.waits_for(b"[y/N]: ")
    person.types("yes")
    person.waits_for(b"not shown as you type): ")
    person.types(PHRASE)
    person.waits_for(b"once more: ")
    person.types(PHRASE)
    assert person.leaves() == 0
    assert b"Moved." in person.shown
    # Positive control: what a terminal does show is found.
    assert b"[y/N]: yes" in person.shown
    assert not [word for word in PHRASE.split() if word.encode() in person.shown]
