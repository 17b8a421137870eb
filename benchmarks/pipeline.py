"""From fused detections to the submission: candidates, spatial, stack, file; streaming, at two sizes."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import run, table
from benchmarks.synthetic import detections, image_ids
from kit.base.files import write_json
from kit.base.parallel import ordered_map
from kit.config import CandidateLimits, Stack, load_config
from kit.data.split_tables import SplitTables
from kit.data.world import draw_world
from kit.relation.calibration import ScoreCalibrator
from kit.relation.prior_model import pair_examples, train_prior
from kit.relation.scored import score_objects, scored_candidates_table
from kit.relation.spatial_model import SpatialScorer, train_spatial
from kit.relation.stacking import Stacker, train_stack
from kit.relation.statistics import folds
from kit.tables.schema import Detections, Predictions, VerifiedLabels
from kit.tables.shards import read_shard, read_shards, shard_paths, write_shard
from kit.tables.submission_writer import write_submission
from kit.vocabulary import vocabulary
from tests.builders import stacked

SIZES, PER_IMAGE, SHARD, WORKERS = (1_000, 2_000), 60, 250, 2
TRAIN, STACK = 3_000, 800  # images that the models learn from
TARGET = 100_000
STEPS = ("spatial", "stack", "candidates and rows", "predictions", "submission")


def main() -> None:
    """Print the table; every size runs in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(folder)
        for images in SIZES:
            write_detections(folder, images)
            _, memory = run(["-c", f"from benchmarks.pipeline import work; work({name!r}, {images})"])
            seconds = json.loads((folder / f"{images}.json").read_text())
            parts = [f"{seconds[key]:.1f}" for key in STEPS]
            minutes = seconds["total"] * TARGET / images / 60
            rows.append(
                [f"{images:,}", *parts, f"{seconds['total']:.1f}", f"{memory:,.0f}", f"{minutes:.1f}"]
            )
    columns = ("images", *(f"{s}, CPU s" for s in STEPS), "seconds", "peak MB", f"minutes for {TARGET:,}")
    table(f"Images × {PER_IMAGE} fused boxes to the submission, {WORKERS} workers", columns, rows)


def train(folder: Path) -> None:
    """Models of a usual size, on generated scenes."""
    spatial_split, stack_split = (_split(name, n) for name, n in (("train", TRAIN), ("stack", STACK)))
    relation = load_config("relations").relation
    statistics = train_prior(spatial_split, relation.prior)
    spatial = train_spatial(spatial_split, statistics, relation.spatial.model_copy(update={"threads": 1}), 0)
    (folder / "spatial").mkdir()
    (folder / "stack").mkdir()
    spatial.save(folder / "spatial")
    examples = pair_examples(stack_split)
    parts = {"spatial": spatial.predict_pairs(stack_split.objects, examples.candidates)}
    fold = folds(stack_split.objects.images)[examples.candidates.image]
    half = np.full(len(vocabulary().predicates), 0.5, np.float32)
    settings = Stack(threads=1)
    train_stack(examples, stack_split.objects, fold, parts, half, statistics, settings, 0).save(
        folder / "stack"
    )


def write_detections(folder: Path, images: int) -> None:
    """Shards of so many images' detections, in a folder of this number."""
    rng = np.random.default_rng(images)
    for i in range(images // SHARD):
        found = detections(rng, SHARD, PER_IMAGE)
        ids = image_ids(images)[i * SHARD : (i + 1) * SHARD]
        columns = {c: getattr(found, c) for c in ("image", *Detections.COLUMNS)}
        write_shard(folder / str(images), i, Detections(images=ids, **columns))


def work(name: str, images: int) -> None:
    """Score, write, and note the seconds of every step."""
    folder, clock = Path(name), _Clock()
    spatial = SpatialScorer.load(folder / "spatial")
    stack = Stacker.load(folder / "stack", spatial.statistics)
    timed: Any = (_Timed(spatial, clock, "spatial"), _Timed(stack, clock, "stack"))
    ensemble = stacked(spatial.statistics, *timed)
    start = time.perf_counter()

    def one(numbered: tuple[int, Path]) -> None:
        i, path = numbered
        out = folder / f"pairs-{images}"
        with clock.of("candidates and rows"):
            scored = score_objects(ensemble, read_shard(path, Detections), CandidateLimits())
            write_shard(out, i, scored)
        with clock.of("predictions"):
            found = ScoreCalibrator().predictions(
                read_shard(out / path.name, scored_candidates_table()), "stack"
            )
            write_shard(folder / f"predictions-{images}", i, found)

    for _ in ordered_map(one, enumerate(shard_paths(folder / str(images))), WORKERS):
        pass
    with clock.of("submission"):
        found = read_shards(folder / f"predictions-{images}", Predictions)
        write_submission(folder / "submission.csv", image_ids(images), found)
    seconds = {**clock.seconds, "total": time.perf_counter() - start}
    seconds["candidates and rows"] -= seconds["spatial"] + seconds["stack"]
    write_json(folder / f"{images}.json", seconds)


class _Clock:
    """CPU seconds by name, over all threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STEPS, 0.0)
        self.lock = threading.Lock()

    def of(self, name: str) -> Any:
        return _Span(self, name)


class _Span:
    def __init__(self, clock: _Clock, name: str) -> None:
        self.clock, self.name = clock, name

    def __enter__(self) -> None:
        self.start = time.thread_time()

    def __exit__(self, *_: object) -> None:
        with self.clock.lock:
            self.clock.seconds[self.name] += time.thread_time() - self.start


class _Timed:
    """A model whose calls are timed."""

    def __init__(self, model: Any, clock: _Clock, name: str) -> None:
        self.model, self.clock, self.name = model, clock, name

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.model, name)
        return (
            partial(self._call, value) if name in ("predict_pairs", "scores", "predict_attributes") else value
        )

    def _call(self, function: Any, *arguments: Any) -> Any:
        with self.clock.of(self.name):
            return function(*arguments)


def _split(name: str, images: int) -> SplitTables:
    world = draw_world(name, images, 0)
    label = np.concatenate([world.boxes.label, world.relations.object])
    image = np.concatenate([world.boxes.image, world.relations.image])
    labels = VerifiedLabels(world.boxes.images, image, label, np.ones(len(image), bool))
    return SplitTables(world.relations, world.boxes, labels)
