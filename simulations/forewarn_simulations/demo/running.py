"""The command `demo`: run the story, write the report, tell the end."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from forewarn_protocol.errors import BadInput
from forewarn_server.logs import silence_libraries
from forewarn_simulations.demo.layout import roles
from forewarn_simulations.demo.report import write_report
from forewarn_simulations.demo.story import run_story
from forewarn_simulations.demo.telling import Teller, tell_end


def run_demo(phones: int, seed: int, out: Path, *, as_json: bool) -> bool:
    """Run the demo and return whether nobody among the counted was missed or wrongly warned.

    Raises:
        BadInput: too few or too many phones, or `out` is no folder.
        Missing: the loop did not close: server or phones could not do their part.
    """
    roles(phones)  # refuses before anything is made
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file: give --out a folder")
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with _log_into(out / "demo.log"), Teller.on(Console(stderr=True)) as teller:
        outcome = asyncio.run(run_story(seed, phones, teller))
    report = write_report(outcome, out)
    outcome = replace(outcome, seconds=time.perf_counter() - began)
    if as_json:
        print(json.dumps({**outcome.as_json(), "report": str(report)}))  # noqa: T201 - the command's output
    else:
        tell_end(Console(), outcome, report)
    return outcome.exact


@contextmanager
def _log_into(path: Path) -> Iterator[None]:
    """Send what client and server log to a file: phones that try again are no news in a terminal."""
    silence_libraries()
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
