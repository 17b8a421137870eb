"""What a download would bring: files, bytes, seconds, as far as a look tells."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.base.address import is_address
from kit.base.log import logger
from kit.config import Config
from kit.data.photos import photo_names, photo_path
from kit.download.fetch import is_whole
from kit.download.http_client import HttpClient, open_client, remote_size
from kit.download.photo_download import PhotoSource, read_body
from kit.download.photo_store import read_missing
from kit.download.remote import FetchError, RemoteFile
from kit.download.selection import (
    PHOTO_BYTES,
    PhotoFilter,
    Target,
    iter_ids,
    report_empty,
    tell_unread,
    wanted_files,
    wanted_photos,
    wanted_splits,
)

SAMPLE = 8  # photos at the least that are looked at for a guess of size and rate
START = 2 << 20  # bytes of a file that are read for a guess of the rate


def preview(
    config: Config, target: Target, photo_filter: PhotoFilter, every: bool = False
) -> list[dict[str, Any]]:
    """A row a file and a row a split's photos: how many to get, bytes and seconds as far as a look tells.

    Photos' bytes are an estimate: by a few that are looked at, else by the average of Open Images. every: also
    files that no key of the config names.
    """
    if not every:
        tell_unread(config, target)
    return asyncio.run(_preview(config, target, photo_filter, every))


async def _preview(
    config: Config, target: Target, photo_filter: PhotoFilter, every: bool
) -> list[dict[str, Any]]:
    settings, splits = config.data.download, wanted_splits(config, target, photo_filter)
    async with open_client(settings.retry_policy()) as client:
        rows, empty = await _files(client, wanted_files(config, target, every)), list[str]()
        for split in splits:
            wanted = wanted_photos(config, split, photo_filter)
            if wanted is None:
                logger.info(f"photos {split}: known when the files that name them are there")
                continue
            source, ids = wanted
            if len(ids) == 0:
                empty.append(split)
                continue
            present = photo_names(source.folder) if source.folder.is_dir() else set()
            present |= set(read_missing(source.folder))
            todo = [name for name in iter_ids(ids) if name not in present]
            each, rate = await _sample(client, source, todo[: max(SAMPLE, settings.concurrency)])
            rows.append(_row(f"photos {split}", len(todo), round(each * len(todo)), rate, about=True))
    report_empty(empty, photo_filter, target == "photos" and len(empty) == len(splits))
    return rows


def _row(what: str, to_get: int, size: int | None, rate: float, about: bool = False) -> dict[str, Any]:
    seconds = round(size / rate, 1) if size is not None and rate else None
    return {"what": what, "to get": to_get, "bytes": size, "about": about, "seconds": seconds}


async def _files(client: HttpClient, files: Sequence[RemoteFile]) -> list[dict[str, Any]]:
    """A row a file; the rate is that of the start of the largest one."""
    sizes: list[int | None] = []
    for remote in files:
        sizes.append(0 if is_whole(remote) else remote.size or await remote_size(client, remote.url))
    largest = max(range(len(files)), key=lambda i: sizes[i] or 0, default=0)
    rate = await _rate(client, files[largest].url) if files and sizes[largest] else 0.0
    return [
        _row(str(remote.path), int(size != 0), size, rate) for remote, size in zip(files, sizes, strict=True)
    ]


async def _rate(client: HttpClient, url: str) -> float:
    """Bytes a second, by the first ones of a file; 0 where that cannot be seen."""
    if not is_address(url):
        return 0.0
    start, received = time.perf_counter(), 0
    try:
        async with client.request(url, headers={"Range": f"bytes=0-{START - 1}"}) as response:
            while response.status in (200, 206) and received < START:
                block = await response.content.read(START)
                received += len(block)
                if not block:
                    break
    except FetchError:
        return 0.0
    return received / max(time.perf_counter() - start, 1e-6)


async def _sample(client: HttpClient, source: PhotoSource, names: Sequence[str]) -> tuple[float, float]:
    """Bytes of a photo and bytes a second, by a few of them; the usual bytes and 0 where none can be had."""

    async def one(name: str) -> int:
        if not is_address(source.url):
            path = photo_path(Path(source.url), name)
            return path.stat().st_size if path.is_file() else 0
        try:
            async with client.request(source.address(name)) as response:
                return (
                    len(await read_body(response, client.policy.read_timeout))
                    if response.status == 200
                    else 0
                )
        except FetchError:
            return 0

    start = time.perf_counter()
    sizes = [size for size in await asyncio.gather(*map(one, names)) if size]
    seconds = max(time.perf_counter() - start, 1e-6)
    return (sum(sizes) / len(sizes), sum(sizes) / seconds) if sizes else (PHOTO_BYTES, 0.0)


def free_bytes(root: Path) -> int:
    """Free space where the data goes."""
    existing = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free
