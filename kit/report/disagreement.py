"""Pairs on which spatial and visual model disagree (the paper's figure 3), with what the visual one sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.boxes import iou
from kit.metric.judging import triplets
from kit.metric.matching import match_predictions
from kit.relation.crops import union_crop
from kit.relation.scored import ScoredCandidates
from kit.report.drawing import Pixels, draw
from kit.report.error_panels import Titled, sentence
from kit.report.image_rows import drawn_relations
from kit.report.panels import captioned, side_by_side
from kit.tables.join import THRESHOLD, best_truth
from kit.tables.schema import ImageLabels, Predictions, Relations
from kit.vocabulary import IS, PREDICATES, vocabulary

MODELS = ("spatial", "visual")
CROP = 512  # pixels of the masked crop


@dataclass(frozen=True)
class Disagreement:
    """A candidate, and P(relation) by both models. correct: whether it is true, None where that is not known."""

    image_id: str
    row: int
    spatial: float
    visual: float
    correct: bool | None


def disagreements(
    candidates: ScoredCandidates, truth: Relations | None, labels: ImageLabels | None, most: int
) -> list[Disagreement]:
    """The candidates, one an image, whose scores by the two models are farthest apart, surely detected ones first.

    truth: None where it is not known; where it is, candidates that do not count for the metric are left out.
    Raises KitError where one of the models has not scored.
    """
    spatial, visual = (_scores(candidates, name) for name in MODELS)
    sure = candidates.subject_score.astype(np.float64) * candidates.object_score
    apart = np.abs(spatial - visual) * np.sqrt(sure)
    counts = candidates.predicate != IS  # which the attribute detector scores
    true = np.zeros(len(candidates), bool)
    if truth is not None:
        columns = {name: getattr(candidates, name) for name in ("image", *Relations.COLUMNS)}
        rows = Predictions(images=candidates.images, **columns, score=sure)
        counts &= np.isin(np.arange(len(rows)), match_predictions(truth, rows, labels).rows)
        true = _true(candidates, truth.of_images(candidates.images))
    order = np.flatnonzero(counts)
    order = order[np.argsort(-apart[order], kind="stable")]
    _, first = np.unique(candidates.image[order], return_index=True)
    return [
        Disagreement(
            candidates.images[candidates.image[row]],
            int(row),
            float(spatial[row]),
            float(visual[row]),
            None if truth is None else bool(true[row]),
        )
        for row in order[np.sort(first)][:most]
    ]


def _true(candidates: ScoredCandidates, truth: Relations) -> NDArray[np.bool_]:
    """Which candidates lie on a true relation of their triplet; bool (n,)."""
    size = vocabulary().labels ** 2 * len(PREDICATES)
    left, right = (t.image.astype(np.int64) * size + triplets(t) for t in (candidates, truth))

    def both_boxes(c: NDArray[np.intp], t: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.minimum(
            iou(candidates.subject_box[c], truth.subject_box[t]),
            iou(candidates.object_box[c], truth.object_box[t]),
        )

    ((_, overlap),) = best_truth(left, right, [both_boxes])
    return np.asarray(overlap >= THRESHOLD)


def disagreement_panel(image: Pixels, shown: Disagreement, candidates: ScoredCandidates) -> Pixels:
    """Both views of a disagreement side by side. image: RGB."""
    return side_by_side([captioned(*view) for view in disagreement_views(image, shown, candidates)])


def disagreement_views(
    image: Pixels, shown: Disagreement, candidates: ScoredCandidates
) -> tuple[Titled, Titled]:
    """The pair on its image with both scores, and the crop that the visual model sees. image: RGB."""
    one = candidates.take(slice(shown.row, shown.row + 1))
    judged = {True: "; it is true", False: "; it is not in the truth", None: ""}[shown.correct]
    scores = f"spatial {shown.spatial:.2f}, visual {shown.visual:.2f}"
    crop = union_crop(image, one.subject_box[0], one.object_box[0], CROP)
    left = draw(image, *drawn_relations(one, [shown.correct]))
    return (left, f"{sentence(one)}: {scores}{judged}"), (crop, "what the visual model sees")


def _scores(candidates: ScoredCandidates, name: str) -> NDArray[np.float64]:
    """A model's column. Raises KitError where it has scored no pair; "is" rows have every column filled."""
    scores = candidates.scores(name).astype(np.float64) if name in candidates.COLUMNS else None
    if scores is None or np.isnan(scores[candidates.predicate != IS]).all():
        raise KitError(
            f"the {name} model has not scored these candidates", "take a run whose scorer uses both models"
        )
    return np.nan_to_num(scores)
