import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for folder in ("protocol", "shell", "client", "server", "simulations", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def lint_imports(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own tool on our own tree
        [Path(sys.executable).with_name("lint-imports"), "--config", config, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_simulations_stand_on_client_and_server_and_these_on_shell_and_protocol() -> None:
    result = lint_imports(ROOT / "pyproject.toml")
    assert result.returncode == 0, result.stdout


def test_the_layer_contract_finds_a_broken_layer(tmp_path: Path) -> None:
    """Positive control: with the layers upside down, the same tool on the same tree fails."""
    config = tmp_path / "broken.toml"
    config.write_text(
        '[tool.importlinter]\nroot_packages = ["forewarn_protocol", "forewarn_shell"]\n'
        '[[tool.importlinter.contracts]]\nname = "upside down"\ntype = "layers"\n'
        'layers = ["forewarn_protocol", "forewarn_shell"]\n'
    )
    result = lint_imports(config)
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout


def test_no_module_outgrows_the_house() -> None:
    product = [path for path in SOURCES if "tests" not in path.parts and not path.name.endswith("_pb2.py")]
    assert product
    assert not [path for path in product if path.read_text().count("\n") > 400]


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [path for path in SOURCES if path.stem in {"utils", "helpers", "common", "manager", "misc"}]
