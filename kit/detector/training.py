"""Train a detector through mmdet's Runner: checkpoints to go on from, validation, one progress line."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kit.detector.architecture import prepare
from kit.detector.checkpoint import State, read_checkpoint, write_state
from kit.detector.inference import device_of
from kit.detector.pictures import write_annotations
from kit.detector.processes import is_first, launched
from kit.detector.task import EVERY, Task, runner_config
from kit.errors import FileFault
from kit.files import write_json
from kit.progress import Line, notice

WEIGHTS, CURVE, LOG = "weights.pth", "curve.json", "log.txt"
Validate = Callable[[nn.Module], float]  # the model's validation mAP


def train_detector(
    task: Task, folder: Path, start: State | None, validate: Validate | None
) -> dict[str, Any]:
    """Train below `folder` and leave `weights.pth` and `curve.json` there; the last figures.

    start: weights to begin with, None for freshly initialised ones. Where the folder holds a checkpoint of an
    interrupted training it goes on from it. Under torchrun every process calls this; the first one writes.
    """
    prepare()
    from mmengine.dist import barrier
    from mmengine.runner import Runner

    first = is_first()
    checkpoint = _last_checkpoint(folder)
    if first:
        write_annotations(folder / "annotations.npz", task.pictures.boxes)
        if checkpoint:
            notice(f"{task.name}: going on from {checkpoint.name}")
        elif start is not None:
            write_state(folder / "start.pth", start, task.pictures.classes)
    report = _Report(task, folder, validate if first else None)
    with _quiet(folder / LOG):
        config = runner_config(task, folder, checkpoint, start is not None)
        barrier()
        runner = Runner.from_cfg(_config(config))
        _quiet_logger(runner)
        if not launched():  # mmengine takes whatever GPU there is
            runner.model.to(device_of(task.device))
        if task.training.channels_last:
            runner.model.to(memory_format=torch.channels_last)
        runner.register_hook(report.hook(), priority="VERY_LOW")
        try:
            runner.train()
        finally:
            _close_logger(runner)
    if first:
        model = runner.model.module if hasattr(runner.model, "module") else runner.model
        weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
        write_state(folder / WEIGHTS, weights, task.pictures.classes)
        for path in (*folder.glob("iter_*.pth"), folder / "last_checkpoint", folder / "start.pth"):
            path.unlink(missing_ok=True)
    barrier()
    return report.figures()


class _Report:
    """What the user sees of a training, and the curve that is kept: loss and validation mAP by iteration."""

    def __init__(self, task: Task, folder: Path, validate: Validate | None) -> None:
        self.task, self.path, self.validate = task, folder / CURVE, validate
        self.curve: list[dict[str, Any]] = []
        self.loss = self.ap = float("nan")
        self.skipped = 0.0
        self.line = Line(task.training.iterations, f"train {task.name}")
        self.speaks = is_first()

    def hook(self) -> Any:
        """The hook for mmengine's Runner."""
        from mmengine.hooks import Hook

        report = self

        class Reporting(Hook):  # type: ignore[misc]
            """Hands the Runner's events on."""

            def before_train(self, runner: Any) -> None:
                report.begin(runner)

            def after_train_iter(self, runner: Any, batch_idx: int, **results: Any) -> None:
                report.step(runner, batch_idx + 1, results["outputs"])

            def after_train(self, runner: Any) -> None:
                report.line.close()

        return Reporting()

    def begin(self, runner: Any) -> None:
        """Take the curve of an interrupted training up again, or measure where this one starts."""
        self.line.begin(runner.iter)
        if runner.iter and self.path.exists():
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.curve = [point for point in kept if point["iteration"] <= runner.iter]
        elif self.validate and runner.iter == 0:
            self._validate(runner, 0)

    def step(self, runner: Any, done: int, outputs: dict[str, Any] | None) -> None:
        """After an iteration: look at the loss now and then, validate, show."""
        training = self.task.training
        if (done % EVERY == 0 or done == training.iterations) and outputs:
            self.loss = float(outputs["loss"])
        if self.validate and (done % training.validate_every == 0 or done == training.iterations):
            self._validate(runner, done)
        score = "" if self.ap != self.ap else f", mAP {self.ap:.3f}"
        if self.speaks:
            self.line.show(done, f"loss {self.loss:.3f}{score}")

    def figures(self) -> dict[str, Any]:
        """The last loss and mAP."""
        return {"loss": round(self.loss, 4), "mAP": round(self.ap, 4)}

    def _validate(self, runner: Any, done: int) -> None:
        assert self.validate is not None
        started = time.monotonic()
        model = runner.model.module if hasattr(runner.model, "module") else runner.model
        self.ap = self.validate(model)
        point = {"iteration": done, "loss": self.loss, "mAP": self.ap}
        self.curve.append({**point, "seconds": round(time.monotonic() - started, 2)})
        write_json(self.path, self.curve)


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole; a half-written one is passed over."""
    paths = sorted(folder.glob("iter_*.pth"), key=lambda path: -int(path.stem.removeprefix("iter_")))
    for path in paths:
        try:
            read_checkpoint(path)
        except FileFault:
            notice(f"{path.name} is not whole; looking for an older one")
            continue
        return path
    return None


def _config(values: dict[str, Any]) -> Any:
    from mmengine import Config

    return Config(values)


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send what mmengine and mmdet print into the log."""
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        yield


def _quiet_logger(runner: Any) -> None:
    """Keep mmengine's logger in its own file."""
    for handler in list(runner.logger.handlers):
        if type(handler) is logging.StreamHandler:
            runner.logger.handlers.remove(handler)


def _close_logger(runner: Any) -> None:
    """Let go of the log file: what a later training in this process says goes to its own."""
    for handler in list(runner.logger.handlers):
        handler.close()
        runner.logger.handlers.remove(handler)
