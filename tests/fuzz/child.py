"""The process that attacks one parser: libFuzzer, by way of atheris, until its time is over or something is found."""

import sys

import atheris

from tests.fuzz.json_mutation import mutated_json

# Instrumented as they are imported: what is imported before gives no coverage.
with atheris.instrument_imports(include=["forewarn_protocol", "zipfile", "tests.fuzz.planted"]):
    from tests.fuzz.targets import load


def main() -> None:
    with atheris.instrument_imports(include=["forewarn_protocol", "zipfile", "tests.fuzz.planted"]):
        target = load(sys.argv[1])
    arguments = [sys.argv[0], *sys.argv[2:]]
    if target.is_json:
        atheris.Setup(arguments, target.check, custom_mutator=_mutate)
    else:
        atheris.Setup(arguments, target.check)
    atheris.Fuzz()


def _mutate(data: bytes, maximum: int, seed: int) -> bytes:
    return mutated_json(bytes(data), maximum, seed, atheris.Mutate)


if __name__ == "__main__":
    main()
