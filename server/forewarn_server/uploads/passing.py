"""The registry's side: the audit says who of the staff passed on a sealed upload, and nothing of what was in it."""

from forewarn_protocol.sealed_uploads import SEALED_BYTES, UploadAnswer
from forewarn_protocol.verification import refuse
from forewarn_server.accounts.api_keys import Staff
from forewarn_server.audit import record
from forewarn_server.context import Context
from forewarn_server.uploads.opening import publish_sealed


async def pass_on(context: Context, staff: Staff, sealed: bytes) -> UploadAnswer:
    """Hand a sealed upload to the anonymous zone.

    Raises:
        Refused: with a code of PROTOCOL's table that says nothing about the keys.
    """
    if len(sealed) != SEALED_BYTES:
        raise refuse("upload_invalid")
    # The act is the passing on: its line is durable before anything of it happens.
    async with context.registry.writing() as connection:
        await record(connection, context.now_s(), staff.name, "upload", "1 sealed upload")
    return UploadAnswer(already_published=not await publish_sealed(context, sealed))
