import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import segno

from forewarn_client import cli
from forewarn_client.config import ClientSettings
from forewarn_client.page.keys import PageKeys
from forewarn_client.provisioning.labels import label_sheet
from forewarn_client.provisioning.site import Site
from forewarn_shell import command_line
from tests.client.provisioning.sites import BADGE, HEAD, NETWORK, PASSWORD, write_site

Captured = pytest.CaptureFixture[str]


def call(*arguments: object) -> int:
    return command_line.run(cli.app, "forewarn-client", [str(argument) for argument in arguments])


def test_forty_badges_are_one_command(tmp_path: Path, capsys: Captured) -> None:
    site, out = write_site(tmp_path, HEAD + NETWORK + BADGE), tmp_path / "out"
    assert call("provision", "--site", site, "--count", 40, "--out", out) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "40 badges" in said
    boots = sorted(out.glob("badge-*/forewarn"))
    assert [boot.parent.name for boot in boots] == [f"badge-{number:02}" for number in range(1, 41)]
    assert len({PageKeys.open(boot).token for boot in boots}) == 40
    assert {ClientSettings.load(data=boot).server for boot in boots} == {"http://192.168.50.1:8080"}
    assert (out / "image" / "forewarn-first-boot.service").is_file()
    assert (out / "labels.html").stat().st_mode & 0o777 == 0o600


def test_one_badge_more_is_one_command_and_changes_no_other(tmp_path: Path, capsys: Captured) -> None:
    site, out = write_site(tmp_path), tmp_path / "out"
    assert call("provision", "--site", site, "--count", 2, "--out", out) == 0
    before = {path: path.read_bytes() for path in out.glob("badge-*/forewarn/*")}
    capsys.readouterr()
    assert call("provision", "--site", site, "--badge", 41, "--out", out, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"badges": {"41": str(out / "badge-41")}, "labels": str(out / "labels.html")}
    assert {path: path.read_bytes() for path in before} == before


def test_a_badges_number_is_on_its_label_and_in_no_file_of_its_card(tmp_path: Path, capsys: Captured) -> None:
    site, out = write_site(tmp_path), tmp_path / "out"
    assert call("provision", "--site", site, "--badge", 7341, "--out", out) == 0
    capsys.readouterr()
    assert "<h2>7341</h2>" in (out / "labels.html").read_text()
    boot = out / "badge-7341" / "forewarn"
    assert [path for path in boot.iterdir() if b"7341" in path.read_bytes() and path.suffix == ".toml"] == []
    assert (boot / "page.key").stat().st_size == 32, "random bytes and nothing else"


def test_a_badge_with_a_page_on_its_usb_link_gets_a_slip_for_its_wearer(tmp_path: Path, capsys: Captured) -> None:
    page = 'page_host = "10.55.0.1"\npage_port = 80\n'
    site, out = write_site(tmp_path, HEAD + BADGE + page), tmp_path / "out"
    assert call("provision", "--site", site, "--count", 2, "--out", out) == 0
    capsys.readouterr()
    sheet = (out / "labels.html").read_text()
    for number in (1, 2):
        token = PageKeys.open(out / f"badge-{number:02}" / "forewarn").token
        assert segno.make(f"http://10.55.0.1:80/open/{token}", micro=False).svg_inline(border=2, omitsize=True) in sheet


def test_a_label_says_what_flashes_mean_and_only_a_slip_with_a_page_holds_a_picture(tmp_path: Path) -> None:
    site = Site.read(write_site(tmp_path))
    sheet = label_sheet(site, "en", {1: "http://10.55.0.1/open/abc", 2: None})
    assert "Nhà máy &lt;3&gt;" in sheet
    assert sheet.count("3 flashes, or dark: phòng y tế.") == 2
    assert sheet.count("<svg") == 1
    assert "http://10.55.0.1" not in sheet, "the link is in the picture alone"
    assert sheet.index("<h2>1</h2>") < sheet.index("<svg") < sheet.index("<h2>2</h2>")
    assert not re.search(r"(src|href)=", sheet), "nothing is loaded from anywhere"


def test_a_machine_makes_itself_a_badge_and_is_examined(tmp_path: Path, capsys: Captured) -> None:
    site, data = write_site(tmp_path, HEAD + BADGE.replace('"bluez"', '"loopback"')), tmp_path / "data"
    code = call("--data", data, "provision", "--site", site, "--json")
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert code in {1, 3}, "nobody answers at the box's address"
    assert {"radio", "server", "clock"} <= {check["name"] for check in checks}
    assert ClientSettings.load(data=data).server == "http://192.168.50.1:8080"
    assert (data / "page.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--out", "OUT"], 2, "give --badge N for one badge, or --count N"),
        (["--out", "OUT", "--badge", "1", "--count", "2"], 2, "give --badge N for one badge, or --count N"),
        (["--count", "2"], 2, "give --out, or leave them out"),
        (["--out", "OUT", "--count", "0"], 2, "--count"),
        (["--out", "OUT", "--badge", "10000"], 2, "--badge"),
        (["--out", "FILE", "--badge", "1"], 2, "is a file: give a folder"),
        (["--out", "CHECKOUT/out", "--badge", "1"], 2, "a checkout of git"),
        (["--out", "/proc/forewarn", "--badge", "1"], 3, "cannot be written"),
    ],
)
def test_a_slip_in_the_command_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: Captured, arguments: Sequence[str], code: int, says: str
) -> None:
    site = write_site(tmp_path)
    (tmp_path / "FILE").touch()
    (tmp_path / "CHECKOUT" / ".git").mkdir(parents=True)
    places = [str(tmp_path / word) if word.startswith(("OUT", "FILE", "CHECKOUT")) else word for word in arguments]
    assert call("provision", "--site", site, *places) == code
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("settings.toml"))


def test_a_wrong_site_is_exit_2_and_a_password_that_is_shown_nowhere(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    assert call("provision", "--site", tmp_path / "none.toml", "--count", 1, "--out", out) == 2
    site = write_site(tmp_path, HEAD + NETWORK + BADGE + "nonsense = 1\n")
    assert call("provision", "--site", site, "--count", 1, "--out", out) == 2
    told = capsys.readouterr()
    assert "nonsense is no setting" in told.err
    assert PASSWORD not in told.err + told.out
    assert not out.exists()
