"""Images with boxes as the detectors read them: drawn or there, annotations for the workers, what was skipped."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.base.files import atomic_write, reading
from kit.base.log import logger
from kit.data.photos import GONE, is_photo_folder, list_photos
from kit.detector.class_balanced_sampling import DrawnImages
from kit.detector.process_group import is_main_process
from kit.tables.image_ids import share
from kit.tables.schema import Boxes

ANNOTATIONS = "annotations.npz"  # in a stage's folder: what its training draws
SKIPPED = "skipped.csv"  # in a stage's folder: the images that it could not look at
HEADER = ("ImageID", "Reason")


@dataclass(frozen=True, eq=False)
class AnnotatedImages:
    """boxes: of images in `folder`, labels index `classes`."""

    folder: Path
    boxes: Boxes
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TrainingImages(AnnotatedImages):
    """Images that a training draws, whether or not they are there. draws: the image of each draw, (n,)."""

    draws: NDArray[np.int64]


def annotated_images(folder: Path, boxes: Boxes, classes: Sequence[str]) -> AnnotatedImages:
    """The images that are there. Raises KitError where there is none."""
    found = _there(folder, boxes.images)
    return AnnotatedImages(folder, boxes.of_images(found), tuple(classes))


def training_images(folder: Path, drawn: DrawnImages, classes: Sequence[str]) -> TrainingImages:
    """The images that a training draws; how many of them are not there is told.

    Which are drawn hangs on the annotations alone: for one that is not there, as for one that cannot be read,
    another draw stands, and images that are never drawn need not be there. Raises KitError where there is none.
    """
    names = drawn.boxes.images
    gone = len(names) - len(_there(folder, names))
    if gone and is_main_process():
        text = f"{folder}: {share(gone, len(names), 'images that the training draws')} are not there"
        logger.info(f"{text}; others stand for them; `kit download photos` gets those that can be had")
    return TrainingImages(folder, drawn.boxes, tuple(classes), drawn.draws)


def _there(folder: Path, names: Sequence[str]) -> list[str]:
    if not is_photo_folder(folder):
        raise KitError(f"{folder}: no such folder of images", "run `kit download`, or set data.*.images")
    photos = list_photos(folder)
    found = [name for name in names if name in photos]
    if not found:
        raise KitError(f"{folder}: none of the {len(names)} annotated images is here")
    return found


def write_annotations(path: Path, boxes: Boxes, draws: NDArray[np.int64]) -> None:
    """Write boxes with all their images, also those without a box, and the images that a training draws."""
    with atomic_write(path) as part, part.open("wb") as file:
        columns = {"image": boxes.image, **{name: getattr(boxes, name) for name in boxes.COLUMNS}}
        ids = np.asarray(boxes.images, np.str_)
        np.savez(file, allow_pickle=False, images=ids, draws=draws, **columns)


def read_annotations(path: Path) -> tuple[Boxes, NDArray[np.int64]]:
    """The boxes and draws that `write_annotations` wrote."""
    with (
        reading(path, "boxes of a training", "do the stage again"),
        path.open("rb") as file,  # which numpy leaves open where it is damaged
        np.load(file) as columns,
    ):
        arrays = {name: columns[name] for name in ("image", *Boxes.COLUMNS)}
        return Boxes(images=tuple(columns["images"].tolist()), **arrays), columns["draws"]


def record_skipped(path: Path, name: str, why: str) -> None:
    """Note an image that was left out; safe from several processes."""
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow((name, why))


def read_skipped(path: Path) -> dict[str, str]:
    """The images that were left out, each with the reason; none where there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
        rows = [row for row in csv.reader(io.StringIO(text)) if len(row) == 2]
    except FileNotFoundError:
        return {}
    except (csv.Error, UnicodeDecodeError):
        text, rows = "\0", []
    if "\0" in text:  # after a power loss
        logger.warning(f"{path}: damaged; which images were left out before is not known any more")
        return {}
    return {name: why for name, why in rows if (name, why) != HEADER}


def sort_skipped(path: Path) -> None:
    """Put the images that were left out into the order of their ids, whoever noted them first."""
    rows = read_skipped(path)
    if rows:
        with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(sorted(rows.items()))


def tidy_skipped(path: Path, missing: Iterable[str] = ()) -> dict[str, str]:
    """Write the file of skipped images anew, each once, with a header; them and the reasons."""
    rows = dict.fromkeys(missing, GONE) | read_skipped(path)
    if rows or path.exists():
        with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *rows.items()])
    return rows


def left_out(rows: dict[str, str], total: int) -> str:
    """What to say of skipped images: count, share and the first one."""
    name, why = next(iter(rows.items()))
    return f"{len(rows)} of {total} images ({len(rows) / total:.1%}) were left out, the first {name} ({why})"
