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
from kit.relation.prior_model import PriorScorer, train_prior
from kit.relation.scoring import Scorer
from kit.relation.spatial_model import train_spatial
from kit.reproduce.cross_validation import OTHERS, cross_validate
from kit.reproduce.experiment import Doubles

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
    split = load_split(SplitFiles(relations=[arguments.train]), "train")
    print(f"{'mean':>6} " + " ".join(f"{name[:8]:>8}" for name in OTHERS) + "  settings")
    _line("(the prior alone)", _ap(split, load_config("relations"), arguments.folds, spatial=False))
    for variant in arguments.variants or DEFAULT:
        config = load_config("relations", variant.split())
        _line(variant or "(relations.yaml)", _ap(split, config, arguments.folds))


def _ap(split: SplitTables, config: Config, folds: int, spatial: bool = True) -> Doubles:
    def train(part: SplitTables, _fold: int) -> Scorer:
        statistics = train_prior(part, config.relation.prior)
        if not spatial:
            return PriorScorer(statistics)
        return train_spatial(part, statistics, config.relation.spatial, config.seed)

    return cross_validate(split, train, folds, seed=1)


def _line(name: str, ap: Doubles) -> None:
    mean = np.nanmean(ap, axis=0)
    print(f"{mean.mean():6.4f} " + " ".join(f"{v:8.4f}" for v in mean) + f"  {name}", flush=True)


if __name__ == "__main__":
    main()
