import json
import subprocess
import sys
from pathlib import Path

import pytest

KEYS = 500_000
_SCRIPT = """
import asyncio, json, secrets, sys
from pathlib import Path
from sqlalchemy import insert
from forewarn_server.config import ServerSettings
from forewarn_server.context import open_context
from forewarn_server.exports import batches
from forewarn_server.exports.sealing import seal
from forewarn_server.setting_up import initialise
from forewarn_server.store.exposure_tables import keys
from forewarn_shell.clock import SystemClock

def peak_mb():
    # Not getrusage: its maximum begins with what the process that started this one had.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

async def main(data, count):
    initialise(data, "vn")
    async with open_context(ServerSettings.load(data), SystemClock()) as context:
        start = context.now_s() // 600 - 200
        for _ in range(count // 10_000):
            rows = [
                {"key": secrets.token_bytes(16), "rolling_start": start, "rolling_period": 144, "report_type": 1,
                 "transmission_risk": 0, "onset_days": 0, "revision_tag": bytes(32),
                 "report_group": secrets.token_bytes(16), "releasable_s": 0}
                for _ in range(10_000)
            ]
            async with context.exposure.writing() as connection:
                await connection.execute(insert(keys), rows)
        before = peak_mb()
        sealed = await seal(context)
        after = peak_mb()
        (batch,) = await batches.finished(context.exposure)
        everything = list(await batches.keys_of(context.exposure, batch))
        print(json.dumps({"keys": sealed.keys, "seal_mb": after - before, "list_mb": peak_mb() - after}))

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_half_a_million_keys_are_sealed_in_a_stream(tmp_path: Path) -> None:
    result = subprocess.run(  # noqa: S603 - our own code, in a process whose memory is its own
        [sys.executable, "-c", _SCRIPT, tmp_path / "data", str(KEYS)], capture_output=True, text=True, check=True
    )
    told = json.loads(result.stdout)
    assert told["keys"] == KEYS
    assert told["seal_mb"] < 60
    # Positive control: the same keys as a list would have been seen.
    assert told["list_mb"] > 60
