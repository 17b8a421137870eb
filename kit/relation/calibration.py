"""The final confidence: P(relation) with the detection scores, and one scale for all predicates.

The score of a pair is p · (s1 · s2)^e, of "is" p · s^e' (paper: not named; the runner-up took e = 1). The
calibration is a rising line on the log-odds per predicate: it leaves every AP as it is and lets predicates be
compared within an image, as Recall@50 does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.relation.held_out import EPSILON
from kit.relation.logistic import fit_logistic
from kit.relation.scored import ScoredCandidates
from kit.tables.schema import Predictions, Relations
from kit.vocabulary import IS, PREDICATES

Doubles = NDArray[np.float64]
MIN_SLOPE = 1e-3  # of a calibration


@dataclass(frozen=True, eq=False)
class ScoreCalibrator:
    """exponent: of both detection scores; is_exponent: of the object's alone.

    slope_intercept: of every predicate's Platt scaling, (predicates, 2); None for none.
    """

    exponent: float = 1.0
    is_exponent: float = 1.0
    slope_intercept: Doubles | None = None

    def predictions(self, pairs: ScoredCandidates, scorer: str) -> Predictions:
        """The predictions of scored pairs by one model's column."""
        columns = {name: getattr(pairs, name) for name in ("image", *Relations.COLUMNS)}
        return Predictions(images=pairs.images, **columns, score=self.score(pairs, scorer))

    def score(self, pairs: ScoredCandidates, scorer: str) -> Doubles:
        """The final score of every row, float64 (n,)."""
        detection_confidence = (pairs.subject_score.astype(np.float64) * pairs.object_score).clip(
            EPSILON**2, 1
        )
        exponent = np.where(pairs.predicate == IS, self.is_exponent, self.exponent)
        score = np.asarray(pairs.scores(scorer).astype(np.float64) * detection_confidence**exponent)
        if self.slope_intercept is None:
            return score
        slope, intercept = self.slope_intercept[pairs.predicate].T
        shown = np.clip(slope * log_odds(score) + intercept, -700, 700)
        return np.asarray(1 / (1 + np.exp(-shown)))

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        slope_intercept = None if self.slope_intercept is None else self.slope_intercept.tolist()
        return {
            "exponent": self.exponent,
            "is_exponent": self.is_exponent,
            "slope_intercept": slope_intercept,
        }

    @classmethod
    def of_dict(cls, values: dict[str, Any]) -> ScoreCalibrator:
        """What `as_dict` gave."""
        slope_intercept = values["slope_intercept"]
        return cls(
            values["exponent"],
            values["is_exponent"],
            None if slope_intercept is None else np.asarray(slope_intercept),
        )


def choose_exponents(
    exponents: list[float], value: Callable[[ScoreCalibrator, bool], float]
) -> tuple[ScoreCalibrator, list[dict[str, float]]]:
    """The exponents of the best validation scores, and the table of tries.

    value: a confidence's score on pairs (False) or on "is" alone (True).
    """
    tries = []
    for e in exponents:
        confidence = ScoreCalibrator(e, e)
        tries.append({"exponent": e, "pairs": value(confidence, False), "is": value(confidence, True)})
    best, best_is = (
        max(tries, key=lambda tried: float(np.nan_to_num(tried[key])))["exponent"] for key in ("pairs", "is")
    )
    return ScoreCalibrator(best, best_is), tries


def fit_platt_scaling(score: Doubles, predicate: NDArray[Any], positive: NDArray[np.bool_]) -> Doubles:
    """Platt scaling of every predicate: slope and intercept, (predicates, 2), fitted to which rows are true.

    With few true rows a line stays near that of all predicates together.
    """
    x = log_odds(score)[:, None]
    common = fit_logistic(x, positive, np.asarray([1.0, 0.0])) if len(score) else np.asarray([1.0, 0.0])
    out = np.tile(common, (len(PREDICATES), 1))
    for p in range(len(PREDICATES)):
        rows = predicate == p
        if positive[rows].any():
            out[p] = fit_logistic(x[rows], positive[rows], common)
    out[:, 0] = np.maximum(out[:, 0], MIN_SLOPE)
    return out


def log_odds(score: Doubles) -> Doubles:
    """log(s / (1 - s)) in double precision, rising also for the tiniest scores."""
    s = np.clip(score, 1e-300, 1 - 1e-15)
    return np.asarray(np.log(s) - np.log1p(-s))
