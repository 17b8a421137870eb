"""What became of every prediction: right, the kind of its error, or not judged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.metric.error_analysis import KINDS, error_kinds
from kit.metric.matching import MatchResult
from kit.tables.schema import Predictions, Relations

RIGHT, NOT_JUDGED = "right", "not judged"
VERDICTS = (RIGHT, *KINDS, NOT_JUDGED)


def verdicts(matches: MatchResult, truth: Relations, predictions: Predictions) -> NDArray[np.int64]:
    """Index into VERDICTS of every prediction, (n,).

    Not judged: what the metric leaves out, as nobody has verified its labels in that image.
    """
    found = np.full(len(predictions), len(VERDICTS) - 1)
    found[matches.rows] = error_kinds(matches, truth, predictions).kind + 1  # -1: a true positive
    return found
