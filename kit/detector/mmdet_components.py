"""kit's parts in mmdet's registries: small ResNeXt, RoI extractor, data set, balanced sampler, loop, precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.datasets import BaseDetDataset
from mmdet.datasets.transforms import Resize
from mmdet.models.backbones.resnext import Bottleneck, ResNeXt
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.samplers import RandomSampler
from mmdet.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    MODELS,
    OPTIM_WRAPPERS,
    TASK_UTILS,
    TRANSFORMS,
)
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.dist import get_dist_info, get_rank
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch import Tensor
from torch.utils.data import Sampler

from kit.base.errors import KitError
from kit.config import Decoding
from kit.data.decode import UnreadableError, read_image, resized
from kit.data.photos import photo_path
from kit.detector.annotated_images import read_annotations, record_skipped
from kit.detector.class_balanced_sampling import with_area
from kit.detector.draws import drawn_by, seed_by
from kit.detector.sync_batch_norm import average_statistics


@MODELS.register_module(force=True)
class SmallResNeXt(ResNeXt):  # type: ignore[misc]
    """ResNeXt of one block a stage (depth 14)."""

    arch_settings = {14: (Bottleneck, (1, 1, 1, 1))}  # noqa: RUF012


@MODELS.register_module(force=True)
class FloatRoIExtractor(SingleRoIExtractor):  # type: ignore[misc]
    """RoIAlign in float32 under mixed precision: eight bits of bfloat16 would move a box by whole pixels."""

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Any:
        """Features of every RoI, float32."""
        return super().forward(tuple(f.float() for f in feats), rois.float(), roi_scale_factor)


@TASK_UTILS.register_module(force=True)
class DeviceRandomSampler(RandomSampler):  # type: ignore[misc]
    """Anchors and proposals to learn from, drawn where they are: mmdet shuffles 200,000 an image on the CPU."""

    def random_choice(self, gallery: Tensor, num: int) -> Tensor:
        """`num` different ones of the gallery, (n,)."""
        return gallery[torch.randperm(len(gallery), device=gallery.device)[:num]]


@DATASETS.register_module(force=True)
class BoxesDataset(BaseDetDataset):  # type: ignore[misc]
    """Images of a folder with the boxes of an annotations file that `write_annotations` wrote.

    Group-of boxes are ignored in training. An item is asked for by its image and the number of the draw: what is
    random about it hangs on the seed and this number alone. For an image that is not there or cannot be read
    stands that of another draw, so that images which no draw names are never looked at.
    """

    def __init__(self, *, seed: int = 0, **settings: Any) -> None:
        """settings: mmengine's."""
        self.seed = seed
        super().__init__(**settings)

    def __getitem__(self, draw: tuple[int, int]) -> dict[str, Any]:
        """The image of a draw, another one where it cannot be read. Raises KitError where none can."""
        image, number = draw
        with drawn_by(self.seed, number):
            for _ in range(self.max_refetch + 1):
                item: dict[str, Any] | None = self.prepare_data(image)
                if item is not None:
                    return item
                image = int(self.draws[np.random.randint(len(self.draws))])
        raise KitError(
            f"{self.data_prefix['img']}: {self.max_refetch:,} images in a row cannot be read",
            "run `kit download --verify`",
        )

    def full_init(self) -> None:
        """Read the annotations as one table: a record an image, made for all, takes minutes and gigabytes."""
        boxes, self.draws = read_annotations(Path(self.ann_file))
        boxes = with_area(boxes)
        self.boxes = boxes.take(np.argsort(boxes.image, kind="stable"))
        self.first = np.searchsorted(self.boxes.image, np.arange(len(boxes.images) + 1))
        self._fully_initialized = True

    def __len__(self) -> int:
        return len(self.boxes.images)

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """The record of an image: its file, its boxes (normalised), their labels."""
        name = self.boxes.images[idx]
        rows = slice(self.first[idx], self.first[idx + 1])
        return {
            "img_path": str(photo_path(Path(self.data_prefix["img"]), name)),
            "img_id": idx,
            "sample_idx": idx,
            "name": name,
            "boxes": self.boxes.box[rows],
            "labels": self.boxes.label[rows].astype(np.int64),
            "groups": self.boxes.is_group_of[rows],
        }


@TRANSFORMS.register_module(force=True)
class LoadImage(BaseTransform):  # type: ignore[misc]
    """Decode the image and put its boxes into pixels; an image that cannot be read is recorded and skipped."""

    def __init__(self, skipped: str, decoding: dict[str, Any] | None = None) -> None:
        """skipped: the CSV file that names the images left out; decoding: how they are read."""
        self.skipped, self.decoding = Path(skipped), Decoding.model_validate(decoding or {})

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """The record with image and boxes, or None."""
        file = results["img_path"]
        try:
            image = read_image(Path(file) if file else None, self.decoding)
        except UnreadableError as error:
            record_skipped(self.skipped, results["name"], str(error))
            return None
        high, wide = image.shape[:2]
        boxes = results["boxes"] * np.asarray([wide, high, wide, high], np.float32)
        results["img"] = image
        results["img_shape"] = results["ori_shape"] = (high, wide)
        results["gt_bboxes"] = HorizontalBoxes(torch.from_numpy(boxes))
        results["gt_bboxes_labels"] = results["labels"]
        results["gt_ignore_flags"] = results["groups"]
        return results


@TRANSFORMS.register_module(force=True)
class ResizeImage(Resize):  # type: ignore[misc]
    """Resize with the aspect kept, a side one pixel at the least, however narrow the image is."""

    def __init__(self, narrowest: int = 1, skipped: str | None = None, **settings: Any) -> None:
        """narrowest: pixels of a side below which no anchor fits, so that it is recorded and skipped."""
        super().__init__(**settings)
        self.narrowest, self.skipped = narrowest, skipped

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """The record resized, or None."""
        resized_ = super().transform(results)
        if min(resized_["img_shape"]) >= self.narrowest:
            return dict(resized_)
        if self.skipped:
            record_skipped(Path(self.skipped), results["name"], "too narrow for an anchor")
        return None

    def _resize_img(self, results: dict[str, Any]) -> None:
        before, longest, shortest = results["img"], max(results["scale"]), min(results["scale"])
        image = resized(before, longest, shortest)
        high, wide = image.shape[:2]
        results["img"], results["img_shape"] = image, (high, wide)
        results["scale_factor"] = (wide / before.shape[1], high / before.shape[0])
        results["keep_ratio"] = self.keep_ratio


@TRANSFORMS.register_module(force=True)
class OwnPixels(BaseTransform):  # type: ignore[misc]
    """Pixels in an array of their own: torch takes no mirrored view of one, as an image of one column is."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """The record with its image copied."""
        results["img"] = results["img"].copy()
        return results


@DATA_SAMPLERS.register_module(force=True)
class DrawSampler(Sampler):  # type: ignore[type-arg]
    """The draws of a BoxesDataset, shared out over the processes; after the last one they begin again."""

    def __init__(self, dataset: Any, seed: int | None = None) -> None:
        """seed: mmengine gives one; the draws have theirs."""
        self.draws = dataset.draws
        self.rank, self.world = get_dist_info()
        self.start = 0

    def advance(self, samples: int) -> None:
        """Go on after this many samples of this process."""
        self.start = samples

    def set_epoch(self, epoch: int) -> None:
        """Nothing changes: there is one endless epoch."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Images, each with the number of its draw."""
        first = self.rank + self.start * self.world
        return ((int(self.draws[i % len(self.draws)]), i) for i in count(first, self.world))

    def __len__(self) -> int:
        return len(self.draws)


@LOOPS.register_module(force=True)
class ResumedTrainLoop(IterBasedTrainLoop):  # type: ignore[misc]
    """Iterations that go on where the checkpoint was, without loading again what was already learned from.

    What is random in an iteration hangs on the seed, its number and the process alone, so that a training that
    went on, or was validated more often, is the same.
    """

    def run(self) -> Any:
        """Train."""
        seed, rank = self.runner.seed, get_rank()
        done = self._iter
        if done and hasattr(self.dataloader.sampler, "advance"):
            self.dataloader.sampler.advance(done * self.dataloader.batch_size)
            self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            batch = next(self.dataloader_iterator)
            seed_by(seed, self._iter, rank)
            self.run_iter(batch)
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


@OPTIM_WRAPPERS.register_module(force=True)
class Bfloat16OptimWrapper(OptimWrapper):  # type: ignore[misc]
    """Mixed precision in bfloat16: it has the range of float32, so that no loss is scaled; also without a GPU."""

    @contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """The context of a forward pass."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


@HOOKS.register_module(force=True)
class PlainCheckpoints(Hook):  # type: ignore[misc]
    """Checkpoints of tensors and plain values only, so that torch loads them with weights_only."""

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Leave out mmengine's own objects; what is needed to go on stays."""
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
        meta = checkpoint["meta"]
        checkpoint["meta"] = {key: meta[key] for key in ("epoch", "iter", "seed", "dataset_meta", "time")}


@HOOKS.register_module(force=True)
class AveragedStatistics(Hook):  # type: ignore[misc]
    """The running statistics of batch norms that see their own process's images: their mean over all processes."""

    def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
        """Average what every step has moved: one message, and every process can go on from the first one's."""
        average_statistics(runner.model)


cv2.setNumThreads(1)
