import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from forewarn_protocol.exports import export_pb2
from tests.protocol.handmade_exports import Handmade, key

ROOT = Path(__file__).parents[2]
SCHEMA = "protocol/forewarn_protocol/exports/export.proto"


def generated(folder: Path) -> dict[str, str]:
    subprocess.run(  # noqa: S603 - our own interpreter
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "--proto_path=protocol",
            f"--python_out={folder}",
            f"--pyi_out={folder}",
            SCHEMA,
        ],
        cwd=ROOT,
        check=True,
    )
    return {path.name: path.read_text() for path in sorted(folder.rglob("export_pb2.py*"))}


def test_the_generated_modules_are_what_protoc_makes_of_the_schema(tmp_path: Path) -> None:
    made = generated(tmp_path)
    assert list(made) == ["export_pb2.py", "export_pb2.pyi"]
    for name, text in made.items():
        committed = (ROOT / SCHEMA).with_name(name).read_text()
        assert text == committed, f"run protoc as export.proto says (grpcio-tools {version('grpcio-tools')})"


def test_the_schema_reads_what_the_format_lays_out() -> None:
    """The whole message, parsed at once: what our stream never does, and what other implementations do."""
    whole = Handmade(keys=[key(bytes(16), onset=-9)], revised=[key(bytes(range(16)), report_type=5)])
    message = export_pb2.TemporaryExposureKeyExport.FromString(whole.binary()[16:])
    assert (message.start_timestamp, message.end_timestamp, message.region) == (1_620_000_000, 1_620_003_600, "vn")
    assert message.keys[0].days_since_onset_of_symptoms == -9
    assert message.revised_keys[0].report_type == 5
    signatures = export_pb2.TEKSignatureList.FromString(whole.signatures()).signatures
    assert [signature.signature_info.verification_key_id for signature in signatures] == ["vn"]
