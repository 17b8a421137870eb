"""What a training is made of, and what mmengine's Runner is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.config import Architecture, Decoding, Inference, Training
from kit.detector.annotated_images import ANNOTATIONS, SKIPPED, TrainingImages
from kit.detector.architecture import model_config
from kit.detector.device import device_of
from kit.detector.loader_workers import start_method
from kit.detector.process_group import is_distributed, process_count
from kit.detector.tracking import Tracking

NARROWEST = 32  # pixels of a side: the smallest square anchor of the full-size detectors
EVERY = 10  # iterations between lines of mmengine's log


@dataclass(frozen=True)
class TrainingSpec:
    """What to train: architecture, images, schedule. settings: where the config holds the schedule."""

    name: str
    architecture: Architecture
    images: TrainingImages
    training: Training
    inference: Inference
    seed: int
    device: str = "auto"
    decoding: Decoding = field(default_factory=Decoding)
    settings: str = "training"
    tracking: Tracking = field(default_factory=Tracking)


def runner_config(task: TrainingSpec, folder: Path, checkpoint: Path | None, started: bool) -> dict[str, Any]:
    """Mmengine's configuration of the whole training."""
    training = task.training
    load = checkpoint or (folder / "start.pth" if started else None)
    model = model_config(
        task.architecture,
        len(task.images.classes),
        task.inference.score_threshold,
        task.inference.max_detections,
    )
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
        "visualizer": task.tracking.visualizer(),
        "custom_hooks": [{"type": name} for name in _hooks(training)],
        "launcher": "pytorch" if is_distributed() else "none",
        "model_wrapper_cfg": None if _on_gpu(task) else {"device_ids": None, "broadcast_buffers": False},
        "randomness": {"seed": task.seed},
        "log_level": "INFO",
        "load_from": str(load) if load else None,
        "resume": checkpoint is not None,
    }


def learning_rate(training: Training) -> float:
    """The highest rate: that of the settings is of one process's batch; all processes' is larger (linear rule)."""
    return training.lr * (process_count() if training.scale_lr == "linear" else 1)


def _hooks(training: Training) -> tuple[str, ...]:
    own = is_distributed() and not training.sync_batch_norm
    return ("PlainCheckpoints", *(("AveragedStatistics",) if own else ()))


def _on_gpu(task: TrainingSpec) -> bool:
    return device_of(task.device).type == "cuda"


def _loader(task: TrainingSpec, folder: Path) -> dict[str, Any]:
    training = task.training
    pipeline = [
        {"type": "LoadImage", "skipped": str(folder / SKIPPED), "decoding": task.decoding.model_dump()},
        {
            "type": "ResizeImage",
            "scale": training.size,
            "keep_ratio": True,
            "narrowest": NARROWEST,
            "skipped": str(folder / SKIPPED),
        },
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "OwnPixels"},
        {"type": "PackDetInputs"},
    ]
    return {
        "batch_size": training.batch_size,
        "num_workers": training.workers,
        "persistent_workers": training.workers > 0,
        "multiprocessing_context": start_method(device_of(task.device)) if training.workers else None,
        "pin_memory": _on_gpu(task),
        "sampler": {"type": "DrawSampler"},
        "collate_fn": {"type": "pseudo_collate"},
        "dataset": {
            "type": "BoxesDataset",
            "seed": task.seed,
            "ann_file": str(folder / ANNOTATIONS),
            "data_prefix": {"img": str(task.images.folder)},
            "metainfo": {"classes": task.images.classes},
            "pipeline": pipeline,
        },
    }


def _optimiser(task: TrainingSpec) -> dict[str, Any]:
    """Mmengine's optimiser; torch's fused one on a GPU. Raises KitError for float16 without a GPU.

    Of several processes each does the whole step: there it is fused on a CPU, too.
    """
    training, gpu = task.training, _on_gpu(task)
    if training.precision == "float16" and not gpu:
        raise KitError("training.precision float16 needs a GPU", "set it to bfloat16 or float32")
    optimizer: dict[str, Any] = {"lr": learning_rate(training), "weight_decay": training.weight_decay}
    if gpu or is_distributed():
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
    return {**wrapper, "optimizer": optimizer, "clip_grad": {"max_norm": training.grad_clip_norm}}


def _schedule(training: Training) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if training.warmup:
        ramp = {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False}
        steps.append({**ramp, "begin": 0, "end": min(training.warmup, training.iterations)})
    if training.milestones:
        places = sorted({max(1, round(m * training.iterations)) for m in training.milestones})
        steps.append({"type": "MultiStepLR", "by_epoch": False, "milestones": places, "gamma": 0.1})
    return steps
