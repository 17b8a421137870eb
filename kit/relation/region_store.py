"""Regions seen once: the cells of every pair, of the image and of its mirror image, float16 in shards.

The detector is not fine-tuned, so that it would see the same in every epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kit.base.files import atomic_write
from kit.base.parallel import ordered_map
from kit.config import Decoding, Visual
from kit.data.decode import Pixels, UnreadableError, read_image
from kit.detector.annotated_images import record_skipped
from kit.relation.pair_batches import Rows, batches, portions
from kit.relation.pair_store import Places, write_store
from kit.relation.regions import IMAGES, PAIRS, SIDE, RegionTrunk, look_at
from kit.tables.schema import Floats

MIRRORED = (False, True)
HALF_MAX = torch.finfo(torch.float16).max


def write_regions(
    folder: Path,
    trunk: RegionTrunk,
    files: Sequence[Path],
    subject: Floats,
    object_: Floats,
    wanted: NDArray[np.intp],
    settings: Visual,
    decoding: Decoding,
    skipped: Path,
) -> Places:
    """Store the wanted rows' cells below `folder`; the places (n, 3) of all rows. As `write_store`.

    files: of each row (n,); subject, object_: boxes (n, 4); skipped: the CSV file of images that cannot be read.
    """

    def look(rows: Rows) -> tuple[Rows, Pixels | None]:
        try:
            return rows, read_image(files[rows[0]], decoding)
        except UnreadableError as error:
            record_skipped(skipped, files[rows[0]].stem, str(error))
            return rows, None

    def cells(images: Sequence[Rows]) -> Iterator[tuple[Rows, NDArray[np.float16]]]:
        few = [part for rows in images for part in portions(rows, PAIRS)]
        read = ordered_map(look, few, max(1, settings.workers))
        there = ((rows, image) for rows, image in read if image is not None)
        for some in batches(there, lambda item: max(len(item[0]), PAIRS // IMAGES), PAIRS):
            sides = [half_cells(some, flip) for flip in MIRRORED]
            yield np.concatenate([rows for rows, _ in some]), torch.stack(sides, dim=1).cpu().numpy()

    def half_cells(some: Sequence[tuple[Rows, Pixels]], flip: bool) -> Tensor:
        looks = [look_at(i, subject[r], object_[r], settings.image_size, flip) for r, i in some]
        return trunk.cells(looks).clamp(-HALF_MAX, HALF_MAX).half()

    def write(shard: int, images: Sequence[Rows]) -> list[tuple[int, int, int, int]]:
        index: list[tuple[int, int, int, int]] = []
        with atomic_write(shard_path(folder, shard)) as part, part.open("wb") as out:
            for rows, both in cells(images):
                start, size = out.tell(), both[0].nbytes
                index += [(int(row), shard, start + i * size, size) for i, row in enumerate(rows)]
                out.write(both.tobytes())
        return index

    return write_store(
        folder,
        files,
        wanted,
        write,
        what="regions",
        bytes_each=len(MIRRORED) * trunk.channels * SIDE**2 * np.dtype(np.float16).itemsize,
        threads=1,
        cure="lower relation.visual.negatives_stored or negatives",
    )


def read_cells(folder: Path, place: Sequence[int], mirrored: bool) -> Floats:
    """The stored cells of a pair, float32 (channels, SIDE, SIDE). Raises UnreadableError."""
    shard, offset, size = place
    half = size // len(MIRRORED)
    try:
        with shard_path(folder, shard).open("rb", buffering=0) as file:
            file.seek(offset + half * mirrored)
            data = file.read(half)
    except OSError as error:
        raise UnreadableError(f"its stored regions cannot be read ({error.strerror})") from None
    if len(data) < half:
        raise UnreadableError("its stored regions are cut short")
    return np.frombuffer(data, np.float16).reshape(-1, SIDE, SIDE).astype(np.float32)


def shard_path(folder: Path, shard: int) -> Path:
    """The file of a shard: float16 (pairs, plain and mirrored, channels, SIDE, SIDE) in C order."""
    return folder / f"regions-{shard:05}.bin"
