"""What the false positives are, and what each kind of them costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.boxes import iou
from kit.metric.matching import MatchResult
from kit.metric.relations import score
from kit.tables.join import THRESHOLD, join_rows
from kit.tables.schema import Predictions, Relations
from kit.vocabulary import vocabulary

KINDS = (
    "duplicate",
    "predicate wrong",
    "label wrong",
    "subject box missed",
    "object box missed",
    "not in the truth",
)


@dataclass(frozen=True, eq=False)
class ErrorKinds:
    """kind: int (n,) index into KINDS of every counted prediction, -1 for a true positive."""

    kind: NDArray[np.int64]
    matches: MatchResult

    def table(self) -> list[dict[str, Any]]:
        """Per kind: rows, rows per predicate, and the final score had these rows not been there."""
        base = score(self.matches).final_score
        predicates = vocabulary().predicates
        rows = []
        for k, name in enumerate(KINDS):
            mask = self.kind == k
            per = np.bincount(self.matches.predicate[mask], minlength=len(predicates))
            gain = score(self.matches.subset(~mask)).final_score - base if mask.any() else 0.0
            rows.append(
                {
                    "kind": name,
                    "rows": int(mask.sum()),
                    "score_gain_without": gain,
                    "per_predicate": {p: int(n) for p, n in zip(predicates, per, strict=True) if n},
                }
            )
        return rows


def error_kinds(matches: MatchResult, truth: Relations, predictions: Predictions) -> ErrorKinds:
    """Give every counted false positive the first kind that fits, in the order of KINDS.

    duplicate: a truth row of its triplet lies under both boxes (already taken, or not its best);
    predicate wrong: both boxes and labels right; label wrong: both boxes right;
    subject or object box missed: triplet and the other box right.
    """
    counted = predictions.take(matches.rows)
    wrong = np.flatnonzero(~matches.true_positive["relationships"])
    kind = np.full(len(counted), -1)
    kind[wrong] = len(KINDS) - 1
    for left, t in join_rows(matches.image[wrong], matches.truth_image, chunk=1 << 17):
        p = wrong[left]
        subject = iou(counted.subject_box[p], truth.subject_box[t]) >= THRESHOLD
        object_ = iou(counted.object_box[p], truth.object_box[t]) >= THRESHOLD
        labels = (counted.subject[p] == truth.subject[t]) & (counted.object[p] == truth.object[t])
        triplet = labels & (counted.predicate[p] == truth.predicate[t])
        both = subject & object_
        fits = [triplet & both, labels & both, both, triplet & object_, triplet & subject]
        first = np.select(fits, range(len(fits)), len(KINDS) - 1)
        np.minimum.at(kind, p, first)
    return ErrorKinds(kind, matches)
