"""Getting what a config needs and does not have yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec

import pyarrow as pa
import pyarrow.compute as pc

from kit.base.address import below, shown
from kit.base.errors import KitError
from kit.base.progress import Line, track
from kit.config import Config
from kit.download.competition import SCHEME, fetch_sample
from kit.download.fault import FetchError
from kit.download.fetch import fetch, is_whole, sha256_of
from kit.download.known import known, note
from kit.download.photos import Album, Tally, fetch_photos
from kit.download.plan import Choice, What, tell_empty, texts, wanted_files, wanted_photos, wanted_splits
from kit.download.registry import Remote
from kit.download.shelf import damaged
from kit.download.web import open_web, remote_size


@dataclass
class Outcome:
    """What came of a download. failed: (address, cause); damaged: what was found so and is got
    again; empty: splits without a photo that fits.
    """

    files: list[str] = field(default_factory=list)
    photos: dict[str, Tally] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is left to get, missing photos apart."""
        return not self.failed and not any(t.failures() for t in self.photos.values())


def download(
    config: Config, what: What, choice: Choice, ask_again: bool = False, verify: bool = False
) -> Outcome:
    """Get what is not there; what fails is told at the end and tried again by the next call.

    verify: also what is there but not as it came; it stays until the new one is whole. Raises KitError where
    photos alone are asked for, and none fits.
    """
    splits = wanted_splits(config, what, choice)
    outcome, files = Outcome(), wanted_files(config, what)
    broken = asyncio.run(_damaged_files(config, files)) if verify else []
    outcome.damaged += [str(remote.path) for remote in broken]
    for remote in files:
        _get_file(config, remote, remote in broken, outcome)
    for split in splits:
        try:
            _get_split(config, split, choice, ask_again, verify, outcome)
        except KitError as error:
            outcome.failed.append((f"photos {split}", str(error)))
    tell_empty(outcome.empty, choice, what == "photos" and len(outcome.empty) == len(splits))
    return outcome


def _get_split(
    config: Config, split: str, choice: Choice, ask_again: bool, verify: bool, outcome: Outcome
) -> None:
    wanted = wanted_photos(config, split, choice)
    if wanted is None:  # what names them is among the failures
        return
    album, ids = wanted
    if len(ids) == 0:
        outcome.empty.append(split)
        return
    bad = _damaged_photos(split, album, ids) if verify else {}
    outcome.damaged += bad.values()
    tally = asyncio.run(_get_photos(config, split, album, ids, ask_again, frozenset(bad)))
    outcome.photos[split] = tally
    if tally.stopped:
        outcome.failed.append((f"photos {split}", tally.stopped))


def _get_file(config: Config, remote: Remote, anew: bool, outcome: Outcome) -> None:
    line = Line(0, f"get {remote.path.name}")
    line.begin()
    get = _from_kaggle if remote.url.startswith(SCHEME) else _from_web
    try:
        if get(config, remote, anew, line):
            outcome.files.append(str(remote.path))
    except (FetchError, KitError) as error:
        outcome.failed.append((shown(remote.url), str(error)))
    finally:
        line.close()


def _from_web(config: Config, remote: Remote, anew: bool, line: Line) -> bool:
    patience = config.data.download.patience()

    def tell(have: int, total: int | None) -> None:
        line.total = max(total or 0, have)
        line.show(have, f"{have / 1e6:,.1f} MB")

    async def get() -> bool:
        async with open_web(patience) as web:
            record = partial(note, config.data.root, remote.path)
            return await fetch(web, remote, patience, tell, record, anew)

    return asyncio.run(get())


def _from_kaggle(config: Config, remote: Remote, anew: bool, line: Line) -> bool:
    """What only Kaggle has, from the mirror where that has it."""
    settings = config.data.download
    if remote.path.exists() and not anew:
        return False
    mirror = settings.address()
    if mirror:
        try:
            url = below(mirror, remote.url.rpartition("/")[2])
            return _from_web(config, replace(remote, url=url), anew, line)
        except FetchError as error:
            if not error.gone:
                raise
    if find_spec("kaggle") is None:
        raise KitError("kaggle is not installed", "pip install 'kit[kaggle]'")
    fetch_sample(remote, settings.patience())
    note(config.data.root, remote.path, remote.path.stat().st_size, sha256_of(remote.path))
    return True


async def _get_photos(
    config: Config, split: str, album: Album, ids: pa.StringArray, ask_again: bool, anew: frozenset[str]
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
        return await fetch_photos(
            album, texts(ids), settings.at_once, settings.patience(), tell, ask_again, anew
        )
    finally:
        line.close()


async def _damaged_files(config: Config, files: Sequence[Remote]) -> list[Remote]:
    """The files that are there and not as they came; without a record of that, not of the server's size."""
    bad = []
    async with open_web(config.data.download.patience()) as web:
        for remote in files:
            own = known(config.data.root, remote.path)
            expected = (
                replace(remote, size=own.size, sha256=own.sha256) if own else replace(remote, size=None)
            )
            if not own and not remote.sha256 and remote.path.exists():
                expected = replace(remote, size=remote.size or await remote_size(web, remote.url))
            if remote.path.exists() and not is_whole(expected):
                bad.append(remote)
    return bad


def _damaged_photos(split: str, album: Album, ids: pa.StringArray) -> dict[str, str]:
    """Id and file of the photos that are not as they came."""
    in_order = texts(ids.take(pc.array_sort_indices(ids)))
    steps = track(in_order, len(ids), f"check photos {split}")
    return {path.stem: str(path) for path in damaged(album.folder, steps)}
