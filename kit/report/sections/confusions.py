"""Which predicate is taken for which, and which class for which."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kit.metric.confusion import class_confusion, predicate_confusion
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.splits import CLASSES
from kit.report.blocks import Block, Column, Matrix, Table
from kit.report.results import RunResults
from kit.vocabulary import PREDICATES

MOST = 40  # pairs of classes that are shown


def predicate_confusion_blocks(results: RunResults) -> Iterator[Block]:
    """The best prediction on the pair of every true relation."""
    counts = predicate_confusion(results.tables.relations, results.predictions)
    rows = np.flatnonzero(counts.sum(axis=1))
    yield Matrix(
        "True predicate (rows), best prediction on the pair (columns)",
        [PREDICATES[p] for p in rows],
        [*(PREDICATES[p] for p in rows), *(n for p, n in enumerate(PREDICATES) if p not in rows), "no pair"],
        counts[rows][:, [*rows, *np.setdiff1d(np.arange(len(PREDICATES)), rows), -1]].tolist(),
        "A prediction is on the pair where both labels are right and both boxes have an IoU of 0.5 and more. "
        "“no pair”: there is none, so a box, a label or the pair was lost before.",
    )


def class_confusion_blocks(results: RunResults) -> Iterator[Block]:
    """The best detection on every true box: the pairs of classes that are taken for each other most often."""
    truth, _ = OBJECTS.ground_truth(results.config, results.split)
    counts = class_confusion(truth, results.detections)
    total, classes = counts.sum(axis=1), len(CLASSES)
    wrong = counts.copy()
    wrong[np.arange(classes), np.arange(classes)] = 0
    true, taken = np.unravel_index(np.argsort(-wrong, axis=None, kind="stable")[:MOST], wrong.shape)
    names = (*CLASSES, "nothing (missed)")
    yield Table(
        "Classes most often taken for another, or missed",
        (
            Column("True class", "text"),
            Column("Taken for", "text"),
            Column("Times", "count"),
            Column("Of", "count", "true boxes of the class"),
            Column("Share", "bar"),
        ),
        [
            (names[t], names[d], int(wrong[t, d]), int(total[t]), float(wrong[t, d] / total[t]))
            for t, d in zip(true, taken, strict=True)
            if wrong[t, d]
        ],
        f"By the detection of the highest score on each true box (IoU of 0.5 and more): "
        f"{_share(int(counts[:, :classes].trace()), int(total.sum()))} of the boxes have their own class, "
        f"{_share(int(counts[:, classes].sum()), int(total.sum()))} have no detection at all.",
    )


def _share(n: int, total: int) -> str:
    return f"{n / max(total, 1):.1%}"
