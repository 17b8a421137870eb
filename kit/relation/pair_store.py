"""What the visual model learns from, made once: shards of images, each with an index of where its pairs lie.

A shard that has its index is whole; an interrupted writing goes on after those.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault, KitError
from kit.base.files import atomic_write
from kit.base.log import logger
from kit.base.parallel import ordered_map
from kit.base.progress import track
from kit.relation.pair_batches import Rows

Places = NDArray[np.int64]  # (n, 3): shard, offset, size; no size where a pair is not stored
WriteShard = Callable[[int, Sequence[Rows]], Iterable[tuple[int, int, int, int]]]
IMAGES = 256  # a shard
ROW = 4  # columns of an index: the row and its place


def write_store(
    folder: Path,
    files: Sequence[Path],
    wanted: Rows,
    write: WriteShard,
    *,
    what: str,
    bytes_each: float,
    threads: int,
    cure: str,
) -> Places:
    """Store the wanted rows below `folder`; the places (n, 3) of all rows.

    Every image is looked at once for all its pairs. What cannot be read has no place. files: of each row (n,);
    write: writes a shard of images, each with its rows, gives row and place of what it wrote; what: the word for
    pairs as they are stored; bytes_each: of one; cure: what to do where the disk has no room, a KitError.
    """
    order = wanted[np.argsort([str(files[i]) for i in wanted], kind="stable")]
    names = np.asarray([str(files[i]) for i in order], object)
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]]) if len(order) else np.zeros(0, int)
    groups = np.split(order, starts[1:]) if len(order) else []
    shards = [groups[i : i + IMAGES] for i in range(0, len(groups), IMAGES)]
    folder.mkdir(exist_ok=True)
    todo = [i for i in range(len(shards)) if not _index(folder, what, i).exists()]
    if todo:
        missing = sum(len(rows) for i in todo for rows in shards[i])
        _check_room(folder, f"{missing:,} {what}", round(missing * bytes_each), cure)

    def write_shard(shard: int) -> None:
        index = list(write(shard, shards[shard]))
        with atomic_write(_index(folder, what, shard)) as part, part.open("wb") as out:
            np.save(out, np.asarray(index, np.int64).reshape(-1, ROW))

    written, size_a_shard = ordered_map(write_shard, todo, max(1, threads)), len(order) / max(len(shards), 1)
    size = round(len(order) * bytes_each)
    for _ in track(written, len(todo), what, unit=what, size=size_a_shard, kept=size, optional=True):
        pass
    places = np.zeros((len(files), ROW - 1), np.int64)
    there = [shard for shard in range(len(shards)) if _index(folder, what, shard).exists()]
    for shard in there:
        index = _read_index(_index(folder, what, shard), what)
        places[index[:, 0]] = index[:, 1:]
    return places if len(there) == len(shards) else _lent(places, order)


def _lent(places: Places, wanted: Rows) -> Places:
    """Where the writing was ended early, as by a rehearsal: the pairs that are there stand for the others."""
    stored = np.flatnonzero(places[:, -1])
    missing = wanted[places[wanted, -1] == 0]
    if len(stored):
        places[missing] = places[stored[np.arange(len(missing)) % len(stored)]]
    return places


def _index(folder: Path, what: str, shard: int) -> Path:
    return folder / f"{what}-{shard:05}.npy"


def _read_index(path: Path, what: str) -> Places:
    try:
        return np.asarray(np.load(path), np.int64).reshape(-1, ROW)
    except (OSError, ValueError):
        raise FileFault(
            path, f"not a whole index of {what}", hint=f"delete the folder of the {what}"
        ) from None


def _check_room(folder: Path, what: str, need: int, cure: str) -> None:
    free = shutil.disk_usage(folder).free
    logger.info(f"visual: {what} are stored, about {need / 1e9:.1f} GB; {free / 1e9:.1f} GB are free")
    if need > free:
        raise KitError(f"{folder}: {what} need about {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free", cure)
