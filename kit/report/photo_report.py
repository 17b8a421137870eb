"""The relations found in photos as files: a CSV in the challenge's form, a JSON with names, drawn images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.base.files import atomic_write, remove_stale_parts
from kit.base.log import logger
from kit.base.progress import track
from kit.data.decode import read_image
from kit.data.own_photos import find_photos, photo_ids
from kit.pipeline.photo_run import PhotoPredictions, predict_photos
from kit.pipeline.run import Run
from kit.report.drawing import draw
from kit.report.image_rows import drawn_relations
from kit.report.panels import save_png
from kit.tables.image_ids import share
from kit.tables.official_writer import write_relations
from kit.tables.schema import Floats, Predictions
from kit.vocabulary import PREDICATES, vocabulary

CSV, JSON = "relations.csv", "relations.json"
WORK = ".work"  # in the folder of the results, until these are whole
DIGITS = 5  # of a score in the JSON


def predict_into(
    run: Run, given: Sequence[Path], out: Path, *, scorer: str | None = None, drawn: int = 6
) -> dict[str, int]:
    """Find the relations in photos and folders of them, and write them into a folder; how many of what.

    After an interruption a further call goes on from what it left in the folder. What cannot be read is left out
    and told. Raises KitError where there is no photo, or none that can be read.
    """
    sources = photo_ids(find_photos(given))
    found = predict_photos(run, sources, out / WORK, scorer)
    rows = best_rows(found.predictions, run.config.submission.top)
    remove_stale_parts(out)
    write_photo_report(found, rows, sources, out, drawn)
    shutil.rmtree(out / WORK, ignore_errors=True)
    if found.unread:
        name, why = next(iter(found.unread.items()))
        text = share(len(found.unread), len(sources), "photos")
        logger.warning(f"{text} could not be read, the first {sources[name]} ({why}); left out")
    return {"photos": len(rows.images), "unread": len(found.unread), "relations": len(rows)}


def write_photo_report(
    found: PhotoPredictions, rows: Predictions, sources: Mapping[str, Path], out: Path, drawn: int
) -> None:
    """Write relations.csv, relations.json, and ID.png for every photo.

    rows: the predictions to write, image by image, the surest first; sources: the user's files by id; drawn: how
    many rows an image shows, 0 for no images.
    """
    write_relations(out / CSV, rows)
    unread = [{"file": str(sources[name]), "reason": why} for name, why in found.unread.items()]
    images, first = rows.images, np.searchsorted(rows.image, np.arange(len(rows.images) + 1))
    with atomic_write(out / JSON) as part, part.open("w", encoding="utf-8") as file:
        file.write(f'{{"unread": {json.dumps(unread)},\n"photos": [')
        for i, name in track(enumerate(images), len(images), "write photos"):
            image = read_image(found.files.path(name), found.config.data.decoding())
            own = rows.take(slice(int(first[i]), int(first[i + 1])))
            high, wide = image.shape[:2]
            entry = {"id": name, "file": str(sources[name]), "width": wide, "height": high}
            relations = relation_entries(own, wide, high)
            file.write(
                f"{',' * (i > 0)}\n{json.dumps({**entry, 'relations': relations}, ensure_ascii=False)}"
            )
            if drawn:
                shown = drawn_relations(own.take(slice(drawn)))
                save_png(out / f"{name}.png", draw(np.ascontiguousarray(image[..., ::-1]), *shown))
        file.write("\n]}\n")


def best_rows(predictions: Predictions, most: int) -> Predictions:
    """The surest rows of every image, image by image, the surest first."""
    order = np.lexsort((-predictions.score, predictions.image))
    image = predictions.image[order]
    return predictions.take(order[np.arange(len(order)) - np.searchsorted(image, image) < most])


def relation_entries(rows: Predictions, wide: int, high: int) -> list[dict[str, Any]]:
    """The relations of a photo of a size, with names, and boxes in pixels."""
    names = vocabulary().names

    def pixels(box: Floats) -> list[float]:
        return [round(float(v) * side, 1) for v, side in zip(box, (wide, high, wide, high), strict=True)]

    return [
        {
            "subject": names[rows.subject[i]],
            "predicate": PREDICATES[rows.predicate[i]],
            "object": names[rows.object[i]],
            "score": round(float(rows.score[i]), DIGITS),
            "subject_box": pixels(rows.subject_box[i]),
            "object_box": pixels(rows.object_box[i]),
        }
        for i in range(len(rows))
    ]
