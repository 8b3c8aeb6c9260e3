"""Who answers the questions: a process of its own, whose memory is given back when it ends, or a thread of this one."""

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO, Final, Protocol

from forewarn_client.assessing.judgement import Judged
from forewarn_client.assessing.messages import ANSWER, MAX_MESSAGE_BYTES, QUESTION, Fault
from forewarn_client.assessing.questions import Compared, Comparison, Judging
from forewarn_client.capabilities import hand_on_none
from forewarn_client.config import ClientSettings
from forewarn_protocol.errors import Missing

_WORKER: Final = "forewarn_client.assessing.worker"


class Assessor(Protocol):
    """Answers with the same values and the same errors, wherever it works.

    Raises:
        NotVerified: the file of a comparison is not signed by any of the keys.
        BadInput: the file is malformed, or the diary damaged.
        Missing: memory or disk are full, the diary can't be read, or the process was ended before it had answered.
    """

    async def compare(self, question: Comparison, export: BinaryIO, found: BinaryIO) -> Compared:
        """Compare a file, and write into `found` what the diary is to keep of it."""
        ...

    async def judge(self, question: Judging) -> Judged:
        """Judge everything that matched."""
        ...


@asynccontextmanager
async def assessor_of(settings: ClientSettings) -> AsyncIterator[Assessor]:
    """Give the assessor that the settings name; what it has started ends with the block."""
    if settings.assessing == "thread":
        yield ThreadAssessor()
    else:
        worker = ProcessAssessor()
        try:
            yield worker
        finally:
            await worker.close()


class ThreadAssessor:
    """Answers in a thread: for machines that let no process be started, and for many phones in one process."""

    async def compare(self, question: Comparison, export: BinaryIO, found: BinaryIO) -> Compared:
        """Compare a file; who cancels closes it, and so ends the thread at its next read."""
        return await asyncio.to_thread(question.answer, export, found)

    async def judge(self, question: Judging) -> Judged:
        """Judge everything that matched."""
        return await asyncio.to_thread(question.answer)


class ProcessAssessor:
    """Answers in a process that is started with the first question; one after the other, until it is closed."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._line: socket.socket | None = None

    async def compare(self, question: Comparison, export: BinaryIO, found: BinaryIO) -> Compared:
        """Compare a file."""
        answer = await self._ask(question, (export, found))
        if not isinstance(answer, Compared):
            raise TypeError("the process answered another question than it was asked")
        return answer

    async def judge(self, question: Judging) -> Judged:
        """Judge everything that matched."""
        answer = await self._ask(question)
        if not isinstance(answer, Judged):
            raise TypeError("the process answered another question than it was asked")
        return answer

    async def close(self) -> None:
        """End the process: it has written nothing that could be left half."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _ask(self, question: Comparison | Judging, files: Sequence[BinaryIO] = ()) -> Compared | Judged:
        line, process = await self._started()
        for file in files:
            file.flush()
        answer = b""
        with suppress(ConnectionError):  # it was ended: below
            socket.send_fds(line, [QUESTION.dump_json(question)], [file.fileno() for file in files])
            answer = await asyncio.get_running_loop().sock_recv(line, MAX_MESSAGE_BYTES)
        if not answer:
            raise _ended(await process.wait())
        found = ANSWER.validate_json(answer)
        if isinstance(found, Fault):
            raise found.error()
        return found

    async def _started(self) -> tuple[socket.socket, Process]:
        if self._line is None or self._process is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.settimeout(0)  # asyncio waits for it
            self._line = ours
            with theirs:
                self._process = await _start(theirs.fileno())
        return self._line, self._process


async def _start(descriptor: int) -> Process:
    hand_on_none()  # who opens a stranger's files needs no right
    # A new interpreter, not a copy of this one with its threads, its keys and its open diary. -P: no module is taken
    # from the folder in which somebody has started the daemon.
    command = (sys.executable, "-P", "-m", _WORKER, str(descriptor))
    try:
        return await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=DEVNULL, pass_fds=(descriptor,))
    except OSError as error:
        raise Missing(
            f"no process can be started to compare keys in ({error.strerror}): end other programs, or set assessing to"
            " thread"
        ) from error


def _ended(code: int) -> Exception:
    if code < 0:
        name = signal.Signals(-code).name
        return Missing(f"the process that compares keys with the diary was ended by {name}: is there enough memory?")
    # Its own lines in the log say what is wrong: an error of the program, or another version of it put in its place.
    return RuntimeError(f"the process that compares keys with the diary failed with exit code {code}")
