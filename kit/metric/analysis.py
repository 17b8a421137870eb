"""The analysis beyond the official numbers, in one dictionary."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.base.progress import Progress, silent
from kit.metric.error_analysis import error_kinds
from kit.metric.judging import TASKS
from kit.metric.matching import MatchResult
from kit.metric.resample import Resampler, interval, leave_one_predicate_out
from kit.tables.schema import Predictions, Relations


def analyse(
    matches: MatchResult,
    truth: Relations,
    predictions: Predictions,
    *,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Bootstrap intervals (95%), score without each predicate, simulated boards, kinds of errors."""
    resampler = Resampler(matches)
    drawn = list(progress(resampler.bootstrap(resamples, seed), resamples, "bootstrap"))
    boards = np.asarray(
        list(
            progress(
                resampler.simulated_leaderboards(resamples, seed), resamples, "public and private boards"
            )
        )
    )
    return {
        "resamples": resamples,
        "seed": seed,
        "bootstrap": {
            "final_score": interval([d["final_score"] for d in drawn]),
            "Recall@50": interval([d["relationships"]["Recall@50"] for d in drawn]),
            **{task: _per_predicate(drawn, task, resampler) for task in TASKS},
        },
        "without": leave_one_predicate_out(resampler),
        "boards": {
            "public": interval(boards[:, 0].tolist()),
            "private": interval(boards[:, 1].tolist()),
            "private_minus_public": interval((boards[:, 1] - boards[:, 0]).tolist()),
        },
        "errors": error_kinds(matches, truth, predictions).table(),
    }


def _per_predicate(drawn: list[dict[str, Any]], task: str, resampler: Resampler) -> dict[str, Any]:
    names = [curve.name for curve in resampler.curves]
    return {
        "mAP": interval([d[task]["mAP"] for d in drawn]),
        "AP": {n: interval([d[task]["AP"].get(n, float("nan")) for d in drawn]) for n in sorted(names)},
    }
