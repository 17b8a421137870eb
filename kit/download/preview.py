"""What a download would bring: files, bytes, seconds, as far as a look tells."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from kit.config import Config
from kit.download.fetch import is_whole, limits
from kit.download.photos import Album, read_missing
from kit.download.plan import Choice, What, wanted_files, wanted_photos
from kit.progress import notice

SAMPLE = 8  # photos that are looked at for a guess of size and rate


def preview(config: Config, what: What, choice: Choice) -> list[dict[str, Any]]:
    """A row a file and a row a split's photos: how many to get, bytes and seconds as far as a look tells."""
    return asyncio.run(_preview(config, what, choice))


async def _preview(config: Config, what: What, choice: Choice) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with aiohttp.ClientSession(timeout=limits(config.data.download.patience())) as session:
        for remote in wanted_files(config, what):
            there = is_whole(remote)
            size = None if there else remote.size or await _size(session, remote.url)
            rows.append({"what": str(remote.path), "to get": int(not there), "bytes": size, "seconds": None})
        missing_annotations = any(row["to get"] for row in rows) and what == "all"
        for split, album, ids in [] if missing_annotations else wanted_photos(config, what, choice):
            gone = set(read_missing(album.folder))
            todo = [name for name in ids if name not in gone and not (album.folder / f"{name}.jpg").exists()]
            each, rate = await _look(session, album, todo[:SAMPLE])
            total = None if each is None else round(each * len(todo))
            seconds = None if total is None or not rate else round(total / rate)
            rows.append({"what": f"photos {split}", "to get": len(todo), "bytes": total, "seconds": seconds})
        if missing_annotations:
            notice("the photos are known when the annotations are there")
    return rows


async def _size(session: aiohttp.ClientSession, url: str) -> int | None:
    if "://" not in url:
        return Path(url).stat().st_size if Path(url).exists() else None
    try:
        async with session.head(url, allow_redirects=True) as response:
            length = response.headers.get("Content-Length", "")
            return int(length) if response.status == 200 and length.isdigit() else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


async def _look(
    session: aiohttp.ClientSession, album: Album, names: Sequence[str]
) -> tuple[float | None, float]:
    """Bytes of a photo and bytes a second, by a few of them."""

    async def one(name: str) -> int:
        url = f"{album.url}/{name}.jpg"
        if "://" not in url:
            return Path(url).stat().st_size if Path(url).exists() else 0
        try:
            async with session.get(url) as response:
                return len(await response.read()) if response.status == 200 else 0
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0

    start = time.perf_counter()
    sizes = [size for size in await asyncio.gather(*map(one, names)) if size]
    seconds = max(time.perf_counter() - start, 1e-6)
    return (sum(sizes) / len(sizes), sum(sizes) / seconds) if sizes else (None, 0.0)


def free_bytes(root: Path) -> int:
    """Free space where the data goes."""
    place = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    return shutil.disk_usage(place).free
