"""The targets by name, and where their corpora lie."""

import importlib
from pathlib import Path

from tests.fuzz.target import Target

PARSERS = ("advertisement", "export", "feed", "management", "message", "publish", "sighting")
PLANTED = "planted"
"""A parser with a fault, which is found or the fuzzer sees nothing."""
CORPUS = Path(__file__).parent / "corpus"
FOUND = "found-"
"""What a file is called that once was a finding; the others of a corpus are seeds."""


def load(name: str) -> Target:
    target: Target = importlib.import_module(f"tests.fuzz.{name}").TARGET
    return target
