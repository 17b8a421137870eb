"""What the visual model learns from: pairs with their images, crops of these, batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from kit.config import Decoding
from kit.data.decode import UnreadableError, read_image
from kit.data.photos import list_photos
from kit.detector.annotated_images import record_skipped
from kit.relation.crops import union_crop
from kit.relation.prior_model import Examples
from kit.relation.spatial_model import PAIRWISE
from kit.tables.schema import Boxes, Floats
from kit.vocabulary import vocabulary

Positives = NDArray[np.bool_]
Batch = tuple[Tensor, Tensor, Tensor, list[Path]]  # crops, positive, allowed, the images' files


@dataclass(frozen=True, eq=False)
class PairRows:
    """Pairs with their images: file of each pair (n,), boxes (n, 4), positive and allowed: bool (n, 9)."""

    files: Sequence[Path]
    subject: Floats
    object: Floats
    positive: Positives
    allowed: Positives

    def take(self, rows: NDArray[np.intp]) -> PairRows:
        """The given rows."""
        files = [self.files[i] for i in rows]
        return PairRows(files, self.subject[rows], self.object[rows], self.positive[rows], self.allowed[rows])


def pair_rows(examples: Examples, objects: Boxes, folder: Path) -> PairRows:
    """The examples whose images are there."""
    candidates, photos = examples.candidates, list_photos(folder)
    there = np.asarray([name in photos for name in objects.images], bool)
    rows = np.flatnonzero(there[candidates.image])
    names = [photos.path(name) or folder for name in objects.images]
    pairwise = list(PAIRWISE)
    allowed = vocabulary().allowed[:, examples.subject, examples.object].T[rows]
    return PairRows(
        [names[i] for i in candidates.image[rows]],
        objects.box[candidates.subject[rows]],
        objects.box[candidates.object[rows]],
        examples.positive[rows][:, pairwise],
        allowed[:, pairwise],
    )


class Crops(Dataset[Any]):
    """A crop, its labels, and which predicates its classes allow; None where the image is broken."""

    def __init__(
        self, rows: PairRows, flip: NDArray[np.bool_], size: int, skipped: Path, decoding: Decoding
    ) -> None:
        self.rows, self.flip, self.size = rows, flip, size
        self.skipped, self.decoding = skipped, decoding

    def __len__(self) -> int:
        return len(self.rows.files)

    def __getitem__(self, i: int) -> tuple[NDArray[np.uint8], Positives, Positives, Path] | None:
        try:
            image = read_image(self.rows.files[i], self.decoding)
        except UnreadableError as error:
            record_skipped(self.skipped, self.rows.files[i].stem, str(error))
            return None
        crop = union_crop(image, self.rows.subject[i], self.rows.object[i], self.size)
        crop = crop[:, ::-1] if self.flip[i] else crop
        pixels = np.ascontiguousarray(crop.transpose(2, 0, 1))
        return pixels, self.rows.positive[i], self.rows.allowed[i], self.rows.files[i]


def collate(items: list[Any]) -> Batch | None:
    """A batch of those whose image was read; None where none was."""
    items = [item for item in items if item is not None]
    if not items:
        return None
    *columns, files = zip(*items, strict=True)
    crops, positive, allowed = (torch.from_numpy(np.stack(column)) for column in columns)
    return crops, positive.float(), allowed.float(), list(files)
