"""Which addresses this process asks for, and which names it wants looked up, by the interpreter's own audit events."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SENDING = ("socket.connect", "socket.sendto", "socket.sendmsg")
_NAMING = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")


@dataclass
class Contacts:
    """Hosts that anything was sent to, and names that were looked up; addresses in numbers are no names."""

    hosts: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


_watching: list[Contacts] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching or not event.startswith("socket."):
        return
    if event in _SENDING and isinstance(arguments[1], tuple):
        for contacts in _watching:
            contacts.hosts.add(str(arguments[1][0]))
    elif event in _NAMING:
        for contacts in _watching:
            contacts.names.add(str(arguments[0]))


sys.addaudithook(_hear)  # for the life of the process: it hears nothing while nobody watches


@contextmanager
def watched() -> Iterator[Contacts]:
    """Note every host and name that this process asks for inside the block, in whichever thread."""
    contacts = Contacts()
    _watching.append(contacts)
    try:
        yield contacts
    finally:
        _watching.remove(contacts)
