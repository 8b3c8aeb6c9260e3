"""The command `forewarn-server`: init, run, migrate, and what the authority does at the server itself."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from forewarn_protocol.errors import BadInput, Refused
from forewarn_protocol.sealed_uploads import SEALED_BYTES, UploadAnswer
from forewarn_protocol.verification import IssueAnswer, IssueRequest, TestType
from forewarn_server import setting_up
from forewarn_server.accounts import api_keys
from forewarn_server.accounts.api_keys import Role
from forewarn_server.app import create_app
from forewarn_server.codes import issuing
from forewarn_server.config import ServerSettings
from forewarn_server.context import Context, in_context
from forewarn_server.exports.cli import export
from forewarn_server.exports.sealing import seal
from forewarn_server.keyrings.cli import keys
from forewarn_server.logs import logger, to_standard_error
from forewarn_server.retention.erasures import recorded
from forewarn_server.retention.forgetting import forget
from forewarn_server.serving import serve
from forewarn_server.store.schema import SCHEMAS
from forewarn_server.uploads.passing import pass_on
from forewarn_shell.clock import SystemClock
from forewarn_shell.files import read_bounded

app = typer.Typer(
    help="Forewarn's server: codes, publish, exports, feeds.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

api_key = typer.Typer(help="API keys of the health authority.")
code = typer.Typer(help="One-time codes.")
app.add_typer(api_key, name="api-key")
app.add_typer(code, name="code")
app.add_typer(export, name="export")
app.add_typer(keys, name="keys")

Data = Annotated[
    Path, typer.Option("--data", envvar="FOREWARN_SERVER_DATA", help="Folder with databases, keys and public files.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def init(
    data: Data,
    region: Annotated[str, typer.Option(help="Region whose keys this server publishes.")],
    health_authority_id: Annotated[str, typer.Option(help="Name in certificates (default: the region).")] = "",
    as_json: Json = False,
) -> None:
    """Create what is missing of a server (settings, keys, databases) and print its public keys."""
    made = setting_up.initialise(data, region, health_authority_id)
    if as_json:
        typer.echo(json.dumps(made.as_json()))
        return
    typer.echo(f"region      {made.region}")
    typer.echo(f"created     {', '.join(made.created) or 'nothing: all was there'}")
    typer.echo(f"feed key    {made.feed_key}")
    typer.echo(f"export key  {made.export_key}")


@app.command()
def run(
    data: Data,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (default 8080; 0: any free one).")] = None,
    role: Annotated[str, typer.Option(help="What this process does; only 'all' so far.")] = "all",
) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    if role != "all":
        raise BadInput("only --role all is offered so far: one process does everything")
    settings = ServerSettings.load(data, host=host, port=port)
    to_standard_error(settings.log_level)
    if not settings.answer_grid_ms:
        logger().warning("answers leave at once", reason="answer_grid_ms is 0: their delay tells reports from chaff")
    clock = SystemClock()
    asyncio.run(serve(create_app(settings, clock), settings, say=typer.echo))


@api_key.command("add")
def add_api_key(
    data: Data,
    role: Annotated[Role, typer.Option(help="What the key is for.")],
    name: Annotated[str, typer.Option(help="Whose it is, for the audit.")] = "",
    as_json: Json = False,
) -> None:
    """Make an API key for the health authority; it is shown this once."""

    async def make(context: Context) -> tuple[int, str]:
        return await api_keys.add(context, name, role)

    key_id, key = in_context(data, make)
    if as_json:
        typer.echo(json.dumps({"id": key_id, "role": role.value, "name": name, "api_key": key}))
    else:
        typer.echo(f"api key {key_id} ({role.value}), shown this once: {key}")


@code.command("issue")
def issue_code(
    data: Data,
    test_type: Annotated[TestType, typer.Option(help="What the authority found.")] = TestType.CONFIRMED,
    symptom_date: Annotated[str, typer.Option(help="First day of symptoms, like 2021-05-31.")] = "",
    test_date: Annotated[str, typer.Option(help="Day of the test, like 2021-05-31.")] = "",
    as_json: Json = False,
) -> None:
    """Issue a one-time code, to be told to the person."""
    body = {"testType": test_type.value, "symptomDate": symptom_date, "testDate": test_date}
    request = IssueRequest.parse(json.dumps(body).encode())

    async def make(context: Context) -> IssueAnswer:
        return await issuing.issue(context, api_keys.COMMAND_LINE, request)

    answer = in_context(data, make)
    if as_json:
        typer.echo(answer.model_dump_json(by_alias=True, exclude={"padding"}))
    else:
        typer.echo(f"code       {answer.code}  until {answer.expires_at}")
        typer.echo(f"long code  {answer.long_code}  until {answer.long_expires_at}")
        typer.echo(f"uuid       {answer.uuid}")


@app.command()
def upload(
    data: Data,
    file: Annotated[Path, typer.Argument(help="A file of `forewarn-client keys export`.", metavar="FILE")],
    as_json: Json = False,
) -> None:
    """Pass on an F0's sealed keys; the file is neither shown nor changed."""
    sealed = read_bounded(file, SEALED_BYTES)

    async def act(context: Context) -> UploadAnswer:
        return await pass_on(context, api_keys.COMMAND_LINE, sealed)

    answer = in_context(data, act)
    if as_json:
        typer.echo(answer.model_dump_json(by_alias=True, exclude={"padding"}))
    else:
        typer.echo("already published, nothing was added" if answer.already_published else "published")


@app.command("seal-now")
def seal_now(data: Data, as_json: Json = False) -> None:
    """Close the batch now: the same embargo, mix and longest wait as at the full hour."""
    sealed = in_context(data, seal)
    if as_json:
        typer.echo(json.dumps({"files": sealed.files, "keys": sealed.keys}))
    elif sealed.files:
        typer.echo(f"sealed {sealed.files} files with {sealed.keys} keys, padding included")
    else:
        typer.echo("nothing to seal: no keys wait, or they wait for their embargo or for more reports")


@app.command("forget-now")
def forget_now(data: Data, as_json: Json = False) -> None:
    """Forget now what is due: exit 1 while a reader keeps deleted rows on disk."""
    forgotten = in_context(data, partial(forget, is_confirmed=True))
    if as_json:
        told = {"rows": forgotten.rows, "files": forgotten.files, "overwritten": forgotten.overwritten}
        typer.echo(json.dumps(told))
    else:
        rows = ", ".join(f"{count} {table}" for table, count in forgotten.rows.items() if count)
        typer.echo(f"forgotten: {rows or 'no rows'}, {forgotten.files} files")
    if not forgotten.overwritten:
        raise Refused("a long read keeps deleted rows on disk: run forget-now again", "forgetting_overdue")


@app.command()
def erasures(data: Data, as_json: Json = False) -> None:
    """Print the record of forgetting: per UTC day how much was deleted, and when it was overwritten."""
    record = in_context(data, recorded)
    if as_json:
        typer.echo(json.dumps([erasure.as_json() for erasure in record]))
        return
    for told in (erasure.as_json() for erasure in record):
        deleted = ", ".join(f"{count} {name}" for name, count in told["deleted"].items())
        gone = f"overwritten {told['overwritten']}" if told["overwritten"] else "not overwritten yet: run forget-now"
        typer.echo(f"{told['day']}  {gone}  {deleted or 'nothing was due'}")


@app.command()
def migrate(data: Data) -> None:
    """Bring the databases to this version's schema."""
    ServerSettings.load(data)
    for schema in SCHEMAS:
        changed = schema.migrate(data)
        typer.echo(f"{schema.name}: {'migrated' if changed else 'is up to date'}")
