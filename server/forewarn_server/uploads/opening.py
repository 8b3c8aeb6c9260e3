"""The anonymous zone's side: opens a sealed upload, makes its certificate, publishes it as if a phone had sent it.

Whoever passed it on learns that it was published or that it was not, and nothing of what was in it.
"""

from forewarn_protocol.errors import BadInput, Refused
from forewarn_protocol.publishing import ALREADY_PUBLISHED
from forewarn_protocol.sealed_uploads import MAX_AHEAD_S, UPLOAD_S, SealedUpload
from forewarn_protocol.verification import CertificateRequest, refuse, tekmac
from forewarn_server.codes.claiming import certify
from forewarn_server.context import Context
from forewarn_server.publish.examining import examine
from forewarn_server.publish.service import publish


async def publish_sealed(context: Context, sealed: bytes) -> bool:
    """Publish what is sealed; return whether it was new, which a file that came before is not.

    Raises:
        Refused: upload_invalid, upload_expired, token_invalid, token_expired, upload_refused; nothing is published.
    """
    now_s = context.now_s()
    try:
        upload = SealedUpload.open(
            sealed, (key.private for key in context.keys.upload.accepted), context.settings.region
        )
        request = upload.request("none yet")
    except BadInput:
        raise refuse("upload_invalid") from None
    if not -MAX_AHEAD_S <= now_s - upload.made < UPLOAD_S:
        raise refuse("upload_expired")
    # The same binding as a phone's own: the token vouches for these keys from now on and for no others.
    bound = CertificateRequest(token=upload.token, ekeyhmac=tekmac(request.keys, request.hmac_key))
    certificate = (await certify(context, bound)).certificate
    try:
        answer = await publish(context, examine(context, upload.request(certificate).encode()))
    except (BadInput, Refused):
        # Its own reason would speak of the keys.
        raise refuse("upload_refused") from None
    return not answer.warnings or ALREADY_PUBLISHED not in answer.warnings
