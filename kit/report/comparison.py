"""Runs, or files of predictions, side by side on one truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.log import logger
from kit.base.progress import track
from kit.base.split_names import SplitName
from kit.base.text_table import table as text_table
from kit.metric.judging import InvertedBox
from kit.metric.matching import MatchResult, match_predictions
from kit.metric.paired import Difference, as_table, compare, resampled
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.splits import split_of
from kit.pipeline.stages.evaluate_relations import gt_stage
from kit.report.results import RunResults
from kit.tables.image_ids import NEITHER, images_of, unmatched
from kit.tables.official import prediction_fault, read_image_labels, read_predictions, read_relations
from kit.tables.schema import Predictions
from kit.tables.shards import SHARDS, read_shards

Matches = Sequence[tuple[str, MatchResult]]  # each with its name
COLUMNS = ("", "images", "before", "after", "difference", "low", "high", "")


def matches_of_runs(pipelines: Sequence[Pipeline], split: SplitName, on_truth: bool = False) -> Matches:
    """The judged predictions of runs on a split. on_truth: those on ground-truth boxes alone.

    Raises KitError where a run has none, and where the truths of two are not the same files by content.
    """
    first = _truth_content(pipelines[0], split)
    for other in pipelines[1:]:
        if _truth_content(other, split) != first:
            names = f"{pipelines[0].run.path} and {other.run.path}"
            raise KitError(f"{names}: their data.{split} has another truth", "compare runs on the same data")
    return [(str(p.run.path), _matches(RunResults(p, split), on_truth)) for p in pipelines]


def matches_of_files(files: Sequence[Path], truth: Sequence[Path], labels: Sequence[Path]) -> Matches:
    """The judged predictions of files against one truth. Raises KitError at a faulty file."""
    true = read_relations(list(truth))
    verified = read_image_labels(list(labels)) if labels else None
    matches = []
    known = {*true.images, *(verified.images if verified else ())}
    for path in files:
        table = read_predictions(path)
        strange = unmatched(images_of(table), known)
        if strange:
            logger.warning(f"{path}: {strange.say('images of the predictions', NEITHER)}")
        try:
            found = match_predictions(true, table, verified)
        except InvertedBox as error:
            raise prediction_fault(path, error.row, error.side, f"inverted {error.side} box") from None
        matches.append((str(path), found))
    return matches


def compared(matches: Matches, resamples: int, seed: int) -> dict[str, list[Difference]]:
    """Of all but the first, by name: how each of its figures differs from the first's."""
    drawn = [resampled(m, resamples=resamples, seed=seed, progress=track) for _, m in matches]
    return {name: compare(drawn[0], other) for (name, _), other in zip(matches[1:], drawn[1:], strict=True)}


def as_text(first: str, differences: dict[str, list[Difference]], resamples: int) -> str:
    """Tables for people, one for each that is compared with the first."""
    tables = [
        text_table(f"{name} against {first} (95% intervals, {resamples} resamples)", COLUMNS, as_table(rows))
        for name, rows in differences.items()
    ]
    return "".join(tables)


def as_json(first: str, differences: dict[str, list[Difference]], resamples: int) -> dict[str, Any]:
    """The same as a dictionary."""
    rows = {name: [d.as_dict() for d in found] for name, found in differences.items()}
    return {"before": first, "resamples": resamples, "after": rows}


def _matches(results: RunResults, on_truth: bool) -> MatchResult:
    if not on_truth:
        return results.matches
    folder = results.folder(gt_stage(results.split, results.config.relation.scorer)) / SHARDS
    tables = results.tables
    predictions = Predictions.concat(list(read_shards(folder, Predictions)))
    return match_predictions(tables.relations, predictions, tables.labels)


def _truth_content(pipeline: Pipeline, split: SplitName) -> list[str]:
    """What the files of the truth hold, by their hashes; nothing of those that are gone."""
    files = split_of(pipeline.run.config, split)
    named = (*files.relations, *files.boxes, *files.labels)
    return [pipeline.run.hashes.of(path) for path in named if path.is_file()]
