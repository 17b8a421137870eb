"""How the models learned: where the detectors' weights came from, what they drew, their curves, the boosting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kit.base.files import read_json
from kit.detector.class_balanced_sampling import PLAIN, image_counts
from kit.pipeline.detector_task import OBJECTS, TASKS
from kit.pipeline.splits import CLASSES, split_boxes
from kit.report.blocks import Block, Column, Paragraph, Plots, Table
from kit.report.plots import lines
from kit.report.results import RunResults
from kit.report.sampling_figure import curves, usual_limits


def class_map_blocks(results: RunResults) -> Iterator[Block]:
    """Which source class each target class takes its weights from, by detector."""
    stages = results.finished([OBJECTS.detector(name) for name in OBJECTS.models(results.config)])
    maps: dict[tuple[tuple[str, str | None, str | None], ...], list[str]] = {}
    for stage in stages:
        path = results.folder(stage) / "transfer.json"
        transfer = read_json(path, dict) if path.exists() else {}
        sources, bases = transfer.get("source", {}), transfer.get("basis", {})
        maps.setdefault(tuple((c, sources.get(c), bases.get(c)) for c in CLASSES), []).append(stage)
    for rows, names in maps.items():
        if not any(source or basis for _, source, basis in rows):
            yield Paragraph(f"{', '.join(names)}: no class takes the weights of a source class.")
            continue
        found = sum(source is not None for _, source, _ in rows)
        told = f"{found} of {len(rows)} classes take a source class's weights"
        yield Table(
            ", ".join(names),
            (Column("Class", "text"), Column("Source class", "text"), Column("Because of", "text")),
            rows,
            f"{told if found else 'The source classes were not noted by the version that trained these'}. "
            "The rows of the heads are copied; without a counterpart they begin anew.",
        )


def sampling_blocks(results: RunResults) -> Iterator[Block]:
    """The paper's figure 4 on the run's training split, with the run's own limit."""
    counts = image_counts(split_boxes(results.config, "train"))
    if not counts.sum():
        yield Paragraph("No training image shows a class.")
        return
    own = results.config.detector.sampling_limit
    limits = [PLAIN, *usual_limits(int(counts.max())), *([own] if own else [])]
    shown = {
        name: (np.arange(1, len(p) + 1).tolist(), p.tolist())
        for name, p in curves(counts, sorted(set(limits), reverse=True)).items()
    }
    used = f"this run draws with N = {own:,.0f}" if own else "this run draws plainly (N infinite)"
    yield Plots(
        "Class probabilities of balanced sampling",
        [lines("p(k) by class", shown, "class, from most to least likely", "p(k)", ylim=(0, None))],
        f"p(k) = min(n, N) / sum of min(n, N), n images of the class ({counts[counts > 0].min():,} to "
        f"{counts.max():,} on the training split); {used}.",
    )


def curve_blocks(results: RunResults) -> Iterator[Block]:
    """Loss and validation mAP of every detector, held-out loss of every boosted model."""
    names = list(results.config.detector.models)
    detectors = [f"source-{name}" for name in names if f"source-{name}" in results.pipeline.stages]
    detectors += [task.detector(name) for task in TASKS for name in task.models(results.config)]
    boosted = ["spatial"] if "spatial" in results.pipeline.stages else []
    done = results.finished([*detectors, *boosted])
    measured = {name: _curve(results.folder(name)) for name in done if name in detectors}
    losses = {name: _losses(results.folder(name)) for name in done if name in detectors}
    plots = []
    if any(measured.values()):
        shown = {
            n: ([r["iteration"] for r in rows], [r["mAP"] for r in rows]) for n, rows in measured.items()
        }
        plots.append(lines("Validation mAP", shown, "iteration", "mAP", markers=True, ylim=(0, None)))
    if any(xs for xs, _ in losses.values()):
        plots.append(lines("Training loss", losses, "iteration", "loss", ylim=(0, None)))
    if plots:
        yield Plots("The detectors", plots, "mAP on images of the validation split; each on its own classes.")
    if "spatial" in done:
        held_out = _held_out(results.folder("spatial"))
        if held_out:
            plot = lines("Held-out loss, first round = 1", held_out, "rounds", "loss", markers=True)
            yield Plots(
                "The spatial model", [plot], "Of the images held out; the round of lowest loss is kept."
            )


def _curve(folder: Path) -> list[dict[str, Any]]:
    path = folder / "curve.json"
    rows = read_json(path, list) if path.exists() else []
    return [row for row in rows if row.get("mAP") is not None]


def _losses(folder: Path) -> tuple[list[float], list[float]]:
    """Iterations and losses of the trainer's own records; of several tries of one training in order."""
    steps: dict[int, float] = {}
    for path in sorted(folder.glob("*/vis_data/scalars.json")):
        for row in _json_lines(path):
            if "loss" in row and "step" in row:
                steps[int(row["step"])] = float(row["loss"])
    return [float(step) for step in sorted(steps)], [steps[step] for step in sorted(steps)]


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    import json

    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # cut off by a kill
            continue


def _held_out(folder: Path) -> dict[str, tuple[list[float], list[float]]]:
    """By model the held-out loss by rounds, in proportion to that without a tree."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        record = read_json(path, dict)
        loss = {int(rounds): value for rounds, value in record.get("held_out", {}).items() if value}
        if len(loss) > 1:
            rounds = sorted(loss)
            found[path.stem] = ([float(r) for r in rounds], [loss[r] / loss[rounds[0]] for r in rounds])
    return found
