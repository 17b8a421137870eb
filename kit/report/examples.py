"""Images that show errors: the predicted or true pair drawn on its photo, as small JPEGs inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.boxes import iou
from kit.data.decode import UnreadableError, read_image
from kit.data.photos import photo_path
from kit.pipeline.splits import image_folder
from kit.report.blocks import Picture
from kit.report.drawing import DrawnObject, DrawnRelation, draw
from kit.report.error_examples import Example, SplitErrors
from kit.report.results import RunResults
from kit.tables.join import THRESHOLD
from kit.tables.schema import Boxes, Detections, Predictions, Relations
from kit.vocabulary import IS, PREDICATES, vocabulary

QUALITY = 80  # of the JPEGs
LONGEST = 640  # pixels of their longer side


def example_pictures(results: RunResults, errors: SplitErrors, kind: str, most: int) -> list[Picture]:
    """Images of a kind of error, in words below; none where the images are not there."""
    pictures = []
    for example in errors.examples(kind, most):
        pixels = _image(results, example.image_id)
        if pixels is not None:
            drawn = _draw(pixels, errors, example)
            pictures.append(Picture(_data_address(drawn), " ".join(_words(errors, example, kind))))
    return pictures


def _image(results: RunResults, name: str) -> NDArray[np.uint8] | None:
    """An image of the split, RGB; None where it cannot be had."""
    try:
        path = photo_path(image_folder(results.config, results.split), name)
        return np.ascontiguousarray(read_image(path, results.config.data.decoding())[:, :, ::-1])
    except (KitError, UnreadableError):
        return None


def _rows_of(errors: SplitErrors, example: Example) -> Relations:
    return errors.tables.relations if example.side == "truth" else errors.predictions


def _draw(pixels: NDArray[np.uint8], errors: SplitErrors, example: Example) -> NDArray[np.uint8]:
    table, row, names = _rows_of(errors, example), example.row, vocabulary().names
    score = float(table.score[row]) if isinstance(table, Predictions) else None
    correct = None if example.side == "truth" else bool(errors.correct[row])
    subject, object_ = names[table.subject[row]], names[table.object[row]]
    if table.predicate[row] == IS:
        return draw(pixels, [DrawnObject(subject, table.subject_box[row], score, (object_,))], [])
    objects = [DrawnObject(subject, table.subject_box[row]), DrawnObject(object_, table.object_box[row])]
    return draw(pixels, objects, [DrawnRelation(0, 1, PREDICATES[table.predicate[row]], score, correct)])


def _words(errors: SplitErrors, example: Example, kind: str) -> Iterator[str]:
    """The relation in words, and what was seen or is true in its place."""
    table, row = _rows_of(errors, example), example.row
    if isinstance(table, Predictions):
        yield f"Predicted: {_relation(table, row)} ({table.score[row]:.2f})."
        if kind in ("label wrong", "box missed"):
            yield f"True objects there: {_objects_on(errors.tables.objects, table, row)}."
        return
    yield f"True: {_relation(table, row)}."
    if kind in ("box missed", "label wrong"):
        yield f"Detected there: {_objects_on(errors.detections, table, row)}."
    if kind == "predicate wrong":
        best = _best_on_pair(errors.predictions, table, row)
        yield f"Predicted: {_relation(errors.predictions, best)} ({errors.predictions.score[best]:.2f})."


def _relation(table: Relations, row: int) -> str:
    names = vocabulary().names
    predicate = PREDICATES[table.predicate[row]].replace("_", " ")
    return f"{names[table.subject[row]]} {predicate} {names[table.object[row]]}"


def _objects_on(objects: Boxes | Detections, table: Relations, row: int) -> str:
    """The object on each box of a relation, the surest or the best overlapping: "Dog (0.90), none"."""
    rows = np.flatnonzero(objects.image == table.image[row])
    boxes = [table.subject_box[row]]
    boxes += [] if table.predicate[row] == IS else [table.object_box[row]]
    seen = []
    for box in boxes:
        overlap = iou(np.broadcast_to(box, (len(rows), 4)), objects.box[rows])
        near = np.flatnonzero(overlap >= THRESHOLD)
        if not len(near):
            seen.append("none")
        elif isinstance(objects, Detections):
            best = rows[near[objects.score[rows[near]].argmax()]]
            seen.append(f"{vocabulary().names[objects.label[best]]} ({objects.score[best]:.2f})")
        else:
            seen.append(vocabulary().names[objects.label[rows[near[overlap[near].argmax()]]]])
    return ", ".join(seen)


def _best_on_pair(found: Predictions, truth: Relations, row: int) -> int:
    """The surest prediction on the pair of a true relation."""
    same = (found.image == truth.image[row]) & (found.subject == truth.subject[row])
    rows = np.flatnonzero(same & (found.object == truth.object[row]))
    overlap = np.minimum(
        *(
            iou(np.broadcast_to(box, (len(rows), 4)), boxes)
            for box, boxes in (
                (truth.subject_box[row], found.subject_box[rows]),
                (truth.object_box[row], found.object_box[rows]),
            )
        )
    )
    near = rows[overlap >= THRESHOLD]
    return int(near[found.score[near].argmax()])


def _data_address(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    shown = Image.fromarray(image)
    shown.thumbnail((LONGEST, LONGEST))
    data = io.BytesIO()
    shown.save(data, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
