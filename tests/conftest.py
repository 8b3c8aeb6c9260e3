"""What a machine may lack: a test skips with a sentence, or fails where FOREWARN_REQUIRE names the thing."""

import os
from pathlib import Path

import pytest

REQUIREMENTS = ("vectors", "proximity", "postgres", "chromium", "vm", "ray")


def lacking(thing: str, sentence: str) -> None:
    """Skip the running test because `thing` is missing, unless FOREWARN_REQUIRE forbids it."""
    required = os.environ.get("FOREWARN_REQUIRE", "").replace(",", " ").split()
    if unknown := set(required) - {*REQUIREMENTS, "all"}:
        pytest.fail(f"FOREWARN_REQUIRE names {', '.join(sorted(unknown))}: it knows {', '.join(REQUIREMENTS)} and all")
    if thing in required or "all" in required:
        pytest.fail(f"FOREWARN_REQUIRE demands {thing}, but {sentence}")
    pytest.skip(sentence)


def shared_folder(name: str) -> Path:
    folder = Path(os.environ.get("FOREWARN_SHARED", Path(__file__).parents[2] / "shared")) / name
    if not folder.is_dir():
        lacking(name, f"other projects' data is not here: set FOREWARN_SHARED to the folder that holds {name}/")
    return folder


@pytest.fixture(scope="session")
def vectors() -> Path:
    return shared_folder("vectors")


@pytest.fixture(scope="session")
def proximity_data() -> Path:
    return shared_folder("proximity")
