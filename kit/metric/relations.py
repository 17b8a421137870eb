"""The official visual relationship score: rules R7 to R10 of the published evaluator, every sort stable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.metric.judging import TASKS
from kit.metric.matching import MatchResult, match_predictions
from kit.metric.precision import average_precision, mean
from kit.tables.schema import ImageLabels, Predictions, Relations
from kit.vocabulary import vocabulary

WEIGHTS = {"mAP_relationships": 0.4, "Recall@50": 0.2, "mAP_phrases": 0.4}


@dataclass(frozen=True)
class Scores:
    """The official numbers. relationships, phrases: {mAP, weightedAP, Recall@50, Recall@100, AP{predicate}}."""

    final_score: float
    relationships: dict[str, Any]
    phrases: dict[str, Any]
    counts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dictionary with the published evaluator's keys."""
        return {
            "final_score": self.final_score,
            "relationships": self.relationships,
            "phrases": self.phrases,
            "counts": self.counts,
        }


def evaluate(truth: Relations, predictions: Predictions, labels: ImageLabels | None = None) -> Scores:
    """The official score of predictions against ground-truth relations.

    labels: the verified image labels; without them the classes of an image's relations are its verified set.
    Raises InvertedBox where a prediction that counts has an inverted box.
    """
    return score(match_predictions(truth, predictions, labels))


def score(matches: MatchResult) -> Scores:
    """The official numbers of a matches: rules R7 to R10."""
    order = matches.by_score
    predicates = len(vocabulary().predicates)
    bounds = np.cumsum([0, *np.bincount(matches.predicate, minlength=predicates)])
    top = {k: matches.rank <= k for k in (50, 100)}
    num_gt = np.bincount(matches.truth_predicate, minlength=predicates)
    total = len(matches.truth_predicate)
    tasks = {}
    for task in TASKS:
        true_positive = matches.true_positive[task]
        found = true_positive[matches.by_predicate]
        ap = {
            name: average_precision(found[bounds[p] : bounds[p + 1]], int(num_gt[p]))
            for p, name in enumerate(vocabulary().predicates)
            if num_gt[p]
        }
        tasks[task] = {
            "mAP": mean(list(ap.values())),
            "weightedAP": average_precision(true_positive[order], total),
            "Recall@50": float((true_positive & top[50]).sum() / total) if total else float("nan"),
            "Recall@100": float((true_positive & top[100]).sum() / total) if total else float("nan"),
            "AP": dict(sorted(ap.items())),
        }
    return Scores(final_score(tasks), tasks["relationships"], tasks["phrases"], matches.counts)


def score_and_ties(matches: MatchResult) -> tuple[Scores, int]:
    """`score`, and how many counted predictions tie, side by side."""
    _ = matches.by_predicate  # which both need
    with ThreadPoolExecutor(1) as pool:
        tied = pool.submit(matches.tied_rows)
        return score(matches), tied.result()


def final_score(tasks: dict[str, dict[str, Any]]) -> float:
    """0.4 mAP of relationships + 0.2 recall at 50 of relationships + 0.4 mAP of phrases."""
    return float(
        WEIGHTS["mAP_relationships"] * tasks["relationships"]["mAP"]
        + WEIGHTS["Recall@50"] * tasks["relationships"]["Recall@50"]
        + WEIGHTS["mAP_phrases"] * tasks["phrases"]["mAP"]
    )
