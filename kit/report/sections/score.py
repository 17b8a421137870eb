"""The score and its parts, with intervals, beside the ceiling on true boxes; and without each predicate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit.base.errors import KitError
from kit.metric.relations import WEIGHTS
from kit.report.blocks import Block, Column, Interval, Table
from kit.report.results import RunResults

PARTS = (  # title, key of the part, weight in the final score
    ("mAP of relationships", ("relationships", "mAP"), WEIGHTS["mAP_relationships"]),
    ("Recall@50", ("relationships", "Recall@50"), WEIGHTS["Recall@50"]),
    ("mAP of phrases", ("phrases", "mAP"), WEIGHTS["mAP_phrases"]),
)


def score_blocks(results: RunResults) -> Iterator[Block]:
    """Final score, parts, intervals, ceiling; and the final score without each predicate."""
    found = results.evaluation
    detected, true, boot = found["scores"], found["ground_truth_boxes"], found["bootstrap"]
    beside = _beside(results)
    rows = [
        (title, weight, _interval(_part(detected, keys), spread), _part(true, keys), *beside.get(title, ()))
        for (title, keys, weight), spread in zip(
            PARTS, (boot["relationships"]["mAP"], boot["Recall@50"], boot["phrases"]["mAP"]), strict=True
        )
    ]
    final = _interval(detected["final_score"], boot["final_score"])
    rows.append(("Final score", None, final, true["final_score"], *beside.get("Final score", ())))
    columns = [
        Column("Part", "text"),
        Column("Weight"),
        Column("On detected boxes", "bar", "with the 95% bootstrap interval over images"),
        Column("On true boxes", "bar", "what these relation models reach where no box is missed or wrong"),
    ]
    if beside:
        columns += [Column("Validation split", "bar"), Column("Validation split, true boxes", "bar")]
    yield Table("The official score and its parts", columns, rows, _explained(results))
    yield Table(
        "The final score without a predicate",
        (Column("Predicate left out", "text"), Column("Final score", "bar"), Column("Difference")),
        [(name, value, value - detected["final_score"]) for name, value in found["without"].items()],
        "A predicate with few true relations moves the mean as much as any other: its luck is the score's.",
    )


def _explained(results: RunResults) -> str:
    text = (
        "Bars with a line: 95% interval over images drawn anew (bootstrap). On true boxes the relation models "
        "score pairs of ground-truth boxes; “is” is scored by the attribute detector's best detection on the box."
    )
    if results.split == "test":
        text += " Weights, exponents and calibration were chosen on the validation split, not here."
    return text


def _beside(results: RunResults) -> dict[str, tuple[float, float]]:
    """The validation split's figures by part, for beside the test set's; nothing where they are not there."""
    if results.split == "val":
        return {}
    try:
        other = results.evaluation_of("val")
    except KitError:
        return {}
    detected, true = other["scores"], other["ground_truth_boxes"]
    parts = {title: (_part(detected, keys), _part(true, keys)) for title, keys, _ in PARTS}
    return parts | {"Final score": (detected["final_score"], true["final_score"])}


def _part(scores: dict[str, Any], keys: tuple[str, str]) -> float:
    return float(scores[keys[0]][keys[1]])


def _interval(value: float, spread: dict[str, float]) -> Interval:
    return Interval(value, spread["low"], spread["high"])
