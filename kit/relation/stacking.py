"""The third stage (paper 2.3): per predicate, XGBoost over both scores and the features; or the average."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.files import read_json, reading, write_json
from kit.config import Stack
from kit.data.objects import Objects
from kit.detector.team import Team
from kit.relation import boosted_model, boosting
from kit.relation.boosted_model import BoostedModel
from kit.relation.boosting import TrainingRows, log_odds
from kit.relation.candidates import Candidates
from kit.relation.collective import growing_together
from kit.relation.external_memory import feature_table, scratch_folder
from kit.relation.feature_tables import Rows, choose
from kit.relation.features import Features, features_of_pairs, hstack
from kit.relation.logistic import fit_logistic, margin
from kit.relation.prior_model import Examples
from kit.relation.spatial_rows import PAIRWISE
from kit.relation.statistics import CooccurrenceStatistics, feature_names
from kit.tables.schema import Boxes, Floats, Labels
from kit.vocabulary import IS, vocabulary

Doubles = NDArray[np.float64]
Parts = dict[str, Floats]  # "spatial", and "visual" where there is one: (n, predicates)
WEIGHTS = tuple(i / 10 for i in range(11))  # of the visual score that are tried for the average
POOLED_PULL = 100.0  # of the pooled start, toward the regression of all predicates' rows
INDEX = "stack.json"


def average(parts: Parts, weights: Floats) -> Floats:
    """(1 - w) spatial + w visual, w: (predicates,); the spatial score where there is no visual one."""
    if "visual" not in parts:
        return parts["spatial"]
    return np.asarray((1 - weights) * parts["spatial"] + weights * parts["visual"], np.float32)


def choose_weights(parts: Parts, ap: Callable[[Floats], Doubles]) -> tuple[Floats, Doubles]:
    """Per predicate the weight of the visual score with the best AP, and all: (predicates,), (tries, predicates).

    ap: AP per predicate of scores, NaN without truth. Of equals the one nearest to a half.
    """
    tried = np.asarray([ap(average(parts, np.full(len(vocabulary().predicates), w))) for w in WEIGHTS])
    order = np.argsort(np.abs(np.asarray(WEIGHTS) - 0.5), kind="stable")
    best = order[np.nan_to_num(tried, nan=-1)[order].argmax(axis=0)]
    return np.asarray(WEIGHTS, np.float32)[best], tried


@dataclass(eq=False)
class StackedPredicate:
    """One predicate's combination: boosted trees on a logistic start, either or both; fallback: why neither."""

    logistic: Doubles | None = None
    trees: BoostedModel | None = None
    fallback: str = ""
    rows: int = 0
    positives: int = 0


@dataclass(frozen=True, eq=False)
class Stacker:
    """The trained third stage; weights: of the average, which stands where a predicate falls back."""

    models: dict[str, StackedPredicate]
    weights: Floats
    statistics: CooccurrenceStatistics
    settings: Stack
    visual: bool

    def scores(self, objects: Objects, candidates: Candidates, parts: Parts) -> Floats:
        """Probability of every predicate, float32 (n, predicates); 0 where the triplet is not allowed."""
        features = features_of_pairs(objects, candidates)
        subject, object_ = objects.label[candidates.subject], objects.label[candidates.object]
        out = average(parts, self.weights).copy()
        for p in PAIRWISE:
            model = self.models[vocabulary().predicates[p]]
            rows = np.flatnonzero(vocabulary().allowed[p][subject, object_])
            if model.fallback or not len(rows):
                continue
            scores = {name: score[rows, p] for name, score in parts.items()}
            start = None if model.logistic is None else margin(_log_odds(scores), model.logistic)
            if model.trees is None:
                out[rows, p] = _probability(start) if start is not None else out[rows, p]
                continue
            names, compute = _more(parts, p, self.statistics, subject, object_)
            table = hstack(Features(features.names, features.values[rows]), names, compute(rows))
            out[rows, p] = model.trees.predict(table, None if start is None else start.astype(np.float32))
        return out

    def save(self, folder: Path) -> None:
        """Write every model and what is needed to read it."""
        for name, model in self.models.items():
            if model.trees:
                boosted_model.save(model.trees, folder / f"{name}.ubj")
        index = {
            "settings": self.settings.model_dump(),
            "visual": self.visual,
            "weights": self.weights.tolist(),
            "models": {name: _record(model) for name, model in self.models.items()},
        }
        write_json(folder / INDEX, index)

    @classmethod
    def load(cls, folder: Path, statistics: CooccurrenceStatistics) -> Stacker:
        """Read what `save` wrote. Raises KitError where something is missing or of another version."""
        path = folder / INDEX
        with reading(path, "the index of this version's stack", "run `kit train stack --force`"):
            index = read_json(path, dict)
            settings, visual = Stack.model_validate(index["settings"]), bool(index["visual"])
            models = {
                name: StackedPredicate(
                    None if r["logistic"] is None else np.asarray(r["logistic"]),
                    boosted_model.load(
                        folder / f"{name}.ubj",
                        _feature_names(name, visual),
                        settings.threads,
                        settings.device,
                    )
                    if r["rounds"]
                    else None,
                    r["fallback"],
                    r["rows"],
                    r["positives"],
                )
                for name, r in index["models"].items()
            }
            weights = np.asarray(index["weights"], np.float32)
        return cls(models, weights, statistics, settings, visual)

    def figures(self) -> dict[str, dict[str, object]]:
        """What each predicate got: rows, positives, rounds, fallback."""
        return {name: _record(model) for name, model in self.models.items()}


def train_stack(
    examples: Examples,
    objects: Objects,
    fold: NDArray[np.int64],
    parts: Parts,
    weights: Floats,
    statistics: CooccurrenceStatistics,
    settings: Stack,
    seed: int,
    folder: Path | None = None,
    only: str | None = None,
) -> Stacker:
    """Train on the stack split alone. fold: of every example (n,); parts: its scores; weights: of the average.

    folder: where what is at work is kept, to go on from; only: the one predicate to train now, all of whose
    boosters stay there. Of several processes at the training all call this; the first one writes.
    """
    mean = average(parts, weights)
    toward = _even(parts) if settings.base_margin != "pooled" else _fit_to_all(examples, parts)
    models, team = {}, Team.here()
    with (
        boosted_model.warnings_as_notices(),
        scratch_folder(folder, only, team) as scratch,
        growing_together(team, settings.device),
    ):
        largest = len(fold), len(_feature_names(vocabulary().predicates[PAIRWISE[0]], "visual" in parts))
        external, features = feature_table(objects, examples.candidates, settings, largest, scratch, team)
        for p in PAIRWISE:
            name = vocabulary().predicates[p]
            if only not in (None, name):
                continue
            rows = np.flatnonzero(vocabulary().allowed[p][examples.subject, examples.object])
            scores = {name: score[rows, p] for name, score in parts.items()}
            table = choose(features, rows, *_more(parts, p, statistics, examples.subject, examples.object))
            label, image = examples.positive[rows, p], examples.candidates.image[rows]
            own_rows = TrainingRows(
                table, label, image, fold[rows], rival=mean[rows, p], scratch=external, team=team
            )
            models[name] = _train(own_rows, _log_odds(scores), toward, settings, seed, name, folder)
    if folder is not None and only is None and team.first:
        for name in models:
            boosting.remove_kept(folder, f"stack-{name}")
    return Stacker(models, weights, statistics, settings, "visual" in parts)


def _train(
    rows: TrainingRows,
    columns: Doubles,
    toward: Doubles,
    settings: Stack,
    seed: int,
    name: str,
    folder: Path | None,
) -> StackedPredicate:
    """Train one predicate.

    rows: without a base margin, the average as their rival; columns: log-odds by its scores (n, scores); toward:
    the coefficients that the logistic start is pulled to.
    """
    label, pooled = rows.label, settings.base_margin == "pooled"
    positives = int(label.sum())
    logistic = None
    if settings.base_margin != "mean":
        logistic = fit_logistic(columns, label, toward, POOLED_PULL if pooled else 1.0)
        start = margin(columns, logistic)
        rival = _probability(start) if pooled else rows.rival
        rows = replace(rows, margin=start.astype(np.float32), rival=rival)
    why, trees = f"{positives} positive rows of {len(label)}", None
    if positives >= settings.min_positives and not label.all():
        fit = boosting.fit(rows, settings, seed, name=f"stack-{name}", folder=folder)
        why, trees = fit.refused.get(0, ""), fit.model
    if why and not pooled:
        return StackedPredicate(fallback=why, rows=len(label), positives=positives)
    return StackedPredicate(logistic, None if why else trees, "", len(label), positives)


def _even(parts: Parts) -> Doubles:
    """The coefficients of the mean of the log-odds."""
    return np.asarray([1 / len(parts)] * len(parts) + [0.0])


def _fit_to_all(examples: Examples, parts: Parts) -> Doubles:
    """The coefficients of one logistic regression of all predicates' rows."""
    allowed = vocabulary().allowed[:, examples.subject, examples.object].T.copy()
    allowed[:, IS] = False
    columns = _log_odds({name: score[allowed] for name, score in parts.items()})
    return fit_logistic(columns, examples.positive[allowed], _even(parts))


def _probability(log_odds_: Doubles) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds_)), np.float32)


def _log_odds(parts: Parts) -> Doubles:
    return np.column_stack([log_odds(score) for score in parts.values()]).astype(np.float64)


def _more(
    parts: Parts, p: int, statistics: CooccurrenceStatistics, subject: Labels, object_: Labels
) -> tuple[tuple[str, ...], Callable[[Rows], Floats]]:
    """The columns of a predicate beside the pairs' features: their names, and how some rows' are computed."""

    def compute(rows: Rows) -> Floats:
        scores = [score[rows, p] for score in parts.values()]
        return np.column_stack([*scores, statistics.features([p], subject[rows], object_[rows])])

    return (*(f"{name}_score" for name in parts), *feature_names([p])), compute


def _feature_names(name: str, visual: bool) -> tuple[str, ...]:
    pair = features_of_pairs(Boxes.empty(), Candidates.empty()).names
    scores = ("spatial_score", "visual_score") if visual else ("spatial_score",)
    return (*pair, *scores, *feature_names([vocabulary().predicate[name]]))


def _record(model: StackedPredicate) -> dict[str, object]:
    return {
        "rows": model.rows,
        "positives": model.positives,
        "rounds": model.trees.rounds if model.trees else 0,
        "logistic": None if model.logistic is None else model.logistic.tolist(),
        "fallback": model.fallback,
    }
