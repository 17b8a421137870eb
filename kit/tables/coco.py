"""COCO instances files in: images, boxes and class names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault
from kit.tables.coco_records import (
    FORM,
    INSTANCES,
    CocoImages,
    Doubles,
    as_fractions,
    classes_of,
    json_content,
    numbers_of,
    record_name,
    records_of,
    references,
    shown,
)
from kit.tables.left_out import LeftOut
from kit.tables.schema import Boxes


def read_instances(path: Path) -> tuple[Boxes, tuple[str, ...]]:
    """Boxes (normalised; image ids are file names without ending, crowds are group-of) and class names.

    Labels index the names in the order of the file's category ids. Boxes without area are left out; a notice
    tells of these, of crowds and of boxes that are clipped to their image.
    Raises FileFault, also on a box that lies outside its image by more than rounding, and where no box is left.
    """
    content = json_content(path, INSTANCES)
    if not isinstance(content, dict):
        raise FileFault(path, f"not {INSTANCES} (no object at its top)")
    records = {name: records_of(path, content, name) for name in ("images", "categories", "annotations")}
    images = CocoImages.of(path, records["images"])
    label, classes = classes_of(path, records["categories"])
    image, kind, box, crowd = _annotations(path, records["annotations"], images, label)
    left = LeftOut(path, len(image), "annotations")

    def place(row: int) -> str:
        return record_name("annotation", row, records["annotations"][row])

    size, pixels = images.size[image], box
    box, beyond = as_fractions(path, left, pixels, size, place)
    if beyond.any():
        row = int(np.argmax(beyond))
        wide, high = size[row]
        text = f"bbox {shown(pixels[row])} lies outside the image of {wide:g} x {high:g} pixels"
        raise FileFault(path, f"{place(row)}: {text}", hint=FORM)
    flat = (box[:, 0] >= box[:, 2]) | (box[:, 1] >= box[:, 3])
    left.leave(flat, "boxes without area", place)
    crowds = crowd & left.kept
    left.tell(crowds, int(left.kept.sum()), "boxes", "are crowds, which training ignores", place)
    left.warn()
    boxes = Boxes(images.names, image, kind, box.astype(np.float32), crowd).take(left.kept)
    if not len(boxes):
        raise FileFault(path, "no box with an area in the whole file")
    return boxes, classes


def _annotations(
    path: Path, records: list[dict[str, Any]], images: CocoImages, label: dict[Any, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Doubles, NDArray[np.bool_]]:
    """Image number, label, (x, y, width, height) in pixels and crowd flag of every annotation."""
    image = references(path, "annotation", records, "image_id", images.number)
    kind = references(path, "annotation", records, "category_id", label)
    box = numbers_of(path, "annotation", records, lambda record: record["bbox"], 4)
    crowd = numbers_of(path, "annotation", records, lambda record: (record.get("iscrowd", 0),), 1)[:, 0] > 0
    return image, kind, box, crowd
