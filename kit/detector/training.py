"""Train a detector through mmdet's Runner: checkpoints to go on from, validation, one progress line."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kit.base.errors import FileFault, KitError
from kit.base.files import filling, write_json
from kit.base.log import logger
from kit.base.progress import ProgressLine
from kit.detector.annotated_images import ANNOTATIONS, read_annotations, write_annotations
from kit.detector.architecture import prepare
from kit.detector.checkpoint import State, read_checkpoint, write_state
from kit.detector.device import device_of
from kit.detector.divergence import DivergedError, Watch, last_loss, plain_model
from kit.detector.finite import broken_weight
from kit.detector.process_group import is_distributed, is_main_process, process_count
from kit.detector.sync_batch_norm import synchronise_batch_norms
from kit.detector.team import Team
from kit.detector.training_spec import TrainingSpec, learning_rate, runner_config

WEIGHTS, CURVE, LOG, RESUMED = "weights.pth", "curve.json", "log.txt", "resumed.json"
Validate = Callable[[nn.Module], float]  # the model's validation mAP


def train_detector(
    task: TrainingSpec, folder: Path, start: State | None, validate: Validate | None
) -> dict[str, Any]:
    """Train below `folder` and leave `weights.pth` and `curve.json` there; the last figures.

    start: weights to begin with, None for freshly initialised ones. Where the folder holds a checkpoint of an
    interrupted training it goes on from it. Under torchrun every process calls this; the first one writes.
    Raises DivergedError at the first loss that is not finite; no checkpoint holds weights that are not. Raises
    KitError where the interrupted training was one of more or fewer processes.
    """
    prepare()
    from mmengine.dist import barrier
    from mmengine.runner import Runner

    first = is_main_process()
    checkpoint = last_checkpoint(folder)
    if checkpoint:
        _refuse_other_processes(task, checkpoint)
    if first:
        write_annotations(folder / ANNOTATIONS, task.images.boxes, task.images.draws)
        if checkpoint:
            logger.info(f"{task.name}: going on from {checkpoint.name}")
        elif start is not None:
            write_state(folder / "start.pth", start, task.images.classes)
    if first and process_count() > 1:
        rate, own = learning_rate(task.training), task.training.lr
        rule = f"{task.settings}.scale_lr={task.training.scale_lr}"
        say = logger.info if rate == own else logger.warning
        say(f"{task.name}: {process_count()} processes learn at {rate:g}, one alone at {own:g} ({rule})")
    resumed = _resumed(folder / RESUMED, checkpoint, first)
    report = TrainingReport(task, folder, validate if first else None)
    with _quiet(folder / LOG):
        config = runner_config(task, folder, checkpoint, start is not None)
        barrier()
        runner = Runner.from_cfg(_config(config))
        _quiet_logger(runner)
        if not is_distributed():  # mmengine takes whatever GPU there is
            runner.model.to(device_of(task.device))
        if task.training.channels_last:
            runner.model.to(memory_format=torch.channels_last)
        if is_distributed() and task.training.sync_batch_norm:
            synchronise_batch_norms(runner.model)
        runner.register_hook(_watch(task).hook(), priority="NORMAL")
        runner.register_hook(report.hook(), priority="VERY_LOW")
        try:
            with filling(folder):
                runner.train()
        except DivergedError:
            if first:
                for path in _checkpoints(folder)[:1]:  # its weights led here, finite as they are
                    path.unlink()
                raise
            sys.exit(2)  # the first process says it
        finally:
            report.line.close()
            _close_logger(runner)
    if first:
        state = plain_model(runner.model).state_dict()
        weights = {name: tensor.cpu() for name, tensor in state.items()}
        write_state(folder / WEIGHTS, weights, task.images.classes)
        spent = (folder / name for name in ("last_checkpoint", "start.pth", RESUMED))
        for path in (*folder.glob("iter_*.pth"), *spent):
            path.unlink(missing_ok=True)
    barrier()
    return {**report.figures(), **({"resumed_at": resumed} if resumed else {})}


def _refuse_other_processes(task: TrainingSpec, checkpoint: Path) -> None:
    """Raise KitError, in the first process, where a checkpoint was learned by more or fewer; all end.

    How many they were, its training's draws tell; where these are gone, it is taken for one of as many.
    """
    from mmengine.dist import barrier

    path, training = checkpoint.parent / ANNOTATIONS, task.training
    draws = read_annotations(path)[1] if path.exists() else task.images.draws
    before, now = len(draws) // (training.iterations * training.batch_size), process_count()
    if before == now:
        return
    barrier()  # all have seen it, before the end of one ends all
    if not is_main_process():
        sys.exit(2)  # the first process says it
    text = f"{task.name}: interrupted under {before} process{'es' * (before != 1)} ({checkpoint.name})"
    text += f", now {now}: the draws and the learning rate would be others"
    raise KitError(text, f"start it under {before} again, or give --force to begin anew")


def _watch(task: TrainingSpec) -> Watch:
    training, rate = task.training, learning_rate(task.training)
    scale = f", learned at {rate:g}: scale_lr={training.scale_lr}, {process_count()} processes"
    now = f"now {training.lr:g}{scale if rate != training.lr else ''}"
    settings = f"{task.settings}.lr ({now}) or {task.settings}.grad_clip_norm"
    scaled = training.precision == "float16"  # its scaler leaves out steps of infinite gradients
    return Watch(task.name, settings, training.iterations, training.checkpoint_every, not scaled)


def _resumed(path: Path, checkpoint: Path | None, first: bool) -> list[int]:
    """The iterations that this training went on from, the newest last; the first process keeps them."""
    if checkpoint is None:
        if first:
            path.unlink(missing_ok=True)
        return []
    try:
        before = [int(at) for at in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        before = []
    resumed = [*before, _iteration(checkpoint)]
    if first:
        write_json(path, resumed)
    return resumed


class TrainingReport:
    """What the user sees of a training, and the curve that is kept: loss and validation mAP by iteration."""

    def __init__(self, task: TrainingSpec, folder: Path, validate: Validate | None) -> None:
        self.task, self.path, self.validate = task, folder / CURVE, validate
        self.curve: list[dict[str, Any]] = []
        self.loss = self.ap = math.nan
        training = task.training
        self.team = Team.here()
        images = training.batch_size * self.team.count
        self.line = ProgressLine(training.iterations, f"train {task.name}", "images", images)
        self.speaks = self.team.first

    def hook(self) -> Any:
        """The hook for mmengine's Runner."""
        from mmengine.hooks import Hook

        report = self

        class Reporting(Hook):  # type: ignore[misc]
            """Hands the Runner's events on."""

            def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
                checkpoint["loss"] = last_loss(runner)

            def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
                report.loss = float(checkpoint.get("loss", math.nan))

            def before_train(self, runner: Any) -> None:
                report.begin(runner)

            def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
                report.line.fed()

            def after_train_iter(self, runner: Any, batch_idx: int, **results: Any) -> None:
                report.step(runner, batch_idx + 1)
                runner.train_loop.stop_training |= report.team.first_decides(report.line.enough)

        return Reporting()

    def begin(self, runner: Any) -> None:
        """Take the curve of an interrupted training up again, or measure where this one starts."""
        self.line.begin(runner.iter)
        if runner.iter and self.path.exists():
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.curve = [point for point in kept if point["iteration"] <= runner.iter]
        if self.curve:
            ap = self.curve[-1]["mAP"]  # null where the images show none of the classes
            self.ap = math.nan if ap is None else float(ap)
        at = self.curve[-1]["iteration"] if self.curve else None
        if self.validate and runner.iter in (0, self.task.training.iterations) and at != runner.iter:
            self._validate(runner, runner.iter)

    def step(self, runner: Any, done: int) -> None:
        """After an iteration: note the loss, which mmengine has fetched already, validate, show."""
        training = self.task.training
        self.loss = last_loss(runner)
        if self.validate and (done % training.validate_every == 0 or done == training.iterations):
            self._validate(runner, done)
        score = "" if math.isnan(self.ap) else f", mAP {self.ap:.3f}"
        if self.speaks:
            self.line.show(done, f"loss {self.loss:.3f}{score}")

    def figures(self) -> dict[str, Any]:
        """The last loss and mAP."""
        return {"loss": round(self.loss, 4), "mAP": round(self.ap, 4)}

    def _validate(self, runner: Any, done: int) -> None:
        assert self.validate is not None
        started = time.monotonic()
        self.ap = self.validate(plain_model(runner.model))
        point = {"iteration": done, "loss": self.loss, "mAP": self.ap}
        self.curve.append({**point, "seconds": round(time.monotonic() - started, 2)})
        write_json(self.path, self.curve)
        self.task.tracking.tell(runner.visualizer, "mAP", self.ap, done)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that a training can go on from; a damaged one, or one of NaN, is passed over."""
    for path in _checkpoints(folder):
        fault = _fault(path)
        if fault is None:
            return path
        if is_main_process():
            logger.warning(f"{path.name} is passed over: {fault}; an older one is looked for")
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Those of a training, the newest first."""
    paths = [path for path in folder.glob("iter_*.pth") if path.stem.removeprefix("iter_").isdecimal()]
    return sorted(paths, key=_iteration, reverse=True)


def _iteration(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("iter_"))


def _fault(path: Path) -> str | None:
    """What keeps a training from going on from a checkpoint."""
    try:
        checkpoint = read_checkpoint(path)
    except FileFault as error:
        return error.problem
    if not {"meta", "state_dict", "optimizer", "param_schedulers", "message_hub"} <= set(checkpoint):
        return "not whole"
    weight = broken_weight(checkpoint["state_dict"])
    return f"{weight} is not finite" if weight else None


def _config(values: dict[str, Any]) -> Any:
    from mmengine import Config

    return Config(values, format_python_code=False)  # yapf takes half a second, at every checkpoint


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
