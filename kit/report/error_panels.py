"""An example of an error as an image: what was predicted beside what is true (the paper's figure 5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.report.drawing import Pixels, draw
from kit.report.error_examples import KINDS, NUMBER, Example, SplitErrors
from kit.report.image_rows import drawn_objects, drawn_relations, rows_of_image, top_rows
from kit.report.panels import captioned, side_by_side
from kit.tables.schema import Detections, Predictions, Relations
from kit.vocabulary import PREDICATES, vocabulary

NEAR = 0.3  # IoU with a relation's box from which something is shown beside it
MOST = 4  # of such things


def error_panel(image: Pixels, example: Example, errors: SplitErrors) -> Pixels:
    """Both sides of an example. image: RGB."""
    truth, predictions, row = errors.tables.relations, errors.predictions, slice(example.row, example.row + 1)
    if example.side == "truth":
        one = truth.take(row)
        kind, meaning = errors.truth_kind[example.row], 0
        left, right = draw(image, *drawn_relations(one)), _found(image, example, one, errors)
        titles = f"true: {sentence(one)}", "found near it"
    else:
        one = predictions.take(row)
        kind, meaning = errors.prediction_kind[example.row], 1
        left = draw(image, *drawn_relations(one, [kind == NUMBER["right"]]))
        known = truth.take(rows_of_image(truth, example.image_id))
        near = known.take(_nearness(known, one) >= NEAR)
        right = draw(image, *drawn_relations(near if len(near) else known))
        titles = f"predicted: {sentence(one)}", _title(len(near), len(known))
    name = list(KINDS)[kind]
    return side_by_side(
        [captioned(left, f"{name} ({KINDS[name][meaning]}): {titles[0]}"), captioned(right, titles[1])]
    )


def _title(near: int, known: int) -> str:
    """What is shown beside a prediction."""
    if near:
        return "true on these boxes"
    return "true, on other boxes" if known else "no relation is annotated in this image"


def sentence(rows: Relations) -> str:
    """The first row in words: "Man holds Guitar", with a prediction's score."""
    names = vocabulary().names
    words = f"{names[rows.subject[0]]} {PREDICATES[rows.predicate[0]]} {names[rows.object[0]]}".replace(
        "_", " "
    )
    return f"{words}, {rows.score[0]:.2f}" if isinstance(rows, Predictions) else words


def _found(image: Pixels, example: Example, one: Relations, errors: SplitErrors) -> Pixels:
    """The detections on a true relation's boxes; its predictions where it was ranked low."""
    if errors.truth_kindslice(example.row, example.row + 1) == NUMBER["ranked low"]:
        found = errors.predictions.take(rows_of_image(errors.predictions, example.image_id))
        found = found.take(_nearness(found, one) >= NEAR)
        return draw(image, *drawn_relations(found.take(top_rows(found.score, MOST))))
    seen: Detections = errors.detections.take(rows_of_image(errors.detections, example.image_id))
    nearest = np.maximum(_overlap(seen.box, one.subject_box), _overlap(seen.box, one.object_box))
    seen = seen.take(nearest >= NEAR)
    return draw(image, drawn_objects(seen.take(top_rows(seen.score, MOST))), [])


def _nearness(rows: Relations, one: Relations) -> NDArray[np.float64]:
    """The smaller IoU of both boxes with those of one relation; (n,)."""
    return np.minimum(_overlap(rows.subject_box, one.subject_box), _overlap(rows.object_box, one.object_box))


def _overlap(boxes: NDArray[np.float32], one: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.nan_to_num(iou(boxes, np.repeat(one, len(boxes), axis=0)))
