"""The one family of errors, drawn as a tree.

::

    ForewarnError
    ├── BadInput                what a person or a stranger handed us is malformed       exit 2
    │   ├── BadKey              a Temporary Exposure Key or an interval
    │   ├── BadAdvertisement    bytes heard on the air
    │   ├── BadSighting         a line of a sightings file
    │   ├── BadExport           an export file
    │   ├── BadFeed             index, configuration or advice
    │   ├── BadMessage          a request or an answer of the API
    │   └── BadSettings         an option, a settings file, an environment variable
    ├── NotVerified             a signature, a sequence or an expiry speaks against it   exit 1
    ├── Refused                 the other side said no, with a code of PROTOCOL's table  exit 1
    └── Missing                 a needed thing is not there: radio, server, extra, file  exit 3

Each message is one line: what happened, whose fault it is, what to do. `forewarn_shell.command_line` maps the family
to exit codes and `forewarn_server.problems` to API answers; nothing else does. No message holds a key, an identifier,
a code, a token or an address.
"""

from typing import ClassVar


class ForewarnError(Exception):
    """Base of every error that Forewarn raises on purpose."""

    exit_code: ClassVar[int] = 2

    @property
    def message(self) -> str:
        """Return the sentence for the person, on one line."""
        return " ".join(str(self).split())


class BadInput(ForewarnError):
    """Something handed to us is malformed."""


class BadKey(BadInput):
    """A Temporary Exposure Key or one of its numbers is impossible."""


class BadAdvertisement(BadInput):
    """Bytes heard on the air are no Exposure Notification advertisement."""


class BadSighting(BadInput):
    """A sighting is malformed."""


class BadExport(BadInput):
    """An export file is malformed, or larger than we read."""


class BadFeed(BadInput):
    """An index, a configuration or an advice file is malformed."""


class BadMessage(BadInput):
    """A request or an answer of the API is malformed."""


class BadSettings(BadInput):
    """A setting is out of its bounds or unknown."""


class NotVerified(ForewarnError):
    """A signature does not verify, or a feed is older than one seen before."""

    exit_code = 1


class Refused(ForewarnError):
    """The other side refused; `code` is the machine's word for it (PROTOCOL's error codes)."""

    exit_code = 1

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Missing(ForewarnError):
    """A thing that is needed is not there."""

    exit_code = 3
