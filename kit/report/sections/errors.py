"""Where the score is lost: why true relations are missed, what wrong predictions are; with images of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.metric.oracle import found_first
from kit.metric.relations import score
from kit.report.blocks import Block, Column, Gallery, Paragraph, Table
from kit.report.error_examples import KINDS, MISSES, NUMBER, RANK, SplitErrors, errors_of
from kit.report.error_panels import error_views
from kit.report.examples import pictures
from kit.report.results import RunResults
from kit.vocabulary import PREDICATES

EXAMPLES = 2  # images of a kind
RIGHT = "right"


def error_blocks(results: RunResults) -> Iterator[Block]:
    """Missed relations and wrong predictions by kind, each with what the score would gain, then images."""
    errors = errors_of(results.tables, results.detections, results.candidates, results.predictions)
    yield _missed(results, errors)
    yield _wrong(errors)
    galleries = list(_galleries(results, errors))
    images = f"data.{results.split}.images"
    yield from galleries
    if not galleries:
        yield Paragraph(f"No image is shown: {images} is not there.")


def _missed(results: RunResults, errors: SplitErrors) -> Table:
    truth, rows = results.tables.relations, []
    base = score(results.matches).final_score
    for row in errors.table():
        if KINDS[row["kind"]][0]:
            kind = errors.truth_kind == NUMBER[row["kind"]]
            gain = None
            if row["kind"] != RIGHT:
                better = found_first(results.matches, truth, results.predictions, kind)
                gain = score(better).final_score - base
            per = row["relations_per_predicate"]
            shown = (row["kind"], KINDS[row["kind"]][0], row["relations"], row["share"], gain)
            rows.append((*shown, *(per.get(name, 0) for name in _named(truth.predicate))))
    columns = (
        Column("Kind", "text"),
        Column("What it is", "text"),
        Column("Relations", "count"),
        Column("Share", "bar"),
        Column("Score gained if found", note="if all of the kind came before all other predictions"),
    )
    return Table(
        "What becomes of the true relations",
        (*columns, *(Column(name, "count") for name in _named(truth.predicate))),
        rows,
        f"Right: found within the image's first {RANK} predictions, as Recall@{RANK} counts. The gain is the "
        "final score's rise if all relations of the kind came before all other predictions.",
    )


def _wrong(errors: SplitErrors) -> Table:
    names = _named(errors.predictions.predicate)
    rows = [
        (
            row["kind"],
            KINDS[row["kind"]][1],
            row["predictions"],
            None if row["kind"] == RIGHT else row["score_gain_without"],
            *(row["predictions_per_predicate"].get(name, 0) for name in names),
        )
        for row in errors.table()
        if KINDS[row["kind"]][1]
    ]
    columns = (
        Column("Kind", "text"),
        Column("What it is", "text"),
        Column("Predictions", "count"),
        Column("Score gained without"),
    )
    return Table(
        "What the predictions are",
        (*columns, *(Column(name, "count") for name in names)),
        rows,
        "Of the predictions that count: their labels are verified in the image. The gain is the final score's "
        "rise if the kind had not been predicted; below 0 is no mistake: phrases may be right where boxes are not.",
    )


def _galleries(results: RunResults, errors: SplitErrors) -> Iterator[Gallery]:
    for kind, (of_truth, of_prediction) in sorted(KINDS.items(), key=lambda item: item[0] == RIGHT):
        shown = [
            picture
            for example in errors.examples(kind, EXAMPLES)
            for picture in pictures(
                results, example.image_id, partial(error_views, example=example, errors=errors)
            )
        ]
        if shown and kind in MISSES:
            yield Gallery(f"Missed: {kind}", shown, f"{of_truth.capitalize()}.")
        elif shown:
            title = "Right" if kind == RIGHT else f"Wrong: {kind}"
            yield Gallery(title, shown, f"{of_prediction.capitalize()}; the surest ones.")


def _named(predicate: NDArray[Any]) -> list[str]:
    """The predicates of some rows, in their order."""
    return [PREDICATES[p] for p in np.unique(predicate)]
