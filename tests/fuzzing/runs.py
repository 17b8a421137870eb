"""What a run leaves: a small one, trained on a few relations, whose files are damaged one at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kit.config import load_config
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.relation.statistics import CooccurrenceStatistics

Prepare = Callable[[Path], list[bytes]]


def trained(file: str, relations: bytes) -> Prepare:
    """Train prior and spatial in `folder/run` on the relations; the whole input is one of the run's files."""

    def prepare(folder: Path) -> list[bytes]:
        (folder / "truth.csv").write_bytes(relations)
        Pipeline(opened(folder)).make(["spatial"])
        return [(folder / file).read_bytes()]

    return prepare


def opened(folder: Path) -> Run:
    """The run."""
    overrides = [f"data.train.relations={folder / 'truth.csv'}", "relation.spatial={rounds: 2, folds: 2}"]
    return Run(load_config("relations", overrides), folder / "run")


def use_prior(path: Path) -> None:
    """Ask for the prior, which is trained again where its record is not whole."""
    run = opened(path.parents[2] if path.parent.name == "prior" else path.parents[1])
    Pipeline(run).make(["prior"])


def load_statistics(path: Path) -> None:
    """Read the prior's counts and use them."""
    statistics = CooccurrenceStatistics.load(path)
    assert statistics.prior.shape == statistics.related.shape


def load_spatial(path: Path) -> None:
    """Read all spatial models."""
    from kit.relation.spatial_model import SpatialScorer

    SpatialScorer.load(path.parent)
