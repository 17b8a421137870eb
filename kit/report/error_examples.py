"""Where relations are lost and which predictions are wrong, by kind (the paper's figure 5), with examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.base.split_names import SplitName
from kit.boxes import iou
from kit.data.split_tables import SplitTables
from kit.metric import error_analysis
from kit.metric.judging import triplets
from kit.metric.matching import MatchResult, match_predictions
from kit.metric.relations import score
from kit.pipeline.models import check_scorer
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.splits import split_tables
from kit.relation.recall import best_rank, detected_relations
from kit.relation.scored import ScoredCandidates
from kit.report.split_results import split_candidates, split_detections, split_predictions
from kit.tables.join import THRESHOLD, join_rows
from kit.tables.schema import Detections, Predictions, Relations
from kit.vocabulary import PREDICATES, vocabulary

Kinds = NDArray[np.int64]
Side = Literal["truth", "prediction"]
RANK = 50  # of Recall@50: what a relation must be found within
KINDS = {  # with what each means for a true relation, and for a prediction
    "right": ("found within the image's first 50", "on a true relation"),
    "box missed": ("no detection on one of its boxes", "right but for one box"),
    "label wrong": ("detected, but under another class", "on the boxes of a true relation of other classes"),
    "pair pruned": ("detected, but the pair is no candidate", ""),
    "predicate wrong": (
        "another predicate of the pair scores higher",
        "on a true relation of other predicate",
    ),
    "ranked low": ("not within the image's first 50", ""),
    "duplicate": ("", "on a true relation that a surer one has"),
    "unlabelled but plausible": (
        "",
        "between two true objects, as sure as half of the right ones, not annotated",
    ),
    "not in the truth": ("", "anything else"),
}
NUMBER = {name: i for i, name in enumerate(KINDS)}
MISSES = ("box missed", "label wrong", "pair pruned", "ranked low")  # shown by true relations


@dataclass(frozen=True)
class Example:
    """A row of a kind: of the truth's relations, or of the counted predictions."""

    image_id: str
    side: Side
    row: int


@dataclass(frozen=True, eq=False)
class SplitErrors:
    """Every true relation and every counted prediction of a split with its kind: int, index into KINDS.

    predictions: those that count by the metric's rules; all tables number the images of `tables.objects`.
    """

    tables: SplitTables
    detections: Detections
    predictions: Predictions
    matches: MatchResult
    truth_kind: Kinds
    prediction_kind: Kinds

    def table(self) -> list[dict[str, Any]]:
        """Per kind: true relations, their share, predictions, and the final score had these not been there."""
        base = score(self.matches).final_score
        rows = []
        for name, i in NUMBER.items():
            truths, wrong = self.truth_kind == i, self.prediction_kind == i
            gain = 0.0
            if wrong.any() and name != "right":
                gain = score(self.matches.subset(~wrong)).final_score - base
            rows.append(
                {
                    "kind": name,
                    "relations": int(truths.sum()),
                    "share": float(truths.mean()) if len(truths) else 0.0,
                    "predictions": int(wrong.sum()),
                    "score_gain_without": gain,
                    "relations_per_predicate": _per_predicate(self.tables.relations, truths),
                    "predictions_per_predicate": _per_predicate(self.predictions, wrong),
                }
            )
        return rows

    def examples(self, kind: str, most: int) -> list[Example]:
        """Rows of a kind, one an image, its predicates by turns, the surest first.

        Raises KitError for no such kind.
        """
        if kind not in KINDS:
            raise KitError(f"no kind of error {kind!r}", f"kinds: {', '.join(KINDS)}")
        side: Side = "truth" if kind in MISSES else "prediction"
        rows_of: Relations = self.tables.relations if side == "truth" else self.predictions
        kinds = self.truth_kind if side == "truth" else self.prediction_kind
        rows = np.flatnonzero(kinds == NUMBER[kind])
        if side == "prediction":
            rows = rows[np.argsort(-self.predictions.score[rows], kind="stable")]
        _, first = np.unique(
            np.stack([rows_of.image[rows], rows_of.predicate[rows]]), axis=1, return_index=True
        )
        rows = rows[np.sort(first)]
        turn = _turns(rows_of.predicate[rows])
        chosen: dict[str, Example] = {}
        for row in rows[np.argsort(turn, kind="stable")]:
            name = rows_of.images[rows_of.image[row]]
            chosen.setdefault(name, Example(name, side, int(row)))
        return list(chosen.values())[:most]

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Which counted predictions are right; bool (n,)."""
        return self.prediction_kind == NUMBER["right"]


def error_kinds(pipeline: Pipeline, split: SplitName, scorer: str | None = None) -> SplitErrors:
    """The kinds of a split's relations and predictions in a run. scorer: default `relation.scorer`.

    Raises KitError where the split has no truth, or a stage is not finished.
    """
    config = pipeline.run.config
    scorer = check_scorer(config, scorer or config.relation.scorer)
    return errors_of(
        split_tables(config, split),
        split_detections(pipeline, split),
        split_candidates(pipeline, split, scorer),
        split_predictions(pipeline, split, scorer),
    )


def errors_of(
    tables: SplitTables, detections: Detections, candidates: ScoredCandidates, predictions: Predictions
) -> SplitErrors:
    """The kinds of true relations and of the predictions that count."""
    truth, images = tables.relations, tables.objects.images
    detections, candidates, predictions = (
        detections.of_images(images),
        candidates.of_images(images),
        predictions.of_images(images),
    )
    matches = match_predictions(truth, predictions, tables.labels)
    counted = predictions.take(matches.rows)
    prediction_kind = _prediction_kinds(tables, predictions, counted, matches)
    truth_kind = _truth_kinds(truth, detections, candidates, counted, matches)
    return SplitErrors(tables, detections, counted, matches, truth_kind, prediction_kind)


def _prediction_kinds(
    tables: SplitTables, predictions: Predictions, counted: Predictions, matches: MatchResult
) -> Kinds:
    """The metric's own kinds; of what has no true relation on both boxes, the plausible ones are told apart."""
    found = error_analysis.error_kinds(matches, tables.relations, predictions).kind
    names = ["box missed" if "box missed" in name else name for name in error_analysis.KINDS]
    kinds = np.array([*(NUMBER[name] for name in names), NUMBER["right"]])[found]
    objects = tables.objects
    true_objects = Detections(
        objects.images, objects.image, objects.label, np.ones(len(objects)), objects.box
    )
    wrong = np.isin(kinds, [NUMBER["box missed"], NUMBER["not in the truth"]])
    rows = np.flatnonzero(wrong & _as_sure(counted, kinds == NUMBER["right"]))
    kinds[rows[detected_relations(counted.take(rows), true_objects)]] = NUMBER["unlabelled but plausible"]
    return kinds


def _as_sure(predictions: Predictions, right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which predictions score as high as half of the right ones of their predicate."""
    least = np.full(len(PREDICATES), np.inf)
    for p in np.unique(predictions.predicate[right]):
        least[p] = np.median(predictions.score[right & (predictions.predicate == p)])
    return np.asarray(predictions.score >= least[predictions.predicate])


def _truth_kinds(
    truth: Relations,
    detections: Detections,
    candidates: ScoredCandidates,
    counted: Predictions,
    matches: MatchResult,
) -> Kinds:
    """The first kind that fits each true relation: found, lost by the detectors, as a pair, or by its score."""
    hits = counted.take(matches.true_positive["relationships"] & (matches.rank <= RANK))
    best, own = (_covering_score(truth, counted, any_predicate=p) for p in (True, False))
    fits = {
        "right": _covering_score(truth, hits, any_predicate=False) > 0,
        "box missed": ~detected_relations(truth, detections, labels=False),
        "label wrong": ~detected_relations(truth, detections),
        "pair pruned": best_rank(truth, candidates) == np.iinfo(np.int64).max,
        "predicate wrong": best > own,
    }
    return np.select(list(fits.values()), [NUMBER[name] for name in fits], NUMBER["ranked low"])


def _covering_score(
    truth: Relations, predictions: Predictions, *, any_predicate: bool
) -> NDArray[np.float64]:
    """The best score on both boxes of each true relation, by its triplet or any predicate; (m,), 0 for none."""
    step = len(PREDICATES) if any_predicate else 1
    size = vocabulary().labels ** 2 * len(PREDICATES)
    left, right = (t.image.astype(np.int64) * size + triplets(t) // step for t in (truth, predictions))
    out = np.zeros(len(truth))
    for t, p in join_rows(left, right):
        near = np.minimum(
            iou(truth.subject_box[t], predictions.subject_box[p]),
            iou(truth.object_box[t], predictions.object_box[p]),
        )
        np.maximum.at(out, t[near >= THRESHOLD], predictions.score[p[near >= THRESHOLD]])
    return out


def _turns(predicate: NDArray[Any]) -> NDArray[np.int64]:
    """Of each row, how many before it have its predicate: sorted by it, predicates come by turns."""
    order = np.argsort(predicate, kind="stable")
    ranked = predicate[order]
    out = np.empty(len(order), np.int64)
    out[order] = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    return out


def _per_predicate(table: Relations, rows: NDArray[np.bool_]) -> dict[str, int]:
    counts = np.bincount(table.predicate[rows], minlength=len(PREDICATES))
    return {name: int(n) for name, n in zip(PREDICATES, counts, strict=True) if n}
