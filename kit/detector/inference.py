"""Run a detector over images and views (paper 3.1, test-time augmentation): boxes in the image's own frame."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from kit.base.errors import FileFault, KitError
from kit.base.progress import Progress, silent
from kit.config import Decoding, Detector, Inference, View
from kit.data.decode import UnreadableError, read_image, resized
from kit.data.photos import PhotoFolder, list_photos
from kit.detector.checkpoint import State
from kit.detector.device import device_of, mixed_precision
from kit.detector.finite import not_finite, watched
from kit.detector.loader_workers import start_method
from kit.tables.schema import Detections


@dataclass
class Timing:
    """Seconds that the detector waited for images and worked on them; images seen."""

    waited: float = 0.0
    worked: float = 0.0
    images: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Images a second and the share of time lost to decoding."""
        total = max(self.waited + self.worked, 1e-9)
        return {
            "images_per_second": round(self.images / total, 1),
            "decoding_share": round(self.waited / total, 3),
        }


@dataclass
class Found:
    """Detections of every view (image numbers as given), images left out with the reason, and the time."""

    views: list[Detections]
    skipped: dict[str, str]
    timing: Timing = field(default_factory=Timing)


def detect(
    model: nn.Module,
    photos: PhotoFolder | Path,
    images: Sequence[str],
    views: Sequence[View],
    settings: Inference,
    timing: Timing | None = None,
    decoding: Decoding | None = None,
    progress: Progress = silent,
) -> Found:
    """Detect objects in the images of a folder under every view.

    The model is put into evaluation mode and back. Scores and numbers of boxes are limited by the model's own
    test settings. An image that cannot be read has no detections and is named in `skipped`. Raises KitError
    where the model gives numbers that are not finite.
    """
    timing = timing or Timing()
    photos = photos if isinstance(photos, PhotoFolder) else list_photos(photos)
    data = _Decoded([photos.path(name) for name in images], views, decoding or Decoding())
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    rows: list[list[_Rows]] = [[] for _ in views]
    skipped: dict[str, str] = {}
    with torch.inference_mode(), mixed_precision(device, settings.precision), watched(model) as watch:
        batches = _batches(data, images, settings, timing, skipped, device)
        for batch in progress(batches, -(-len(images) // settings.batch_size), "detect"):
            start, names = time.perf_counter(), [images[i] for i in batch.numbers]
            for view, inputs, view_rows in zip(views, batch.inputs, rows, strict=True):
                view_rows += _forward(model, inputs, batch, view, names)
                watch.check(names)
            timing.worked += time.perf_counter() - start
            timing.images += len(batch.numbers)
    model.train(was_training)
    return Found([_table(images, view_rows) for view_rows in rows], skipped, timing)


_Rows = tuple[int, NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]


@dataclass
class _Batch:
    """Images of one orientation: numbers, (height, width) each, and per view the resized images."""

    numbers: list[int]
    sizes: list[tuple[int, int]]
    inputs: list[list[Tensor]]


class _Decoded(Dataset[Any]):
    """Every image decoded once and resized for every view; the reason where it cannot be read."""

    def __init__(self, files: Sequence[Path | None], views: Sequence[View], decoding: Decoding) -> None:
        self.files, self.views, self.decoding = files, views, decoding

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[int, tuple[int, int], list[Tensor]] | str:
        try:
            image = read_image(self.files[i], self.decoding)
        except UnreadableError as error:
            return str(error)
        shown = [torch.from_numpy(_shown(image, view)) for view in self.views]
        return i, (image.shape[0], image.shape[1]), shown


def _shown(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    image = resized(image, *view.size)
    if view.flip:
        image = image[:, ::-1]
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _batches(
    data: _Decoded,
    images: Sequence[str],
    settings: Inference,
    timing: Timing,
    skipped: dict[str, str],
    device: torch.device,
) -> Iterator[_Batch]:
    """Batches of images of one orientation, so that little is padded."""
    loader = DataLoader(
        data,
        batch_size=None,
        num_workers=settings.workers,
        prefetch_factor=2 * settings.batch_size if settings.workers else None,
        multiprocessing_context=start_method(device) if settings.workers else None,
    )
    waiting: dict[bool, _Batch] = {}
    start, loaded = time.perf_counter(), iter(enumerate(loader))
    for number, item in loaded:
        timing.waited += time.perf_counter() - start
        if isinstance(item, str):
            skipped[images[number]] = item
        else:
            i, size, inputs = item
            batch = waiting.setdefault(size[0] > size[1], _Batch([], [], [[] for _ in data.views]))
            batch.numbers.append(i)
            batch.sizes.append(size)
            for view_inputs, image in zip(batch.inputs, inputs, strict=True):
                view_inputs.append(image)
            if len(batch.numbers) == settings.batch_size:
                yield waiting.pop(size[0] > size[1])
        start = time.perf_counter()
    yield from waiting.values()


def _forward(
    model: nn.Module, inputs: list[Tensor], batch: _Batch, view: View, names: Sequence[str]
) -> list[_Rows]:
    """Rows of a batch under one view; names: of its images."""
    from mmdet.structures import DetDataSample

    samples = []
    for image, size in zip(inputs, batch.sizes, strict=True):
        shape = tuple(image.shape[1:])
        scale = (shape[1] / size[1], shape[0] / size[0])
        meta = {"img_shape": shape, "ori_shape": size, "scale_factor": scale, "flip": view.flip}
        samples.append(DetDataSample(metainfo=meta))
    results = model.test_step({"inputs": inputs, "data_samples": samples})  # type: ignore[operator]
    rows = []
    for number, size, name, result in zip(batch.numbers, batch.sizes, names, results, strict=True):
        found = result.pred_instances
        sides = np.asarray([size[1], size[0]] * 2, np.float32)
        if not (found.bboxes.isfinite().all() and found.scores.isfinite().all()):
            raise not_finite([name])
        box = (found.bboxes.float().cpu().numpy() / sides).clip(0, 1)
        if view.flip:
            box = np.stack([1 - box[:, 2], box[:, 1], 1 - box[:, 0], box[:, 3]], axis=1)
        real = (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
        label, score = found.labels.cpu().numpy(), found.scores.float().cpu().numpy()
        rows.append((number, label[real], score[real], box[real]))
    return rows


def _table(images: Sequence[str], rows: list[_Rows]) -> Detections:
    rows = sorted(rows, key=lambda row: row[0])
    if not rows:
        return Detections.empty(images)
    return Detections(
        tuple(images),
        np.repeat([r[0] for r in rows], [len(r[1]) for r in rows]).astype(np.int32),
        np.concatenate([r[1] for r in rows]),
        np.concatenate([r[2] for r in rows]),
        np.concatenate([r[3] for r in rows]),
    )


def load_detector(settings: Detector, name: str, weights: Path, classes: int) -> nn.Module:
    """A trained detector on its device. Raises KitError where the weights are not of its architecture."""
    from kit.detector.architecture import build, model_config, prepare
    from kit.detector.checkpoint import read_state

    prepare()
    inference = settings.inference
    model = build(
        model_config(
            settings.models[name].architecture, classes, inference.score_threshold, inference.max_detections
        )
    )
    state = read_state(weights)
    _check_weights(state, model.state_dict(), weights, settings.models[name].architecture, classes)
    model.load_state_dict(state)
    return model.to(device_of(settings.device))


def _check_weights(state: State, wanted: State, path: Path, architecture: str, classes: int) -> None:
    """Raise FileFault where weights are of other classes, or of another architecture: its first mismatch."""
    from kit.detector.weight_transfer import COUNTER, head_classes

    try:
        trained = head_classes(state)
    except KitError as error:
        raise FileFault(path, error.message, hint=error.hint) from None
    if trained is not None and trained != classes:
        raise FileFault(path, f"weights of {trained} classes, but {classes} are wanted")
    kind = f"not weights of {architecture}"
    for name, tensor in wanted.items():
        if name not in state:
            if name.endswith(COUNTER):
                continue
            raise FileFault(path, f"{kind}: {name} is missing")
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)} against {tuple(tensor.shape)}"
            raise FileFault(path, f"{kind}: {name} is {shapes}")
    more = next((name for name in state if name not in wanted), None)
    if more is not None:
        raise FileFault(path, f"{kind}: {more} is none of its tensors")
