"""The trained relation models of a run, ready to score a split's objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.data.splits import load_split
from kit.metric.relations import evaluate
from kit.progress import notice
from kit.relation.candidates import pair_candidates, to_predictions
from kit.relation.ensemble import NEEDS, Ensemble, ScorerName
from kit.relation.prior import PriorScorer
from kit.relation.statistics import Statistics
from kit.run import Run
from kit.stages.relation import check_settings, seen_images
from kit.stages.splits import SplitName, picture_folder
from kit.vocabulary import vocabulary

if TYPE_CHECKING:
    from kit.relation.spatial import SpatialScorer
    from kit.relation.visual import VisualScorer
    from kit.tables.schema import Floats


def load_ensemble(run: Run, scorer: ScorerName, split: SplitName) -> Ensemble:
    """The models that a scorer needs, over the pictures of a split. Raises KitError where one is not trained.

    The visual model is left out of a stack that was trained without it.
    """
    needed = NEEDS[scorer]
    prior = PriorScorer(Statistics.load(check_settings(run, "prior") / "statistics.npz"))
    spatial = spatial_scorer(run) if "spatial" in needed else None
    stack = None
    if spatial is not None and "stack" in needed:
        from kit.relation.stack import Stacker

        stack = Stacker.load(check_settings(run, "stack"), spatial.statistics)
    seen = "visual" in needed and (stack is None or stack.visual)
    visual = visual_scorer(run, spatial, split) if spatial is not None and seen else None
    return Ensemble(scorer, prior, spatial, visual, stack)


def stages_of(run: Run, scorer: ScorerName) -> list[str]:
    """The training stages that a scorer's models come from. Raises KitError where one is not finished."""
    stages: list[str] = [name for name in NEEDS[scorer] if name != "visual"]
    for name in reversed(stages):
        run.folder(name)
    record = run.finished("stack") or {}
    if scorer == "visual" or ("stack" in stages and "visual" in record["made_from"]["after"]):
        run.folder("visual")
        stages.append("visual")
    return stages


def visual_images_key(run: Run, scorer: ScorerName, split: SplitName) -> dict[str, Any]:
    """What a stage's key says of the images of a split, where the scorer's models look at them."""
    return {"images": seen_images(run, split)} if "visual" in stages_of(run, scorer) else {}


def spatial_scorer(run: Run) -> SpatialScorer:
    """The spatio-semantic model."""
    from kit.relation.spatial import SpatialScorer

    return SpatialScorer.load(check_settings(run, "spatial"))


def visual_scorer(run: Run, spatial: SpatialScorer, split: SplitName) -> VisualScorer:
    """The visual model over the pictures of a split."""
    from kit.relation.visual import load_visual

    folder = picture_folder(run.config, split)
    config = run.config
    trained = check_settings(run, "visual")
    return load_visual(trained, spatial, folder, config.detector.device, config.data.decoding())


def note_unseen(scorer: VisualScorer | None, folder: Path) -> None:
    """Write down the pictures that the visual model could not see so far."""
    from kit.detector.pictures import SKIPPED, record_skipped

    for name in list(scorer.skipped if scorer else ()):
        if scorer and (why := scorer.skipped.pop(name, None)):  # else another thread has written it down
            record_skipped(folder / SKIPPED, name, why)


def say_unseen(stage: str, folder: Path, images: int) -> None:
    """One notice of the pictures that were written down."""
    from kit.detector.pictures import SKIPPED, left_out, tidy_skipped

    skipped = tidy_skipped(folder / SKIPPED)
    if skipped:
        notice(f"{stage}: {left_out(skipped, images)}: their pairs keep the prior's score; see {SKIPPED}")


def average_weights(run: Run, spatial: SpatialScorer, visual: bool) -> tuple[Floats, list[dict[str, Any]]]:
    """Per predicate the weight of the visual score in the average (paper, table 3), and the tries.

    By AP on the validation split's ground-truth boxes; a half where there are none or nothing to choose.
    """
    from kit.relation.stack import WEIGHTS, choose_weights

    names = vocabulary().predicates
    half = np.full(len(names), 0.5, np.float32)
    val = run.config.data.val
    if not (visual and val.relations and val.images):
        return half, []
    tables, seen = load_split(val, "val"), visual_scorer(run, spatial, "val")
    pairs = pair_candidates(tables.objects)
    label = tables.objects.label
    allowed = vocabulary().allowed[:, label[pairs.subject], label[pairs.object]]
    predicate, row = np.nonzero(allowed)
    parts = {"spatial": spatial.pairs(tables.objects, pairs), "visual": seen.pairs(tables.objects, pairs)}
    chosen = pairs.take(row)

    def ap(score: Floats) -> np.ndarray:
        own = score[row, predicate].astype(np.float64)
        found = evaluate(
            tables.relations, to_predictions(chosen, tables.objects, predicate, own), tables.labels
        )
        return np.asarray([found.relationships["AP"].get(name, np.nan) for name in names])

    weights, tried = choose_weights(parts, ap)
    table = [
        {"weight": w, **{n: float(v) for n, v in zip(names, row_, strict=True) if not np.isnan(v)}}
        for w, row_ in zip(WEIGHTS, tried, strict=True)
    ]
    return weights, table
