"""Scores and what lies behind them as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.base.text_table import table
from kit.metric.relations import Scores


def scores(title: str, result: Scores) -> str:
    """The official score: its parts, then one row a predicate."""
    relationships, phrases = result.relationships, result.phrases
    parts = table(
        title,
        ("", "value", "weight"),
        [
            ("mAP relationships", relationships["mAP"], 0.4),
            ("Recall@50 relationships", relationships["Recall@50"], 0.2),
            ("mAP phrases", phrases["mAP"], 0.4),
            ("final score", result.final_score, ""),
        ],
    )
    counts = result.counts["gt_per_predicate"]
    return parts + table(
        "Per predicate",
        ("predicate", "n", "AP", "AP phrase"),
        [(p, counts[p], ap, phrases["AP"][p]) for p, ap in relationships["AP"].items()],
    )


def evaluation(result: dict[str, Any]) -> str:
    """The evaluation of the stage `evaluate-SPLIT`: score, predicates, what detection and candidates lose."""
    detected_scores, truth = result["scores"], result["ground_truth_boxes"]
    boot = result["bootstrap"]
    low = {"final score": boot["final_score"], "Recall@50": boot["Recall@50"]}
    low |= {"mAP relationships": boot["relationships"]["mAP"], "mAP phrases": boot["phrases"]["mAP"]}
    title = f"{result['split']}, {result['scorer']}"
    detected, true = _parts(detected_scores), _parts(truth)
    rows: list[tuple[Any, ...]] = [
        (name, value, low[name]["low"], low[name]["high"], true[name]) for name, value in detected.items()
    ]
    if "detection_mAP" in result:
        rows.append(("detection mAP", result["detection_mAP"], "", "", ""))
    text = table(title, ("", "detected boxes", "low", "high", "true boxes"), rows)
    recall = result.get("pair_recall", {})
    intervals = boot["relationships"]["AP"]
    predicates = []
    for name, ap in detected_scores["relationships"]["AP"].items():
        there = recall.get(name, {})
        shares = [there.get(key, "") for key in ("detected", "candidate", "candidate@50")]
        interval = intervals.get(name, {"low": "", "high": ""})
        n = detected_scores["counts"]["gt_per_predicate"][name]
        predicates.append(
            (name, n, ap, interval["low"], interval["high"], truth["relationships"]["AP"][name], *shares)
        )
    columns = (
        "predicate",
        "n",
        "AP",
        "low",
        "high",
        "AP, true boxes",
        "detected",
        "candidate",
        "candidate@50",
    )
    return text + table("Per predicate; share of relations whose boxes are found", columns, predicates)


def _parts(scores: dict[str, Any]) -> dict[str, float]:
    relationships, phrases = scores["relationships"], scores["phrases"]
    return {
        "mAP relationships": relationships["mAP"],
        "Recall@50": relationships["Recall@50"],
        "mAP phrases": phrases["mAP"],
        "final score": scores["final_score"],
    }


def analysis(result: dict[str, Any], final: float) -> str:
    """The analysis of `kit.metric.analysis`."""
    boot = result["bootstrap"]
    parts = [
        ("final score", boot["final_score"]),
        ("Recall@50", boot["Recall@50"]),
        ("mAP relationships", boot["relationships"]["mAP"]),
        ("mAP phrases", boot["phrases"]["mAP"]),
        *((f"AP {p}", v) for p, v in boot["relationships"]["AP"].items()),
        *((f"AP phrase {p}", v) for p, v in boot["phrases"]["AP"].items()),
    ]
    without = sorted(result["without"].items())
    boards = [(name.replace("_", " "), v) for name, v in result["boards"].items()]
    return (
        table(f"95% intervals over images ({result['resamples']} resamples)", SPREAD, _spread(parts))
        + table(
            "Final score without a predicate",
            ("predicate", "score", "difference"),
            [(p, s, s - final) for p, s in without],
        )
        + table("Simulated boards (30% public, 70% private)", SPREAD, _spread(boards))
        + table(
            "What the false positives are",
            ("kind", "rows", "score gained without them"),
            [(e["kind"], e["rows"], e["score_gain_without"]) for e in result["errors"]],
        )
    )


SPREAD = ("", "low", "mean", "high", "std")


def _spread(parts: Sequence[tuple[str, dict[str, float]]]) -> list[tuple[Any, ...]]:
    return [(name, v["low"], v["mean"], v["high"], v["std"]) for name, v in parts]
