"""The positive control: advertisements read by a decoder with one check left out, which the fuzzer must notice."""

from forewarn_protocol.advertisement import SERVICE_DATA_BYTES
from tests.fuzz import advertisement
from tests.fuzz.target import Target


def check(data: bytes) -> None:
    at = 0
    while at < len(data) and data[at] != 0:
        end = at + 1 + data[at]
        if end > len(data):
            return
        kind, content = data[at + 1], data[at + 2 : end]
        if kind == 0x16 and content[:2] == b"\x6f\xfd":
            # The fault: nobody has asked whether there are twenty bytes.
            _ = content[2 + SERVICE_DATA_BYTES - 1]
            return
        at = end


TARGET = Target(check, advertisement.seeds, advertisement.TARGET.words, advertisement.TARGET.maximum_bytes)
