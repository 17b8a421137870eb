"""What a download would bring: files, bytes, seconds, as far as a look tells."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from kit.base.address import is_address
from kit.base.progress import notice
from kit.config import Config
from kit.data.photos import photo_names, photo_path
from kit.download.fault import FetchError
from kit.download.fetch import is_whole
from kit.download.missing import read_missing
from kit.download.photos import Album, body
from kit.download.plan import Choice, What, tell_empty, texts, wanted_files, wanted_photos, wanted_splits
from kit.download.registry import Remote
from kit.download.web import Web, open_web, remote_size

SAMPLE = 8  # photos at the least that are looked at for a guess of size and rate
START = 2 << 20  # bytes of a file that are read for a guess of the rate


def preview(config: Config, what: What, choice: Choice) -> list[dict[str, Any]]:
    """A row a file and a row a split's photos: how many to get, bytes and seconds as far as a look tells."""
    return asyncio.run(_preview(config, what, choice))


async def _preview(config: Config, what: What, choice: Choice) -> list[dict[str, Any]]:
    settings, splits = config.data.download, wanted_splits(config, what, choice)
    async with open_web(settings.patience()) as web:
        rows, empty = await _files(web, wanted_files(config, what)), list[str]()
        for split in splits:
            wanted = wanted_photos(config, split, choice)
            if wanted is None:
                notice(f"photos {split}: known when the files that name them are there")
                continue
            album, ids = wanted
            if len(ids) == 0:
                empty.append(split)
                continue
            gone = set(read_missing(album.folder))
            there = photo_names(album.folder) if album.folder.is_dir() else set()
            todo = [name for name in texts(ids) if name not in gone and name not in there]
            each, rate = await _look(web, album, todo[: max(SAMPLE, settings.at_once)])
            total = None if each is None else round(each * len(todo))
            rows.append(_row(f"photos {split}", len(todo), total, rate))
    tell_empty(empty, choice, what == "photos" and len(empty) == len(splits))
    return rows


def _row(what: str, to_get: int, size: int | None, rate: float) -> dict[str, Any]:
    seconds = round(size / rate, 1) if size is not None and rate else None
    return {"what": what, "to get": to_get, "bytes": size, "seconds": seconds}


async def _files(web: Web, files: Sequence[Remote]) -> list[dict[str, Any]]:
    """A row a file; the rate is that of the start of the largest one."""
    sizes: list[int | None] = []
    for remote in files:
        sizes.append(0 if is_whole(remote) else remote.size or await remote_size(web, remote.url))
    largest = max(range(len(files)), key=lambda i: sizes[i] or 0, default=0)
    rate = await _rate(web, files[largest].url) if files and sizes[largest] else 0.0
    return [
        _row(str(remote.path), int(size != 0), size, rate) for remote, size in zip(files, sizes, strict=True)
    ]


async def _rate(web: Web, url: str) -> float:
    """Bytes a second, by the first ones of a file; 0 where that cannot be seen."""
    if not is_address(url):
        return 0.0
    start, came = time.perf_counter(), 0
    try:
        async with web.ask(url, headers={"Range": f"bytes=0-{START - 1}"}) as response:
            while response.status in (200, 206) and came < START:
                block = await response.content.read(START)
                came += len(block)
                if not block:
                    break
    except (FetchError, aiohttp.ClientError, TimeoutError, OSError):
        return 0.0
    return came / max(time.perf_counter() - start, 1e-6)


async def _look(web: Web, album: Album, names: Sequence[str]) -> tuple[float | None, float]:
    """Bytes of a photo and bytes a second, by a few of them."""

    async def one(name: str) -> int:
        if not is_address(album.url):
            path = photo_path(Path(album.url), name)
            return path.stat().st_size if path.is_file() else 0
        try:
            async with web.ask(album.address(name)) as response:
                return len(await body(response, web.patience.read)) if response.status == 200 else 0
        except (FetchError, aiohttp.ClientError, TimeoutError, OSError):
            return 0

    start = time.perf_counter()
    sizes = [size for size in await asyncio.gather(*map(one, names)) if size]
    seconds = max(time.perf_counter() - start, 1e-6)
    return (sum(sizes) / len(sizes), sum(sizes) / seconds) if sizes else (None, 0.0)


def free_bytes(root: Path) -> int:
    """Free space where the data goes."""
    place = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    return shutil.disk_usage(place).free
