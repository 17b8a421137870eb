"""`kit report`: a run explained on one page, from what its finished stages left."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from kit.base.errors import KitError
from kit.base.files import write_text
from kit.base.progress import track
from kit.base.split_names import SplitName
from kit.pipeline.pipeline import Pipeline
from kit.report.blocks import Block, Section
from kit.report.page import Tile, render
from kit.report.results import RunResults, shown_split
from kit.report.sections.choices import choice_blocks, fusion_blocks
from kit.report.sections.confusions import class_confusion_blocks, predicate_confusion_blocks
from kit.report.sections.costs import configuration_blocks, cost_blocks
from kit.report.sections.detection import detection_blocks
from kit.report.sections.disagreements import disagreement_blocks
from kit.report.sections.errors import error_blocks
from kit.report.sections.importance import importance_blocks
from kit.report.sections.predicates import predicate_blocks
from kit.report.sections.score import score_blocks
from kit.report.sections.training import class_map_blocks, curve_blocks, sampling_blocks

FILE = "report.html"
SECTIONS: tuple[tuple[str, str, Callable[[RunResults], Iterable[Block]]], ...] = (
    ("score", "Score", score_blocks),
    ("predicates", "Predicates", predicate_blocks),
    ("predicate-confusion", "Predicate taken for predicate", predicate_confusion_blocks),
    ("errors", "Where the score is lost", error_blocks),
    ("disagreements", "Where spatial and visual disagree", disagreement_blocks),
    ("detection", "Detection", detection_blocks),
    ("class-confusion", "Class taken for class", class_confusion_blocks),
    ("class-map", "Class map of the weight transfer", class_map_blocks),
    ("sampling", "Sampling", sampling_blocks),
    ("training", "Training curves", curve_blocks),
    ("fusion", "Fusion weights", fusion_blocks),
    ("choices", "Choices", choice_blocks),
    ("importance", "Feature importance", importance_blocks),
    ("costs", "Time and memory", cost_blocks),
    ("configuration", "Configuration", configuration_blocks),
)


def write_report(pipeline: Pipeline, out: Path, split: SplitName | None = None) -> list[Section]:
    """Write the report of a run as one HTML file; its sections.

    split: whose scores are shown, default the hidden test's where it is scored, else the validation split's. A
    section whose stages are not finished says what makes them. Raises KitError where no stage is finished.
    """
    results = RunResults(pipeline, split or shown_split(pipeline))
    if not results.records:
        raise KitError(f"{pipeline.run.path}: no finished stage to report", "run `kit train all` first")
    sections = [_section(results, *one) for one in track(SECTIONS, len(SECTIONS), "report")]
    name = pipeline.run.path.absolute().name
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    lead = f"Run {pipeline.run.path}, split {results.split}, scorer {results.config.relation.scorer}; {now}"
    write_text(out, render(name, lead, _tiles(results), sections))
    return sections


def _section(
    results: RunResults, name: str, title: str, blocks: Callable[[RunResults], Iterable[Block]]
) -> Section:
    try:
        shown = tuple(blocks(results))
    except KitError as error:
        return Section(name, title, missing=str(error))
    return Section(name, title, shown, "" if shown else "There is nothing of this in this run.")


def _tiles(results: RunResults) -> list[Tile]:
    """The numbers that a run is known by, as far as they are there."""
    try:
        found = results.evaluation
    except KitError:
        return []
    spread, true = found["bootstrap"]["final_score"], found["ground_truth_boxes"]
    recall = found["scores"]["relationships"]["Recall@50"]
    interval = f"95% interval {spread['low']:.3f} to {spread['high']:.3f}"
    return [
        Tile("Final score", f"{found['scores']['final_score']:.4f}", interval),
        Tile("On true boxes", f"{true['final_score']:.4f}", "what perfect boxes would give"),
        Tile("mAP of relationships", f"{found['scores']['relationships']['mAP']:.4f}"),
        Tile("Recall@50", f"{recall:.4f}"),
        Tile("Detection mAP", f"{found['detection_mAP']:.4f}", "fused detections"),
    ]
