"""The process that assesses: answers what the daemon asks over a socket, and ends with it.

`python -m forewarn_client.assessing.worker DESCRIPTOR`. It gets no key over the socket, its command line or its
environment: it reads the device key's file, as the daemon did.
"""

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from forewarn_client.assessing.messages import ANSWER, MAX_MESSAGE_BYTES, QUESTION, Fault
from forewarn_client.assessing.questions import Compared, Comparison
from forewarn_protocol.errors import ForewarnError

_FILES: Final = 2
_NICENESS: Final = 10
_OOM_SCORE: Final = "500"
_OOM_FILE: Final = Path("/proc/self/oom_score_adj")


def main() -> None:
    """Answer until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's: its end ends this process
    _give_way()
    with socket.socket(fileno=int(sys.argv[1])) as line:
        threading.Thread(target=_end_with, args=(line,), daemon=True).start()
        while serve(line):
            pass


def serve(line: socket.socket) -> bool:
    """Answer one question; False when there are no more."""
    question, descriptors, _, _ = socket.recv_fds(line, MAX_MESSAGE_BYTES, _FILES)
    if question:
        line.send(answer(question, descriptors))
    return bool(question)


def answer(message: bytes, descriptors: Sequence[int]) -> bytes:
    """Return the answer to a question, for which the files behind the descriptors are used and closed."""
    question = QUESTION.validate_json(message)
    try:
        found = _compared(question, *descriptors) if isinstance(question, Comparison) else question.answer()
    except ForewarnError as error:
        return ANSWER.dump_json(Fault.of(error))
    return ANSWER.dump_json(found)


def _compared(question: Comparison, export: int, found: int) -> Compared:
    with os.fdopen(export, "rb") as file, os.fdopen(found, "wb", buffering=0) as spool:
        return question.answer(file, spool)


def _give_way() -> None:
    """Let scans go before, and where memory runs out be the one that is ended: the daemon can ask again."""
    with suppress(OSError):  # a service manager may forbid either
        os.nice(_NICENESS)
    with suppress(OSError):
        _OOM_FILE.write_text(_OOM_SCORE, encoding="ascii")


def _end_with(line: socket.socket) -> None:
    """End this process, whatever it is doing, once nobody is at the other end: the daemon may have been killed."""
    poll = select.poll()
    poll.register(line, 0)  # its end is told unasked
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
