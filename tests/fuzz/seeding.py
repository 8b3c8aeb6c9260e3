"""Writes the seeds into the corpora: `python -m tests.fuzz.seeding`, after a format has changed."""

from tests.fuzz.targets import CORPUS, PARSERS, load


def main() -> None:
    for parser in PARSERS:
        folder = CORPUS / parser
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in load(parser).seeds().items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
