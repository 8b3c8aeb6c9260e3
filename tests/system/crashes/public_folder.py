"""Holds a server's public folder to its promises, over HTTP and on the disk, look after look."""

import asyncio
import hashlib
import io
import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from forewarn_protocol.errors import NotVerified
from forewarn_protocol.exports.index import Index, IndexEntry
from forewarn_protocol.exports.reading import ExportFile
from forewarn_protocol.exports.signing import public_key_from_base64
from forewarn_protocol.feeds import verify_feed
from forewarn_server.setting_up import Initialised
from tests.server.published_files import diagnosis_keys
from tests.system.crashes.people import Api, demand

FEEDS = ("config/vn.json", "advice/vn.json", "exports/vn/index.json")


class PublicFolder:
    """What was ever seen in the folder: in which files each key stood, fresh or revised, and each feed's sequence."""

    def __init__(self, data: Path, made: Initialised, kept_s: int) -> None:
        self._data = data
        self._feed_key = public_key_from_base64(made.feed_key)
        self._export_key = public_key_from_base64(made.export_key)
        self._kept_s = kept_s
        self._sequences: dict[str, int] = {}
        self._files: dict[str, IndexEntry] = {}
        self.fresh: dict[bytes, set[str]] = defaultdict(set)
        self.revised: dict[bytes, set[str]] = defaultdict(set)

    async def look(self, api: Api, now_s: float) -> None:
        """Read everything and demand what must hold after any crash, once a start has sealed and forgotten."""
        for path in FEEDS:
            index = await self._feed(api, path)
        entries = Index.parse(index).files
        names = [entry.path for entry in entries]
        status, text = await api.get("/exports/vn/index.txt")
        demand(status == 200 and text.decode().split() == names, f"index.txt and index.json disagree: {names}")
        for entry in entries:
            await self._check_file(api, entry)
        for name, entry in self._files.items():
            still_kept = int(name.split("-")[1]) > now_s - self._kept_s
            demand(entry in entries or not still_kept, f"{name} has gone from the index before its time")
        self._files = {entry.path: entry for entry in entries}
        for key, files in (*self.fresh.items(), *self.revised.items()):
            demand(len(files) == 1, f"a key was published twice: {key.hex()} in {sorted(files)}")
        rest = _unexplained(self._data / "public", set(names))
        demand(not rest, f"nothing names these files, and nothing has removed them: {sorted(rest)}")
        for database in ("exposure", "registry"):
            await asyncio.to_thread(check_integrity, self._data / f"{database}.db")

    async def _feed(self, api: Api, path: str) -> bytes:
        status, body = await api.get(f"/{path}")
        _, signature = await api.get(f"/{path}.sig")
        demand(status == 200, f"the feed {path} is not there")
        try:
            verify_feed([self._feed_key], path, body, signature)
        except NotVerified:
            demand(kept=False, broken=f"the feed {path} and its signature do not belong together")
        sequence = int(json.loads(body)["sequence"])
        demand(sequence >= self._sequences.get(path, 0), f"the feed {path} has gone back to an older sequence")
        self._sequences[path] = sequence
        return body

    async def _check_file(self, api: Api, entry: IndexEntry) -> None:
        status, body = await api.get(f"/exports/vn/{entry.path}")
        demand(status == 200, f"the index names {entry.path}, which is not there")
        told = (entry.bytes, entry.sha256)
        demand(told == (len(body), hashlib.sha256(body).hexdigest()), f"{entry.path} is not what the index says")
        known = self._files.get(entry.path)
        if known is not None:
            demand(known == entry, f"{entry.path} has changed after it was published")
            return
        export = ExportFile.open_zip(io.BytesIO(body))
        export.verify([self._export_key])
        count = export.key_count + export.revised_key_count
        demand(count == entry.keys, f"{entry.path} holds {count} keys, the index says {entry.keys}")
        for key in diagnosis_keys(export):
            self.fresh[key.tek.key].add(entry.path)
        for key in export.revised_keys():
            self.revised[key.tek.key].add(entry.path)


def _unexplained(folder: Path, named: set[str]) -> set[str]:
    known = {"index.txt", "index.json", "index.json.sig", "vn.json", "vn.json.sig", *named}
    return {path.name for path in folder.rglob("*") if path.is_file() and path.name not in known}


def check_integrity(path: Path) -> None:
    """Demand that SQLite finds the database whole."""
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("PRAGMA integrity_check").fetchone()
    demand(found == "ok", f"{path.name} is damaged: {found}")
