"""Stage `stack` (paper 2.3): XGBoost over both scores and the pair features, trained on the stack split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kit.base.files import atomic_write, write_json
from kit.base.split_names import SplitName
from kit.config import Config
from kit.detector.process_group import is_main_process
from kit.pipeline.begun_by import check_begun_by, end_begun_by
from kit.pipeline.engine.tasked import Step, TaskedWork
from kit.pipeline.feature_signature import feature_signature
from kit.pipeline.models import SplitModels, named_reasons, note_unseen, say_unseen
from kit.pipeline.splits import relation_images, split_inputs, split_tables
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.training_tables import box_needs, learning_settings, pair_images, training_tables
from kit.relation.model_names import pairwise
from kit.relation.scorers import visual_is_there
from kit.vocabulary import vocabulary

if TYPE_CHECKING:
    import numpy as np

    from kit.data.split_tables import SplitTables
    from kit.relation.prior_model import Examples
    from kit.relation.stacking import Stacker
    from kit.tables.schema import Floats

AVERAGE = "average.json"  # the tries of the average's weights
SCORES = "scores.npz"  # of both models and the average's weights, there as long as the training


@register_stages
def stack_stages(config: Config) -> Iterator[Stage]:
    """The third stage, over the spatial and the visual score; without a visual model, over the spatial one."""
    visual, chooses = visual_is_there(config), chooses_weights(config)
    splits: tuple[SplitName, ...] = ("stack", "val") if chooses else ("stack",)
    settings, device = config.relation.stack, config.detector.device if visual else "cpu"
    steps = Step(("scores",), device), Step(pairwise(), settings.device)
    yield Stage(
        "stack",
        TaskedWork(steps, _do_task, _finish) if settings.processes == 1 else _finish,
        needs=("prior", "spatial", *(["visual"] if visual else []), *box_needs(config, "stack", "stack")),
        inputs=(
            *(given for split in splits for given in split_inputs(config, split)),
            *([pair_images(config, "stack")] if visual else []),
            *([relation_images(config, "val")] if chooses else []),
        ),
        settings=learning_settings(config, "stack", settings),
        computed=feature_signature,
        version=2,
        command="train stack",
        headline="fallbacks",
        device=device if visual else settings.device,
        trains=True,
        implicit=False,
        distributed=True,
        processes=settings.processes,
    )


def chooses_weights(config: Config) -> bool:
    """Whether there is a validation split to choose the average's weights on."""
    return visual_is_there(config) and bool(config.data.val.relations and config.data.val.images)


def _do_task(context: StageContext, task: str) -> None:
    if task == "scores":
        _scores(context, *_examples(context))
    else:
        _train(context, task)


def _finish(context: StageContext) -> Metrics:
    from kit.relation.external_memory import end_choice

    stacker = _train(context)
    if not is_main_process():
        return {}
    stacker.save(context.path)
    end_begun_by(context)
    (context.path / SCORES).unlink()
    fallbacks = {name: model.fallback for name, model in stacker.models.items() if model.fallback}
    named_reasons("stack: the average stands for", fallbacks)
    rows_in = end_choice(context.path)
    return {"fallbacks": len(fallbacks), "models": stacker.figures(), "rows_in": rows_in}


def _examples(context: StageContext) -> tuple[SplitTables, Examples]:
    from kit.relation.prior_model import pair_examples

    split = training_tables(context, "stack")
    return split, pair_examples(split)


def _train(context: StageContext, only: str | None = None) -> Stacker:
    """Train one predicate's combination, or all."""
    from kit.relation.stacking import train_stack
    from kit.relation.statistics import CooccurrenceStatistics, folds

    check_begun_by(context)
    config = context.config
    split, examples = _examples(context)
    scores = _scores(context, split, examples)
    weights = scores.pop("weights")
    if visual_is_there(config) and only is None and is_main_process():
        say_unseen("stack", context.path, len(split.objects.images))
    return train_stack(
        examples,
        split.objects,
        folds(split.objects.images)[examples.candidates.image],
        scores,
        weights,
        CooccurrenceStatistics.load(context.result("spatial") / "statistics.npz"),
        config.relation.stack,
        config.seed,
        context.path,
        only,
    )


def _scores(context: StageContext, split: SplitTables, examples: Examples) -> dict[str, Floats]:
    """Of the examples by each model (n, predicates), and the "weights" of the average; made once, then read."""
    import numpy as np

    from kit.detector.team import Team

    path = context.path / SCORES

    def make() -> None:
        if path.exists():
            return
        scorer = "visual" if visual_is_there(context.config) else "spatial"
        ensemble = SplitModels(context, "stack", scorer).ensemble
        weights, table = average_weights(context)
        write_json(context.path / AVERAGE, table)
        scores = ensemble.scores(split.objects, examples.candidates)
        note_unseen(ensemble.visual, context.path)
        kept: dict[str, Any] = {"weights": weights, **scores}
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez(file, **kept)

    Team.here().of_first(make)
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


def average_weights(context: StageContext) -> tuple[Floats, list[dict[str, Any]]]:
    """Per predicate the weight of the visual score in the average (paper, table 3), and the tries.

    By AP on the validation split's ground-truth boxes; a half where there are none or nothing to choose.
    """
    import numpy as np

    from kit.relation.stacking import WEIGHTS, choose_weights

    names = vocabulary().predicates
    half = np.full(len(names), 0.5, np.float32)
    if not chooses_weights(context.config):
        return half, []
    weights, tried = choose_weights(*average_ap(context, "val"))
    table = [
        {"weight": w, **{n: float(v) for n, v in zip(names, row_, strict=True) if not np.isnan(v)}}
        for w, row_ in zip(WEIGHTS, tried, strict=True)
    ]
    return weights, table


def average_ap(
    context: StageContext, split: SplitName
) -> tuple[dict[str, Floats], Callable[[Floats], np.ndarray]]:
    """Both models' scores of the pairs of a split's ground-truth boxes, and the AP per predicate of any scores."""
    import numpy as np

    from kit.metric.relations import evaluate
    from kit.relation.candidates import pair_candidates, to_predictions

    names = vocabulary().predicates
    tables = split_tables(context.config, split)
    ensemble = SplitModels(context, split, "visual").ensemble
    pairs = pair_candidates(tables.objects)
    label = tables.objects.label
    allowed = vocabulary().allowed[:, label[pairs.subject], label[pairs.object]]
    predicate, row = np.nonzero(allowed)
    scores, chosen = ensemble.scores(tables.objects, pairs), pairs.take(row)

    def ap(score: Floats) -> np.ndarray:
        rows = score[row, predicate].astype(np.float64)
        predictions = to_predictions(chosen, tables.objects, predicate, rows)
        found = evaluate(tables.relations, predictions, tables.labels)
        return np.asarray([found.relationships["AP"].get(name, np.nan) for name in names])

    return scores, ap
