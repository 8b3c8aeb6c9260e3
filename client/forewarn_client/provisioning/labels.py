"""The sheet to print: for each badge a sticker with its number, and a slip with the link of its page for the wearer.

The number is on paper only. Who wears which badge is the site's own list, on paper as well.
"""

from collections.abc import Mapping
from html import escape
from typing import Final

from forewarn_client.provisioning.site import Site
from forewarn_client.translations import say
from forewarn_protocol.advice import Language

_STYLE: Final = """
@page { size: A4; margin: 10mm }
body { margin: 0; font: 10pt sans-serif; display: grid; grid-template-columns: 1fr 1fr; gap: 4mm; color: #000 }
section { display: flex; border: 0.3mm solid #000; break-inside: avoid; min-height: 38mm }
section > div { flex: 1; padding: 3mm }
section > div + div { border-left: 0.3mm dashed #000 }
h2 { margin: 0; font-size: 26pt }
p { margin: 1mm 0 0 }
svg { width: 30mm; height: 30mm; display: block }
"""


def label_sheet(site: Site, language: Language, links: Mapping[int, str | None]) -> str:
    """Return the sheet as HTML; `links` holds each badge's page by number, None where it has no page."""
    sections = "\n".join(_section(site, language, number, link) for number, link in sorted(links.items()))
    title = escape(f"{site.name}: {say(language, 'label.title')}")
    return (
        f'<!doctype html>\n<html lang="{language}">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n{sections}\n</html>\n"
    )


def _section(site: Site, language: Language, number: int, link: str | None) -> str:
    flashes = escape(say(language, "label.flashes", desk=site.desk))
    sticker = f"<div><h2>{number}</h2><p>{escape(site.name)}</p><p>{flashes}</p></div>"
    if link is None:
        return f"<section>{sticker}</section>"
    import segno  # noqa: PLC0415 - a daemon's process never needs it

    picture = segno.make(link, micro=False).svg_inline(border=2, omitsize=True)
    slip = f"<div>{picture}<p>{number}: {escape(say(language, 'label.page'))}</p></div>"
    return f"<section>{sticker}{slip}</section>"
