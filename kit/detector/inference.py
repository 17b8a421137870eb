"""Run a detector over images and views (paper 3.1, test-time augmentation): boxes in the image's own frame."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kit.base.errors import FileFault, KitError
from kit.base.progress import Progress, silent
from kit.config import Decoding, Detector, Inference, Precision, View
from kit.data.photos import PhotoFolder, list_photos
from kit.detector.checkpoint import State
from kit.detector.device import device_of, mixed_precision
from kit.detector.finite import DETECTOR, Watch, not_finite, watched
from kit.detector.photo_batches import Batch, Batches, decoded_photos
from kit.tables.schema import Detections


@dataclass
class Timing:
    """Seconds that a detector waited for images and worked on them; images seen."""

    waited: float = 0.0
    worked: float = 0.0
    images: int = 0

    def __add__(self, other: Timing) -> Timing:
        return Timing(self.waited + other.waited, self.worked + other.worked, self.images + other.images)

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


@dataclass(frozen=True)
class Shard:
    """Images, and the detectors that look at them by their names."""

    images: Sequence[str]
    models: Mapping[str, nn.Module]


def detect(
    model: nn.Module,
    photos: PhotoFolder | Path,
    images: Sequence[str],
    views: Sequence[View],
    settings: Inference,
    decoding: Decoding | None = None,
    progress: Progress = silent,
) -> Found:
    """Detect objects in the images of a folder under every view, by one model; see `detect_shards`."""
    ((found,),) = detect_shards(
        [Shard(images, {DETECTOR: model})], photos, views, settings, decoding, progress
    )
    return found


def detect_shards(
    shards: Sequence[Shard],
    photos: PhotoFolder | Path,
    views: Sequence[View],
    settings: Inference,
    decoding: Decoding | None = None,
    progress: Progress = silent,
) -> Generator[list[Found], None, None]:
    """What every model of a shard detects, shard by shard, in one pass over the photos of a folder.

    All models are on one device. They are put into evaluation mode and back. Scores and numbers of boxes are
    limited by a model's own test settings. An image that cannot be read has no detections and is named in
    `skipped`. Raises KitError, which names it, where a model gives numbers that are not finite.
    """
    photos = photos if isinstance(photos, PhotoFolder) else list_photos(photos)
    files = [photos.path(name) for shard in shards for name in shard.images]
    models = {name: model for shard in shards for name, model in shard.models.items()}
    device = next((next(model.parameters()).device for model in models.values()), torch.device("cpu"))
    decoded = decoded_photos(files, views, settings, decoding or Decoding(), device)
    with ExitStack() as stack:
        detectors = {n: stack.enter_context(_eval_mode(n, model, settings)) for n, model in models.items()}
        for shard in shards:
            batches = Batches(islice(decoded, len(shard.images)), len(views), settings.batch_size)
            steps = progress(batches, -(-len(shard.images) // settings.batch_size), "detect")
            yield _shard(shard, [detectors[name] for name in shard.models], batches, steps, views, device)


def _shard(
    shard: Shard,
    detectors: Sequence[_Detector],
    batches: Batches,
    steps: Iterable[Batch],
    views: Sequence[View],
    device: torch.device,
) -> list[Found]:
    """What every model detects in a shard. steps: its batches, on their way past a line of progress."""
    rows: list[list[list[_Rows]]] = [[[] for _ in views] for _ in detectors]
    worked, seen = [0.0] * len(detectors), 0
    for batch in steps:
        names = [shard.images[i] for i in batch.numbers]
        inputs = [[image.to(device, non_blocking=True) for image in shown] for shown in batch.inputs]
        for i, detector in enumerate(detectors):
            start = time.perf_counter()
            for view, shown, view_rows in zip(views, inputs, rows[i], strict=True):
                view_rows += detector(shown, batch, view, names)
            worked[i] += time.perf_counter() - start
        seen += len(names)
    skipped = {shard.images[i]: why for i, why in batches.unread.items()}
    waited = batches.waited / max(len(detectors), 1)
    return [
        Found([_table(shard.images, r) for r in rows[i]], dict(skipped), Timing(waited, worked[i], seen))
        for i in range(len(detectors))
    ]


_Rows = tuple[int, NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]


@contextmanager
def _eval_mode(name: str, model: nn.Module, settings: Inference) -> Iterator[_Detector]:
    """A model in evaluation mode, and back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with watched(model, name) as watch:
            yield _Detector(model, watch, settings.precision)
    finally:
        model.train(was_training)


@dataclass(frozen=True)
class _Detector:
    """A model in evaluation mode, which detects in batches."""

    model: nn.Module
    watch: Watch
    precision: Precision

    def __call__(self, inputs: list[Tensor], batch: Batch, view: View, names: Sequence[str]) -> list[_Rows]:
        """Rows of a batch under one view; names: of its images."""
        device = inputs[0].device
        with torch.inference_mode(), mixed_precision(device, self.precision):
            rows = self._rows(inputs, batch, view, names)
            self.watch.check(names)
        return rows

    def _rows(self, inputs: list[Tensor], batch: Batch, view: View, names: Sequence[str]) -> list[_Rows]:
        from mmdet.structures import DetDataSample

        samples = []
        for image, size in zip(inputs, batch.sizes, strict=True):
            shape = tuple(image.shape[1:])
            scale = (shape[1] / size[1], shape[0] / size[0])
            meta = {"img_shape": shape, "ori_shape": size, "scale_factor": scale, "flip": view.flip}
            samples.append(DetDataSample(metainfo=meta))
        seen = self.model.test_step({"inputs": inputs, "data_samples": samples})  # type: ignore[operator]
        results = _on_host([sample.pred_instances for sample in seen])
        rows = []
        for number, size, name, found in zip(batch.numbers, batch.sizes, names, results, strict=True):
            pixels, score, label = found
            if not (np.isfinite(pixels).all() and np.isfinite(score).all()):
                raise not_finite([name], self.watch.name)
            box = (pixels / np.asarray([size[1], size[0]] * 2, np.float32)).clip(0, 1)
            if view.flip:
                box = np.stack([1 - box[:, 2], box[:, 1], 1 - box[:, 0], box[:, 3]], axis=1)
            real = (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
            rows.append((number, label[real], score[real], box[real]))
        return rows


def _on_host(
    results: Sequence[Any],
) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]]:
    """Boxes, scores and labels of a batch's images, by one copy: float32 holds every label."""
    columns = [
        torch.cat([r.bboxes.float(), r.scores.float()[:, None], r.labels.float()[:, None]], 1)
        for r in results
    ]
    table = torch.cat(columns).cpu().numpy()
    parts = np.split(table, np.cumsum([len(c) for c in columns])[:-1])
    return [(part[:, :4], part[:, 4], part[:, 5].astype(np.int64)) for part in parts]


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
    device = device_of(settings.device)
    order = torch.channels_last if device.type == "cuda" else torch.preserve_format
    return model.to(device, memory_format=order)  # type: ignore[call-overload]


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
