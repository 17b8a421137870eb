"""What was chosen on the validation split: weights of fusion and of the visual score, exponents, calibration."""

from __future__ import annotations

from collections.abc import Iterator

from kit.base.files import read_json
from kit.metric.summary import HIDDEN
from kit.pipeline.detector_task import TASKS, DetectorTask
from kit.pipeline.stages.evaluate_choices import STAGE, Choice, read_choices
from kit.report.blocks import Block, Column, Paragraph, Table
from kit.report.results import RunResults
from kit.vocabulary import PREDICATES


def fusion_blocks(results: RunResults) -> Iterator[Block]:
    """The weights that were tried for the models of either task, best first; the weights of the average."""
    tasks = {task.weights: task for task in TASKS if task.models(results.config)}
    stages = [*tasks, *(["stack"] if "stack" in results.pipeline.stages else [])]
    for stage in results.finished(stages):
        yield from [_tries(results, tasks[stage])] if stage in tasks else _average(results)


def _tries(results: RunResults, task: DetectorTask) -> Table:
    names = task.models(results.config)
    tries = read_json(results.folder(task.weights) / "tries.json", list)
    tries = sorted(tries, key=lambda tried: -tried["mAP"])
    return Table(
        f"Fusion weights of the {'attribute ' if task.prefix else ''}detectors",
        (Column("Place", "text"), *(Column(name) for name in names), Column("mAP", "bar")),
        [
            (f"{i}" if i > 1 else "1, chosen", *(tried[name] for name in names), tried["mAP"])
            for i, tried in enumerate(tries, 1)
        ],
        "By the mAP on the validation split.",
    )


def _average(results: RunResults) -> Iterator[Table]:
    index = read_json(results.folder("stack") / "stack.json", dict)
    if index["visual"]:
        weights = zip(PREDICATES, index["weights"], strict=True)
        yield Table(
            "Weight of the visual score in the average",
            (Column("Predicate", "text"), Column("Weight", "bar")),
            [(name, float(weight)) for name, weight in weights if name in index["models"]],
            "0: the spatial score alone; 1: the visual score alone.",
        )


def choice_blocks(results: RunResults) -> Iterator[Block]:
    """Every choice with its figure, and what the hidden test would have chosen."""
    (stage,) = results.finished([STAGE] if STAGE in results.pipeline.stages else [])
    choices = [Choice(**row) for row in read_choices(results.folder(stage))]
    if not choices:
        yield Paragraph("Nothing had to be chosen.")
        return
    columns = [
        Column("Choice", "text"),
        Column("Figure", "text"),
        Column("Chosen", "text"),
        Column("Validation"),
    ]
    rows = [choice.row() for choice in choices]
    if any(choice.hidden_test is not None for choice in choices):
        columns += [Column(HIDDEN.capitalize()), Column("Best there", "text"), Column("Its figure")]
    width = len(columns)
    yield Table(
        "What was chosen, and whether it was the best elsewhere", columns, [_padded(r, width) for r in rows]
    )


def _padded(row: list[float | str], width: int) -> list[float | str]:
    return [*row, *[""] * (width - len(row))]
