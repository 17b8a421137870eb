"""Conduct a rehearsal: the data, the training stages, then the stages that use the models, and the estimates."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kit.base.errors import KitError
from kit.base.files import write_json
from kit.base.locks import exclusive_lock
from kit.base.log import logger
from kit.base.split_names import SPLITS, SplitName
from kit.base.stopping import keeping
from kit.base.threads import cpu_count, cpu_share, machine
from kit.config import Config, DetectorModel
from kit.pipeline.detector_task import OBJECTS, TASKS
from kit.pipeline.needed_images import needed_images
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.record import REHEARSAL
from kit.pipeline.run import Run
from kit.pipeline.splits import TABLES
from kit.rehearsal.challenge import CUT, Challenge
from kit.rehearsal.estimate import Estimate, Rehearsal, estimates, in_time
from kit.rehearsal.measuring import Measuring, logs_of
from kit.rehearsal.plan import (
    commands,
    detections_to_learn_from,
    on_truth,
    split_of_stage,
    unchanged,
    whole_run,
    with_test_photos,
)
from kit.rehearsal.schedule import Command
from kit.rehearsal.shared_memory import shared_memory_fault
from kit.rehearsal.worker import Work

SCRATCH = ".rehearsal"  # in the run's folder, as long as it lasts
SPLIT_SHARE = 1 / 8  # for the detection of a split
EVALUATED = ("val", "test")  # splits that are looked at to the end once cut short: what follows scales by it
STACK_TIMES = 16  # images of the third stage's split, where nothing is detected, for one of another split
FEWEST = 2  # images of a split
SHARDS = 4  # of a split that was cut short: the first is warm-up


def rehearse(config: Config, folder: Path, minutes: float, jobs: int = 1) -> Rehearsal:
    """Measure every stage of a whole run for a short while and estimate the whole; kept in the run's folder.

    jobs: stages that training and evaluation make side by side, by as many processes. Raises KitError where the
    configuration or a file that is there is wrong, and where another process rehearses the run.
    """
    scratch = folder / SCRATCH
    if jobs < 1:
        raise KitError(f"rehearse: {jobs} jobs", "give at least one")
    busy = f"{folder}: another kit is rehearsing this run"
    with exclusive_lock(folder / f"{SCRATCH}.lock", busy, "wait, or give --run"):
        shutil.rmtree(scratch, ignore_errors=True)
        for log in logs_of(folder):
            log.unlink()
        try:
            with keeping("nothing of the rehearsal"):
                rehearsal = _Conductor(config, folder, scratch, minutes, jobs).result()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        write_json(folder / REHEARSAL, rehearsal.as_dict())
    return rehearsal


class _Conductor:
    """A rehearsal at work. scales: how many times more the whole has, of stages whose data were cut short."""

    def __init__(self, config: Config, folder: Path, scratch: Path, minutes: float, jobs: int) -> None:
        self.asked, self.scratch, self.minutes, self.jobs = config, scratch, minutes, jobs
        self.started = time.monotonic()
        self.weights: dict[str, tuple[str, str]] = {}  # of detectors: architecture and path
        self.missing = [fault] if (fault := shared_memory_fault(config)) else []
        self.measuring = Measuring(scratch, folder, minutes)
        self.scales: dict[str, float] = {}
        run = scratch / "run"
        run.mkdir(parents=True, exist_ok=True)  # there tables that were read once are kept
        self.challenge = Challenge.of(self._with_weights(config).model_copy(update={"run": run}), scratch)
        self.pipeline = Pipeline(Run(with_test_photos(self.challenge.config, scratch)))
        self.names = whole_run(self.pipeline)
        self.splits = {name: split_of_stage(self.pipeline, name) for name in self.names}
        self.commands = commands(self.pipeline, self.names, jobs)

    def result(self) -> Rehearsal:
        """The estimates of all stages."""
        extra = detections_to_learn_from(self.pipeline, self.names)
        self._prepare()
        if extra:
            self.missing.append("relation models learn from true boxes here: no detector is trained yet")
        train, *others = self.commands
        with self.measuring.command(train, self._processes(train), self.asked.cpu_threads):
            first = [n for n in train.stages if n not in extra and self.splits[n] == "train"]
            self._train(first)
            images = self._images()
            self._use([n for n in train.stages if n not in {*first, *extra}], images, "use")
            if extra:
                cut = dict.fromkeys(SPLITS, images)
                self._cut_phase(cut, extra, unchanged, "detections")
        for number, command in enumerate(others, 2):
            with self.measuring.command(command, self._processes(command), self.asked.cpu_threads):
                self._use(command.stages, images, f"use-{number}")
        for line in (*self.challenge.made, *self.missing):
            logger.warning(f"rehearsal: {line}")
        return self._estimated()

    def _processes(self, command: Command) -> int:
        """How many are at work at once."""
        return max([command.jobs, *(self.pipeline.stages[name].processes for name in command.stages)])

    def _prepare(self) -> None:
        """Make weights that are missing; compile the fusion of boxes, which a run after this then finds."""
        weights = Work(weights=list(self.weights.values()))
        if self.weights and (fault := self.measuring.prepare(weights, "weights")):
            self.measuring.failed.update(dict.fromkeys(map(OBJECTS.detector, self.weights), fault))
        if any(task.models(self.asked) and task.fusion(self.asked).method == "wbf" for task in TASKS):
            self.measuring.prepare(Work(fusion=True), "fusion")

    def _train(self, names: Sequence[str]) -> None:
        """Measure the stages that learn from the training split, which stays whole."""
        few = {split: self._first_images(split) for split in CUT}
        wanted = sorted(needed_images(on_truth(self.challenge.config), "train"))
        config = on_truth(self.challenge.shortened(few, wanted))
        shutil.rmtree(
            self.pipeline.run.path / TABLES, ignore_errors=True
        )  # a run reads its files, and so do they
        self.measuring.measure(self.pipeline, config, names, "training")

    def _use(self, names: Sequence[str], images: int, text: str) -> None:
        """Measure stages that work on the other splits, of which there are so many images."""
        cut: dict[SplitName, int] = {"val": images, "test": images, "stack": STACK_TIMES * images}
        self._cut_phase(cut, names, on_truth, text)

    def _cut_phase(
        self,
        images: dict[SplitName, int],
        names: Sequence[str],
        changed: Callable[[Config], Config],
        text: str,
    ) -> None:
        """Measure stages on so many images of every split."""
        config = changed(self._sharded(self.challenge.shortened(images), self.challenge))
        cut = self.challenge.scales()
        scales = {name: cut[split] for name in names if (split := self.splits[name]) in cut}
        stages = self.pipeline.stages
        whole = [n for n in names if self.splits[n] in EVALUATED or not stages[n].trains]
        self.measuring.measure(self.pipeline, config, names, text, whole, list(scales))
        self.scales |= scales

    def _estimated(self) -> Rehearsal:
        """What all that was measured says of the whole."""
        measured = self.measuring.measured
        cores = {name: cpu_share(c.jobs) for c in self.commands for name in c.stages}
        workers = self.asked.detector.training.workers
        found = {e.stage: e for e in estimates(list(measured.values()), self.scales, cores, workers)}
        stages = [found.get(name) or self._unmeasured(name) for name in self.names]
        needs = {name: self.pipeline.stages[name].needs for name in self.names}
        processes = {name: self.pipeline.stages[name].processes for name in self.names}
        stages = in_time(stages, measured, self.commands, needs, processes)
        spent = (time.monotonic() - self.started) / 60
        made = [*self.challenge.made, *self.missing]
        return Rehearsal(stages, self._machine(), made, round(spent, 2), self.jobs)

    def _with_weights(self, config: Config) -> Config:
        """The config with made weights in place of those that are missing."""
        models: dict[str, DetectorModel] = {}
        for name, model in config.detector.models.items():
            models[name] = model
            if model.weights is not None and not model.weights.is_file():
                path = self.scratch / f"{name}.pth"
                self.weights[name] = (model.architecture, str(path))
                self.missing.append(
                    f"detector {name}: {model.weights.name} is missing: random weights stand in"
                )
                models[name] = model.model_copy(update={"weights": path, "classes": None})
        detector = config.detector.model_copy(update={"models": models})
        return config.model_copy(update={"detector": detector})

    def _first_images(self, split: SplitName) -> int:
        """Images that the validation during training looks at; of the other splits as few as can be."""
        return (
            max(self.asked.detector.training.validate_images or 10**6, FEWEST) if split == "val" else FEWEST
        )

    def _images(self) -> int:
        """Images of a split that detection can look at in its share of the time, by the rate of validation."""
        loops = [loop for m in self.measuring.measured.values() for loop in m.loops if loop.unit == "images"]
        checks = [
            loop.step / loop.size for loop in loops if loop.text.startswith("validate") and loop.step > 0
        ]
        if not checks:
            return 64
        models = len(self.asked.detector.models) + len(self.asked.attribute.models)
        an_image = max(checks) * len(self.asked.detector.inference.views) * models
        return max(FEWEST, int(self.minutes * 60 * SPLIT_SHARE / an_image))

    def _sharded(self, config: Config, challenge: Challenge) -> Config:
        """Shards so small that a split that was cut short has several."""
        cut = [n for split, n in challenge.cut.items() if n < challenge.images[split]]
        if not cut:
            return config
        inference = config.detector.inference
        batch = inference.batch_size
        shard = min(inference.shard, max(1, -(-min(cut) // (SHARDS * batch)) * batch))
        detector = config.detector.model_copy(
            update={"inference": inference.model_copy(update={"shard": shard})}
        )
        return config.model_copy(update={"detector": detector})

    def _unmeasured(self, name: str) -> Estimate:
        failed = self.measuring.failed.get(name)
        broken = [n for n in self.pipeline.closure([name]) if n != name and self.measuring.has_failed(n)]
        after = f"after {broken[0]}" if broken else "no time was left"
        return Estimate(name, None, failed=failed or f"not measured: {after}")

    def _machine(self) -> str:
        cards = {m.card for m in self.measuring.measured.values() if m.card}
        return ", ".join([f"{cpu_count()} cores of {machine()['cpu']}", *sorted(cards)])
