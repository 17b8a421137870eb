"""The third stage on real annotations: spatial on one half of a training file, the stack on the other.

    python -m benchmarks.halves --train FILE --val FILE [--set a.b=c ...]

Both halves take both parts; the figures are the official AP of relationships on the validation file's
ground-truth boxes, by the spatial model alone and by the stack over it, without a visual score.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from kit.config import SplitFiles, load_config
from kit.data.split_tables import load_split
from tests.halves import OTHERS, aps, halves, models


def main() -> None:
    """Print AP by predicate for each half and each model, and the means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=c")
    arguments = parser.parse_args()
    config = load_config("relations", arguments.overrides)
    whole = load_split(SplitFiles(relations=[arguments.train]), "train")
    val = load_split(SplitFiles(relations=[arguments.val]), "val")
    print(f"{'mean':>6} " + " ".join(f"{name[:8]:>8}" for name in OTHERS))
    results: dict[str, list[list[float]]] = {"spatial": [], "stack": []}
    for one, two in halves(whole):
        for name, scorer in models(one, two, config).items():
            results[name].append(aps(scorer, val))
            line(f"{name}, one half", results[name][-1])
    for name, rows in results.items():
        line(f"{name}, mean", np.mean(rows, axis=0).tolist())


def line(name: str, ap: list[float]) -> None:
    """Print one model's figures."""
    print(f"{np.nanmean(ap):6.4f} " + " ".join(f"{v:8.4f}" for v in ap) + f"  {name}", flush=True)


if __name__ == "__main__":
    main()
