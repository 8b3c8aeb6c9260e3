"""What a publish must show before anything is looked up: authority, certificate, the keys' HMAC, tokens, the rules."""

from dataclasses import dataclass, field

from forewarn_protocol.errors import NotVerified, Refused
from forewarn_protocol.publishing import PublishRequest, Verdict, parse_publish, validate
from forewarn_protocol.verification import CertificateClaims, matches_tekmac
from forewarn_server import certificates
from forewarn_server.context import Context
from forewarn_server.publish.revision import RevisionToken


@dataclass(frozen=True, slots=True)
class Examined:
    """A request whose certificate is valid and bound to its keys.

    `judged` is a verdict per key, or why all are refused: told only to a request that is no repeat, for the keys of a
    repeat may have become too old since.
    """

    request: PublishRequest = field(repr=False)
    claims: CertificateClaims = field(repr=False)
    token: RevisionToken = field(repr=False)
    judged: tuple[Verdict, ...] | Refused = field(repr=False)

    @property
    def onset(self) -> int | None:
        """The interval of the onset: what the authority certified, else what the person said."""
        return self.claims.symptom_onset_interval or self.request.symptom_onset_interval


def examine(context: Context, body: bytes) -> Examined:
    """Read a request and check everything that needs no database.

    Raises:
        BadMessage: no publish request.
        Refused: another authority, an invalid certificate, one for other keys, or a revision token of another server.
    """
    request, now_s = parse_publish(body), context.now_s()
    return examined(context, request, certified(context, request, now_s), now_s)


def certified(context: Context, request: PublishRequest, now_s: int) -> CertificateClaims:
    """Return what the certificate of a request says, if it is ours and was made for these keys.

    Raises:
        Refused: another authority, an invalid certificate, one for other keys.
    """
    if request.health_authority_id != context.settings.authority:
        raise Refused("this server publishes for another health authority", "unknown_health_authority_id")
    invalid = "health_authority_verification_certificate_invalid"
    try:
        claims = certificates.read(
            context.settings, context.keys.certificate.accepted, request.verification_payload, now_s=now_s
        )
    except NotVerified as error:
        raise Refused(error.message, invalid) from None
    if not matches_tekmac(request.keys, request.hmac_key, claims.tekmac):
        raise Refused("the certificate was made for other keys: ask for one with the HMAC of these", invalid)
    return claims


def examined(context: Context, request: PublishRequest, claims: CertificateClaims, now_s: int) -> Examined:
    """Check what follows on the certificate.

    Raises:
        Refused: a revision token of another server.
    """
    ring = context.keys.revision
    token = RevisionToken.first(ring, claims.jti, claims.tekmac)
    if request.revision_token:
        token = RevisionToken.read(ring, request.revision_token)
    return Examined(request, claims, token, _judge(request, now_s))


def _judge(request: PublishRequest, now_s: int) -> tuple[Verdict, ...] | Refused:
    try:
        return tuple(validate(request, now_s))
    except Refused as refusal:
        return refusal
