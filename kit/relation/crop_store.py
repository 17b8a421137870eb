"""Crops cut once: JPEGs in a few uncompressed tar files, each with an index of where its crops lie."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault, KitError
from kit.base.files import atomic_write
from kit.base.log import logger
from kit.base.parallel import ordered_map
from kit.base.progress import track
from kit.config import Decoding
from kit.data.decode import Pixels, UnreadableError, decode, read_image
from kit.relation.crops import union_crop
from kit.tables.schema import Floats

Places = NDArray[np.int64]  # (n, 3): shard, offset, bytes; no bytes where a crop is not stored
QUALITY = 95
BYTES_A_PIXEL = 0.4  # of a crop at QUALITY, tar's headers and all; benchmarks/crops measures 0.29
IMAGES = 256  # a shard
ROW = 4  # columns of an index: the row and its place


def write_crops(
    folder: Path,
    files: Sequence[Path],
    subject: Floats,
    object_: Floats,
    wanted: NDArray[np.intp],
    size: int,
    decoding: Decoding,
    threads: int,
) -> Places:
    """Store the wanted rows' crops below `folder`; the places (n, 3) of all rows.

    Every image is decoded once for all its pairs; whole shards of an interrupted writing are kept. What cannot be
    read has no place. files: of each row (n,); subject, object_: boxes (n, 4). Raises KitError where the disk has
    no room.
    """
    order = wanted[np.argsort([str(files[i]) for i in wanted], kind="stable")]
    names = np.asarray([str(files[i]) for i in order], object)
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]]) if len(order) else np.zeros(0, int)
    groups = np.split(order, starts[1:]) if len(order) else []
    shards = [groups[i : i + IMAGES] for i in range(0, len(groups), IMAGES)]
    folder.mkdir(exist_ok=True)
    todo = [i for i in range(len(shards)) if not _index(folder, i).exists()]
    if todo:
        _check_room(folder, sum(len(rows) for i in todo for rows in shards[i]), size)

    def write(shard: int) -> None:
        parts = [(files[rows[0]], rows, subject[rows], object_[rows]) for rows in shards[shard]]
        _write_shard(folder, shard, parts, size, decoding)

    written, size_a_shard = ordered_map(write, todo, max(1, threads)), len(order) / max(len(shards), 1)
    for _ in track(written, len(todo), "crops", unit="crops", size=size_a_shard, optional=True):
        pass
    places = np.zeros((len(files), ROW - 1), np.int64)
    there = [shard for shard in range(len(shards)) if _index(folder, shard).exists()]
    for shard in there:
        index = _read_index(_index(folder, shard))
        places[index[:, 0]] = index[:, 1:]
    return places if len(there) == len(shards) else _lent(places, order)


def _lent(places: Places, wanted: NDArray[np.intp]) -> Places:
    """Where the writing was ended early, as by a rehearsal: the crops that are there stand for the others."""
    stored = np.flatnonzero(places[:, -1])
    missing = wanted[places[wanted, -1] == 0]
    if len(stored):
        places[missing] = places[stored[np.arange(len(missing)) % len(stored)]]
    return places


def read_crop(folder: Path, place: Sequence[int], decoding: Decoding) -> Pixels:
    """A stored crop, (size, size, 3). Raises UnreadableError."""
    shard, offset, size = place
    try:
        with shard_path(folder, shard).open("rb", buffering=0) as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise UnreadableError(f"its stored crop cannot be read ({error.strerror})") from None
    return decode(data, decoding)


def shard_path(folder: Path, shard: int) -> Path:
    """The tar file of a shard."""
    return folder / f"crops-{shard:05}.tar"


def _index(folder: Path, shard: int) -> Path:
    return shard_path(folder, shard).with_suffix(".npy")


def _read_index(path: Path) -> Places:
    try:
        return np.asarray(np.load(path), np.int64).reshape(-1, ROW)
    except (OSError, ValueError):
        raise FileFault(path, "not a whole index of crops", hint="delete the folder of the crops") from None


def _check_room(folder: Path, crops: int, size: int) -> None:
    need = round(crops * size * size * BYTES_A_PIXEL)
    free = shutil.disk_usage(folder).free
    logger.info(
        f"visual: {crops:,} crops are stored, about {need / 1e9:.1f} GB; {free / 1e9:.1f} GB are free"
    )
    if need > free:
        raise KitError(
            f"{folder}: {crops:,} crops need about {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
            "lower relation.visual.negatives_stored, or set relation.visual.crops to photos",
        )


def _write_shard(
    folder: Path,
    shard: int,
    images: Sequence[tuple[Path, NDArray[np.intp], Floats, Floats]],
    size: int,
    decoding: Decoding,
) -> None:
    index: list[tuple[int, int, int, int]] = []
    with atomic_write(shard_path(folder, shard)) as part, tarfile.open(part, "w") as tar:
        for file, rows, subject, object_ in images:
            try:
                image = read_image(file, decoding)
            except UnreadableError:
                continue  # told when a training asks for the pair
            for row, one, two in zip(rows, subject, object_, strict=True):
                crop = union_crop(image, one, two, size)
                data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
                member = tarfile.TarInfo(f"{row}.jpg")
                member.size = len(data)
                index.append((int(row), shard, tar.offset + tarfile.BLOCKSIZE, len(data)))
                tar.addfile(member, io.BytesIO(data))
    with atomic_write(_index(folder, shard)) as part, part.open("wb") as out:
        np.save(out, np.asarray(index, np.int64).reshape(-1, ROW))
