"""What the boosted models look at: the gain of their features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kit.base.files import reading
from kit.report.blocks import Block, Column, Paragraph, Table
from kit.report.results import RunResults

MOST = 25  # features that are shown
STAGES = {"spatial": "The spatial model", "stack": "The stack"}


def importance_blocks(results: RunResults) -> Iterator[Block]:
    """The features that give each boosted model most, by their share of the gain of all splits."""
    for stage in results.finished([name for name in STAGES if name in results.pipeline.stages]):
        models = {path.stem: gain_shares(path) for path in sorted(results.folder(stage).glob("*.ubj"))}
        if not models:
            yield Paragraph(f"{STAGES[stage]} has no trees.")
            continue
        mean: Counter[str] = Counter()
        for shares in models.values():
            mean.update({name: share / len(models) for name, share in shares.items()})
        yield Table(
            f"{STAGES[stage]}: share of the gain by feature",
            (Column("Feature", "text"), Column("Mean", "bar"), *(Column(name, "heat") for name in models)),
            [
                (name, value, *(shares.get(name) for shares in models.values()))
                for name, value in mean.most_common(MOST)
            ],
            f"The {min(MOST, len(mean))} features of {len(mean)} with the largest gain: how much a feature's "
            "splits lower the loss, summed over the trees of a predicate's model, as a share of all features'.",
        )


def gain_shares(path: Path) -> dict[str, float]:
    """The share of every feature in a saved booster's gain, of those with a split."""
    import xgboost as xgb

    booster = xgb.Booster()
    with reading(path, "a model that XGBoost can read"):
        booster.load_model(path)
    score = booster.get_score(importance_type="total_gain")
    gain = {name: float(np.sum(value)) for name, value in score.items()}
    whole = sum(gain.values())
    return {name: value / whole for name, value in gain.items()}
