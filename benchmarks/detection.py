"""Photos for three detectors and three views on one core: one pass beside a pass for each, without the networks."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from benchmarks.crops import write_photos
from benchmarks.measure import table
from kit.config import load_config
from kit.data.photos import list_photos
from kit.detector.architecture import prepare
from kit.detector.inference import Found, Shard, detect_shards

PHOTOS, MODELS = 40, 3


class Networkless(nn.Module):
    """Gives as many boxes an image as a detector does, at once: what is left is the work around the networks."""

    def __init__(self, boxes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        corner = torch.rand(boxes, 2) * 100
        self.boxes = torch.cat([corner, corner + 50], dim=1)
        self.scores, self.labels = torch.rand(boxes), torch.randint(0, 57, (boxes,))

    def test_step(self, data: dict[str, Any]) -> list[Any]:
        """Mmdet's results."""
        from mmengine.structures import InstanceData

        for sample in data["data_samples"]:
            sample.pred_instances = InstanceData(bboxes=self.boxes, scores=self.scores, labels=self.labels)
        return list(data["data_samples"])


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    prepare()
    with tempfile.TemporaryDirectory() as name:
        write_photos(Path(name), PHOTOS)
        models = [Networkless(400) for _ in range(MODELS)]
        each = sum(_seconds(Path(name), [model])[0] for model in models)
        together, worked = _seconds(Path(name), models)
    rows = [
        ["a pass for each detector", f"{PHOTOS / each:.1f}", f"{1000 * each / PHOTOS:.0f}", "1.0"],
        [
            "one pass",
            f"{PHOTOS / together:.1f}",
            f"{1000 * together / PHOTOS:.0f}",
            f"{each / together:.1f}",
        ],
        ["of it beside the loading", "", f"{1000 * worked / PHOTOS:.1f}", ""],
    ]
    title = f"{PHOTOS} photos of 1024 px, layer6's views, {MODELS} detectors of 400 boxes an image, one core"
    table(title, ("photos", "photos/s", "ms a photo", "times as fast"), rows)


def _seconds(folder: Path, models: list[Networkless]) -> tuple[float, float]:
    """Seconds of all, and of them those that are not spent on the photos."""
    settings = load_config("layer6").detector.inference.model_copy(
        update={"workers": 0, "precision": "float32"}
    )
    photos = list_photos(folder)
    names = [path.stem for path in sorted(folder.glob("*.jpg"))]
    start = time.perf_counter()
    found: list[Found]
    (found,) = detect_shards(
        [Shard(names, {str(i): model for i, model in enumerate(models)})], photos, settings.views, settings
    )
    return time.perf_counter() - start, sum(one.timing.worked for one in found)
