"""A worker that does not look whether its daemon lives: a positive control alone."""

import socket

from forewarn_client.assessing import worker


def _never(line: socket.socket) -> None:
    del line


if __name__ == "__main__":
    worker._end_with = _never
    worker.main()
