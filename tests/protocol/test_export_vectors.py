"""Export files of other implementations, read where they lie."""

import json
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from forewarn_protocol.errors import NotVerified
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_protocol.keys import DiagnosisKey
from tests.protocol.handmade_exports import private_key

pytestmark = pytest.mark.shared

# The public keys that the vectors' own README prints; all start like every key on P-256.
P_256 = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
EXAMPLE_SERVER = P_256 + "UczyMAkfSeoU77Nmcb1G7t7xyGCAhQqMOIVDFLFas3J+elP7CiotovigCLWj706F07j1EPL27ThRzZl7Ha9uOA=="
ANDROID_310 = P_256 + "49JY6kekDgxj3Crm4y6kEHdfoKQFSNDM4mV9cgDb+e5nOAw0GeRoRThCu9/wX5wDT2QloFoOjl2pGZHI0f3C3w=="
GERMANY_262 = P_256 + "3BYTxr2HuJYQG+d7Ezu6KS8GEbFkiEvyJFg0j+C839gTjT6j7Ho0EXXZ/a07ZfvKcC2cmc1SunsrqU9Jov1J5Q=="

GERMANY = "cwa-app-android_test_keys.zip"
INTERNALS = "google-internals_sample_diagnosis_key_file.zip"
V1ALPHA = "google-android_sample_diagnosis_key_file_v1alpha.zip"
SERVER = "google-server_testExport-2-records-1-of-1.zip"
BARE = "google-internals_app_export.bin"

COUNTS = {GERMANY: 24_131, INTERNALS: 140, V1ALPHA: 110, SERVER: 2, BARE: 110}
SIGNED = [GERMANY, INTERNALS, V1ALPHA, SERVER]


def keys_of(path: Path) -> list[DiagnosisKey]:
    with path.open("rb") as file:
        return list(ExportFile.open_zip(file).keys())


def right_key(vectors: Path, name: str) -> EllipticCurvePublicKey:
    if name == SERVER:
        pem = (vectors / "exports" / "google-server_examples_export_public.pem").read_bytes()
        key = load_pem_public_key(pem)
        assert isinstance(key, EllipticCurvePublicKey)
        return key
    return public_key_from_base64({GERMANY: GERMANY_262, INTERNALS: ANDROID_310, V1ALPHA: EXAMPLE_SERVER}[name])


@pytest.mark.parametrize("name", COUNTS)
def test_every_published_export_is_read_with_its_number_of_keys(vectors: Path, name: str) -> None:
    with (vectors / "exports" / name).open("rb") as file:
        export = ExportFile.open_bare(file) if name == BARE else ExportFile.open_zip(file)
        assert (export.key_count, export.revised_key_count) == (COUNTS[name], 0)
        assert len(list(export.keys())) == COUNTS[name]
        assert list(export.revised_keys()) == []


@pytest.mark.parametrize("name", SIGNED)
def test_every_signed_export_verifies_with_its_own_key_among_others(vectors: Path, name: str) -> None:
    with (vectors / "exports" / name).open("rb") as file:
        ExportFile.open_zip(file).verify([private_key(9).public_key(), right_key(vectors, name)])


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_export_is_refused_with_the_keys_of_the_others(vectors: Path, name: str) -> None:
    wrong = [right_key(vectors, other) for other in SIGNED if other != name]
    with (vectors / "exports" / name).open("rb") as file, pytest.raises(NotVerified):
        ExportFile.open_zip(file).verify(wrong)


def test_a_bare_export_is_read_and_never_verified(vectors: Path) -> None:
    with (vectors / "exports" / BARE).open("rb") as file:
        export = ExportFile.open_bare(file)
        assert export.key_count == 110
        with pytest.raises(NotVerified, match="no signature"):
            export.verify([public_key_from_base64(EXAMPLE_SERVER)])


def test_an_algorithm_written_as_text_does_not_hinder_verification(vectors: Path) -> None:
    with (vectors / "exports" / V1ALPHA).open("rb") as file:
        assert ExportFile.open_zip(file).verify([right_key(vectors, V1ALPHA)]).algorithm == "ECDSA p-256 SHA-256"


def test_starts_that_are_no_midnight_are_read_as_they_stand(vectors: Path) -> None:
    keys = keys_of(vectors / "exports" / GERMANY)
    assert [key for key in keys if key.tek.rolling_start % 144 and key.tek.rolling_period == 144]


def test_a_missing_report_type_and_onset_stay_missing(vectors: Path) -> None:
    for name in SIGNED:
        for key in keys_of(vectors / "exports" / name):
            assert (key.report_type, key.days_since_onset) == (None, None)


def test_an_absent_rolling_period_means_a_whole_day(vectors: Path) -> None:
    assert {key.tek.rolling_period for key in keys_of(vectors / "exports" / INTERNALS)} == {144}


def test_the_keys_of_a_published_export_are_those_its_maker_lists(vectors: Path) -> None:
    listed = json.loads((vectors / "exports" / "google-server_examples_export_keys.json").read_text())
    with (vectors / "exports" / SERVER).open("rb") as file:
        export = ExportFile.open_zip(file)
        keys = list(export.keys())
    assert [(k.tek.key, k.tek.rolling_start, k.tek.rolling_period, k.transmission_risk) for k in keys] == [
        (b64decode(k["key"]), k["rollingStartNumber"], k["rollingPeriod"], k["transmissionRisk"])
        for k in listed["temporaryExposureKeys"]
    ]
    assert export.header.region == "US"
    assert [(info.key_id, info.key_version) for info in export.header.signature_infos] == [("some_id", "1")]
