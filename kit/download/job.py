"""Getting what a config needs and does not have yet."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa
import pyarrow.compute as pc

from kit.config import Config
from kit.download.competition import SCHEME, fetch_sample
from kit.download.fetch import FetchError, fetch, is_whole, limits
from kit.download.photos import Album, Tally, fetch_photos
from kit.download.plan import Choice, What, texts, wanted_files, wanted_photos
from kit.download.registry import Remote
from kit.download.shelf import damaged
from kit.errors import KitError
from kit.files import write_json
from kit.progress import Line, track

RECORD = "downloads.json"  # size and sha256 of every file that was got


@dataclass
class Outcome:
    """What came of a download. failed: (address, cause); damaged: what was found so and got again."""

    files: list[str] = field(default_factory=list)
    photos: dict[str, Tally] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is left to get, missing photos apart."""
        return not self.failed and not any(t.failures() for t in self.photos.values())


def download(
    config: Config, what: What, choice: Choice, ask_again: bool = False, verify: bool = False
) -> Outcome:
    """Get what is not there; what fails is told at the end and tried again by the next call.

    verify: what is there but not as it came is taken away first, and so got again.
    """
    outcome, files = Outcome(), wanted_files(config, what)
    if verify:
        outcome.damaged += _check_files(config, files)
    asyncio.run(_download_files(config, files, outcome))
    for split, album, ids in wanted_photos(config, what, choice):
        if verify:
            outcome.damaged += _check_photos(split, album, ids)
        outcome.photos[split] = asyncio.run(_download_photos(config, split, album, ids, ask_again))
    return outcome


async def _download_files(config: Config, files: Sequence[Remote], outcome: Outcome) -> None:
    async with aiohttp.ClientSession(timeout=limits(config.data.download.patience())) as session:
        for remote in files:
            line = Line(0, f"get {remote.path.name}")
            line.begin()
            arrived = 0

            def tell(n: int, line: Line = line) -> None:
                nonlocal arrived
                arrived += n
                line.total = max(line.total, arrived)
                line.show(arrived, f"{arrived / 1e6:,.1f} MB")

            try:
                if await _download_file(config, session, remote, tell):
                    outcome.files.append(str(remote.path))
                    note(config.data.root, remote.path)
            except (FetchError, KitError) as error:
                outcome.failed.append((remote.url, str(error)))
            finally:
                line.close()


async def _download_file(
    config: Config, session: aiohttp.ClientSession, remote: Remote, tell: Callable[[int], None]
) -> bool:
    """Get one file; what only Kaggle has from the mirror where that has it."""
    settings = config.data.download
    patience = settings.patience()
    if not remote.url.startswith(SCHEME):
        return await fetch(session, remote, patience, tell)
    if remote.path.exists():
        return False
    if settings.mirror:
        try:
            name = remote.url.rpartition("/")[2]
            return await fetch(session, Remote(f"{settings.mirror}/{name}", remote.path), patience, tell)
        except FetchError as error:
            if not error.gone:
                raise
    await asyncio.to_thread(fetch_sample, remote.url, remote.path, patience)
    return True


async def _download_photos(
    config: Config, split: str, album: Album, ids: pa.StringArray, ask_again: bool
) -> Tally:
    line, start = Line(len(ids), f"photos {split}"), time.monotonic()
    line.begin()

    def tell(tally: Tally) -> None:
        seconds = max(time.monotonic() - start, 1e-3)
        done = tally.got + tally.there + tally.missing + tally.failures()
        rate = f"{tally.got / seconds:,.0f} files/s, {tally.bytes / seconds / 1e6:,.1f} MB/s"
        line.show(done, f"{rate}, {tally.missing} missing")

    settings = config.data.download
    try:
        return await fetch_photos(album, texts(ids), settings.at_once, settings.patience(), tell, ask_again)
    finally:
        line.close()


def note(root: Path, path: Path) -> None:
    """Remember a file's size and sha256."""
    known = _known(root)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known[_name(root, path)] = {"size": path.stat().st_size, "sha256": digest}
    write_json(root / RECORD, known)


def _name(root: Path, path: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _check_files(config: Config, files: Iterable[Remote]) -> list[str]:
    """Take away the files that are not as they came; their names."""
    root, bad = config.data.root, []
    known = _known(root)
    for remote in files:
        own = known.get(_name(root, remote.path), {})
        expected = Remote(remote.url, remote.path, own.get("size"), own.get("sha256", remote.sha256))
        if remote.path.exists() and not is_whole(expected):
            bad.append(str(remote.path))
            remote.path.unlink()
    return bad


def _check_photos(split: str, album: Album, ids: pa.StringArray) -> list[str]:
    """Take away the photos that are not as they came; their names."""
    in_order = texts(ids.take(pc.array_sort_indices(ids)))
    bad = []
    for path in damaged(album.folder, track(in_order, len(ids), f"check photos {split}")):
        bad.append(str(path))
        path.unlink()
    return bad


def _known(root: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((root / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
