"""The mini challenge: every file of the real one, images too, generated from a seed, with the test's truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import numpy as np

from kit.base.files import remove_stale_parts, write_json, write_text, writing
from kit.base.progress import Progress, silent
from kit.base.stopping import pool_worker, stopped_by
from kit.base.threads import cpu_count
from kit.config import Mini
from kit.data.world import Scene, World, draw_world
from kit.tables.official_writer import (
    write_boxes,
    write_image_labels,
    write_relations,
    write_sample_submission,
    write_vocabulary,
)
from kit.tables.schema import VerifiedLabels
from kit.vocabulary import vocabulary

P = ParamSpec("P")
T = TypeVar("T")
STEMS = {
    "train": ("challenge-2019-train-vrd", "challenge-2019-train-vrd-bbox", "challenge-2019-train-vrd-labels"),
    "stack": ("test-annotations-vrd", "test-annotations-bbox", "test-annotations-human-imagelabels-boxable"),
    "val": (
        "challenge-2019-validation-vrd",
        "challenge-2019-validation-vrd-bbox",
        "challenge-2019-validation-vrd-labels",
    ),
    "test": ("hidden/test-vrd", "hidden/test-vrd-bbox", "hidden/test-vrd-labels"),
}
FOLDERS = {"train": "train", "stack": "test", "val": "validation", "test": "challenge2018"}
SOURCE = {"train2017": 1.0, "val2017": 0.1}  # folder of the source set, and its share of `source` images
DONE = "mini.done"
VERSION = 4  # of the generator: another one makes other files
CHUNK = 64  # images a task


def build_mini(root: Path, mini: Mini, progress: Progress = silent) -> list[Path]:
    """Write the challenge below `root` and give its files; the settings it was made of lie in `mini.done`."""
    with writing(root / DONE):
        (root / DONE).unlink(missing_ok=True)
        for folder in (root, root / "hidden", root / "source/annotations"):
            remove_stale_parts(folder)
    with _Cores(progress) as cores:
        files = _build_challenge(root, mini, cores)
        for name, share in SOURCE.items():
            files += _build_source(root / "source", name, round(mini.source * share), mini, cores)
    write_text(root / DONE, _settings(mini))
    return files


def _build_challenge(root: Path, mini: Mini, cores: _Cores) -> list[Path]:
    """The tables and images of all splits."""
    files = write_vocabulary(root)
    sizes = {split: getattr(mini, split) for split in STEMS}
    draws = {split: cores.begin(draw_world, sizes[split], split, sizes[split], mini.seed) for split in STEMS}
    for split, stems in STEMS.items():
        world = draws[split]()
        relations, boxes, labels = (root / f"{stem}.csv" for stem in stems)
        write_relations(relations, world.relations)
        write_boxes(boxes, world.boxes)
        write_image_labels(labels, _verified(world, mini.seed))
        files += [relations, boxes, labels, root / FOLDERS[split]]
        if split == "test":
            files.append(root / "VRD_sample_submission.csv")
            write_sample_submission(files[-1], world.boxes.images)
        task = partial(_paint_scenes, root / FOLDERS[split], mini)
        cores.over(task, world.scenes, f"paint {split}")
    return files


def is_built(root: Path, mini: Mini) -> bool:
    """Whether the challenge of these settings is whole below `root`."""
    try:
        return (root / DONE).read_text(encoding="utf-8") == _settings(mini)
    except OSError:
        return False


def _verified(world: World, seed: int) -> VerifiedLabels:
    """Labels a person verified: every class and attribute that is there, and three classes that are not."""
    rng = np.random.default_rng([seed, len(world.boxes)])
    n, words = len(world.boxes.images), vocabulary()
    there = np.zeros((n, words.labels), bool)
    there[world.boxes.image, world.boxes.label] = True
    there[world.relations.image, world.relations.object] = True
    absent = np.zeros_like(there)
    absent[np.arange(n)[:, None], rng.integers(0, words.classes, (n, 3))] = True
    image, label = np.nonzero(there | absent)
    return VerifiedLabels(world.boxes.images, image, label, there[image, label])


def _settings(mini: Mini) -> str:
    return json.dumps({"version": VERSION, **mini.model_dump()}) + "\n"


def _paint_scenes(folder: Path, mini: Mini, scenes: list[Scene]) -> None:
    from kit.data.painter import paint

    for scene in scenes:
        _put(folder / f"{scene.image}.jpg", paint(scene, mini.side, mini.seed))


def _put(path: Path, jpeg: bytes) -> None:
    """Write an image. Raises KitError; what is cut off then is no part of a challenge without `mini.done`."""
    with writing(path):
        path.write_bytes(jpeg)


def _build_source(root: Path, name: str, images: int, mini: Mini, cores: _Cores) -> list[Path]:
    """Images and a COCO instances file of one part of the source set."""
    from kit.vocabulary.class_map import coco_names

    task = partial(paint_source, root / name, mini, name)
    parts = cores.over(task, list(range(1, images + 1)), f"paint source {name}")
    pairs = [pair for part in parts for pair in part]
    boxes = [box for _, image_boxes in pairs for box in image_boxes]
    file = root / "annotations" / f"instances_{name}.json"
    write_json(
        file,
        {
            "images": [image for image, _ in pairs],
            "annotations": [{"id": i, **box} for i, box in enumerate(boxes, 1)],
            "categories": [{"id": i, "name": n} for i, n in enumerate(coco_names(), 1)],
        },
    )
    return [file, root / name]


def paint_source(
    folder: Path, mini: Mini, name: str, numbers: list[int]
) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """COCO's records of the painted images: the image, and its annotations."""
    from kit.data.source import paint_source

    records = []
    for number in numbers:
        painted = paint_source(np.random.default_rng([mini.seed, *name.encode(), number]), mini.side)
        file = f"{number:012}.jpg"
        _put(folder / file, painted.jpeg)
        width, height = painted.size
        image = {"id": number, "file_name": file, "width": width, "height": height}
        annotations = []
        for label, box in zip(painted.labels, painted.boxes, strict=True):
            x1, y1, x2, y2 = (float(v) for v in np.round(box * [width, height, width, height], 2))
            size = [round(x2 - x1, 2), round(y2 - y1, 2)]
            annotations.append(
                {
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": [x1, y1, *size],
                    "area": round(size[0] * size[1], 2),
                    "iscrowd": 0,
                }
            )
        records.append((image, annotations))
    return records


class _Cores:
    """Work over the processors by processes that start with the first large one and end with the context."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> _Cores:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (
            self.pool is not None
        ):  # a signal does not wait for the chunks at work; their processes end with this one
            self.pool.shutdown(wait=stopped_by() is None, cancel_futures=True)

    def over(self, task: Callable[[list[Any]], Any], items: list[Any], text: str) -> list[Any]:
        """The task's results over chunks of the items, in order."""
        folder: Path = task.args[0]  # type: ignore[attr-defined]
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
        pool = self._pool(len(items))
        if pool is None:
            return [task(chunk) for chunk in chunks]
        return list(self.progress(pool.map(task, chunks), len(chunks), text))

    def begin(
        self, function: Callable[P, T], items: int, *args: P.args, **named: P.kwargs
    ) -> Callable[[], T]:
        """Begin work on so many items; what is given waits for its result."""
        pool = self._pool(items)
        if pool is None:
            return partial(function, *args, **named)
        return pool.submit(function, *args, **named).result

    def _pool(self, items: int) -> ProcessPoolExecutor | None:
        """The processes; None where there is too little to do, or one processor."""
        if items <= CHUNK or cpu_count() < 2:
            return None
        if self.pool is None:
            self.pool = ProcessPoolExecutor(cpu_count(), get_context("forkserver"), pool_worker)
        return self.pool
