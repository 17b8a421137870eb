"""Crops cut once: JPEGs in a few uncompressed tar files, each with an index of where its crops lie."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kit.base.files import atomic_write
from kit.config import Decoding
from kit.data.decode import Pixels, UnreadableError, decode, read_image
from kit.relation.crops import union_crop
from kit.relation.pair_batches import Rows
from kit.relation.pair_store import Places, write_store
from kit.tables.schema import Floats

QUALITY = 95
BYTES_A_PIXEL = 0.4  # of a crop at QUALITY, tar's headers and all; benchmarks/crops measures 0.29


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
    """Store the wanted rows' crops below `folder`; the places (n, 3) of all rows. As `write_store`.

    files: of each row (n,); subject, object_: boxes (n, 4).
    """

    def write(shard: int, images: Sequence[Rows]) -> list[tuple[int, int, int, int]]:
        parts = [(files[rows[0]], rows, subject[rows], object_[rows]) for rows in images]
        return _write_shard(folder, shard, parts, size, decoding)

    return write_store(
        folder,
        files,
        wanted,
        write,
        what="crops",
        bytes_each=size * size * BYTES_A_PIXEL,
        threads=threads,
        cure="lower relation.visual.negatives_stored, or set relation.visual.crops to photos",
    )


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


def _write_shard(
    folder: Path,
    shard: int,
    images: Sequence[tuple[Path, NDArray[np.intp], Floats, Floats]],
    size: int,
    decoding: Decoding,
) -> list[tuple[int, int, int, int]]:
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
    return index
