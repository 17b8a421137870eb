"""Conduct a rehearsal: the data, the training stages, then the stages that use the models, and the estimates."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from kit.base.files import write_json
from kit.base.log import logger
from kit.base.split_names import SPLITS, SplitName
from kit.base.stopping import keeping
from kit.base.threads import cpu_count, machine
from kit.config import Config, DetectorModel
from kit.pipeline.jobs import Crew, side_by_side
from kit.pipeline.needed_images import needed_images
from kit.pipeline.order import LOGS, next_group
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.record import REHEARSAL
from kit.pipeline.run import Run
from kit.rehearsal.challenge import CUT, Challenge
from kit.rehearsal.estimate import Estimate, Rehearsal, estimates
from kit.rehearsal.plan import (
    detections_to_learn_from,
    on_truth,
    same,
    split_of_stage,
    whole_run,
    with_test_photos,
)
from kit.rehearsal.shared_memory import shared_memory_fault
from kit.rehearsal.worker import Measured, Work

SCRATCH = ".rehearsal"  # in the run's folder, as long as it lasts
LOOP_SHARE = 1 / 60  # of the whole time, for each loop at its steady pace
SPLIT_SHARE = 1 / 8  # for the detection of a split
EVALUATED = ("val", "test")  # splits that are looked at to the end once cut short: what follows scales by it
STACK_TIMES = 16  # images of the third stage's split, where nothing is detected, for one of another split
FEWEST = 2  # images of a split
SHARDS = 4  # of a split that was cut short: the first is warm-up
LATEST = 2.0  # times the minutes asked for, after which what is at work is ended
STARTING = 240.0  # seconds more for the libraries to be loaded and tables to be made


def rehearse(config: Config, folder: Path, minutes: float, jobs: int = 1) -> Rehearsal:
    """Measure every stage of a whole run for a short while and estimate the whole; kept in the run's folder.

    jobs: training stages that the run makes side by side, each in a process of its own. Raises KitError where the
    configuration or a file that is there is wrong.
    """
    scratch = folder / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with keeping("nothing of the rehearsal"):
            rehearsal = _Conductor(config, folder, scratch, minutes, jobs).result()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_json(folder / REHEARSAL, rehearsal.as_dict())
    return rehearsal


class _Conductor:
    """A rehearsal at work."""

    def __init__(self, config: Config, folder: Path, scratch: Path, minutes: float, jobs: int) -> None:
        self.asked, self.folder, self.scratch, self.minutes = config, folder, scratch, minutes
        self.jobs = jobs
        self.cores, self.deadline = cpu_count(), time.monotonic() + minutes * 60 * LATEST + STARTING
        self.weights: list[tuple[str, str]] = []
        self.missing: list[str] = []
        self.measured: dict[str, Measured] = {}
        self.failed: dict[str, str] = {}

    def result(self) -> Rehearsal:
        """The estimates of all stages."""
        started = time.monotonic()
        if fault := shared_memory_fault(self.asked):
            self.missing.append(fault)
        run = self.scratch / "run"
        run.mkdir(parents=True, exist_ok=True)  # there tables that were read once are kept
        own = self._with_weights(self.asked).model_copy(update={"run": run})
        challenge = Challenge.of(own, self.scratch)
        pipeline = Pipeline(Run(with_test_photos(challenge.config, self.scratch)))
        names = whole_run(pipeline)
        splits = {name: split_of_stage(pipeline, name) for name in names}
        extra = detections_to_learn_from(pipeline, names)
        usual = [name for name in names if name not in extra]
        first = [name for name in usual if splits[name] == "train"]
        few = {split: self._first_images(split) for split in CUT}
        wanted = sorted(needed_images(on_truth(challenge.config), "train"))
        self._phase(pipeline, on_truth(challenge.shortened(few, wanted)), first, [], [])
        images = self._images()
        rest = [name for name in usual if name not in first]
        cut: dict[SplitName, int] = {"val": images, "test": images, "stack": STACK_TIMES * images}
        scales = self._cut_phase(pipeline, challenge, cut, rest, splits, on_truth)
        if extra:
            self.missing.append("relation models learn from true boxes here: no detector is trained yet")
            cut = dict.fromkeys(SPLITS, images)
            scales |= self._cut_phase(pipeline, challenge, cut, extra, splits, same)
        for line in (*challenge.made, *self.missing):
            logger.warning(f"rehearsal: {line}")
        found = {
            e.stage: e for e in estimates(list(self.measured.values()), scales, self.cores, self._workers())
        }
        stages = [found.get(name) or self._unmeasured(pipeline, name) for name in names]
        spent = (time.monotonic() - started) / 60
        needs = {name: pipeline.stages[name].needs for name in pipeline.training}
        made = [*challenge.made, *self.missing]
        return Rehearsal(stages, self._machine(), made, round(spent, 2), self.jobs, needs)

    def _cut_phase(
        self,
        pipeline: Pipeline,
        challenge: Challenge,
        images: dict[SplitName, int],
        names: Sequence[str],
        splits: dict[str, SplitName],
        changed: Callable[[Config], Config],
    ) -> dict[str, float]:
        """Measure stages on so many images of every split; how many times more the whole has, where it was cut."""
        config = changed(self._sharded(challenge.shortened(images), challenge))
        cut = challenge.scales()
        scales = {name: cut[split] for name in names if (split := splits[name]) in cut}
        whole = [n for n in names if splits[n] in EVALUATED or not pipeline.stages[n].trains]
        self._phase(pipeline, config, names, whole, list(scales))
        return scales

    def _phase(
        self, pipeline: Pipeline, config: Config, names: Sequence[str], whole: list[str], twice: list[str]
    ) -> None:
        """Measure stages in a process; one that dies takes only the stage at work along. whole, twice: of Work."""
        file = self.scratch / "config.json"
        write_json(file, config.model_dump(mode="json"))
        job = Work(
            str(file), str(self.scratch / "run"), self.minutes * 60 * LOOP_SHARE, "", [], whole, twice, []
        )
        if self.weights:
            with Crew(1) as crew:
                if fault := self._measure(replace(job, weights=self.weights), "weights", crew):
                    self.failed[names[0]] = fault
            self.weights = []
        if self.jobs > 1:
            self._side_by_side(pipeline, [name for name in names if name in pipeline.training], job)
        while left := [name for name in names if self._can_be_measured(pipeline, name)]:
            with Crew(1) as crew:
                fault = self._measure(replace(job, stages=left), left[0], crew)
            left = [name for name in left if self._can_be_measured(pipeline, name)]
            if fault is not None and left:
                self.failed[next_group(pipeline.stages, left)[0]] = fault
            if fault is None or time.monotonic() > self.deadline:
                return

    def _side_by_side(self, pipeline: Pipeline, names: Sequence[str], job: Work) -> None:
        """Measure stages as `kit train all --jobs` makes them: each in a process of its own, some at a time."""
        crew = Crew(self.jobs, self.asked.cpu_threads)

        def do(name: str) -> None:
            if fault := self._measure(replace(job, stages=[name]), name, crew):
                self.failed[name] = fault

        def is_left_out(name: str) -> bool:
            return time.monotonic() > self.deadline or not self._can_be_measured(pipeline, name)

        side_by_side(pipeline, names, self.jobs, crew, do, is_left_out)

    def _can_be_measured(self, pipeline: Pipeline, name: str) -> bool:
        """Whether a stage was not measured yet and needs none that failed."""
        return name not in self.measured and not any(map(self._has_failed, pipeline.closure([name])))

    def _measure(self, job: Work, name: str, crew: Crew) -> str | None:
        """Let a process of the crew measure stages; what went wrong, if something did.

        name: of the first; the crew is ended where it takes far too long.
        """
        out, words = self.scratch / f"{name}.jsonl", self.scratch / f"{name}.json"
        out.unlink(missing_ok=True)
        write_json(words, asdict(replace(job, out=str(out))))
        log = self.folder / LOGS / f"rehearsal-{name}.txt"
        timer = threading.Timer(max(self.deadline - time.monotonic(), 1.0), crew.end)
        timer.daemon = True
        timer.start()
        try:
            fault = crew.run(name, "kit.rehearsal.worker", [str(words)], log, aloud=True)
        finally:
            timer.cancel()
        for line in out.read_text(encoding="utf-8").splitlines() if out.exists() else []:
            measured = Measured.of_dict(json.loads(line))
            self.measured[measured.stage] = measured
        if fault and time.monotonic() >= self.deadline:
            allowed = LATEST * self.minutes + STARTING / 60
            return f"not at its end after {allowed:.0f} minutes in all; give more --minutes"
        return fault

    def _with_weights(self, config: Config) -> Config:
        """The config with made weights in place of those that are missing."""
        models: dict[str, DetectorModel] = {}
        for name, model in config.detector.models.items():
            models[name] = model
            if model.weights is not None and not model.weights.is_file():
                path = self.scratch / f"{name}.pth"
                self.weights.append((model.architecture, str(path)))
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
        loops = [loop for m in self.measured.values() for loop in m.loops if loop.unit == "images"]
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

    def _unmeasured(self, pipeline: Pipeline, name: str) -> Estimate:
        why = self.failed.get(name)
        broken = [other for other in pipeline.closure([name]) if other != name and self._has_failed(other)]
        if why is None:
            why = f"not measured: after {broken[0]}" if broken else "not measured: no time was left"
        return Estimate(name, None, failed=why)

    def _has_failed(self, name: str) -> bool:
        return name in self.failed or bool(name in self.measured and self.measured[name].failed)

    def _workers(self) -> int:
        return self.asked.detector.training.workers

    def _machine(self) -> str:
        cards = {m.card for m in self.measured.values() if m.card}
        return ", ".join([f"{self.cores} cores of {machine()['cpu']}", *sorted(cards)])
