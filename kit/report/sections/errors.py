"""Where the score is lost: why true relations are missed, what wrong predictions are; with images of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kit.boxes import iou
from kit.metric.error_analysis import KINDS, error_kinds
from kit.metric.missed import MISSES, TOP, missed_relations
from kit.report.blocks import Block, Cell, Column, Gallery, Paragraph, Picture, Table
from kit.report.examples import pair_picture, relation_text, spread_out
from kit.report.results import RunResults
from kit.tables.join import THRESHOLD
from kit.tables.schema import Predictions, Relations
from kit.vocabulary import IS, PREDICATES, vocabulary

EXAMPLES = 3  # images of a kind
WHY = {  # a true relation is missed
    "box missed": "no detection lies on one of its boxes",
    "label wrong": "a box was found, but not as its class",
    "pair pruned": "both objects were found, but the pair was no candidate",
    "predicate wrong": "another predicate has a higher score on the pair",
    f"ranked below {TOP}": f"its predicate is best on the pair, but not among the image's first {TOP}",
}
WHAT = {  # a prediction is wrong
    "duplicate": "the true relation has a better prediction already",
    "predicate wrong": "both boxes and labels are right",
    "label wrong": "both boxes are right",
    "subject box missed": "triplet and object box are right",
    "object box missed": "triplet and subject box are right",
    "not in the truth": "nothing true is like it: wrong, or plausible and never labelled",
}


def error_blocks(results: RunResults) -> Iterator[Block]:
    """Missed relations and false positives by kind, each with what the score would gain, then images."""
    truth, matches = results.tables.relations, results.matches
    missed = missed_relations(matches, truth, results.predictions, results.detections)
    found = int((missed.kind < 0).sum())
    yield _by_kind(
        "True relations that are missed",
        missed.table(),
        WHY,
        "score_gain_found",
        "Score gained if found",
        f"{found:,} of {len(truth):,} true relations have a right prediction among their image's first {TOP}. "
        "Gained: the final score's rise if all of the kind came first of all predictions.",
    )
    errors = error_kinds(matches, truth, results.predictions)
    yield _by_kind(
        "Predictions that are wrong",
        errors.table(),
        WHAT,
        "score_gain_without",
        "Score gained without",
        "Of the predictions that count (their labels are verified in the image). Below 0: such rows do no harm, and "
        "without them others move up.",
    )
    shown = False
    for k, kind in enumerate(MISSES):
        rows = spread_out(np.flatnonzero(missed.kind == k).tolist(), truth, EXAMPLES)
        pictures = [pair_picture(results, truth, r, _missed_text(results, truth, r, kind)) for r in rows]
        yield from (galleries := _gallery(f"Missed: {kind}", WHY[kind], pictures))
        shown |= bool(galleries)
    counted = results.predictions.take(matches.rows)
    order = np.argsort(-counted.score, kind="stable")
    for k, kind in enumerate(KINDS):
        rows = spread_out(order[errors.kind[order] == k].tolist(), counted, EXAMPLES)
        pictures = [
            pair_picture(results, counted, r, _wrong_text(truth, counted, r, kind), correct=False) for r in rows
        ]
        yield from (galleries := _gallery(f"Wrong: {kind}", f"The surest ones; {WHAT[kind]}.", pictures))
        shown |= bool(galleries)
    if not shown:
        yield Paragraph(f"Without the images of the {results.split} split (data.{results.split}.images) none is shown.")


def _by_kind(
    caption: str, table: Sequence[dict[str, Any]], why: dict[str, str], gain: str, title: str, note: str
) -> Table:
    names = [p for p in PREDICATES if any(p in row["per_predicate"] for row in table)]
    rows: list[tuple[Cell, ...]] = [
        (
            row["kind"],
            why[row["kind"]],
            row["rows"],
            row[gain],
            *(row["per_predicate"].get(name, 0) for name in names),
        )
        for row in table
    ]
    columns = (
        Column("Kind", "text"),
        Column("What it is", "text"),
        Column("Rows", "count"),
        Column(title),
        *(Column(name, "count") for name in names),
    )
    return Table(caption, columns, rows, note)


def _gallery(caption: str, note: str, pictures: Sequence[Picture | None]) -> list[Gallery]:
    there = [picture for picture in pictures if picture is not None]
    return [Gallery(caption, there, note)] if there else []


def _missed_text(results: RunResults, truth: Relations, row: int, kind: str) -> str:
    """The true relation, and what was seen in its place."""
    text = f"True: {relation_text(truth, row)}."
    if kind == "predicate wrong":
        return f"{text} {_best_on_pair(results, truth, row)}"
    if kind not in ("box missed", "label wrong"):
        return text
    sides = [(truth.subject, truth.subject_box)]
    sides += [] if truth.predicate[row] == IS else [(truth.object, truth.object_box)]
    names = vocabulary().names
    seen = [f"{names[label[row]]}: {_seen_on(results, truth, row, box)}" for label, box in sides]
    return f"{text} Detected on {'; on '.join(seen)}."


def _seen_on(results: RunResults, truth: Relations, row: int, box: np.ndarray) -> str:
    """The surest detection on a box."""
    found = results.detections
    name = truth.images[truth.image[row]]
    place = found.images.index(name) if name in found.images else -1
    rows = np.flatnonzero(found.image == place)
    rows = rows[iou(np.repeat(box[row : row + 1], len(rows), axis=0), found.box[rows]) >= THRESHOLD]
    if not len(rows):
        return "nothing"
    best = rows[found.score[rows].argmax()]
    return f"{vocabulary().names[found.label[best]]} ({found.score[best]:.2f})"


def _best_on_pair(results: RunResults, truth: Relations, row: int) -> str:
    found = results.predictions.of_images((truth.images[truth.image[row]],))
    rows = np.flatnonzero(_near(found, truth, row) & _same_labels(found, truth, row))
    best = rows[found.score[rows].argmax()]
    return f"Predicted: {relation_text(found, int(best))} ({found.score[best]:.2f})."


def _wrong_text(truth: Relations, counted: Predictions, row: int, kind: str) -> str:
    """The prediction, and the true relation that it is near to."""
    text = f"Predicted: {relation_text(counted, row)} ({counted.score[row]:.2f})."
    near = truth.of_images((counted.images[counted.image[row]],))
    overlap = [_overlap(near, counted, row, side) for side in ("subject", "object")]
    fits = {
        "predicate wrong": _same_labels(near, counted, row) & (np.minimum(*overlap) >= THRESHOLD),
        "label wrong": np.minimum(*overlap) >= THRESHOLD,
    }.get(kind, np.zeros(len(near), bool))
    if not fits.any():
        return text
    return f"{text} True: {relation_text(near, int(np.argmax(fits * np.minimum(*overlap))))}."


def _overlap(table: Relations, other: Relations, row: int, side: str) -> np.ndarray:
    box = getattr(other, f"{side}_box")[row : row + 1]
    return iou(getattr(table, f"{side}_box"), np.repeat(box, len(table), axis=0))


def _near(table: Relations, other: Relations, row: int) -> np.ndarray:
    return np.minimum(*(_overlap(table, other, row, side) for side in ("subject", "object"))) >= THRESHOLD


def _same_labels(table: Relations, other: Relations, row: int) -> np.ndarray:
    return np.asarray((table.subject == other.subject[row]) & (table.object == other.object[row]))
