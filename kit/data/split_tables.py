"""A split as tables: its relations, its objects, and which labels are verified in which image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.config import SplitFiles
from kit.data.objects import Objects, objects_of
from kit.data.split_cache import SplitCache
from kit.tables.image_ids import images_of
from kit.tables.official import read_boxes, read_relations, read_verified_labels
from kit.tables.schema import Boxes, Relations, VerifiedLabels
from kit.vocabulary import vocabulary

NOTHING_KEPT = SplitCache()


@dataclass(frozen=True, eq=False)
class SplitTables:
    """relations, objects: under one numbering of images; labels: verified image labels, None without a file.

    objects: the true ones, or detections in their place.
    """

    relations: Relations
    objects: Objects
    labels: VerifiedLabels | None

    def verified(self) -> NDArray[np.bool_]:
        """Which labels count in which image (metric rule R2); bool, shape (images, labels)."""
        table = np.zeros((len(self.objects.images), vocabulary().labels), bool)
        relations = self.relations
        table[relations.image, relations.subject] = table[relations.image, relations.object] = True
        if self.labels is not None:
            labels = self.labels.of_images(self.objects.images)
            table[labels.image, labels.label] = True
        return table


def load_split(
    split: SplitFiles, name: str, cache: SplitCache = NOTHING_KEPT, judged: bool = False
) -> SplitTables:
    """Read a split; rows with labels that are not the challenge's are left out.

    The images are those of the relations and of the boxes. One without a relation counts too: the paper (3.1)
    takes every pair of ground-truth boxes that can be related; a pair counts where both labels are verified. So
    Open Images' own files of all 600 classes serve beside the challenge's.

    cache: of tables that were read before; judged: as in `load_labels`. Raises KitError where no relations are
    configured, FileFault at a faulty file.
    """
    if not split.relations:
        raise KitError(f"data.{name}.relations is not set", f"give it with --set data.{name}.relations=FILE")
    files = [*split.relations, *split.boxes]
    read = lru_cache(partial(read_relations, split.relations, skip_unknown=True))

    def objects_and_check() -> Boxes:
        relations = read()
        boxes = load_boxes(split, name, cache) if split.boxes else None
        if boxes is not None:
            _refuse_strange(name, "boxes", boxes.images, relations.images)
        return objects_of(relations, boxes)

    objects = cache.table(f"{name}-objects", files, Boxes, objects_and_check)
    relations = cache.table(f"{name}-relations", files, Relations, lambda: read().of_images(objects.images))
    labels = load_labels(split, name, cache, judged)
    if labels is not None:
        _refuse_strange(name, "labels", labels.images, images_of(relations))
    return SplitTables(relations, objects, labels)


def load_boxes(split: SplitFiles, name: str, cache: SplitCache = NOTHING_KEPT) -> Boxes:
    """The ground-truth boxes of a split, or the objects of its relations where it has no boxes file."""
    if split.boxes:
        return cache.table(f"{name}-boxes", split.boxes, Boxes, lambda: read_boxes(split.boxes))
    if not split.relations:
        raise KitError(f"data.{name}.boxes is not set", f"give it with --set data.{name}.boxes=FILE")
    objects = load_split(split.model_copy(update={"labels": []}), name, cache).objects
    assert isinstance(objects, Boxes)
    return objects


def load_labels(
    split: SplitFiles, name: str, cache: SplitCache = NOTHING_KEPT, judged: bool = False
) -> VerifiedLabels | None:
    """The verified image labels of a split; None where it has no file of them.

    judged: whether it counts which are present, as it does with a class hierarchy alone; else all are.
    """
    if not split.labels:
        return None
    read = partial(read_verified_labels, split.labels, judged)
    return cache.table(f"{name}-{'judged-' if judged else ''}labels", split.labels, VerifiedLabels, read)


def _refuse_strange(name: str, kind: str, images: Sequence[str], known: Sequence[str]) -> None:
    """Raise KitError where none of a table's images has relations."""
    if set(known).isdisjoint(images):
        raise KitError(
            f"data.{name}.{kind}: none of its images is in data.{name}.relations",
            f"set both, or --set data.{name}.{kind}=[]",
        )
