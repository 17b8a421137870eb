"""The spatio-semantic model (paper 2.2, 3.1): XGBoost on pair features, a model a predicate or one for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kit.base.errors import KitError
from kit.base.files import read_json, reading, write_json
from kit.base.log import logger
from kit.base.progress import Progress, silent
from kit.config import Spatial
from kit.data.objects import Objects
from kit.data.split_tables import SplitTables
from kit.detector.team import Team
from kit.relation import boosted_model, boosting
from kit.relation.boosted_model import BoostedModel
from kit.relation.boosting import NO_TREE, Fit, TrainingRows, log_odds
from kit.relation.candidates import Candidates
from kit.relation.collective import growing_together
from kit.relation.external_memory import feature_table, scratch_folder
from kit.relation.features import Features, features_of_attributes, features_of_pairs, hstack
from kit.relation.model_names import MULTICLASS, POOLED, spatial_models
from kit.relation.prior_model import attribute_examples, pair_examples
from kit.relation.spatial_rows import (
    PAIRWISE,
    PREDICATE,
    SpatialRows,
    class_margin,
    largest_training,
    model_features,
)
from kit.relation.statistics import CooccurrenceStatistics, feature_names
from kit.tables.schema import Floats, Labels
from kit.vocabulary import IS, vocabulary


@dataclass(frozen=True, eq=False)
class SpatialScorer:
    """Trained models by name (a predicate's, MULTICLASS or POOLED), and the statistics they were trained with.

    rounds: how many rounds each model got; standing: the predicates whose prior stands, each with the reason.
    """

    models: dict[str, BoostedModel]
    rounds: dict[str, int]
    statistics: CooccurrenceStatistics
    settings: Spatial
    standing: dict[str, str]

    def predict_pairs(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability of every predicate, float32 (n, predicates); 0 where the triplet is not allowed."""
        features = features_of_pairs(objects, candidates)
        subject, object_ = objects.label[candidates.subject], objects.label[candidates.object]
        if self.settings.objective == "multiclass":
            return self._multiclass(features, subject, object_)
        out = np.zeros((len(candidates), len(vocabulary().predicates)), np.float32)
        for p in PAIRWISE:
            rows = np.flatnonzero(vocabulary().allowed[p][subject, object_])
            part = Features(features.names, features.values[rows])
            out[rows, p] = self._binary(p, part, subject[rows], object_[rows])
        return out

    def predict_attributes(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability that the object has the attribute, float32 (n,)."""
        features = features_of_attributes(objects, candidates)
        subject = objects.label[candidates.subject]
        return self._binary(IS, features, subject, candidates.object.astype(np.uint8))

    def save(self, folder: Path) -> None:
        """Write every model as UBJ, the statistics, and what is needed to read them."""
        self.statistics.save(folder / "statistics.npz")
        for name in self.rounds:
            _save_trees(folder, name, self.models.get(name))
        index = {"settings": self.settings.model_dump(), "rounds": self.rounds, "standing": self.standing}
        write_json(folder / "models.json", index)

    @classmethod
    def load(cls, folder: Path) -> SpatialScorer:
        """Read what `save` wrote. Raises KitError where something is missing or of another version."""
        path = folder / "models.json"
        with reading(path, "the index of this version's spatial models", "run `kit train spatial --force`"):
            index = read_json(path, dict)
            settings, rounds = Spatial.model_validate(index["settings"]), dict(index["rounds"])
            loaded = {name: _load_trees(folder, name, n, settings) for name, n in rounds.items()}
            standing = dict(index["standing"])
        models = {name: model for name, model in loaded.items() if model is not None}
        return cls(models, rounds, CooccurrenceStatistics.load(folder / "statistics.npz"), settings, standing)

    def _binary(self, p: int, features: Features, subject: Labels, object_: Labels) -> Floats:
        prior = self.statistics.prior[p][subject, object_].astype(np.float32)
        if not len(prior):
            return prior
        semantic = self.statistics.features([p], subject, object_)
        table = hstack(features, feature_names([p]), semantic)
        margin = log_odds(prior) if self.settings.base_margin == "prior" else None
        model, pooled = self.models.get(vocabulary().predicates[p]), self.models.get(POOLED)
        own = prior if model is None else model.predict(table, margin)
        if p == IS or pooled is None:
            return own
        table = hstack(table, (PREDICATE,), np.full((len(prior), 1), p, np.float32))
        weight = self.settings.pooled_weight
        blended = (1 - weight) * log_odds(own) + weight * log_odds(pooled.predict(table, margin))
        return np.asarray(1 / (1 + np.exp(-blended)), np.float32)

    def _multiclass(self, features: Features, subject: Labels, object_: Labels) -> Floats:
        prior = self.statistics.prior[:, subject, object_].T.astype(np.float32)
        if MULTICLASS not in self.models or not len(subject):
            return prior
        out = np.zeros((len(subject), len(vocabulary().predicates)), np.float32)
        semantic = self.statistics.features(PAIRWISE, subject, object_)
        margin = (
            class_margin(self.statistics, subject, object_) if self.settings.base_margin == "prior" else None
        )
        out[:, PAIRWISE] = self.models[MULTICLASS].predict(
            hstack(features, feature_names(PAIRWISE), semantic), margin
        )[:, :-1]
        standing = [p for p in PAIRWISE if vocabulary().predicates[p] in self.standing]
        out[:, standing] = prior[:, standing]
        return out * vocabulary().allowed[:, subject, object_].T


def train_spatial(
    split: SplitTables,
    statistics: CooccurrenceStatistics,
    settings: Spatial,
    seed: int,
    folder: Path | None = None,
    progress: Progress = silent,
    only: str | None = None,
) -> SpatialScorer:
    """Train on the training split's boxes, which are true ones in the paper (3.1), or detections.

    statistics: of the same split; folder: where each model is kept as soon as it is trained, and taken from
    instead of training it again; only: the name of the one model to train now. Where held-out images do not rank
    better by the trees than by the prior, or fewer than three images have a positive row, the prior stands; a
    pooled model joins in with both. Of several processes at the training all call this; the first one writes.
    """
    trained: dict[str, _Trained] = {}
    team = Team.here()
    with (
        boosted_model.warnings_as_notices(),
        scratch_folder(folder, only, team) as scratch,
        growing_together(team, settings.device),
    ):
        jobs = _jobs(split, statistics, settings, scratch, team)
        jobs = [job for job in jobs if only is None or job[0] == only]
        for name, rows_of in progress(iter(jobs), len(jobs), "spatial models"):
            kept = team.of_first(partial(_Trained.kept, folder, name, settings))
            if kept is not None:
                trained[name] = kept
                continue
            classes = len(PAIRWISE) + 1 if name == MULTICLASS else 0
            fit = boosting.fit(rows_of(), settings, seed, classes, name=f"spatial-{name}", folder=folder)
            trained[name] = _Trained.of(name, fit)
            if folder is not None and team.first:
                trained[name].save(folder, name)
    if folder is not None and team.first:
        for name in trained:  # also of models that were whole before
            boosting.remove_kept(folder, f"spatial-{name}")
    models = {name: t.model for name, t in trained.items() if t.model is not None}
    rounds = {name: t.model.rounds if t.model else 0 for name, t in trained.items()}
    standing = {n: why for t in trained.values() for n, why in t.standing.items()}
    if POOLED in standing:
        logger.warning(f"spatial: no model of all predicates together ({standing.pop(POOLED)})")
    return SpatialScorer(models, rounds, statistics, settings, standing)


def _jobs(
    split: SplitTables,
    statistics: CooccurrenceStatistics,
    settings: Spatial,
    scratch: Path | None,
    team: Team,
) -> list[tuple[str, Callable[[], TrainingRows]]]:
    """The name of every model, and its training rows. scratch: where rows may lie that memory does not hold."""
    examples = pair_examples(split)
    largest = largest_training(examples, settings)
    external, features = feature_table(split.objects, examples.candidates, settings, largest, scratch, team)
    rows = SpatialRows(split, examples, features, statistics, settings, external, team)
    attributes = attribute_examples(split)
    of_attributes = features_of_attributes(split.objects, attributes.candidates)
    is_rows = SpatialRows(split, attributes, of_attributes, statistics, settings, external, team)
    names = vocabulary().predicates
    rows_of: dict[str, Callable[[], TrainingRows]] = {names[p]: partial(rows.binary, p) for p in PAIRWISE}
    rows_of |= {MULTICLASS: rows.multiclass, POOLED: rows.pooled, names[IS]: partial(is_rows.binary, IS)}
    return [(name, rows_of[name]) for name in spatial_models(settings)]


@dataclass(frozen=True, eq=False)
class _Trained:
    """A model, or None; standing: its predicates whose prior stands; ap: held out, of the trees and the prior."""

    model: BoostedModel | None
    standing: dict[str, str]
    ap: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, name: str, fit: Fit) -> _Trained:
        """By predicates' names what boosting found by classes."""
        predicates = [vocabulary().predicates[p] for p in PAIRWISE] if name == MULTICLASS else [name]
        refused = fit.refused if fit.model else dict.fromkeys(range(len(predicates)), NO_TREE) | fit.refused
        return cls(
            fit.model,
            {predicates[k]: why for k, why in sorted(refused.items())},
            {predicates[k]: (v.ap, v.rival_ap) for k, v in fit.verdicts.items()},
        )

    def save(self, folder: Path, name: str) -> None:
        """Write NAME.ubj, then NAME.json, which says that it is whole; without a model only the latter."""
        _save_trees(folder, name, self.model)
        record = {"rounds": 0} if self.model is None else _record(self.model)
        write_json(folder / f"{name}.json", record | {"standing": self.standing, "held_out_ap": self.ap})

    @classmethod
    def kept(cls, folder: Path | None, name: str, settings: Spatial) -> _Trained | None:
        """What an interrupted training has saved; None where that is not there or not whole."""
        if folder is None or not (folder / f"{name}.json").exists():
            return None
        try:
            return cls.load(folder, name, settings)
        except KitError as error:
            logger.warning(f"{error.message}; {name} is trained again")
            return None

    @classmethod
    def load(cls, folder: Path, name: str, settings: Spatial) -> _Trained:
        """Read what `save` wrote."""
        path = folder / f"{name}.json"
        with reading(path, "the record of a model", "run `kit train spatial --force`"):
            record = read_json(path, dict)
            model = _load_trees(folder, name, int(record["rounds"]), settings)
            return cls(model, dict(record.get("standing", {})), dict(record.get("held_out_ap", {})))


def _record(model: BoostedModel) -> dict[str, object]:
    return {"rounds": model.rounds, "held_out": model.loss}


def _save_trees(folder: Path, name: str, model: BoostedModel | None) -> None:
    if model is not None:
        boosted_model.save(model, folder / f"{name}.ubj")


def _load_trees(folder: Path, name: str, rounds: int, settings: Spatial) -> BoostedModel | None:
    if not rounds:
        return None
    return boosted_model.load(folder / f"{name}.ubj", model_features(name), settings.threads, settings.device)
