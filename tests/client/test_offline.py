"""`match`, `derive` and `risk` as a person or a program runs them: files in, JSON or words out, an exit code."""

import json
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from forewarn_client.cli import app
from forewarn_client.match_report import read_rules, read_sightings
from forewarn_client.risk_cases import run_cases
from forewarn_protocol.configuration import DeviceConfiguration, ExportKey
from forewarn_protocol.errors import BadFeed, BadInput, BadSighting
from forewarn_protocol.keys import TemporaryExposureKey
from forewarn_protocol.risk import RiskConfiguration
from forewarn_protocol.risk.gaen import GaenConfiguration
from forewarn_protocol.sightings import Sighting
from forewarn_shell.command_line import run
from tests.protocol.handmade_exports import Handmade, key, private_key, zipped
from tests.protocol.hearings import MIDNIGHT, MIDNIGHT_S, TEK, hearing
from tests.protocol.test_risk_cwa import FORM

NOON_S = MIDNIGHT_S + 12 * 3600
DAY = "2020-05-18"
EXPORT = Handmade(keys=[key(TEK.key, MIDNIGHT, report_type=None, onset=None), key(b"\x55" * 16, MIDNIGHT)])


def public_key(number: int) -> str:
    encoded = private_key(number).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(encoded).decode()


def lines(sightings: Iterable[Sighting]) -> str:
    return "".join(
        json.dumps(
            {
                "rpi": each.payload.rpi.hex(),
                "aem": each.payload.aem.hex(),
                "rssi": each.rssi_dbm,
                "time": each.time_s,
                "since_last_scan": each.since_last_scan_s,
            }
        )
        + "\n"
        for each in sightings
    )


@dataclass
class Shell:
    """Runs a command line in a folder with sightings.jsonl and export.zip, and keeps what it said."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""
    error: str = ""

    def run(self, *arguments: str | Path) -> int:
        code = run(app, "forewarn-client", [str(argument) for argument in arguments])
        self.out, self.error = self.capture.readouterr()
        return code

    def match(self, *arguments: str | Path) -> int:
        return self.run("match", "--sightings", self.sightings, "--export", self.export, *arguments)

    def matched(self, *arguments: str | Path) -> dict[str, Any]:
        assert self.match("--public-key", public_key(1), "--json", *arguments) == 0, self.error
        answer: dict[str, Any] = json.loads(self.out)
        return answer

    @property
    def sightings(self) -> Path:
        return self.folder / "sightings.jsonl"

    @property
    def export(self) -> Path:
        return self.folder / "export.zip"

    def says_in_one_line(self, *words: str) -> bool:
        return not self.out and self.error.count("\n") == 1 and all(word in self.error for word in words)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    made = Shell(tmp_path, capsys)
    made.sightings.write_text(lines([hearing(NOON_S, -70), hearing(NOON_S + 300, -60, since_s=300)]))
    made.export.write_bytes(EXPORT.zip().getvalue())
    return made


def test_match_answers_in_the_words_of_its_contract(shell: Shell) -> None:
    assert shell.matched() == {
        "keys_checked": 2,
        "matched_keys": [TEK.key.hex()],
        "matched_sightings": 2,
        "windows": [
            {
                "day": DAY,
                "seconds": 480,
                "typical_db": (50 * 180 + 40 * 300) / 480,
                "minimum_db": 40,
                "report_type": 1,
                "infectiousness": 1,
            }
        ],
        "daily_summaries": [{"day": DAY, "sum": 720.0, "maximum": 720.0}],
    }


def test_without_json_match_speaks_to_a_person(shell: Shell) -> None:
    assert shell.match("--public-key", public_key(1)) == 0
    assert "2 published keys checked: 1 matched, with 2 sightings." in shell.out
    assert TEK.key.hex() not in shell.out
    assert "confirmed test" in shell.out
    assert not shell.error, "no progress bar where nobody looks"


def test_no_match_is_an_answer_unless_one_is_required(shell: Shell) -> None:
    shell.sightings.write_text(lines([hearing(NOON_S, interval=MIDNIGHT)]))
    assert shell.matched()["matched_keys"] == []
    assert shell.match("--public-key", public_key(1)) == 0
    assert "none matched" in shell.out
    assert shell.match("--public-key", public_key(1), "--require-match", "--json") == 1
    assert json.loads(shell.out)["matched_sightings"] == 0
    assert not shell.error


def test_a_required_match_that_is_there_is_exit_0(shell: Shell) -> None:
    assert shell.matched("--require-match")["matched_sightings"] == 2


def test_a_wrong_public_key_is_exit_1_and_nothing_is_matched(shell: Shell) -> None:
    assert shell.match("--public-key", public_key(2), "--json") == 1
    assert shell.says_in_one_line("export.zip", "not signed by a trusted key")


def test_one_of_several_public_keys_is_enough(shell: Shell) -> None:
    assert shell.matched("--public-key", public_key(2))["matched_keys"]


def test_a_signature_that_was_broken_is_exit_1(shell: Shell) -> None:
    shell.export.write_bytes(zipped({"export.bin": EXPORT.binary(), "export.sig": b""}).getvalue())
    assert shell.match("--public-key", public_key(1)) == 1
    assert shell.says_in_one_line("not signed")


def test_one_export_that_does_not_verify_stops_all(shell: Shell) -> None:
    other = shell.folder / "other.zip"
    other.write_bytes(Handmade(signers=[private_key(9)]).zip().getvalue())
    assert shell.match("--export", other, "--public-key", public_key(1), "--json") == 1
    assert shell.says_in_one_line("other.zip")
    assert shell.match("--export", other, "--public-key", public_key(1), "--public-key", public_key(9)) == 0


def test_several_exports_may_follow_one_option(shell: Shell) -> None:
    other = shell.folder / "other.zip"
    other.write_bytes(Handmade().zip().getvalue())
    assert shell.match(other, "--public-key", public_key(1), "--json") == 0
    assert json.loads(shell.out)["keys_checked"] == 4


def test_a_bare_export_needs_allow_unsigned(shell: Shell) -> None:
    shell.export.write_bytes(EXPORT.binary())
    assert shell.match("--allow-unsigned", "--json") == 0
    assert json.loads(shell.out)["matched_sightings"] == 2
    assert shell.match("--public-key", public_key(1)) == 1
    assert shell.says_in_one_line("no signature")


@pytest.mark.parametrize("options", [[], ["--public-key", public_key(1), "--allow-unsigned"]])
def test_one_of_public_key_and_allow_unsigned_must_be_given(shell: Shell, options: list[str]) -> None:
    assert shell.match(*options) == 2
    assert shell.says_in_one_line("--public-key", "--allow-unsigned")


def test_keys_of_every_report_type_are_listed_and_only_some_are_summed(shell: Shell) -> None:
    teks = [bytes([number]) * 16 for number in range(6)]
    shell.export.write_bytes(
        Handmade(keys=[key(tek, MIDNIGHT, report_type=number) for number, tek in enumerate(teks)]).zip().getvalue()
    )
    heard = [hearing(NOON_S, -60, since_s=300, tek=TemporaryExposureKey(tek, MIDNIGHT)) for tek in teks]
    shell.sightings.write_text(lines(heard))
    answer = shell.matched()
    assert answer["matched_keys"] == [tek.hex() for tek in teks]
    assert [window["report_type"] for window in answer["windows"]] == [0, 1, 2, 3, 4, 5]
    # Immediate: 300 s x 1.5, for a test, a diagnosis, and half of it for a self report.
    assert answer["daily_summaries"] == [{"day": DAY, "sum": 1125.0, "maximum": 450.0}]


def test_revised_keys_are_matched_and_their_report_counts(shell: Shell) -> None:
    revoked = key(TEK.key, MIDNIGHT, report_type=5)
    shell.export.write_bytes(Handmade(keys=EXPORT.keys, revised=[revoked]).zip().getvalue())
    answer = shell.matched()
    assert (answer["keys_checked"], answer["matched_keys"]) == (3, [TEK.key.hex()])
    assert [window["report_type"] for window in answer["windows"]] == [5]
    assert answer["daily_summaries"] == []


def test_a_revision_counts_in_whatever_order_the_files_are_given(shell: Shell) -> None:
    revision = shell.folder / "revision.zip"
    revision.write_bytes(Handmade(keys=[], revised=[key(TEK.key, MIDNIGHT, report_type=5)]).zip().getvalue())
    for first, second in ((shell.export, revision), (revision, shell.export)):
        arguments = ("--sightings", shell.sightings, "--export", first, "--export", second)
        assert shell.run("match", *arguments, "--public-key", public_key(1), "--json") == 0, shell.error
        answer = json.loads(shell.out)
        assert [window["report_type"] for window in answer["windows"]] == [5]
        assert answer["keys_checked"] == 3


def test_a_configuration_changes_thresholds_and_what_missing_means(shell: Shell) -> None:
    configuration = shell.folder / "risk.json"
    risk = {"gaen": {"immediate_db": 30, "near_db": 35}, "mapping": {"report_type_when_missing": 3}}
    configuration.write_text(json.dumps(risk))
    answer = shell.matched("--configuration", configuration)
    assert answer["windows"][0]["report_type"] == 3
    assert answer["daily_summaries"] == [{"day": DAY, "sum": 120.0, "maximum": 120.0}]


def test_a_regions_whole_configuration_is_read_too(shell: Shell) -> None:
    feed = DeviceConfiguration(
        sequence=1,
        issued=1_600_000_000,
        expires=1_600_086_400,
        region="vn",
        health_authority_id="vn",
        export_keys=(ExportKey(key_id="vn", key_version="v1", public_key=public_key(1)),),
        tolerance_intervals=1,
        risk=RiskConfiguration(gaen=GaenConfiguration(minimum_window_score=400)),
    )
    configuration = shell.folder / "vn.json"
    configuration.write_bytes(feed.encode())
    shell.sightings.write_text(lines([hearing(NOON_S), hearing(NOON_S + 1200, interval=NOON_S // 600)]))
    answer = shell.matched("--configuration", configuration)
    assert answer["matched_sightings"] == 1, "the tolerance is the configuration's"
    assert answer["daily_summaries"] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no JSON", ["JSON"]),
        ("[]", ["JSON object"]),
        ("{}", ["risk"]),
        ('{"gaen": {"near_db": NaN}}', ["gaen"]),
        ('{"gaen": {"near_db": 300}}', ["near_db"]),
        ('{"risk": {"rule": "none"}}', ["rule"]),
        ("[" * 100_000, ["JSON"]),
    ],
)
def test_a_bad_configuration_is_one_line(shell: Shell, text: str, words: list[str]) -> None:
    configuration = shell.folder / "configuration.json"
    configuration.write_text(text)
    assert shell.match("--allow-unsigned", "--configuration", configuration) == 2
    assert shell.says_in_one_line(*words)


def test_a_bad_line_is_named_by_its_number(shell: Shell) -> None:
    good = lines([hearing(NOON_S)])
    shell.sightings.write_text(good + "\n" + good + '{"rpi": 7}\n')
    assert shell.match("--allow-unsigned", "--json") == 2
    assert shell.says_in_one_line("line 4", "rpi")


@pytest.mark.parametrize("data", [b"\xff\xfe\n", b"x" * 10**6, b"[]", b'{"rpi": "00"}', b"\x00" * 5000])
def test_a_file_that_holds_no_sightings_is_one_line(shell: Shell, data: bytes) -> None:
    shell.sightings.write_bytes(data)
    assert shell.match("--allow-unsigned") == 2
    assert shell.says_in_one_line("line 1")
    assert len(shell.error) < 300


def test_an_empty_sightings_file_matches_nothing(shell: Shell) -> None:
    shell.sightings.write_text("")
    assert shell.matched()["windows"] == []


@pytest.mark.parametrize(
    "data", [b"", b"random bytes" * 100, b"PK\x05\x06" + bytes(18), b"EK Export v1    \xff\xff\xff"]
)
def test_random_bytes_are_no_export(shell: Shell, data: bytes) -> None:
    shell.export.write_bytes(data)
    assert shell.match("--allow-unsigned") == 2
    assert shell.says_in_one_line("export.zip")


def test_a_damaged_key_stops_the_match_before_anything_is_said(shell: Shell) -> None:
    shell.export.write_bytes(Handmade(keys=[*EXPORT.keys, key(b"short")]).zip().getvalue())
    assert shell.match("--public-key", public_key(1), "--json") == 2
    assert shell.says_in_one_line("export.zip", "5 bytes")


def test_what_an_operator_set_of_a_configuration_is_enough(shell: Shell) -> None:
    configuration = shell.folder / "configuration.json"
    configuration.write_text(json.dumps({"tolerance_intervals": 0, "risk": {"gaen": {"immediate_weight": 2.5}}}))
    rules = read_rules(configuration)
    assert (rules.tolerance_intervals, rules.risk.gaen.immediate_weight) == (0, 2.5)
    assert shell.match("--allow-unsigned", "--configuration", configuration) == 0


@pytest.mark.parametrize("option", ["--sightings", "--export", "--configuration"])
def test_a_missing_file_is_one_line(shell: Shell, option: str) -> None:
    assert shell.match("--allow-unsigned", option, shell.folder / "nowhere") == 2
    assert shell.says_in_one_line(option, "does not exist")
    assert shell.match("--allow-unsigned", option, shell.folder) == 2
    assert shell.says_in_one_line(option, "directory")


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", "A" * 5000])
def test_a_public_key_that_is_none_is_one_line(shell: Shell, text: str) -> None:
    assert shell.match("--public-key", text) == 2
    assert shell.error.count("\n") == 1


TEK_HEX = "00112233445566778899aabbccddeeff"


def test_derive_answers_in_the_words_of_its_contract(shell: Shell) -> None:
    assert (
        shell.run("derive", "--tek", TEK_HEX, "--start", "100", "--period", "3", "--metadata", "40080000", "--json")
        == 0
    )
    answer = json.loads(shell.out)
    assert set(answer) == {"rpik", "aemk", "identifiers"}
    assert [row["interval"] for row in answer["identifiers"]] == [100, 101, 102]
    assert {(len(row["rpi"]), len(row["aem"])) for row in answer["identifiers"]} == {(32, 8)}


def test_derive_without_metadata_encrypts_none(shell: Shell) -> None:
    assert shell.run("derive", "--tek", TEK_HEX, "--start", "0", "--json") == 0
    identifiers = json.loads(shell.out)["identifiers"]
    assert len(identifiers) == 144
    assert all(row["aem"] is None for row in identifiers)


def test_derive_without_json_is_a_table(shell: Shell) -> None:
    assert shell.run("derive", "--tek", TEK_HEX, "--start", "100", "--period", "2", "--metadata", "40080000") == 0
    assert [len(line.split()) for line in shell.out.splitlines()] == [2, 2, 0, 3, 3, 3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tek", "00"], ["--tek", "32 hexadecimal digits"]),
        (["--tek", TEK_HEX + "00"], ["--tek"]),
        (["--tek", TEK_HEX[:-1] + "g"], ["--tek"]),
        (["--tek", TEK_HEX, "--start", "-1"], ["rolling start"]),
        (["--tek", TEK_HEX, "--start", "4294967295"], ["rolling start"]),
        (["--tek", TEK_HEX, "--start", "noon"], ["--start"]),
        (["--tek", TEK_HEX, "--period", "0"], ["1..144"]),
        (["--tek", TEK_HEX, "--period", "145"], ["1..144"]),
        (["--tek", TEK_HEX, "--metadata", "4008"], ["--metadata", "8 hexadecimal digits"]),
    ],
)
def test_derive_refuses_in_one_line(shell: Shell, options: list[str], words: list[str]) -> None:
    assert shell.run("derive", "--start", "100", *options, "--json") == 2
    assert shell.says_in_one_line(*words)
    assert TEK_HEX[:-1] not in shell.error, "a message must not repeat a secret"


CASES: dict[str, Any] = {
    "defaultRiskCalculationConfiguration": FORM,
    "testCases": [
        {
            "description": "ten minutes",
            "exposureWindows": [
                {
                    "ageInDays": 3,
                    "reportType": 1,
                    "infectiousness": 1,
                    "calibrationConfidence": 0,
                    "scanInstances": [{"minAttenuation": 40, "typicalAttenuation": 45, "secondsSinceLastScan": 600}],
                }
            ],
            "expTotalRiskLevel": 2,
            "expAgeOfMostRecentDateWithHighRisk": 3,
            "expNumberOfDaysWithLowRisk": 0,
        }
    ],
}


def risk(shell: Shell, cases: dict[str, Any], *options: str) -> int:
    file = shell.folder / "cases.json"
    file.write_text(json.dumps(cases))
    return shell.run("risk", "--profile", "cwa", "--windows", file, *options)


def test_risk_answers_under_the_names_of_the_german_file(shell: Shell) -> None:
    assert risk(shell, CASES, "--json") == 0
    assert json.loads(shell.out) == [
        {
            "description": "ten minutes",
            "expTotalRiskLevel": 2,
            "expAgeOfMostRecentDateWithLowRisk": None,
            "expAgeOfMostRecentDateWithHighRisk": 3,
            "expNumberOfDaysWithLowRisk": 0,
            "expNumberOfDaysWithHighRisk": 1,
            "expTotalMinimumDistinctEncountersWithLowRisk": 0,
            "expTotalMinimumDistinctEncountersWithHighRisk": 1,
            "ok": True,
        }
    ]


def test_a_case_that_comes_out_otherwise_is_not_ok(shell: Shell) -> None:
    (case,) = CASES["testCases"]
    wrong = {**CASES, "testCases": [{**case, "expAgeOfMostRecentDateWithHighRisk": None}]}
    assert risk(shell, wrong, "--json") == 0
    assert json.loads(shell.out)[0]["ok"] is False
    assert risk(shell, wrong) == 0
    assert "0 of 1 cases" in shell.out
    assert "differs" in shell.out


@pytest.mark.parametrize(
    "wrong",
    [{}, {"testCases": 7}, {"defaultRiskCalculationConfiguration": {}}, {"testCases": [{"exposureWindows": [{}]}]}],
)
def test_a_file_of_another_form_is_one_line(shell: Shell, wrong: dict[str, Any]) -> None:
    assert risk(shell, {**CASES, **wrong} if wrong else {}) == 2
    assert shell.says_in_one_line()


def test_a_description_moves_no_terminals_cursor(shell: Shell) -> None:
    (case,) = CASES["testCases"]
    assert risk(shell, {**CASES, "testCases": [{**case, "description": "\x1b[2Jnothing\nok"}]}) == 0
    assert "?[2Jnothing?ok" in shell.out


def test_an_unknown_profile_is_one_line(shell: Shell) -> None:
    assert shell.run("risk", "--profile", "fr", "--windows", shell.sightings) == 2
    assert shell.says_in_one_line("--profile")


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_random_bytes_give_only_errors_of_the_family(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random-bytes"
    path.write_bytes(data)
    with suppress(BadSighting):
        list(read_sightings(path))
    with suppress(BadFeed):
        read_rules(path)
    with suppress(BadInput):
        run_cases(data)
