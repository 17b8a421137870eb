"""COCO results in and out: detections as JSON records of image_id, category_id, bbox (pixels) and score.

The records are a list, or the annotations of a file that has its images and categories beside them. A list says
neither the images' names and sizes nor the classes' names: these come from a COCO file of images and categories, or
the sizes from the images themselves, whose names are then the ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault, KitError
from kit.base.files import atomic_write, open_compressed, write_text
from kit.tables.class_mids import class_mids
from kit.tables.coco_records import (
    FORM,
    CocoImages,
    as_fractions,
    classes_of,
    json_content,
    numbers_of,
    record_name,
    records_of,
    references,
)
from kit.tables.detection_rows import DetectionRows
from kit.tables.left_out import LeftOut
from kit.tables.official_columns import IMAGE, LABEL, SCORE
from kit.tables.schema import Detections
from kit.tables.side_files import NOTHING, SideFiles, Sizes
from kit.vocabulary import vocabulary

RESULTS, DESCRIPTION = "COCO results", "a COCO file of images and categories"
COLUMNS = {IMAGE.name: "image_id", LABEL.name: "category_id", SCORE.name: "score"}
DIGITS = 4  # decimals of a pixel
NEED = f"give {DESCRIPTION} (--images FILE, data.*.detection_images)"
Categories = tuple[dict[Any, int], tuple[str, ...]]  # label of every category id, names by label
Records = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class _Source:
    """rows: the record of every row that is kept."""

    path: Path
    records: Records
    rows: NDArray[np.int64]

    def place(self, row: int) -> str:
        record = int(self.rows[row])
        return record_name("detection", record, self.records[record])

    def fault(self, row: int, column: str, problem: str, hint: str = "") -> FileFault:
        name = COLUMNS.get(column, "bbox")
        return FileFault(
            self.path, f"{self.place(row)}: {name}: {problem}", hint=FORM if name == "bbox" else hint
        )


def read_coco(path: Path | str, beside: SideFiles = NOTHING) -> DetectionRows:
    """The detections of COCO results, in file order. Those of images that are not described are left out, told.

    Raises FileFault with the record; KitError where nothing says the images' sizes or the classes' names.
    """
    path = Path(path)
    content = json_content(path, RESULTS)
    records = _results(path, content)
    images, categories = _described(path, content, records, beside)
    left = LeftOut(path, len(records), "detections")

    def place(row: int) -> str:
        return record_name("detection", row, records[row])

    strange = np.asarray([_unhashable(r) or r["image_id"] not in images.number for r in records], bool)
    if len(records) and strange.all():
        raise FileFault(
            path, f"{place(0)}: image_id {records[0].get('image_id')!r} is no image's, nor is any"
        )
    left.leave(strange, "image_id of no image", place)
    rows = np.flatnonzero(left.kept)
    kept = [records[i] for i in rows]
    image = references(path, "detection", kept, "image_id", images.number)
    label = references(path, "detection", kept, "category_id", categories[0])
    box = numbers_of(path, "detection", kept, lambda record: record["bbox"], 4)
    score = numbers_of(path, "detection", kept, lambda record: (record["score"],), 1)[:, 0]
    source = _Source(path, records, rows)
    box, _ = as_fractions(path, left, box, images.size[image], source.place)
    left.warn()
    return DetectionRows(source, images.names, image, class_mids(categories[1]), label, score, box)


def _unhashable(record: dict[str, Any]) -> bool:
    return not isinstance(record.get("image_id"), (int, float, str))


def _results(path: Path, content: Any) -> Records:
    if isinstance(content, dict):
        return records_of(path, content, "annotations", RESULTS)
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise FileFault(path, f"not {RESULTS}: no list of records")
    return content


def _described(
    path: Path, content: Any, records: Records, beside: SideFiles
) -> tuple[CocoImages, Categories]:
    """The images and the categories that the records refer to."""
    if beside.images is not None:
        return read_description(beside.images)
    if isinstance(content, dict) and "images" in content:
        images, categories = (records_of(path, content, name, RESULTS) for name in ("images", "categories"))
        return CocoImages.of(path, images), classes_of(path, categories)
    if beside.sizes is None or beside.classes is None:
        lacking = "the images' sizes" if beside.sizes is None else "the names of the categories"
        raise KitError(f"{path}: {RESULTS} do not say {lacking}", NEED)
    classes = json_content(beside.classes, "a COCO file of categories")
    whole = classes if isinstance(classes, dict) else {}
    categories = records_of(beside.classes, whole, "categories", "a COCO file of categories")
    return _of_files(records, beside.sizes), classes_of(beside.classes, categories)


def read_description(path: Path) -> tuple[CocoImages, Categories]:
    """The images and categories of a COCO file, with or without annotations. Raises FileFault."""
    content = json_content(path, DESCRIPTION)
    if not isinstance(content, dict):
        raise FileFault(path, f"not {DESCRIPTION} (no object at its top)")
    images, categories = (records_of(path, content, name, DESCRIPTION) for name in ("images", "categories"))
    return CocoImages.of(path, images), classes_of(path, categories)


def _of_files(records: Records, sizes: Sizes) -> CocoImages:
    """The images that records name, by the images' files: an id is a file's name, or the number that this is."""
    ids = list(dict.fromkeys(r["image_id"] for r in records if not _unhashable(r)))
    numbers = {int(name): name for name in sizes if name.isdecimal()}
    names = {i: name for i in ids if (name := numbers.get(i, str(i)) if isinstance(i, int) else i) in sizes}
    order = {name: k for k, name in enumerate(dict.fromkeys(names.values()))}
    size = np.asarray([sizes[name] for name in order], np.float64).reshape(-1, 2)
    return CocoImages(tuple(order), {i: order[name] for i, name in names.items()}, size)


def write_coco(path: Path | str, table: Detections, beside: SideFiles) -> Path | None:
    """Detections as a list of records; where no file describes the images, one is written too, and its path given.

    Without a description images and classes are numbered from 1 on. Raises KitError where the
    images' sizes are not known, or a class is not among the categories.
    """
    path = Path(path)
    vocab = vocabulary()
    classes = vocab.names[: vocab.classes]
    described = None
    if beside.images is not None:
        images, (labels, names) = read_description(beside.images)
        size = dict(zip(images.names, images.size, strict=True))
        ids = {images.names[number]: own for own, number in images.number.items()}
        of_mid = {mid: own for own, label in labels.items() for mid in [class_mids(names)[label]]}
        categories = [of_mid.get(mid) for mid in vocab.mids[: vocab.classes]]
    elif beside.sizes is not None:
        size = {name: np.asarray(beside.sizes[name], float) for name in table.images if name in beside.sizes}
        ids = {name: number for number, name in enumerate(size, 1)}
        categories = list(range(1, len(classes) + 1))
        described = path.with_name(f"images-{path.name.partition('.')[0]}.json")
    else:
        raise KitError(f"{path}: {RESULTS} are in pixels, and the images' sizes are not known", NEED)
    lacking = next((classes[k] for k in np.unique(table.label) if categories[k] is None), None)
    if lacking is not None:
        raise KitError(f"{beside.images}: no category {lacking}, of which there are detections", NEED)
    table = _with_sizes(path, table, size)
    with atomic_write(path) as part, open_compressed(part, path.name) as file:
        for i, text in enumerate(_texts(table, size, ids, categories)):
            file.write(f"{'[' if not i else ','}\n{text}".encode())
        file.write(b"\n]\n" if len(table) else b"[]\n")
    if described is not None:
        write_text(described, json.dumps(_description(size, classes)) + "\n")
    return described


def _with_sizes(path: Path, table: Detections, size: dict[str, Any]) -> Detections:
    """The rows of images whose size is known; others are left out and counted."""
    left = LeftOut(path, len(table), "detections")
    strange = np.asarray([name not in size for name in table.images], bool)[table.image]
    left.leave(strange, "size of the image not known", lambda row: table.images[table.image[row]])
    left.warn()
    if len(table) and strange.all():
        raise KitError(f"{path}: of no image with detections the size is known", NEED)
    return table.take(left.kept)


def _texts(table: Detections, size: dict[str, Any], ids: dict[str, Any], categories: Any) -> Iterator[str]:
    for image, label, score, box in zip(table.image, table.label, table.score, table.box, strict=True):
        name = table.images[image]
        pixels = box.astype(np.float64) * np.tile(size[name], 2)
        corners = [*pixels[:2], *(pixels[2:] - pixels[:2])]
        record = {"image_id": ids[name], "category_id": categories[label]}
        record |= {"bbox": [round(float(v), DIGITS) for v in corners], "score": float(str(score))}
        yield json.dumps(record)


def _description(size: dict[str, Any], classes: tuple[str, ...]) -> dict[str, Any]:
    images = [
        {"id": number, "file_name": f"{name}.jpg", "width": int(wide), "height": int(high)}
        for number, (name, (wide, high)) in enumerate(size.items(), 1)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, 1)]
    return {"images": images, "categories": categories, "annotations": []}
