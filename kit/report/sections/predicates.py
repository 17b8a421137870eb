"""Every predicate: AP with its interval and its ceiling, where its relations are lost on the way, its curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kit.metric import scene_graph
from kit.metric.matching import MatchResult
from kit.report.blocks import Block, Cell, Column, Interval, Plot, Plots, Table
from kit.report.plots import canvas
from kit.report.results import RunResults
from kit.vocabulary import PREDICATES

POINTS = 300  # of a curve, at most


def predicate_blocks(results: RunResults) -> Iterator[Block]:
    """A row a predicate, recall by rank, and the precision-recall curves."""
    found = results.evaluation
    ap, phrases = found["scores"]["relationships"]["AP"], found["scores"]["phrases"]["AP"]
    spread, true = (
        found["bootstrap"]["relationships"]["AP"],
        found["ground_truth_boxes"]["relationships"]["AP"],
    )
    counts, recall = found["scores"]["counts"]["gt_per_predicate"], found.get("pair_recall", {})
    rows: list[Sequence[Cell | Interval]] = []
    for name, value in ap.items():
        shares = [recall.get(name, {}).get(key) for key in ("detected", "candidate", "candidate@50")]
        interval = Interval(value, spread[name]["low"], spread[name]["high"])
        rows.append((name, counts[name], interval, phrases[name], true.get(name), *shares))
    columns = (
        Column("Predicate", "text"),
        Column("True relations", "count"),
        Column("AP", "bar", "of relationships, with the 95% bootstrap interval over images"),
        Column("AP of phrases", "bar"),
        Column("AP on true boxes", "bar"),
        Column("Both boxes detected", "share"),
        Column("Pair is a candidate", "share"),
        Column("Among the 50 likeliest", "share"),
    )
    yield Table("Average precision by predicate", columns, rows)
    yield _recall(results)
    yield Plots(
        "Precision by recall",
        [_curve(results.matches, p) for p, name in enumerate(PREDICATES) if name in ap],
        "Each true positive is a point; the area below the highest precision to the right of it is the AP.",
        small=True,
    )


def _recall(results: RunResults) -> Table:
    """Recall among each image's first K predictions: by predicate, its mean over these, of all relations."""
    found = scene_graph.evaluate(results.tables.relations, results.predictions, attributes=True)
    recalls = [(name, found.num_gt[name], by_depth) for name, by_depth in found.predicate_recall.items()]
    total = sum(found.num_gt.values())
    recalls += [("Mean of the predicates", total, found.mean_recall), ("All relations", total, found.recall)]
    return Table(
        "Recall among each image's first K predictions",
        (
            Column("Predicate", "text"),
            Column("True relations", "count"),
            *(Column(f"R@{k}", "bar") for k in scene_graph.DEPTHS),
        ),
        [(name, n, *(by_depth[k] for k in scene_graph.DEPTHS)) for name, n, by_depth in recalls],
        "As scene-graph papers have it: of a predicate the mean over its images, mR@K the mean over predicates; "
        "with “is”, and whatever labels are verified.",
    )


def _curve(matches: MatchResult, p: int) -> Plot:
    order = matches.by_predicate
    rows = order[matches.predicate[order] == p]
    ranks = np.flatnonzero(matches.true_positive["relationships"][rows])
    total = int((matches.truth_predicate == p).sum())
    found = np.arange(1, len(ranks) + 1)
    kept = np.unique(np.linspace(0, max(len(ranks) - 1, 0), POINTS).astype(int))[: len(ranks)]
    recall, precision = found[kept] / total, (found / (ranks + 1))[kept]
    label = f"{PREDICATES[p]}, {total} true"
    with canvas(f"Precision by recall of {label}", 2.5, 2.3) as drawn:
        highest = np.maximum.accumulate(precision[::-1])[::-1]
        drawn.axes.fill_between(
            np.r_[0, recall], np.r_[highest[:1], highest], step="pre", alpha=0.25, linewidth=0
        )
        drawn.axes.plot(recall, precision, linewidth=1.5)
        drawn.axes.set(title=label, xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        drawn.axes.set(xlabel="recall", ylabel="precision")
    return drawn.plot
