"""Images that show errors: the predicted or true pair drawn on its photo, as small JPEGs inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator

import numpy as np

from kit.base.errors import KitError
from kit.data.decode import UnreadableError, read_image
from kit.data.photos import photo_path
from kit.pipeline.splits import image_folder
from kit.report.blocks import Picture
from kit.report.drawing import DrawnObject, DrawnRelation, draw
from kit.report.results import RunResults
from kit.tables.schema import Predictions, Relations
from kit.vocabulary import IS, PREDICATES, vocabulary

QUALITY = 80  # of the JPEGs
LONGEST = 640  # pixels of their longer side


def pair_picture(
    results: RunResults, table: Relations, row: int, text: str, *, correct: bool | None = None
) -> Picture | None:
    """A relation on its image; None where the image cannot be had. correct: as in `DrawnRelation`."""
    names = vocabulary().names
    score = float(table.score[row]) if isinstance(table, Predictions) else None
    subject, object_ = names[table.subject[row]], names[table.object[row]]
    if table.predicate[row] == IS:
        objects = [DrawnObject(subject, table.subject_box[row], score, (object_,))]
        relations = []
    else:
        objects = [
            DrawnObject(subject, table.subject_box[row]),
            DrawnObject(object_, table.object_box[row]),
        ]
        relations = [DrawnRelation(0, 1, PREDICATES[table.predicate[row]], score, correct)]
    try:
        path = photo_path(image_folder(results.config, results.split), table.images[table.image[row]])
        image = read_image(path, results.config.data.decoding())
    except (KitError, UnreadableError):
        return None
    return Picture(_data_address(draw(np.ascontiguousarray(image[:, :, ::-1]), objects, relations)), text)


def relation_text(table: Relations, row: int) -> str:
    """A relation in words."""
    names = vocabulary().names
    predicate = PREDICATES[table.predicate[row]].replace("_", " ")
    return f"{names[table.subject[row]]} {predicate} {names[table.object[row]]}"


def spread_out(rows: Iterable[int], table: Relations, count: int) -> Iterator[int]:
    """The first of some rows, at most so many: of other images and, as long as there are any, other predicates."""
    left = list(rows)
    images: set[int] = set()
    predicates: set[int] = set()
    for anew in (True, False):
        for row in left:
            image, predicate = int(table.image[row]), int(table.predicate[row])
            if len(images) < count and image not in images and not (anew and predicate in predicates):
                images.add(image)
                predicates.add(predicate)
                yield row


def _data_address(image: np.ndarray) -> str:
    from PIL import Image

    shown = Image.fromarray(image)
    shown.thumbnail((LONGEST, LONGEST))
    data = io.BytesIO()
    shown.save(data, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
