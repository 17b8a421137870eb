"""A split of a run as a FiftyOne dataset folder: photos, truth, detections, relations with their verdicts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.base.files import atomic_write, writing
from kit.base.log import logger
from kit.base.progress import track
from kit.data.photos import list_photos
from kit.data.remote_photos import photo_bytes
from kit.pipeline.splits import image_folder, split_ids, split_of
from kit.report.error_examples import KINDS, errors_of
from kit.report.results import RunResults
from kit.tables.fiftyone import METADATA, SAMPLES, Layer, write_fiftyone
from kit.tables.image_ids import share
from kit.tables.join import best_in_group
from kit.tables.schema import Boxes, Detections, Predictions

NOT_JUDGED = "not judged"  # the metric leaves it out: nobody has verified its labels in that image
Scored = TypeVar("Scored", Detections, Predictions)


def export_fiftyone(
    results: RunResults, out: Path, top: int = 100, *, link: bool = False, force: bool = False
) -> dict[str, int]:
    """Write the dataset; how many images and rows of each kind it has.

    top: the best detections and relations of an image; link: photos are links to those of the split, not copies;
    force: a dataset that is there is written over. Raises KitError where `out` is there, or no photo is.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not all((out / name).is_file() for name in (METADATA, SAMPLES)):  # it is somebody's folder
            raise KitError(f"{out}: is there already and no FiftyOne dataset", "give another --out")
        if not force:
            raise KitError(f"{out}: is there already", "give another --out, or --force")
    config, split = results.config, results.split
    ids = split_ids(config, split)
    layers = [
        layer
        for read in (_objects, _detections, _true_relations, _relations)
        for layer in _there(read, results, top)
    ]
    part = out.with_name(f".{out.name}.part")
    with writing(out):
        (part / "data").mkdir(parents=True, exist_ok=True)
        files = _photos(image_folder(config, split), ids, part / "data", link)
        name = f"{results.pipeline.run.path.absolute().name}-{split}"
        write_fiftyone(part, name, files, layers, [split])
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    return {"images": len(files), **{layer.name: len(layer.table) for layer in layers}}


def _there(read: Callable[[RunResults, int], Layer], results: RunResults, top: int) -> Sequence[Layer]:
    """A layer, or none where its stage is not finished, which is told."""
    try:
        return [read(results, top)]
    except KitError as error:
        logger.warning(f"left out: {error}")
        return []


def _objects(results: RunResults, _: int) -> Layer:
    objects = results.tables.objects
    assert isinstance(objects, Boxes)
    return Layer("objects", objects)


def _detections(results: RunResults, top: int) -> Layer:
    return Layer("detections", _best(results.detections, top))


def _true_relations(results: RunResults, _: int) -> Layer:
    return Layer("true_relations", results.tables.relations)


def _relations(results: RunResults, top: int) -> Layer:
    if not split_of(results.config, results.split).relations:
        return Layer("relations", _best(results.predictions, top))
    found = errors_of(results.tables, results.detections, results.candidates, results.predictions)
    predictions = results.predictions.of_images(found.tables.objects.images)
    verdict = np.full(len(predictions), NOT_JUDGED, object)
    verdict[found.matches.rows] = np.array(list(KINDS), object)[found.prediction_kind]
    kept = _best_rows(predictions, top)
    return Layer("relations", predictions.take(kept), verdict[kept].tolist())


def _best(table: Scored, top: int) -> Scored:
    return table.take(_best_rows(table, top))


def _best_rows(table: Detections | Predictions, top: int) -> NDArray[np.intp]:
    """The best rows of every image; how many are left out is told."""
    rows = best_in_group(table.image, table.score, top)
    if len(rows) < len(table):
        told = share(len(table) - len(rows), len(table), type(table).__name__.lower())
        logger.warning(f"{told} are left out: not among the best {top} of their image (--top)")
    return rows


LAYERS = (_objects, _detections, _true_relations, _relations)


def _fetch(source: Path, target: Path, files: dict[str, str]) -> None:
    """Write a photo of a folder elsewhere; links to it cannot be."""
    pixels = photo_bytes(source)
    if pixels is not None:
        files[target.stem] = f"data/{target.name}"
        with atomic_write(target, durable=False) as part:
            part.write_bytes(pixels)


def _photos(folder: Path, ids: Sequence[str], data: Path, link: bool) -> dict[str, str]:
    """Put the photos below `data`; of every one that is there, its path in the dataset."""
    photos = list_photos(folder)
    files: dict[str, str] = {}
    for name in track(ids, len(ids), "export photos"):
        source = photos.path(name)
        if source is None:
            continue
        if photos.listed is not None:
            _fetch(source, data / f"{name}{source.suffix}", files)
            continue
        target = data / f"{name}{source.suffix}"
        files[name] = f"data/{target.name}"
        if link:
            target.unlink(missing_ok=True)
            os.symlink(source.resolve(), target)
        elif not target.exists() or target.is_symlink() or target.stat().st_size != source.stat().st_size:
            target.unlink(missing_ok=True)
            shutil.copyfile(source, target)
    if not files:
        raise KitError(f"{folder}: none of the {len(ids)} images is here", "run `kit download`")
    if len(files) < len(ids):
        logger.warning(f"{share(len(ids) - len(files), len(ids), 'images')} are not there, and left out")
    return files
