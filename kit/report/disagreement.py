"""Pairs on which spatial and visual model disagree (the paper's figure 3), with what the visual one sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kit.base.errors import KitError
from kit.metric.matching import match_predictions
from kit.relation.crops import union_crop
from kit.relation.scored import ScoredCandidates
from kit.report.drawing import Pixels, draw
from kit.report.error_panels import sentence
from kit.report.image_rows import drawn_relations
from kit.report.panels import captioned, side_by_side
from kit.tables.schema import ImageLabels, Predictions, Relations
from kit.vocabulary import IS

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
    apart[candidates.predicate == IS] = -1  # scored by the attribute detector
    correct = np.full(len(candidates), -1)
    if truth is not None:
        columns = {name: getattr(candidates, name) for name in ("image", *Relations.COLUMNS)}
        rows = Predictions(images=candidates.images, **columns, score=sure)
        matches = match_predictions(truth, rows, labels)
        correct[matches.rows] = matches.true_positive["relationships"]
        apart[correct < 0] = -1
    chosen: dict[str, Disagreement] = {}
    for row in np.argsort(-apart, kind="stable"):
        if apart[row] < 0 or len(chosen) == most:
            break
        name = candidates.images[candidates.image[row]]
        judged = None if correct[row] < 0 else bool(correct[row])
        chosen.setdefault(name, Disagreement(name, int(row), float(spatial[row]), float(visual[row]), judged))
    return list(chosen.values())


def disagreement_panel(image: Pixels, shown: Disagreement, candidates: ScoredCandidates) -> Pixels:
    """The pair on its image with both scores, and the crop that the visual model sees. image: RGB."""
    one = candidates.take(slice(shown.row, shown.row + 1))
    judged = {True: "; it is true", False: "; it is not in the truth", None: ""}[shown.correct]
    scores = f"spatial {shown.spatial:.2f}, visual {shown.visual:.2f}"
    crop = union_crop(image, one.subject_box[0], one.object_box[0], CROP)
    left = draw(image, *drawn_relations(one, [shown.correct]))
    return side_by_side(
        [captioned(left, f"{sentence(one)}: {scores}{judged}"), captioned(crop, "what the visual model sees")]
    )


def _scores(candidates: ScoredCandidates, name: str) -> np.ndarray:
    scores = candidates.scores(name).astype(np.float64) if name in candidates.COLUMNS else np.full(1, np.nan)
    if len(candidates) and np.isnan(scores).all():
        raise KitError(
            f"the {name} model has not scored these candidates", "take a run whose scorer uses both models"
        )
    return np.nan_to_num(scores)
