"""The command `provision`: folders for SD cards and their labels, or the settings of the machine that it runs on."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from forewarn_client.config import ClientSettings
from forewarn_client.doctor.examination import examine
from forewarn_client.installing.units import DATA
from forewarn_client.page.address import link
from forewarn_client.provisioning.badge import FIRST_BOOT_UNIT, first_boot_unit, write_badge, write_settings
from forewarn_client.provisioning.labels import label_sheet
from forewarn_client.provisioning.site import Site
from forewarn_client.translations import say
from forewarn_protocol.errors import BadInput, Missing
from forewarn_shell.clock import SystemClock
from forewarn_shell.files import write_durably

MOST_BADGES: Final = 9999
LABELS_FILE: Final = "labels.html"
IMAGE_FOLDER: Final = "image"
BADGE_USER: Final = "forewarn"

SitePath = Annotated[Path, typer.Option("--site", help="The site's file.", metavar="site.toml")]
Out = Annotated[Path | None, typer.Option("--out", help="Write folders for SD cards here.", metavar="DIR")]
Badge = Annotated[int | None, typer.Option("--badge", help="One badge, by its number.", min=1, max=MOST_BADGES)]
Count = Annotated[int | None, typer.Option("--count", help="Badges 1 to N.", min=1, max=MOST_BADGES, metavar="N")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def provision(
    context: typer.Context,
    site: SitePath,
    *,
    badge: Badge = None,
    count: Count = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Write badges' settings, secrets and labels with --out; without it, make this machine a badge of the site."""
    known = Site.read(site)
    if out is None:
        if badge is not None or count is not None:
            raise BadInput("--badge and --count are for folders of SD cards: give --out, or leave them out")
        _here(context, known, as_json=as_json)
        return
    if (badge is None) == (count is None):
        raise BadInput("give --badge N for one badge, or --count N for badges 1 to N")
    numbers = range(1, count + 1) if count is not None else [badge or 0]
    folders = write_folders(known, site, out, list(numbers))
    labels = out / LABELS_FILE
    if as_json:
        told = {"badges": {number: str(folder) for number, folder in folders.items()}, "labels": str(labels)}
        typer.echo(json.dumps(told))
        return
    typer.echo(say(known.settings_in(site).language, "provision.done", count=len(folders), out=out, labels=labels))


def write_folders(site: Site, path: Path, out: Path, numbers: list[int]) -> dict[int, Path]:
    """Write the badges' folders, the unit for the image and the sheet of labels; return the folders by number.

    Raises:
        BadInput: `out` is a file, or lies in a checkout of git.
        Missing: it can't be written.
    """
    settings, password = site.settings_in(path), site.wifi_password(path)
    _refuse_checkout(out)
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file: give a folder as --out")
    width = max(2, len(str(max(numbers))))
    folders = {number: out / f"badge-{number:0{width}}" for number in numbers}
    try:
        links = {
            number: _link(settings, write_badge(site, password, folder)) for number, folder in sorted(folders.items())
        }
        unit = first_boot_unit(BADGE_USER, DATA)
        write_durably(out / IMAGE_FOLDER / FIRST_BOOT_UNIT, unit.encode())
        write_durably(out / LABELS_FILE, label_sheet(site, settings.language, links).encode(), mode=0o600)
    except OSError as error:
        raise Missing(f"{out} cannot be written ({error.strerror}): give another --out") from error
    return folders


def _here(context: typer.Context, site: Site, *, as_json: bool) -> None:
    settings: ClientSettings = context.obj()
    try:
        write_settings(site, settings.data)
    except OSError as error:
        raise Missing(f"{settings.data} cannot be written ({error.strerror}): give another --data") from error
    settings = context.obj()  # with what was written
    found = examine(settings, SystemClock())
    typer.echo(json.dumps(found.as_json()) if as_json else found.as_text(settings.language))
    raise typer.Exit(found.exit_code)


def _link(settings: ClientSettings, boot: Path) -> str | None:
    return link(settings.model_copy(update={"data": boot}), settings.page_port) if settings.page_port else None


def _refuse_checkout(out: Path) -> None:
    for folder in (out.absolute(), *out.absolute().parents):
        if (folder / ".git").exists():
            raise BadInput(f"{out} lies in {folder}, a checkout of git, and would hold secrets: give another --out")
