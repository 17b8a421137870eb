"""A split as tables: its relations, its objects, and which labels are verified in which image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.config import SplitFiles
from kit.data.objects import objects_of
from kit.tables.schema import Boxes, ImageLabels, Relations
from kit.vocabulary import vocabulary


@dataclass(frozen=True, eq=False)
class SplitTables:
    """relations, objects: under one numbering of images; labels: verified image labels, None without a file."""

    relations: Relations
    objects: Boxes
    labels: ImageLabels | None

    def verified(self) -> NDArray[np.bool_]:
        """Which labels count in which image (metric rule R2); bool, shape (images, labels)."""
        table = np.zeros((len(self.objects.images), vocabulary().labels), bool)
        relations = self.relations
        table[relations.image, relations.subject] = table[relations.image, relations.object] = True
        if self.labels is not None:
            labels = self.labels.of_images(self.objects.images)
            table[labels.image, labels.label] = True
        return table


def load_split(split: SplitFiles, name: str) -> SplitTables:
    """Read a split; rows with labels that are not the challenge's are left out.

    Raises KitError where no relations are configured, FileFault at a faulty file.
    """
    from kit.tables.official import read_boxes, read_image_labels, read_relations

    if not split.relations:
        raise KitError(f"data.{name}.relations is not set", f"give it with --set data.{name}.relations=FILE")
    relations = read_relations(split.relations, skip_unknown=True)
    boxes = read_boxes(split.boxes) if split.boxes else None
    labels = read_image_labels(split.labels, skip_unknown=True) if split.labels else None
    for table, kind in ((boxes, "boxes"), (labels, "labels")):
        if table is not None and not set(table.images) & set(relations.images):
            raise KitError(
                f"data.{name}.{kind}: none of its images is in data.{name}.relations",
                f"set both, or --set data.{name}.{kind}=[]",
            )
    objects = objects_of(relations, boxes)
    return SplitTables(relations.of_images(objects.images), objects, labels)
