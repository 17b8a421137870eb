"""Download what a config needs and does not have yet: files, then the photos of every split."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec

import pyarrow as pa
import pyarrow.compute as pc

from kit.base.address import below, shown
from kit.base.errors import KitError
from kit.base.hashes import sha256_of
from kit.base.progress import ProgressLine, track
from kit.base.split_names import SplitName
from kit.config import Config
from kit.download.competition import SCHEME, fetch_sample
from kit.download.download_log import find_logged, log_download
from kit.download.fetch import fetch, is_whole
from kit.download.http_client import open_client, remote_size
from kit.download.photo_download import DownloadStats, OnPhotos, PhotoRequest, PhotoSource, fetch_photos
from kit.download.photo_store import find_corrupt
from kit.download.remote import FetchError, RemoteFile
from kit.download.selection import (
    PhotoFilter,
    Target,
    iter_ids,
    report_empty,
    wanted_files,
    wanted_photos,
    wanted_splits,
)

FetchPhotos = Callable[[PhotoRequest, pa.StringArray, OnPhotos], DownloadStats]


@dataclass
class DownloadResult:
    """What came of a download. failed: (address, cause); damaged: files that were not as they came and are
    downloaded again; empty: splits without a photo that fits.
    """

    files: list[str] = field(default_factory=list)
    photos: dict[str, DownloadStats] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is left to get, missing photos apart."""
        return not self.failed and not any(stats.failures() for stats in self.photos.values())


def download(
    config: Config,
    target: Target,
    photo_filter: PhotoFilter,
    ask_again: bool = False,
    verify: bool = False,
    every: bool = False,
    fetch_all: FetchPhotos | None = None,
) -> DownloadResult:
    """Download what is not there; what fails is told at the end and tried again by the next call.

    verify: also what is there but not as it came; it stays until the new one is whole; every: also files that no
    key of the config names; fetch_all: the photos of a split, default here. Raises KitError where photos alone are
    asked for, and none fits.
    """
    splits = wanted_splits(config, target, photo_filter)
    result, files = DownloadResult(), wanted_files(config, target, every)
    corrupt = asyncio.run(_corrupt_files(config, files)) if verify else []
    result.damaged += [str(remote.path) for remote in corrupt]
    for remote in files:
        _get_file(config, remote, remote in corrupt, result)
    for split in splits:
        try:
            _get_split(config, split, photo_filter, ask_again, verify, fetch_all or fetch_here, result)
        except KitError as error:
            result.failed.append((f"photos {split}", str(error)))
    report_empty(result.empty, photo_filter, target == "photos" and len(result.empty) == len(splits))
    return result


def _get_split(
    config: Config,
    split: SplitName,
    photo_filter: PhotoFilter,
    ask_again: bool,
    verify: bool,
    fetch_all: FetchPhotos,
    result: DownloadResult,
) -> None:
    wanted = wanted_photos(config, split, photo_filter)
    if wanted is None:  # what names them is among the failures
        return
    source, ids = wanted
    if len(ids) == 0:
        result.empty.append(split)
        return
    corrupt = _corrupt_photos(split, source, ids) if verify else {}
    result.damaged += corrupt.values()
    settings = config.data.download
    policy, overwrite = settings.retry_policy(), frozenset(corrupt)
    request = PhotoRequest(source, settings.concurrency, policy, ask_again, overwrite)
    stats = _get_photos(split, request, ids, fetch_all)
    result.photos[split] = stats
    if stats.stopped:
        result.failed.append((f"photos {split}", stats.stopped))


def _get_file(config: Config, remote: RemoteFile, overwrite: bool, result: DownloadResult) -> None:
    line = ProgressLine(0, f"get {remote.path.name}")
    line.begin()
    get = _from_kaggle if remote.url.startswith(SCHEME) else _from_web
    try:
        if get(config, remote, overwrite, line):
            result.files.append(str(remote.path))
    except KitError as error:
        result.failed.append((shown(remote.url), str(error)))
    finally:
        line.close()


def _from_web(config: Config, remote: RemoteFile, overwrite: bool, line: ProgressLine) -> bool:
    policy = config.data.download.retry_policy()

    def on_bytes(size: int, total: int | None) -> None:
        line.total = max(total or 0, size)
        line.show(size, f"{size / 1e6:,.1f} MB")

    async def get() -> bool:
        async with open_client(policy) as client:
            on_done = partial(log_download, config.data.root, remote.path)
            return await fetch(client, remote, policy, on_bytes, on_done, overwrite)

    return asyncio.run(get())


def _from_kaggle(config: Config, remote: RemoteFile, overwrite: bool, line: ProgressLine) -> bool:
    """What only Kaggle has, from the mirror where that has it."""
    settings = config.data.download
    if remote.path.exists() and not overwrite:
        return False
    mirror = settings.address()
    if mirror:
        try:
            url = below(mirror, remote.url.rpartition("/")[2])
            return _from_web(config, replace(remote, url=url), overwrite, line)
        except FetchError as error:
            if not error.not_found:
                raise
    if find_spec("kaggle") is None:
        raise KitError("kaggle is not installed", "pip install 'kit[kaggle]'")
    fetch_sample(remote, settings.retry_policy())
    log_download(config.data.root, remote.path, remote.path.stat().st_size, sha256_of(remote.path))
    return True


def fetch_here(request: PhotoRequest, ids: pa.StringArray, on_photos: OnPhotos) -> DownloadStats:
    """Fetch photos by this process. Raises KitError as `fetch_photos`."""
    return asyncio.run(fetch_photos(request, iter_ids(ids), on_photos))


def _get_photos(
    split: str, request: PhotoRequest, ids: pa.StringArray, fetch_all: FetchPhotos
) -> DownloadStats:
    line, start = ProgressLine(len(ids), f"photos {split}"), time.monotonic()
    line.begin()

    def on_photos(stats: DownloadStats) -> None:
        seconds = max(time.monotonic() - start, 1e-3)
        done = stats.got + stats.there + stats.missing + stats.failures()
        rate = f"{stats.got / seconds:,.0f} files/s, {stats.bytes / seconds / 1e6:,.1f} MB/s"
        line.show(done, f"{rate}, {stats.missing} missing")

    try:
        return fetch_all(request, ids, on_photos)
    finally:
        line.close()


async def _corrupt_files(config: Config, files: Sequence[RemoteFile]) -> list[RemoteFile]:
    """The files that are there and not as they came; without an entry of that, not of the server's size."""
    corrupt = []
    async with open_client(config.data.download.retry_policy()) as client:
        for remote in files:
            entry = find_logged(config.data.root, remote.path)
            expected = replace(
                remote, size=entry.size if entry else None, sha256=entry.sha256 if entry else remote.sha256
            )
            if not entry and not remote.sha256 and remote.path.exists():
                expected = replace(remote, size=remote.size or await remote_size(client, remote.url))
            if remote.path.exists() and not is_whole(expected):
                corrupt.append(remote)
    return corrupt


def _corrupt_photos(split: str, source: PhotoSource, ids: pa.StringArray) -> dict[str, str]:
    """Id and file of the photos that are not as they came."""
    in_order = iter_ids(ids.take(pc.array_sort_indices(ids)))
    steps = track(in_order, len(ids), f"check photos {split}")
    return {path.stem: str(path) for path in find_corrupt(source.folder, steps, source.max_pixels)}
