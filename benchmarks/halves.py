"""The third stage on real annotations: spatial on one half of a training file, the stack on the other.

    python -m benchmarks.halves --train FILE --val FILE [--set a.b=c ...]

Both halves take both parts; the figures are the official AP of relationships on the validation file's
ground-truth boxes, by the spatial model alone and by the stack over it, without a visual score.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from kit.relation.ensemble import Ensemble

from kit.config import Config, Split, load_config
from kit.data.splits import SplitTables, load_split
from kit.metric.relations import evaluate
from kit.relation.prior import PriorScorer, pair_examples, train_prior
from kit.relation.scoring import Scorer, predict_relations
from kit.relation.spatial import train_spatial
from kit.relation.stack import train_stack
from kit.relation.statistics import folds
from kit.vocabulary import IS, PREDICATES

OTHERS = [name for p, name in enumerate(PREDICATES) if p != IS]


def main() -> None:
    """Print AP by predicate for each half and each model, and the means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=c")
    arguments = parser.parse_args()
    config = load_config("relations", arguments.overrides)
    whole = load_split(Split(relations=[arguments.train]), "train")
    val = load_split(Split(relations=[arguments.val]), "val")
    print(f"{'mean':>6} " + " ".join(f"{name[:8]:>8}" for name in OTHERS))
    results: dict[str, list[list[float]]] = {"spatial": [], "stack": []}
    for one, two in halves(whole):
        for name, scorer in models(one, two, config).items():
            results[name].append(aps(scorer, val))
            line(f"{name}, one half", results[name][-1])
    for name, rows in results.items():
        line(f"{name}, mean", np.mean(rows, axis=0).tolist())


def halves(whole: SplitTables, seed: int = 1) -> list[tuple[SplitTables, SplitTables]]:
    """The images cut in two at random, in both orders."""
    side = np.random.default_rng(seed).random(len(whole.objects.images)) < 0.5
    one, two = (_images(whole, side == k) for k in (True, False))
    return [(one, two), (two, one)]


def models(one: SplitTables, two: SplitTables, config: Config) -> dict[str, Scorer]:
    """The spatial model of the first half, and the stack that the second half teaches over it."""
    relation = config.relation
    statistics = train_prior(one, relation.prior)
    spatial = train_spatial(one, statistics, relation.spatial, config.seed)
    examples = pair_examples(two)
    parts = {"spatial": spatial.pairs(two.objects, examples.candidates)}
    fold = folds(two.objects.images)[examples.candidates.image]
    half = np.full(len(PREDICATES), 0.5, np.float32)
    stack = train_stack(examples, two.objects, fold, parts, half, statistics, relation.stack, config.seed)
    return {"spatial": spatial, "stack": Ensemble("stack", PriorScorer(statistics), spatial, None, stack)}


def aps(scorer: Scorer, val: SplitTables) -> list[float]:
    """AP of relationships of every predicate but "is", NaN without truth."""
    found = evaluate(val.relations, predict_relations(scorer, val.objects), val.labels)
    return [found.relationships["AP"].get(name, float("nan")) for name in OTHERS]


def line(name: str, ap: list[float]) -> None:
    """Print one model's figures."""
    print(f"{np.nanmean(ap):6.4f} " + " ".join(f"{v:8.4f}" for v in ap) + f"  {name}", flush=True)


def _images(split: SplitTables, mask: np.ndarray) -> SplitTables:
    ids = [name for name, keep in zip(split.objects.images, mask, strict=True) if keep]
    return SplitTables(split.relations.of_images(ids), split.objects.of_images(ids), None)


if __name__ == "__main__":
    main()
