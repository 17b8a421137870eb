"""What the boosted models look at: the gain of their features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kit.base.files import reading
from kit.report.blocks import Block, Cell, Column, Table
from kit.report.results import RunResults

MOST = 12  # features of a model
STAGES = {"spatial": "The spatial model", "stack": "The stack"}


def importance_blocks(results: RunResults) -> Iterator[Block]:
    """The features that give each boosted model most, by their share of the gain of all splits."""
    for stage in results.finished([name for name in STAGES if name in results.pipeline.stages]):
        rows: list[tuple[Cell, ...]] = []
        for path in sorted(results.folder(stage).glob("*.ubj")):
            gain = total_gain(path)
            whole = sum(gain.values())
            best = sorted(gain.items(), key=lambda item: (-item[1], item[0]))[:MOST]
            rows += [(path.stem, name, value / whole) for name, value in best]
        yield Table(
            f"{STAGES[stage]}: the {MOST} features of each predicate with the largest gain",
            (Column("Model", "text"), Column("Feature", "text"), Column("Share of the gain", "bar")),
            rows,
            "Gain: how much a feature's splits lower the loss, summed over all trees, as a share of all features'.",
        )


def total_gain(path: Path) -> Mapping[str, float]:
    """The summed gain of every feature of a saved booster; nothing where it has no split."""
    import xgboost as xgb

    booster = xgb.Booster()
    with reading(path, "a model that XGBoost can read"):
        booster.load_model(path)
    gain = booster.get_score(importance_type="total_gain")
    return {name: float(value) for name, value in gain.items() if isinstance(value, float)}
