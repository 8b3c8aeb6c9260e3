"""Where the page is: its socket, the names it answers to, and the link that opens it."""

import socket
from typing import Final

from forewarn_client.config import ClientSettings
from forewarn_client.page.keys import PageKeys
from forewarn_protocol.errors import Missing

_BACKLOG: Final = 16
_FREEBIND: Final = 15
"""IP_FREEBIND of Linux, which Python does not name: the USB link may come up after the daemon."""


def listen(settings: ClientSettings) -> socket.socket:
    """Return a socket that listens on the page's address.

    Raises:
        Missing: another program has the address, or this machine has not.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
        listener.bind((settings.page_host, settings.page_port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - the library's own signature
    except OSError as error:
        listener.close()
        raise Missing(
            f"the page cannot listen on {settings.page_host}:{settings.page_port} ({error.strerror}): "
            "set page_host and page_port to an address that is this machine's and free"
        ) from error
    return listener


def names(listener: socket.socket) -> frozenset[str]:
    """Return the names, with port, by which a browser may ask for the page."""
    host, port = listener.getsockname()
    hosts = {host, "localhost"} if is_loopback(host) else {host}
    # Browsers leave the port of plain HTTP away.
    return frozenset({f"{name}:{port}" for name in hosts} | (hosts if port == 80 else set()))  # noqa: PLR2004 - as said


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    return host.startswith("127.")


def link(settings: ClientSettings, port: int) -> str:
    """Return the address that opens the page: a secret of its person.

    Raises:
        Missing: the data folder can't be read or written.
    """
    return f"http://{settings.page_host}:{port}/open/{PageKeys.open(settings.data).token}"
