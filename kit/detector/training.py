"""Train a detector through mmdet's Runner: schedule, checkpoints to go on from, validation, one progress line."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kit.config import Architecture, Inference, Training
from kit.detector.architecture import model_config, prepare
from kit.detector.checkpoint import State, read_checkpoint, write_state
from kit.detector.inference import device_of
from kit.detector.pictures import LabelledPictures, write_annotations
from kit.detector.processes import is_first, launched
from kit.errors import FileFault, KitError
from kit.files import write_json
from kit.progress import Line, notice

WEIGHTS, CURVE, LOG, SKIPPED = "weights.pth", "curve.json", "log.txt", "skipped.csv"
EVERY = 10  # iterations between looks at the loss
Validate = Callable[[nn.Module], float]  # the model's validation mAP


@dataclass(frozen=True)
class Task:
    """What to train: architecture, pictures, schedule; limit: N of equation 3, None is plain sampling."""

    name: str
    architecture: Architecture
    pictures: LabelledPictures
    training: Training
    inference: Inference
    limit: int | None
    seed: int
    device: str = "auto"


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


def runner_config(task: Task, folder: Path, checkpoint: Path | None, started: bool) -> dict[str, Any]:
    """Mmengine's configuration of the whole training."""
    training = task.training
    load = checkpoint or (folder / "start.pth" if started else None)
    model = model_config(task.architecture, len(task.pictures.classes), 1e-4, task.inference.per_image)
    return {
        "default_scope": "mmdet",
        "experiment_name": task.name,
        "model": model,
        "work_dir": str(folder),
        "train_dataloader": _loader(task, folder),
        "train_cfg": {"type": "ResumedTrainLoop", "max_iters": training.iterations},
        "optim_wrapper": _optimiser(task),
        "param_scheduler": _schedule(training),
        "default_hooks": {
            "logger": {"type": "LoggerHook", "interval": EVERY},
            "checkpoint": {
                "type": "CheckpointHook",
                "by_epoch": False,
                "interval": training.checkpoint_every,
                "max_keep_ckpts": 2,  # mmengine removes the oldest before it has written the newest
                "save_last": False,
            },
        },
        "custom_hooks": [{"type": "PlainCheckpoints"}],
        "launcher": "pytorch" if launched() else "none",
        "model_wrapper_cfg": None if _on_gpu(task) else {"device_ids": None, "broadcast_buffers": False},
        "randomness": {"seed": task.seed},
        "log_level": "INFO",
        "load_from": str(load) if load else None,
        "resume": checkpoint is not None,
    }


def _on_gpu(task: Task) -> bool:
    return device_of(task.device).type == "cuda"


def _loader(task: Task, folder: Path) -> dict[str, Any]:
    training = task.training
    pipeline = [
        {"type": "LoadPicture", "skipped": str(folder / SKIPPED)},
        {"type": "Resize", "scale": training.size, "keep_ratio": True},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PackDetInputs"},
    ]
    return {
        "batch_size": training.batch,
        "num_workers": training.workers,
        "persistent_workers": training.workers > 0,
        "pin_memory": _on_gpu(task),
        "sampler": {"type": "BalancedSampler", "limit": task.limit, "seed": task.seed},
        "collate_fn": {"type": "pseudo_collate"},
        "dataset": {
            "type": "BoxesDataset",
            "ann_file": str(folder / "annotations.npz"),
            "data_prefix": {"img": str(task.pictures.folder)},
            "metainfo": {"classes": task.pictures.classes},
            "pipeline": pipeline,
        },
    }


def _optimiser(task: Task) -> dict[str, Any]:
    """Mmengine's optimiser; torch's fused one on a GPU. Raises KitError for float16 without a GPU."""
    training, gpu = task.training, _on_gpu(task)
    if training.precision == "float16" and not gpu:
        raise KitError("training.precision float16 needs a GPU", "set it to bfloat16 or float32")
    optimizer: dict[str, Any] = {"lr": training.rate, "weight_decay": training.weight_decay}
    if gpu:
        optimizer["fused"] = True
    if training.optimizer == "sgd":
        optimizer |= {"type": "SGD", "momentum": 0.9}
    else:
        optimizer |= {"type": "AdamW"}
    wrapper: dict[str, Any] = {"type": "OptimWrapper"}
    if training.precision == "bfloat16":
        wrapper = {"type": "Bfloat16OptimWrapper"}
    elif training.precision == "float16":
        wrapper = {"type": "AmpOptimWrapper", "dtype": "float16"}
    return {**wrapper, "optimizer": optimizer, "clip_grad": {"max_norm": training.clip}}


def _schedule(training: Training) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if training.warmup:
        ramp = {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False}
        steps.append({**ramp, "begin": 0, "end": min(training.warmup, training.iterations)})
    if training.milestones:
        places = sorted({max(1, round(m * training.iterations)) for m in training.milestones})
        steps.append({"type": "MultiStepLR", "by_epoch": False, "milestones": places, "gamma": 0.1})
    return steps


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
