"""What a publish must show before anything is looked up: the authority's name, a valid certificate, the keys' HMAC."""

from dataclasses import dataclass, field

from forewarn_protocol.errors import NotVerified, Refused
from forewarn_protocol.publishing import PublishRequest, parse_publish
from forewarn_protocol.verification import CertificateClaims, matches_tekmac
from forewarn_server import certificates
from forewarn_server.context import Context


@dataclass(frozen=True, slots=True)
class Examined:
    """A request whose certificate is valid and bound to its keys."""

    request: PublishRequest = field(repr=False)
    claims: CertificateClaims = field(repr=False)

    @property
    def onset(self) -> int | None:
        """The interval of the onset: what the authority certified, else what the person said."""
        return self.claims.symptom_onset_interval or self.request.symptom_onset_interval


def examine(context: Context, body: bytes) -> Examined:
    """Read a request and check everything that needs no database; chaff is put through the same.

    Raises:
        BadMessage: no publish request.
        Refused: another authority, an invalid certificate, or one for other keys.
    """
    request = parse_publish(body)
    if request.health_authority_id != context.settings.authority:
        raise Refused("this server publishes for another health authority", "unknown_health_authority_id")
    invalid = "health_authority_verification_certificate_invalid"
    try:
        claims = certificates.read(
            context.settings, context.keys.certificate, request.verification_payload, now_s=context.now_s()
        )
    except NotVerified as error:
        raise Refused(error.message, invalid) from None
    if not matches_tekmac(request.keys, request.hmac_key, claims.tekmac):
        raise Refused("the certificate was made for other keys: ask for one with the HMAC of these", invalid)
    return Examined(request, claims)
