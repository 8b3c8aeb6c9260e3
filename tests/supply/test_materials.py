"""A bill of materials that is incomplete or differs from the pins is not let pass."""

from typing import Any

from tests.supply.materials import EXTRAS, faults
from tests.supply.pins import CONSTRAINTS, PROJECT, installed_for, pinned

PINS = pinned(CONSTRAINTS.read_text())


def bill(**versions: str) -> dict[str, Any]:
    installed = {**installed_for(PROJECT, EXTRAS), **versions}
    parts = [
        {"name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"} for name, version in installed.items()
    ]
    return {"metadata": {"component": {"name": PROJECT}}, "components": parts}


def test_a_bill_of_all_that_a_deployment_needs_in_its_pinned_version_is_good() -> None:
    assert faults(bill(), PINS) == []


def test_whatever_is_wrong_with_a_bill_is_said() -> None:
    """Positive control for the check above."""
    assert faults(bill(aiohttp="1.0"), PINS) == [f"aiohttp 1.0 is installed, {PINS['aiohttp']} is pinned"]
    assert faults(bill(strange="1.0"), PINS) == ["strange 1.0 is installed, nothing is pinned"]
    less = bill()
    less["components"] = [part for part in less["components"] if part["name"] != "cryptography"]
    assert faults(less, PINS) == ["cryptography is missing"]
    bare = bill()
    del bare["components"][0]["purl"]
    assert faults(bare, PINS) == [f"{bare['components'][0]['name']} has no package URL"]
    assert faults({**bill(), "metadata": {"component": {"name": "other"}}}, PINS) == [
        "it is the bill of something else"
    ]
