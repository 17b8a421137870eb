"""Stage `evaluate-choices`: what was chosen on the validation split, and the same figures on the hidden test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.files import read_json, write_json, write_text
from kit.base.text_table import table
from kit.config import Config
from kit.metric.summary import HIDDEN, NO_HIDDEN_TEST
from kit.pipeline.detector_task import TASKS, DetectorTask
from kit.pipeline.feature_signature import feature_signature
from kit.pipeline.splits import (
    given_detections,
    relation_images,
    shows_hidden_test,
    split_inputs,
    split_tables,
)
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.final import (
    FINAL,
    exponent_ap,
    final_stage,
    has_final,
    read_confidence,
    recall_at_50,
)
from kit.pipeline.stages.fused_detections import all_detections, chosen_weights, fused_mean_ap, in_proportion
from kit.pipeline.stages.scored_candidates import candidates_stage
from kit.pipeline.stages.stack import AVERAGE, average_ap, chooses_weights
from kit.relation.scorers import scorer_names, stages_of
from kit.tables.shards import SHARDS, read_shards
from kit.vocabulary import IS, vocabulary

if TYPE_CHECKING:
    from kit.relation.scored import ScoredCandidates

CHOICES = "choices.json"
TABLE = "table.txt"
STAGE = "evaluate-choices"


@dataclass(frozen=True)
class Choice:
    """One of several options, chosen by its figure on the validation split.

    figure: which that is; chosen: place among the options; val, hidden_test: the figure of every option on either,
    NaN or None where it is not known; hidden_test: None where there are no figures of it.
    """

    choice: str
    figure: str
    options: list[str]
    chosen: int
    val: list[float | None]
    hidden_test: list[float] | None = None

    def row(self) -> list[Any]:
        """What was chosen, its figures, and what the hidden test would have chosen, where all options are known."""
        own = [self.choice, self.figure, self.options[self.chosen], _cell(self.val[self.chosen])]
        values = self.hidden_test
        if values is None:
            return own
        own.append(_cell(values[self.chosen]))
        if any(map(math.isnan, values)):
            return [*own, "", ""]
        best = max(range(len(values)), key=lambda i: (values[i], i == self.chosen))
        return [*own, self.options[best], values[best]]


def _cell(figure: float | None) -> float | str:
    """A figure in a table; empty where it is not known."""
    return "" if figure is None or math.isnan(figure) else figure


@register_stages
def choices_stages(config: Config) -> Iterator[Stage]:
    """What was chosen, where there are detectors and a validation split to choose on."""
    if not has_final(config) or not config.data.val.relations:
        return
    scorer, hidden = config.relation.scorer, shows_hidden_test(config, "val")
    tasks, average = _with_fusion(config), _has_average(config)
    models = stages_of(config, "visual") if average and hidden else ()
    yield Stage(
        STAGE,
        _evaluate,
        device=config.detector.device if models else "cpu",
        needs=(
            final_stage(config, scorer),
            *(task.weights for task in tasks),
            *(["stack"] if average else []),
            *models,
            *([candidates_stage(config, "test", scorer)] if hidden else []),
            *(task.detect("test", name) for task in tasks for name in task.models(config) if hidden),
        ),
        inputs=(
            *dict.fromkeys(
                given
                for read in [split_inputs, *(task.inputs for task in tasks)]
                for given in (read(config, "test") if hidden else ())
            ),
            *([relation_images(config, "test")] if models else []),
        ),
        settings={
            "fusion": config.detector.fusion.model_dump(),
            **({"attribute_fusion": config.attribute.fusion.model_dump()} if config.attribute.fusion else {}),
        },
        computed=feature_signature if models else None,
        version=2,
        command="evaluate --choices",
    )


def _tells_hidden_test(context: StageContext) -> bool:
    """Whether the figures of the hidden test stand beside those of the validation split."""
    return candidates_stage(context.config, "test", context.config.relation.scorer) in context.stage.needs


def _with_fusion(config: Config) -> list[DetectorTask]:
    """The tasks whose models' weights were chosen, and used: none is fused where detections were given."""
    return [] if given_detections(config, "val") else [t for t in TASKS if len(t.models(config)) > 1]


def _has_average(config: Config) -> bool:
    return chooses_weights(config) and "stack" in stages_of(config, config.relation.scorer)


def read_choices(folder: Path) -> list[dict[str, Any]]:
    """All choices with all options."""
    rows: list[dict[str, Any]] = read_json(folder / CHOICES, list, "give --force")
    return rows


def _evaluate(context: StageContext) -> Metrics:
    choices = [choice for task in _with_fusion(context.config) for choice in _fusion(context, task)]
    choices += _average(context) if _has_average(context.config) else []
    choices += _final(context)
    write_json(context.path / CHOICES, [asdict(choice) for choice in choices])
    write_text(context.path / TABLE, text(choices))
    return {"choices": len(choices)}


def text(choices: Sequence[Choice]) -> str:
    """A row a choice."""
    columns, title = ["choice", "figure", "chosen", "val"], "What was chosen on the validation split"
    if all(choice.hidden_test is None for choice in choices):
        return table(title + NO_HIDDEN_TEST, columns, [choice.row() for choice in choices])
    return table(title, [*columns, HIDDEN, "best there", "its figure"], [choice.row() for choice in choices])


def _fusion(context: StageContext, task: DetectorTask) -> Iterator[Choice]:
    """The weights of a task's models."""
    config, names = context.config, task.models(context.config)
    tries = read_json(context.result(task.weights) / "tries.json", list)
    options = [{name: float(tried[name]) for name in names} for tried in tries]
    chosen, hidden = in_proportion(chosen_weights(context, task)), None
    if _tells_hidden_test(context):
        tables = {name: all_detections(context, task, "test", name) for name in names}
        hidden = list(map(fused_mean_ap(config, "test", tables, task), options))
    yield Choice(
        f"{task.prefix}fusion weights",
        "mAP",
        [", ".join(f"{name} {weight:g}" for name, weight in option.items()) for option in options],
        [in_proportion(option) for option in options].index(chosen),
        [tried["mAP"] for tried in tries],
        hidden,
    )


def _average(context: StageContext) -> Iterator[Choice]:
    """The weight of the visual score in the average, by predicate, on ground-truth boxes."""
    from kit.relation.stacking import WEIGHTS, choose_weights

    folder, names = context.result("stack"), vocabulary().predicates
    tries = read_json(folder / AVERAGE, list)
    weights = read_json(folder / "stack.json", dict)["weights"]
    hidden = None
    if _tells_hidden_test(context):
        _, hidden = choose_weights(*average_ap(context, "test"))
    for p, name in enumerate(names):
        if p != IS and name in tries[0]:
            yield Choice(
                f"weight of visual, {name}",
                "AP, true boxes",
                [f"{weight:g}" for weight in WEIGHTS],
                [round(weight * 10) for weight in WEIGHTS].index(round(weights[p] * 10)),
                [tried[name] for tried in tries],
                None if hidden is None else hidden[:, p].tolist(),
            )


def _final(context: StageContext) -> Iterator[Choice]:
    """The exponents of the detection scores, and whether scores are calibrated."""
    from kit.relation.calibration import ScoreCalibrator, choose_exponents

    config, scorer = context.config, context.config.relation.scorer
    record = read_json(context.result(final_stage(config, scorer)) / FINAL, dict)
    chosen = read_confidence(context, scorer)
    plain = ScoreCalibrator(chosen.exponent, chosen.is_exponent)
    tried: list[dict[str, float]] | None = None
    recalls: list[float] | None = None
    if _tells_hidden_test(context):
        tables, pairs = split_tables(config, "test"), _candidates(context)
        _, tried = choose_exponents(config.relation.final.exponents, exponent_ap(tables, pairs, scorer))
        recalls = [recall_at_50(tables, pairs, scorer, one) for one in (plain, chosen)]
    options = [one["exponent"] for one in record["tries"]]
    for key, exponent, words in (("pairs", chosen.exponent, "pairs"), ("is", chosen.is_exponent, '"is"')):
        yield Choice(
            f"exponent of {words}",
            "mAP",
            [f"{option:g}" for option in options],
            options.index(exponent),
            [one[key] for one in record["tries"]],
            None if tried is None else [one[key] for one in tried],
        )
    if "Recall@50 calibrated" in record:
        calibrated = chosen.slope_intercept is not None
        if recalls and not calibrated:  # what was refused is not kept
            recalls[1] = math.nan
        figures = [record[f"Recall@50 {word}"] for word in ("uncalibrated", "calibrated")]
        yield Choice("calibration", "Recall@50", ["no", "yes"], int(calibrated), figures, recalls)


def _candidates(context: StageContext) -> ScoredCandidates:
    """The hidden test's scored candidates."""
    from kit.relation.scored import scored_candidates_table

    config = context.config
    kind = scored_candidates_table(scorer_names(config))
    folder = context.result(candidates_stage(config, "test", config.relation.scorer)) / SHARDS
    return kind.concat(list(read_shards(folder, kind)))
