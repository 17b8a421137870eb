"""Spatial models of several settings, cross-validated on the training split, in the same folds; each is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.base.hashes import sha256_of
from kit.base.progress import track
from kit.base.threads import use_threads
from kit.config import Prior, Spatial
from kit.data.split_tables import SplitTables
from kit.pipeline.feature_signature import feature_signature
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.splits import split_inputs, split_tables
from kit.pipeline.stage import require
from kit.relation.prior_model import train_prior
from kit.relation.spatial_model import SpatialScorer, train_spatial
from kit.reproduce.cross_validation import cross_validate, of_images
from kit.reproduce.experiment import Doubles, Experiment

FOLDS = 5


@dataclass(frozen=True)
class Trial:
    """Settings of the spatial model; share: of the images of the other folds, drawn at random, to learn from."""

    name: str
    spatial: Spatial
    share: float = 1.0


def cross_validate_trials(
    experiment: Experiment, command: str, trials: Sequence[Trial]
) -> dict[str, Doubles]:
    """AP on ground-truth boxes by the trials' names, (seeds × folds, predicates but "is"); NaN without truth.

    Every seed deals the images into five folds anew; what it draws for a share is in what it draws for a larger
    one. Models are kept below the experiment's folder, and taken from there where it is done again. command: for
    messages. Raises KitError where files are missing, the split has fewer images than folds, or several jobs are
    asked for.
    """
    if experiment.jobs > 1:
        raise KitError(f"--jobs does not go with {command}", "it trains in one process: set threads")
    config = experiment.config
    for given in split_inputs(config, "train"):
        require(given)
    use_threads(config.cpu_threads)
    split = split_tables(config, "train")
    if len(split.objects.images) < FOLDS:
        raise KitError(
            f"data.train: {len(split.objects.images)} images, too few for {FOLDS} folds", "give more images"
        )
    folder = experiment.folder / f"models-{_made_from(Run(config, experiment.folder))}"
    tried = [(trial, seed) for seed in experiment.seeds for trial in trials]
    ap: dict[str, list[Doubles]] = {trial.name: [] for trial in trials}
    for trial, seed in track(tried, len(tried), "cross-validation"):
        kept = folder / f"{trial.name}-{seed}"
        train = partial(_train, trial=trial, prior=config.relation.prior, seed=seed, folder=kept)
        ap[trial.name].append(cross_validate(split, train, FOLDS, seed))
    return {name: np.concatenate(parts) for name, parts in ap.items()}


def drawn(images: int, share: float, seed: int, fold: int) -> NDArray[np.bool_]:
    """Which of so many images are learned from (images,): those of a smaller share are among them."""
    return np.random.default_rng([seed, fold]).permutation(images) < round(share * images)


def _made_from(run: Run) -> str:
    """What the models are made from, in short: settings, the split's files by content, the code of both stages."""
    files, stages = run.config.data.train, Pipeline(run).stages
    relation = run.config.relation.model_dump(mode="json", include={"prior", "spatial"})
    code = [feature_signature(run), *(stages[name].version for name in ("prior", "spatial"))]
    content = [relation, FOLDS, code, *map(sha256_of, [*files.relations, *files.boxes, *files.labels])]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def _train(
    part: SplitTables, fold: int, *, trial: Trial, prior: Prior, seed: int, folder: Path
) -> SpatialScorer:
    kept = folder / str(fold)
    kept.mkdir(parents=True, exist_ok=True)
    part = of_images(part, drawn(len(part.objects.images), trial.share, seed, fold))
    return train_spatial(part, train_prior(part, prior), trial.spatial, seed, kept)
