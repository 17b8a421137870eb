"""Detections of any detector: one reader that tells their forms apart by what is in them, and one writer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from kit.base.errors import FileFault
from kit.tables.coco_results import read_coco, write_coco
from kit.tables.csvfile import CsvFile
from kit.tables.detection_rows import DetectionRows, checked_parts
from kit.tables.format_names import Format
from kit.tables.kaggle_detections import PREDICTIONS, kaggle_parts, write_kaggle
from kit.tables.official_columns import LABEL
from kit.tables.official_writer import write_detections
from kit.tables.openimages_detections import openimages_parts
from kit.tables.schema import Detections
from kit.tables.side_files import NOTHING, SideFiles
from kit.tables.unpack import BROKEN, broken, open_unpacked
from kit.tables.yolo import write_yolo, yolo_parts

START = 1 << 12  # bytes of a file in which JSON has begun


def format_of(path: Path | str) -> Format:
    """The form of a file or folder of detections. Raises FileFault where it is none that is known."""
    path = Path(path)
    if path.is_dir():
        return "yolo"
    with open_unpacked(path) as file:
        try:
            start = file.read(START).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        except BROKEN as error:
            raise broken(path, error) from None
    if start in (b"[", b"{"):
        return "coco"
    file_ = CsvFile(path)
    if file_.has(PREDICTIONS):
        return "kaggle"
    if not file_.has(LABEL.name) and _is_yolo(file_.header):
        hint = "give the folder of the label files: their names are the images' ids"
        raise FileFault(path, "looks like one image's YOLO labels", hint=hint)
    return "openimages"


def _is_yolo(header: Sequence[str]) -> bool:
    values = header[0].split() if len(header) == 1 else []
    return len(values) in (5, 6) and values[0].isdecimal()


def read_rows(path: Path | str, beside: SideFiles = NOTHING) -> DetectionRows:
    """The rows of a file or folder of detections in whatever form. Raises FileFault."""
    return DetectionRows.concat(list(row_parts(path, beside)))


def row_parts(path: Path | str, beside: SideFiles = NOTHING) -> Iterator[DetectionRows]:
    """`read_rows` part by part, in bounded memory but for COCO results, which are one part. Raises FileFault."""
    match format_of(path):
        case "openimages":
            return openimages_parts(path)
        case "kaggle":
            return kaggle_parts(path)
        case "coco":
            return iter([read_coco(path, beside)])
        case "yolo":
            return yolo_parts(path, beside)


def load_detections(paths: Sequence[Path | str], beside: SideFiles = NOTHING) -> Detections:
    """Detected objects of the 57 classes in files or folders of any form; others are left out and counted.

    Raises FileFault, also on boxes and scores beyond [0, 1] and ids that no image can have.
    """
    return Detections.concat(list(detection_parts(paths, beside)))


def detection_parts(paths: Sequence[Path | str], beside: SideFiles = NOTHING) -> Iterator[Detections]:
    """`load_detections` part by part, in bounded memory as `row_parts`. Raises as it does."""
    for path in paths:
        yield from checked_parts(row_parts(path, beside))


def save_detections(
    path: Path | str, table: Detections, form: Format = "openimages", beside: SideFiles = NOTHING
) -> Path | None:
    """Write detections in a form; the path of what was written beside them to read them again, if anything was.

    Raises KitError: of YOLO where there is something at `path`, of COCO where the images' sizes are not known.
    """
    match form:
        case "openimages":
            write_detections(path, table)
        case "kaggle":
            write_kaggle(path, table)
        case "coco":
            return write_coco(path, table, beside)
        case "yolo":
            write_yolo(path, table)
    return None
