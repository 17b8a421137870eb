"""What the visual model learns from: pairs with their images, what every step draws, crops, batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from kit.config import Decoding, Visual
from kit.data.decode import UnreadableError, read_image
from kit.data.objects import Objects
from kit.data.photos import list_photos
from kit.detector.annotated_images import record_skipped
from kit.detector.team import ALONE, Team
from kit.relation.crop_store import read_crop
from kit.relation.crops import union_crop
from kit.relation.pair_store import Places
from kit.relation.prior_model import Examples
from kit.relation.region_store import read_cells
from kit.relation.spatial_rows import PAIRWISE
from kit.tables.schema import Floats
from kit.vocabulary import vocabulary

Positives = NDArray[np.bool_]
Batch = tuple[Tensor, Tensor, Tensor, list[Path]]  # crops or cells, positive, allowed, the images' files


@dataclass(frozen=True, eq=False)
class PairRows:
    """Pairs with their images: file of each pair (n,), boxes (n, 4), positive and allowed: bool (n, 9).

    stored: where their crops or regions lie in a store (n, 3); None without one.
    """

    files: Sequence[Path]
    subject: Floats
    object: Floats
    positive: Positives
    allowed: Positives
    stored: Places | None = None

    def take(self, rows: NDArray[np.intp]) -> PairRows:
        """The given rows."""
        files = [self.files[i] for i in rows]
        boxes = self.subject[rows], self.object[rows]
        stored = None if self.stored is None else self.stored[rows]
        return PairRows(files, *boxes, self.positive[rows], self.allowed[rows], stored)


def pair_rows(examples: Examples, objects: Objects, folder: Path) -> PairRows:
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


class Pair(NamedTuple):
    """A pair that a step learns from; stored: the place of its crop or regions, None where they are not."""

    file: Path
    subject: Floats
    object: Floats
    positive: Positives
    allowed: Positives
    flip: bool
    stored: list[int] | None


class Draws:
    """Which pairs every step of a training takes: all positives and drawn negatives, anew in each epoch.

    The draw hangs on the seed and the epoch alone. per_epoch, steps: of an epoch and of the whole training.
    """

    def __init__(self, rows: PairRows, settings: Visual, seed: Sequence[int]) -> None:
        self.rows, self.size, self.seed = rows, settings.batch_size, seed
        some = rows.positive.any(axis=1)
        self.positive, self.negative = np.flatnonzero(some), np.flatnonzero(~some)
        self.most = most_negatives(settings.negatives, len(self.positive), len(self.negative))
        # what does not fill a last batch is left out: one of a single pair would break normalisation
        self.per_epoch = max(1, (len(self.positive) + self.most) // self.size)
        whole = settings.epochs * self.per_epoch
        self.steps = min(whole, settings.max_steps or whole)

    def batches(self, start: int, team: Team = ALONE) -> Iterator[list[Pair]]:
        """The pairs of every step from `start` on. team: of the processes that each take a part."""
        for epoch in range(start // self.per_epoch, -(-self.steps // self.per_epoch)):
            rng = np.random.default_rng([*self.seed, epoch])
            drawn = np.concatenate([self.positive, rng.choice(self.negative, self.most, replace=False)])
            drawn = rng.permutation(drawn)
            flip = rng.random(len(drawn)) < 0.5
            first = epoch * self.per_epoch
            for step in range(max(start, first), min(self.steps, first + self.per_epoch)):
                begun = (step - first) * self.size
                whole = range(begun, min(begun + self.size, len(drawn)))
                yield [self._pair(drawn[i], flip[i]) for i in team.part(whole)]

    def _pair(self, i: int, flip: bool) -> Pair:
        rows = self.rows
        place = None if rows.stored is None else [int(value) for value in rows.stored[i]]
        stored = place if place and place[-1] else None
        labels = rows.positive[i], rows.allowed[i]
        return Pair(rows.files[i], rows.subject[i], rows.object[i], *labels, bool(flip), stored)


def most_negatives(negatives: float | str, positives: int, there: int) -> int:
    """How many negatives are taken of those that are there; negatives: times the positives, or "all"."""
    return there if isinstance(negatives, str) else min(there, round(negatives * positives))


class Crops(Dataset[Any]):
    """Crop, labels, and which predicates the classes allow, of a Pair; None where the image is broken."""

    def __init__(self, size: int, store: Path, skipped: Path, decoding: Decoding) -> None:
        self.size, self.store, self.skipped, self.decoding = size, store, skipped, decoding

    def __getitem__(self, pair: Pair) -> tuple[NDArray[np.uint8], Positives, Positives, Path] | None:
        try:
            if pair.stored is not None:
                crop = read_crop(self.store, pair.stored, self.decoding)
            else:
                image = read_image(pair.file, self.decoding)
                crop = union_crop(image, pair.subject, pair.object, self.size)
        except UnreadableError as error:
            record_skipped(self.skipped, pair.file.stem, str(error))
            return None
        crop = crop[:, ::-1] if pair.flip else crop
        pixels = np.ascontiguousarray(crop.transpose(2, 0, 1))
        return pixels, pair.positive, pair.allowed, pair.file


class Regions(Dataset[Any]):
    """Stored cells, labels, and which predicates the classes allow, of a Pair; None where none are stored."""

    def __init__(self, store: Path, skipped: Path) -> None:
        self.store, self.skipped = store, skipped

    def __getitem__(self, pair: Pair) -> tuple[Floats, Positives, Positives, Path] | None:
        if pair.stored is None:  # its image was not readable
            return None
        try:
            cells = read_cells(self.store, pair.stored, pair.flip)
        except UnreadableError as error:
            record_skipped(self.skipped, pair.file.stem, str(error))
            return None
        return cells, pair.positive, pair.allowed, pair.file


def collate(items: list[Any]) -> Batch | None:
    """A batch of those whose image was read; None where none was."""
    items = [item for item in items if item is not None]
    if not items:
        return None
    *columns, files = zip(*items, strict=True)
    crops, positive, allowed = (torch.from_numpy(np.stack(column)) for column in columns)
    return crops, positive.float(), allowed.float(), list(files)
