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
from kit.reproduce.experiment import TITLES, Claim, Doubles, Experiment, beside, mean_std, scored_splits
from kit.reproduce.whole_runs import FULL, run_full
from kit.tables.shards import SHARDS, read_shards
from kit.vocabulary import IS, PREDICATES

SCORERS: tuple[str, ...] = ("prior", "spatial", "visual", "average", "stack")
SINGLE = ("spatial", "visual")
ENOUGH = 30  # true relations of a predicate, both splits together, for a claim about it
NAMES = [name for p, name in enumerate(PREDICATES) if p != IS]


def run_table3(experiment: Experiment) -> dict[str, Any]:
    """AP of relationships by predicate and scorer, the mean of validation and hidden test; with the claims.

    What was chosen was chosen on the validation split, so the means over the predicates are told of each as well.
    """
    run_full(experiment)
    splits = scored_splits(experiment.config)
    by_split = [_counts(experiment, split) for split in splits]
    counts = np.sum(by_split, axis=0)
    ap = np.asarray([[_ap(experiment, seed, split) for split in splits] for seed in experiment.seeds])
    mean = np.nanmean(ap, axis=1)  # (seeds, scorers, predicates)
    rows: list[dict[str, Any]] = []
    for k in np.argsort(-counts, kind="stable"):
        own: dict[str, Any] = {scorer: mean_std(mean[:, i, k]) for i, scorer in enumerate(SCORERS)}
        rows.append({"predicate": NAMES[k], "n": int(counts[k]), **own})
    rows.append(_total("mean", mean, counts))
    if len(splits) > 1:
        rows += [_total(f"mean, {TITLES[s]}", ap[:, i], by_split[i]) for i, s in enumerate(splits)]
    claims = claims_of(dict(zip(splits, ap.swapaxes(0, 1), strict=True)), counts)
    return {"rows": rows, "claims": [claim.as_dict() for claim in claims]}


def _total(title: str, ap: Doubles, counts: Doubles) -> dict[str, Any]:
    """The row of a mean over the predicates. ap: (seeds, scorers, predicates)."""
    overall = np.nanmean(ap, axis=2)
    means = {scorer: mean_std(overall[:, i]) for i, scorer in enumerate(SCORERS)}
    return {"predicate": title, "n": int(counts.sum()), **means}


def claims_of(ap: dict[SplitName, Doubles], counts: Doubles) -> list[Claim]:
    """What the paper says of table 3, by the mean of the splits.

    ap: by split, (seeds, scorers, predicates); counts: true relations of all (predicates,).
    """
    mean = np.nanmean(list(ap.values()), axis=0).mean(axis=0)
    spatial, visual, stack = (mean[SCORERS.index(s)] for s in ("spatial", "visual", "stack"))
    enough = counts >= ENOUGH
    if not enough.any():
        return [Claim(f"a predicate has {ENOUGH} relations and more", False, f"at most {counts.max():.0f}")]
    won = {
        "spatial": [NAMES[k] for k in np.flatnonzero(enough & (spatial > visual))],
        "visual": [NAMES[k] for k in np.flatnonzero(enough & (visual > spatial))],
    }
    lead = stack - np.maximum(spatial, visual)
    worst = int(np.flatnonzero(enough)[lead[enough].argmin()])
    gain = _mean_gain(mean)
    gains = {split: _mean_gain(own.mean(axis=0)) for split, own in ap.items()}
    return [
        *(Claim(f"{name} wins somewhere", bool(where), ", ".join(where)) for name, where in won.items()),
        Claim(
            f"the stack is at least as good as the best single model (predicates with {ENOUGH} and more)",
            bool((lead[enough] >= 0).all()),
            f"smallest lead {lead[worst]:+.3f} ({NAMES[worst]})",
        ),
        Claim("the stack is ahead of the average in the mean", gain > 0, f"{gain:+.3f}{beside(gains)}"),
    ]


def _mean_gain(ap: Doubles) -> float:
    """How far the stack is ahead of the average, over all predicates. ap: (scorers, predicates)."""
    stack, average = (ap[SCORERS.index(name)] for name in ("stack", "average"))
    return float(np.nanmean(stack) - np.nanmean(average))


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
