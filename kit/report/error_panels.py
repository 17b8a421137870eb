"""An example of an error as an image: what was predicted beside what is true (the paper's figure 5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.report.drawing import Pixels, draw
from kit.report.error_examples import KINDS, Example, SplitErrors
from kit.report.image_rows import drawn_objects, drawn_relations, rows_of_image, top_rows
from kit.report.panels import captioned, side_by_side
from kit.tables.schema import Predictions, Relations
from kit.vocabulary import PREDICATES, vocabulary

Titled = tuple[Pixels, str]
NEAR = 0.3  # IoU with a relation's box from which something is shown beside it
MOST = 4  # of such things


def error_panel(image: Pixels, example: Example, errors: SplitErrors) -> Pixels:
    """What was predicted beside what is true. image: RGB."""
    name = _kind(example, errors)
    meaning = KINDS[name][example.side == "prediction"]
    (left, title), right = error_views(image, example, errors)
    return side_by_side([captioned(left, f"{name} ({meaning}): {title}"), captioned(*right)])


def error_views(image: Pixels, example: Example, errors: SplitErrors) -> tuple[Titled, Titled]:
    """An example, and what was found or is true there, each with its title. image: RGB."""
    sides = _of_truth if example.side == "truth" else _of_prediction
    return sides(image, example, errors, _kind(example, errors))


def _kind(example: Example, errors: SplitErrors) -> str:
    kinds = errors.truth_kind if example.side == "truth" else errors.prediction_kind
    return list(KINDS)[kinds[example.row]]


def _of_truth(image: Pixels, example: Example, errors: SplitErrors, kind: str) -> tuple[Titled, Titled]:
    """A true relation, and the detections on its boxes; its predictions where it was ranked low."""
    one = errors.tables.relations.take(slice(example.row, example.row + 1))
    left = draw(image, *drawn_relations(one)), f"true: {sentence(one)}"
    if kind == "ranked low":
        found = errors.predictions.take(rows_of_image(errors.predictions, example.image_id))
        found = found.take(_nearness(found, one) >= NEAR)
        shown = drawn_relations(found.take(top_rows(found.score, MOST)))
        return left, (draw(image, *shown), "predicted on its boxes")
    seen = errors.detections.take(rows_of_image(errors.detections, example.image_id))
    nearest = np.maximum(_overlap(seen.box, one.subject_box), _overlap(seen.box, one.object_box))
    seen = seen.take(nearest >= NEAR)
    return left, (draw(image, drawn_objects(seen.take(top_rows(seen.score, MOST))), []), "detected near it")


def _of_prediction(image: Pixels, example: Example, errors: SplitErrors, kind: str) -> tuple[Titled, Titled]:
    """A prediction, and the true relations on its boxes; where there is none, all of the image."""
    one = errors.predictions.take(slice(example.row, example.row + 1))
    left = draw(image, *drawn_relations(one, [kind == "right"])), f"predicted: {sentence(one)}"
    known = errors.tables.relations
    known = known.take(rows_of_image(known, example.image_id))
    near = known.take(_nearness(known, one) >= NEAR)
    right = draw(image, *drawn_relations(near if len(near) else known))
    return left, (right, _title(len(near), len(known)))


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


def _nearness(rows: Relations, one: Relations) -> NDArray[np.float64]:
    """The smaller IoU of both boxes with those of one relation; (n,)."""
    return np.minimum(_overlap(rows.subject_box, one.subject_box), _overlap(rows.object_box, one.object_box))


def _overlap(boxes: NDArray[np.float32], one: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.nan_to_num(iou(boxes, np.repeat(one, len(boxes), axis=0)))
