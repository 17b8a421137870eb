"""The paper's table 3: spatial, visual, their average and the third stage, on the same detected candidates."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.base.files import read_json
from kit.base.split_names import SplitName
from kit.metric.relations import evaluate
from kit.pipeline.splits import split_tables
from kit.relation.calibration import ScoreCalibrator
from kit.relation.scored import scored_candidates_table
from kit.relation.scorers import scorer_names
from kit.reproduce.experiment import Claim, Doubles, Experiment, mean_std
from kit.reproduce.whole_runs import FULL, SPLITS, run_full
from kit.tables.shards import SHARDS, read_shards
from kit.vocabulary import IS, PREDICATES

SCORERS: tuple[str, ...] = ("prior", "spatial", "visual", "average", "stack")
SINGLE = ("spatial", "visual")
ENOUGH = 30  # true relations of a predicate, both splits together, for a claim about it
NAMES = [name for p, name in enumerate(PREDICATES) if p != IS]


def run_table3(experiment: Experiment) -> dict[str, Any]:
    """AP of relationships by predicate and scorer, the mean of validation and test; with the claims."""
    run_full(experiment)
    counts = np.sum([_counts(experiment, split) for split in SPLITS], axis=0)
    ap = np.asarray([[_ap(experiment, seed, split) for split in SPLITS] for seed in experiment.seeds])
    mean = np.nanmean(ap, axis=1)  # (seeds, scorers, predicates)
    rows: list[dict[str, Any]] = []
    for k in np.argsort(-counts, kind="stable"):
        own: dict[str, Any] = {scorer: mean_std(mean[:, i, k]) for i, scorer in enumerate(SCORERS)}
        rows.append({"predicate": NAMES[k], "n": int(counts[k]), **own})
    overall = np.nanmean(mean, axis=2)
    total: dict[str, Any] = {scorer: mean_std(overall[:, i]) for i, scorer in enumerate(SCORERS)}
    rows.append({"predicate": "mean", "n": int(counts.sum()), **total})
    return {"rows": rows, "claims": [claim.as_dict() for claim in claims_of(mean, counts)]}


def claims_of(ap: Doubles, counts: Doubles) -> list[Claim]:
    """What the paper says of table 3. ap: (seeds, scorers, predicates); counts: true relations (predicates,)."""
    mean = ap.mean(axis=0)
    spatial, visual, average, stack = (
        mean[SCORERS.index(s)] for s in ("spatial", "visual", "average", "stack")
    )
    enough = counts >= ENOUGH
    if not enough.any():
        return [Claim(f"a predicate has {ENOUGH} relations and more", False, f"at most {counts.max():.0f}")]
    won = {
        "spatial": [NAMES[k] for k in np.flatnonzero(enough & (spatial > visual))],
        "visual": [NAMES[k] for k in np.flatnonzero(enough & (visual > spatial))],
    }
    lead = stack - np.maximum(spatial, visual)
    worst = int(np.flatnonzero(enough)[lead[enough].argmin()])
    gain = float(np.nanmean(stack) - np.nanmean(average))
    return [
        *(Claim(f"{name} wins somewhere", bool(where), ", ".join(where)) for name, where in won.items()),
        Claim(
            f"the stack is at least as good as the best single model (predicates with {ENOUGH} and more)",
            bool((lead[enough] >= 0).all()),
            f"smallest lead {lead[worst]:+.3f} ({NAMES[worst]})",
        ),
        Claim("the stack is ahead of the average in the mean", gain > 0, f"{gain:+.3f}"),
    ]


def _ap(experiment: Experiment, seed: int, split: SplitName) -> Doubles:
    """AP of every scorer and predicate, (scorers, predicates), with the exponent that was chosen."""
    folder = experiment.path(FULL, seed)
    chosen = ScoreCalibrator.of_dict(read_json(folder / "final" / "final.json", dict))
    confidence = ScoreCalibrator(chosen.exponent, chosen.is_exponent)
    table = scored_candidates_table(scorer_names(experiment.config))
    pairs = table.concat(list(read_shards(folder / f"scored-candidates-{split}" / SHARDS, table)))
    pairs = pairs.take(pairs.predicate != IS)
    tables = split_tables(experiment.config, split)
    out = []
    for scorer in SCORERS:
        found = evaluate(tables.relations, confidence.predictions(pairs, scorer), tables.labels)
        out.append([found.relationships["AP"].get(name, np.nan) for name in NAMES])
    return np.asarray(out)


def _counts(experiment: Experiment, split: SplitName) -> Doubles:
    relations = split_tables(experiment.config, split).relations
    counts = np.bincount(relations.predicate, minlength=len(PREDICATES))
    return np.delete(counts, IS).astype(np.float64)
