"""The CPU side of layer6 at full size: processor seconds an item, measured here, times the items of the run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import amounts, boosting, fusion, pipeline, submission, tables
from benchmarks.detection import Networkless
from benchmarks.measure import processor_seconds, table
from benchmarks.synthetic import image_ids, write_scoring_files, write_split
from kit.base.split_names import SplitName
from kit.config import Boosting, Config, Decoding, View, load_config
from kit.data.decode import read_image
from kit.data.photos import list_photos
from kit.detector.architecture import prepare
from kit.detector.inference import Shard, detect_shards
from kit.detector.photo_batches import DecodedPhotos
from kit.pipeline.detector_task import ATTRIBUTES, OBJECTS
from kit.pipeline.stages.fused_detections import fuse_shard, fuse_views
from kit.rehearsal.made_photos import make_photos
from kit.rehearsal.made_tables import SIZES
from kit.relation.crop_store import write_crops
from kit.relation.crops import union_crop
from kit.relation.visual_data import Crops, Pair
from kit.tables.schema import Detections, ViewDetections
from kit.tables.shards import shard_path, write_shard

CROPS_A_PHOTO = 12  # stored, as in benchmarks/crops.py
TRAIN = 60_000, 240_000  # images of the training splits that are read, up to a fifth of the real one
FUSED, SUBMITTED, SCORED = 500, 10_000, 5_000  # images


@dataclass(frozen=True)
class Work:
    """Work of processors. seconds: of an item."""

    name: str
    unit: str
    items: float
    seconds: float

    @property
    def hours(self) -> float:
        """Core-hours of all items."""
        return self.items * self.seconds / 3600


def all_work(config: Config) -> Iterator[Work]:
    """Each work of the run, measured."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = make_photos(folder / "photos")
        yield from _photos(config, photos)
        yield from _crops(config, photos, folder)
        yield from _tables(folder)
        yield from _fusion(config, folder)
        yield from _relations(folder)
    yield from _boosting(config)


def _photos(config: Config, photos: Sequence[Path]) -> Iterator[Work]:
    """Photos for detectors: decoded and resized, and in detection with all work around three networks."""
    training, views = config.detector.training, config.detector.inference.views
    trainings = [training] * len(OBJECTS.models(config))
    trainings += [config.attribute.training] * len(ATTRIBUTES.models(config))
    data = DecodedPhotos(photos, [View(size=training.size)], Decoding())
    one = _spent(lambda: [data[i] for i in range(len(photos))]) / len(photos)
    learned = sum(map(amounts.photos_learned, trainings))
    yield Work("decode and resize for learning", "photo", learned, one)
    looks = sum(amounts.validated(t, SIZES["val"].images) for t in trainings)
    yield Work("decode and resize for validation", "photo", looks, one)
    prepare()
    settings = config.detector.inference.model_copy(update={"workers": 0, "precision": "float32"})
    shard = Shard([path.stem for path in photos], {str(i): Networkless(400) for i in range(len(trainings))})
    seen = list_photos(photos[0].parent)
    each = _spent(lambda: list(detect_shards([shard], seen, views, settings))) / len(photos)
    images = (
        2 * SIZES["val"].images + SIZES["test"].images
    )  # objects and attributes of `val` one after the other
    name = f"decode, {len(views)} views and the rows of {len(trainings)} detectors"
    yield Work(name, "photo", images, each)


def _crops(config: Config, photos: Sequence[Path], folder: Path) -> Iterator[Work]:
    visual, chosen, stack = config.relation.visual, amounts.chosen_pairs(config), amounts.true_pairs("stack")
    assert visual is not None
    files = [file for file in photos for _ in range(CROPS_A_PHOTO)]
    boxes = np.sort(np.random.default_rng(1).random((len(files), 2, 2, 2)), axis=2)
    subject, object_ = boxes.reshape(-1, 2, 4).astype(np.float32).transpose(1, 0, 2)
    store, wanted = folder / "crops", np.arange(len(files))
    with _clock() as writing:
        places = write_crops(store, files, subject, object_, wanted, visual.crop_size, Decoding(), 1)
    yield Work("crops cut and stored", "crop", amounts.crops_stored(visual), writing() / len(files))
    data, none = Crops(visual.crop_size, store, folder / "skipped.csv", Decoding()), np.zeros(1, bool)
    pairs = [
        Pair(file, subject[i], object_[i], none, none, i % 2 == 0, places[i].tolist())
        for i, file in enumerate(files)
    ]
    reading = _spent(lambda: [data[pair] for pair in pairs]) / len(pairs)
    yield Work("crops read for learning", "crop", sum(amounts.crops_learned(visual)), reading)
    images = [read_image(path, Decoding()) for path in photos]
    decoding = _spent(lambda: [read_image(path, Decoding()) for path in photos]) / len(photos)
    looked = SIZES["test"].images + SIZES["val"].images
    yield Work("decode for scores of crops", "photo", looked + stack.images, decoding)
    shown = list(zip(np.repeat(np.arange(len(images)), CROPS_A_PHOTO), subject, object_, strict=True))
    cutting = _spent(lambda: [union_crop(images[i], one, two, visual.crop_size) for i, one, two in shown])
    count = looked * chosen.pairs / chosen.images + stack.pairs
    yield Work("crops cut for scores", "crop", count, cutting / len(shown))


def _tables(folder: Path) -> Iterator[Work]:
    """The training split read, by the stages that are named: what more images take, the start left out.

    The detectors' data set takes no longer for more images, since the draws are as many: from its process's start.
    """
    prologues = {}
    for images in TRAIN:
        place = folder / str(images)
        write_split(place, images)
        (place / "run").mkdir()
        prologues[images] = tables.PROLOGUE.format(folder=str(place))
    for name, step, times in (
        ("training split read first", "read a split, first", 1),
        ("... again, with its pairs (prior, visual)", "... and its pairs", 2),
        ("... and their features (spatial)", "... and their features", 1),
    ):
        few, many = (processor_seconds(["-c", f"{prologues[n]}\n{tables.STEPS[step]}"]) for n in TRAIN)
        yield Work(name, "image", SIZES["train"].images * times, (many - few) / (TRAIN[1] - TRAIN[0]))
    name = "the detectors' data set"
    spent = processor_seconds(["-c", f"{prologues[TRAIN[1]]}\n{tables.STEPS[name]}"])
    yield Work(f"{name}, with the start of mmdet", "start", 3, spent)


def _fusion(config: Config, folder: Path) -> Iterator[Work]:
    """Fusion of shards by all models and views of a task, read and written."""
    inference = config.detector.inference
    images = SIZES["val"].images + SIZES["test"].images
    for task in (OBJECTS, ATTRIBUTES):
        models, views = task.models(config), [view.name for view in inference.views]
        ids = image_ids(FUSED)
        found = iter(fusion.sources(ids, 0, len(models) * len(views), inference.max_detections))
        paths = {}
        for model in models:
            own = [fusion.of_view(next(found), model, view) for view in views]
            write_shard(folder / model, 0, ViewDetections.concat(own))
            paths[model] = shard_path(folder / model, 0)
        fuse = partial(
            fuse_views, views=views, weights=dict.fromkeys(models, 1.0), settings=task.fusion(config)
        )
        work = partial(_fuse, folder / "fused", partial(fuse_shard, paths, fuse))
        work()  # compiles what is compiled
        sources = f"{len(models) * len(views)} sources x {inference.max_detections} boxes"
        yield Work(f"fusion of {sources}", "image", images, _spent(work) / FUSED)


def _fuse(folder: Path, fuse: Callable[[], Detections]) -> None:
    write_shard(folder, 0, fuse())


def _relations(folder: Path) -> Iterator[Work]:
    """From fused detections to the submission with small models, by two sizes; the check; the metric."""
    pipeline.train(folder)
    spent = []
    for images in pipeline.SIZES:
        pipeline.write_detections(folder, images)
        code = f"from benchmarks.pipeline import work; work({str(folder)!r}, {images})"
        spent.append(processor_seconds(["-c", code]))
    each = (spent[1] - spent[0]) / (pipeline.SIZES[1] - pipeline.SIZES[0])
    images = SIZES["val"].images + SIZES["test"].images
    yield Work("candidates, features, scores of few trees, lines", "image", images, each)
    path = str(folder / "checked.csv")
    submission.write(path, SUBMITTED)
    checking = _spent(lambda: submission.check(path, SUBMITTED)) / SUBMITTED
    yield Work("submission checked", "image", SIZES["test"].images, checking)
    write_scoring_files(folder, SCORED)
    files = {"truth": "truth.csv", "labels": "labels.csv", "predictions": "predictions.csv"}
    words = [word for key, file in files.items() for word in (f"--{key}", str(folder / file))]
    scoring = processor_seconds(["-m", "kit", "score", "relations", *words, "--json"]) / SCORED
    yield Work("relation metric, with the start", "image", SIZES["val"].images, scoring)


def _boosting(config: Config) -> Iterator[Work]:
    """Rounds up to the last, without early stopping; and every tree's word on each row that is scored."""
    chosen, looked = amounts.chosen_pairs(config), SIZES["val"].images + SIZES["test"].images
    scored = looked * chosen.networks / chosen.images
    splits: tuple[tuple[str, Boosting, SplitName], ...] = (
        ("spatial", config.relation.spatial, "train"),
        ("stack", config.relation.stack, "stack"),
    )
    for name, settings, split in splits:
        rows = amounts.true_pairs(split).rows
        growing, predicting = _trees(settings, max(rows))
        count = sum(rows) * settings.rounds / 1e6
        yield Work(f"boosting of {name}, all rounds", "10^6 rows x rounds", count, growing * 1e6)
        count = scored * settings.rounds / 1e6
        yield Work(f"scores by all trees of {name}", "10^6 rows x trees", count, predicting * 1e6)


def _trees(settings: Boosting, rows: int) -> tuple[float, float]:
    """Seconds of a row and round: in training, by the second block, and in prediction."""
    import xgboost as xgb

    from kit.relation.boosting_rounds import Growth, parameters

    values, label = boosting.made_rows(rows)
    growth = Growth(parameters(settings, 0, 0), [xgb.DMatrix(values, label)], None)
    growth.grow(boosting.BLOCK)  # finds the bins
    growing = _spent(lambda: growth.grow(2 * boosting.BLOCK), times=1) / boosting.BLOCK / rows
    some = values[: boosting.ROWS]
    predicting = _spent(lambda: growth.boosters[0].inplace_predict(some)) / growth.done / len(some)
    return growing, predicting


def _spent(work: Callable[[], object], times: int = 3) -> float:
    """Processor seconds of this process's work, the least of some times: other work on the machine makes more."""
    took = []
    for _ in range(times):
        with _clock() as seconds:
            work()
        took.append(seconds())
    return min(took)


@contextmanager
def _clock() -> Iterator[Callable[[], float]]:
    start, end = time.process_time(), 0.0
    yield lambda: end - start
    end = time.process_time()


def main() -> None:
    """Print the table of layer6."""
    works = list(all_work(load_config("layer6")))
    rows = [[w.name, w.unit, f"{w.items:,.0f}", f"{w.seconds * 1000:,.3g}", f"{w.hours:,.2f}"] for w in works]
    rows.append(["**whole**", "", "", "", f"{sum(w.hours for w in works):,.1f}"])
    table("Core-hours of layer6", ("work", "item", "items", "processor ms an item", "core-hours"), rows)


if __name__ == "__main__":
    main()
