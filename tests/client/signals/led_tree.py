"""A folder that answers as the kernel's LED class does, for as long as a test lets it look."""

from pathlib import Path

OFFERED = "none mmc0 timer pattern default-on"


def make_led(folder: Path, *, offered: str = OFFERED, max_brightness: int = 1) -> Path:
    """Make a light that is off, its trigger `none` chosen."""
    folder.mkdir(parents=True)
    (folder / "trigger").write_text(offered.replace("none", "[none]") + "\n")
    (folder / "brightness").write_text("0\n")
    (folder / "max_brightness").write_text(f"{max_brightness}\n")
    return folder


def written(led: Path, name: str) -> str | None:
    """Return what a file of the light holds; None where nobody wrote it."""
    path = led / name
    return path.read_text().strip() if path.exists() else None


def choose(led: Path, trigger: str) -> None:
    """Do what the kernel does when a trigger was written: mark it among those it offers."""
    (led / "trigger").write_text(OFFERED.replace(trigger, f"[{trigger}]") + "\n")
