"""The third stage without a visual score: spatial learns from one half of the images, the stack from the other."""

from __future__ import annotations

import numpy as np

from kit.config import Config
from kit.data.split_tables import SplitTables
from kit.metric.relations import evaluate
from kit.relation.prior_model import pair_examples, train_prior
from kit.relation.scoring import Scorer, predict_relations
from kit.relation.spatial_model import train_spatial
from kit.relation.stacking import train_stack
from kit.relation.statistics import folds
from kit.vocabulary import IS, PREDICATES
from tests.builders import stacked

OTHERS = [name for p, name in enumerate(PREDICATES) if p != IS]


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
    parts = {"spatial": spatial.predict_pairs(two.objects, examples.candidates)}
    fold = folds(two.objects.images)[examples.candidates.image]
    half = np.full(len(PREDICATES), 0.5, np.float32)
    stack = train_stack(examples, two.objects, fold, parts, half, statistics, relation.stack, config.seed)
    return {"spatial": spatial, "stack": stacked(statistics, spatial, stack)}


def aps(scorer: Scorer, val: SplitTables) -> list[float]:
    """AP of relationships of every predicate but "is", NaN without truth."""
    found = evaluate(val.relations, predict_relations(scorer, val.objects), val.labels)
    return [found.relationships["AP"].get(name, float("nan")) for name in OTHERS]


def _images(split: SplitTables, mask: np.ndarray) -> SplitTables:
    ids = [name for name, keep in zip(split.objects.images, mask, strict=True) if keep]
    return SplitTables(split.relations.of_images(ids), split.objects.of_images(ids), None)
