"""What the experiments share: one source of weights for all, runs by variant and seed, curves, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.base.files import read_json, write_json, write_text
from kit.base.hashes import sha256_of
from kit.base.split_names import SplitName
from kit.base.threads import cpu_share
from kit.config import Config
from kit.pipeline.detector_task import detection_metric, hierarchy_inputs
from kit.pipeline.jobs import Job, run_jobs
from kit.pipeline.splits import shows_hidden_test
from kit.pipeline.stage import require
from kit.pipeline.stages.evaluate_detections import read_table

Doubles = NDArray[np.float64]
TITLES: dict[SplitName, str] = {"val": "val", "stack": "stack", "test": "hidden test"}  # of columns
POINTS = 6  # of a curve, after its start


@dataclass(frozen=True)
class Claim:
    """Something that the paper says, and whether it came out here."""

    text: str
    holds: bool
    figures: str

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return {"text": self.text, "holds": bool(self.holds), "figures": self.figures}


@dataclass(frozen=True)
class Experiment:
    """Runs below `folder`, one a variant and seed; jobs: how many at a time, 0 for as many as processors do."""

    config: Config
    folder: Path
    seeds: Sequence[int]
    jobs: int = 0

    @property
    def workers(self) -> int:
        """Jobs at a time."""
        return self.jobs or cpu_share(self.config.detector.processes)

    def path(self, variant: str, seed: int) -> Path:
        """The folder of the run of a variant and a seed."""
        return self.folder / f"{variant}-{seed}"

    def detectors(self) -> list[str]:
        """The names of the config's detectors. Raises KitError where there is none."""
        if not self.config.detector.models:
            raise KitError("detector.models is empty", "this experiment needs detectors")
        return list(self.config.detector.models)

    def sources(self, names: Sequence[str]) -> dict[str, Path]:
        """Source weights for every detector: the config's own, or trained once for the whole experiment."""
        given = {name: self.config.detector.models[name].weights for name in names}
        folder = self.folder / "source"
        wanted = [name for name, path in given.items() if path is None]
        file = self._write_config("source", {"detector.initial_weights": "pwt"})
        jobs = [
            Job(
                f"source {name}",
                file,
                folder,
                [f"source-{name}"],
                self.folder / "logs" / f"source-{name}.txt",
            )
            for name in wanted
        ]
        run_jobs(jobs, self.workers, "source weights")
        trained = {name: folder / f"source-{name}" / "weights.pth" for name in names}
        return {name: given[name] or trained[name] for name in names}

    def job(
        self,
        variant: str,
        seed: int,
        changes: dict[str, Any],
        stages: Sequence[str],
        *,
        own_schedule: bool = False,
    ) -> Job:
        """Stages with a variant's settings (dotted keys) and a seed, in its own run folder.

        own_schedule: validate as the config says, not so often and so thoroughly as curves need.
        """
        name = f"{variant}-{seed}"
        schedule: dict[str, Any] = {
            "detector.training.validate_every": max(1, self.config.detector.training.iterations // POINTS),
            "detector.training.validate_images": 0,
        }
        schedule = {} if own_schedule else schedule
        file = self._write_config(name, {**schedule, **changes, "seed": seed})
        return Job(name, file, self.path(variant, seed), stages, self.folder / "logs" / f"{name}.txt")

    def one_detector(self, name: str, weights: Path) -> dict[str, Any]:
        """The changes that leave one detector, with its source weights, and one view; no other model.

        Classes without a source class start at random, whatever the config says.
        """
        model = self.config.detector.models[name].model_dump(mode="json")
        view = self.config.detector.inference.views[0].model_dump(mode="json")
        return {
            "detector.models": {name: {**model, "weights": str(weights), "unmatched": "random"}},
            "detector.inference.views": [view],
            "attribute.models": [],
            "relation.scorer": "spatial",
            "relation.visual": None,
        }

    def keep_metric(self) -> str:
        """The detection metric in words, the same as long as the folder is there: its curves are of one metric.

        Raises KitError where they are of another, by the content of the class hierarchy, or that is missing.
        """
        for given in hierarchy_inputs(self.config):
            require(given)
        hierarchy = self.config.data.hierarchy
        metric = {"class hierarchy": sha256_of(hierarchy) if hierarchy else None}
        path = self.folder / "metric.json"
        if path.exists() and read_json(path, dict) != metric:
            raise KitError(
                f"{self.folder}: its curves are of another detection metric (data.hierarchy)",
                "give another folder with --out",
            )
        write_json(path, metric)
        return detection_metric(self.config)

    def run_all(self, jobs: Sequence[Job], text: str) -> None:
        """Run jobs; what is finished from an earlier time is not done again."""
        run_jobs(jobs, self.workers, text)

    def curves(self, variant: str, stage: str) -> tuple[Doubles, Doubles]:
        """Iterations (points,) and validation mAP, shape (seeds, points), of a variant's detector."""
        rows = []
        for seed in self.seeds:
            path = self.path(variant, seed) / stage / "curve.json"
            rows.append(read_json(path, list))
        iterations = np.asarray([point["iteration"] for point in rows[0]], np.float64)
        return iterations, np.asarray([[point["mAP"] for point in row] for row in rows])

    def table1(self, variant: str, split: SplitName) -> list[list[dict[str, Any]]]:
        """For every seed the rows of the detectors' evaluation."""
        return [read_table(self.path(variant, seed) / f"evaluate-{split}-detections") for seed in self.seeds]

    def _write_config(self, name: str, changes: dict[str, Any]) -> Path:
        values = self.config.model_dump(mode="json")
        for key, value in changes.items():
            *parents, last = key.split(".")
            inner = values
            for parent in parents:
                inner = inner[parent]
            inner[last] = value
        path = self.folder / "configs" / f"{name}.yaml"
        write_text(path, yaml.safe_dump(values, sort_keys=False))
        return path


def scored_splits(config: Config) -> tuple[SplitName, ...]:
    """The validation split, by which much is chosen, and beside it the hidden test where its truth is there."""
    return ("val", "test") if shows_hidden_test(config, "val") else ("val",)


def beside(by_split: dict[SplitName, float]) -> str:
    """The figures of the validation split and of the hidden test, where both are there, for behind their mean."""
    if len(by_split) < 2:
        return ""
    return f"; {', '.join(f'{TITLES[split]} {value:+.3f}' for split, value in by_split.items())}"


def mean_std(values: Sequence[float] | Doubles) -> str:
    """Mean and standard deviation over seeds."""
    array = np.asarray(values, np.float64)
    deviation = array.std(ddof=1) if len(array) > 1 else 0.0
    return f"{array.mean():.3f} ± {deviation:.3f}"


def draw_curves(
    path: Path,
    title: str,
    curves: dict[str, tuple[Doubles, Doubles]],
    x: str = "iterations",
    y: str = "validation mAP",
    bottom: float | None = 0,
) -> None:
    """Values (seeds, points) by what they grow with (points,): the mean of the seeds a line, their range a band.

    bottom: where y begins, None for below the least value.
    """
    from matplotlib.figure import Figure

    from kit.base.files import atomic_write

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for label, (iterations, ap) in curves.items():
        (line,) = axes.plot(iterations, ap.mean(axis=0), label=label)
        axes.fill_between(iterations, ap.min(axis=0), ap.max(axis=0), alpha=0.2, color=line.get_color())
    axes.set(title=title, xlabel=x, ylabel=y, ylim=(bottom, None))
    axes.legend()
    axes.grid(alpha=0.3)
    with atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=130)
