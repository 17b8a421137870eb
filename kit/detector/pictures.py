"""Pictures with boxes as the detectors read them: annotations for the workers, decoding, what was skipped."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kit.data.photos import photo_names
from kit.errors import KitError
from kit.files import reading, whole
from kit.tables.schema import Boxes

Pixels = NDArray[np.uint8]
GONE = "not there"


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """boxes: of pictures in `folder`, labels index `classes`; missing: ids of boxes without a picture."""

    folder: Path
    boxes: Boxes
    classes: tuple[str, ...]
    missing: tuple[str, ...] = ()


def labelled_pictures(folder: Path, boxes: Boxes, classes: Sequence[str]) -> LabelledPictures:
    """The pictures that are there. Raises KitError where there is none."""
    if not folder.is_dir():
        raise KitError(f"{folder}: no such folder of pictures", "run `kit download`, or set data.*.images")
    there = photo_names(folder)
    found = [name for name in boxes.images if name in there]
    if not found:
        raise KitError(f"{folder}: none of the {len(boxes.images)} annotated pictures is here")
    missing = tuple(name for name in boxes.images if name not in there)
    return LabelledPictures(folder, boxes.of_images(found), tuple(classes), missing)


def write_annotations(path: Path, boxes: Boxes) -> None:
    """Write boxes with all their pictures, also those without a box."""
    with whole(path) as part, part.open("wb") as file:
        columns = {"image": boxes.image, **{name: getattr(boxes, name) for name in boxes.COLUMNS}}
        np.savez(file, allow_pickle=False, images=np.asarray(boxes.images, np.str_), **columns)


def read_annotations(path: Path) -> Boxes:
    """The boxes that `write_annotations` wrote."""
    with reading(path, "boxes of a training", "do the stage again"), np.load(path) as columns:
        arrays = {name: columns[name] for name in ("image", *Boxes.COLUMNS)}
        return Boxes(images=tuple(columns["images"].tolist()), **arrays)


def read_picture(path: Path) -> Pixels | None:
    """The picture as (height, width, 3) in BGR order; None where it is missing or broken."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    return None if picture is None else np.asarray(picture, np.uint8)


def record_skipped(path: Path, name: str, why: str) -> None:
    """Note a picture that was left out; safe from several processes."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name},{why}\n")


def tidy_skipped(path: Path, missing: Iterable[str] = ()) -> int:
    """Write the file of skipped pictures anew, each once, with a header; their number."""
    rows = dict.fromkeys(missing, GONE)
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows |= {row[0]: row[1] for row in csv.reader(file) if len(row) == 2 and row[0] != "ImageID"}
    if rows or path.exists():
        with whole(path) as part:
            part.write_text("\n".join(["ImageID,Reason", *(f"{n},{w}" for n, w in rows.items())]) + "\n")
    return len(rows)
