"""Choose the relation model's settings by cross-validation inside a training file.

    python benchmarks/cross_validate.py --train FILE [--folds 5] [--try "a.b=1 c.d=2" ...]

Each fold of images is scored by models that saw the others only; the figure is the official AP of
relationships on ground-truth boxes, averaged over folds, then over the predicates other than "is".
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from kit.config import Config, SplitFiles, load_config
from kit.data.split_tables import SplitTables, load_split
from kit.metric.relations import evaluate
from kit.relation.prior_model import PriorScorer, train_prior
from kit.relation.scoring import predict_relations
from kit.relation.spatial_model import train_spatial
from kit.vocabulary import IS, PREDICATES

OTHERS = [name for p, name in enumerate(PREDICATES) if p != IS]
DEFAULT = (
    "",
    "relation.spatial.max_depth=3",
    "relation.spatial.max_depth=8",
    "relation.spatial.eta=0.05 relation.spatial.rounds=600",
    "relation.spatial.reg_lambda=1",
    "relation.spatial.reg_lambda=100",
    "relation.spatial.min_child_weight=1",
    "relation.spatial.min_child_weight=5",
    "relation.spatial.base_margin=prior",
    "relation.prior.smooth_class=5 relation.prior.smooth_pair=20",
)


def main() -> None:
    """Print one line a variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--try", dest="variants", action="append", metavar="SETTINGS")
    arguments = parser.parse_args()
    whole = load_split(SplitFiles(relations=[arguments.train]), "train")
    fold = np.random.default_rng(1).integers(0, arguments.folds, len(whole.objects.images))
    parts = [(_images(whole, fold != k), _images(whole, fold == k)) for k in range(arguments.folds)]
    print(f"{'mean':>6} " + " ".join(f"{name[:8]:>8}" for name in OTHERS) + "  settings")
    _line("(the prior alone)", [_ap(a, b, load_config("relations"), spatial=False) for a, b in parts])
    for variant in arguments.variants or DEFAULT:
        config = load_config("relations", variant.split())
        _line(variant or "(relations.yaml)", [_ap(a, b, config) for a, b in parts])


def _images(split: SplitTables, mask: np.ndarray) -> SplitTables:
    ids = [name for name, keep in zip(split.objects.images, mask, strict=True) if keep]
    return SplitTables(split.relations.of_images(ids), split.objects.of_images(ids), None)


def _ap(train: SplitTables, held: SplitTables, config: Config, spatial: bool = True) -> list[float]:
    statistics = train_prior(train, config.relation.prior)
    scorer = PriorScorer(statistics)
    if spatial:
        settings = config.relation.spatial
        scorer = train_spatial(train, statistics, settings, config.seed)
    ap = evaluate(held.relations, predict_relations(scorer, held.objects)).relationships["AP"]
    return [ap.get(name, float("nan")) for name in OTHERS]


def _line(name: str, ap: list[list[float]]) -> None:
    mean = np.nanmean(np.asarray(ap), axis=0)
    print(f"{mean.mean():6.4f} " + " ".join(f"{v:8.4f}" for v in mean) + f"  {name}", flush=True)


if __name__ == "__main__":
    main()
