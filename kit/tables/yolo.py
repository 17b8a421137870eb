"""YOLO label files: a folder with a text file an image, a line a box: class, center, sides, confidence.

`class cx cy w h conf` as fractions of the image, as `yolo predict save_txt=True save_conf=True` of ultralytics
writes it. The image's id is the file's name without its ending; classes are counted from 0.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault, KitError
from kit.base.files import read_text, temporary_path, writing
from kit.tables.class_mids import class_mids
from kit.tables.csvfile import NUMBER
from kit.tables.detection_rows import DetectionRows
from kit.tables.left_out import Cost, cost_of, say, share
from kit.tables.official_columns import IMAGE, LABEL, SCORE
from kit.tables.schema import Detections
from kit.tables.side_files import NOTHING, SideFiles
from kit.vocabulary import vocabulary
from kit.vocabulary.class_names import read_names

ENDING = ".txt"
CLASSES = "classes.txt"  # names of the classes, in the folder of the labels
LABELS = "labels"  # the folder below that of a prediction
WIDTH = 6  # values of a line; five without the confidence
FORM = "a line is class cx cy w h conf"
KIND = "a YOLO label file"
PART = 4_000  # files read at a time
LARGEST = 64 << 20  # bytes of a file
COLUMNS = {LABEL.name: "class", SCORE.name: "conf", "XMin": "cx, w", "XMax": "cx, w"}
COLUMNS |= {"YMin": "cy, h", "YMax": "cy, h", IMAGE.name: ""}
DIGITS = 7  # decimals of a number
ROUNDING = 2e-5  # what five decimals of a center and a side may add up to


@dataclass(frozen=True, eq=False)
class _Source:
    """path: the folder; files: in order; file, line: of every box."""

    path: Path
    files: Sequence[Path]
    file: NDArray[np.int64]
    line: NDArray[np.int64]

    def place(self, row: int) -> str:
        return f"{self.files[self.file[row]].name}, line {self.line[row]}"

    def fault(self, row: int, column: str, problem: str, hint: str = "") -> FileFault:
        path, name = self.files[self.file[row]], COLUMNS[column]
        return FileFault(path, problem, line=int(self.line[row]), column=name or None, hint=hint)


def label_folder(path: Path) -> Path:
    """Where a folder's label files are: in it, or in `labels` below it. Raises FileFault where there is none."""
    for folder in (path, path / LABELS):
        if folder.is_dir() and any(p.suffix == ENDING and p.name != CLASSES for p in folder.iterdir()):
            return folder
    hint = "give the folder of the files that `save_txt` wrote, one an image"
    raise FileFault(path, f"no YOLO label file (*{ENDING}) in this folder", hint=hint)


def yolo_parts(path: Path | str, beside: SideFiles = NOTHING) -> Iterator[DetectionRows]:
    """The boxes of a folder, in the order of the files' names; an empty file is an image without boxes.

    Names of the classes: `beside.classes`, else classes.txt in the folder. Boxes without a confidence count as
    sure, which is told. Raises FileFault with file, line and column.
    """
    folder = label_folder(Path(path))
    names = _class_names(folder, beside)
    files = sorted(p.name for p in folder.iterdir() if p.suffix == ENDING and p.name != CLASSES)
    unsure = Cost()
    for start in range(0, len(files), PART):
        yield _rows([folder / name for name in files[start : start + PART]], names, unsure)
    if unsure.count:
        number, percent = share(unsure.count, unsure.of)
        hint = "`save_conf=True` writes them"
        text = f"{number} boxes ({percent}) have no confidence and count as sure, first at {unsure.first}"
        say(f"{folder}: {text}; {hint}")


def _rows(files: Sequence[Path], names: Sequence[str], unsure: Cost) -> DetectionRows:
    """The boxes of some files; unsure: what counts those without a confidence."""
    tables, lines = zip(*map(_values, files), strict=True)
    rows = np.concatenate(tables)
    file = np.repeat(np.arange(len(files)), [len(values) for values in tables])
    source = _Source(files[0].parent, files, file, np.concatenate(lines))
    label = rows[:, 0]
    wrong = (label != np.floor(label)) | (label < 0) | (label >= len(names))
    if wrong.any():
        row = int(np.argmax(wrong))
        problem = f"class {label[row]:g}, and there are names of {len(names)} classes, counted from 0"
        raise source.fault(row, LABEL.name, problem)
    half = rows[:, 3:5] / 2
    box = np.concatenate([rows[:, 1:3] - half, rows[:, 1:3] + half], axis=1)
    inside = box.clip(0, 1)
    box = np.where(np.abs(box - inside) <= ROUNDING, inside, box)
    none = np.isnan(rows[:, 5])
    unsure.add(cost_of(none, len(none), source.place))
    score = np.where(none, 1.0, rows[:, 5])
    texts = tuple(p.stem for p in files)
    return DetectionRows(source, texts, file, class_mids(names), label.astype(np.int64), score, box)


def _class_names(folder: Path, beside: SideFiles) -> tuple[str, ...]:
    path = beside.classes or folder / CLASSES
    if beside.classes is None and not path.is_file():
        hint = f"give a file of class names (--classes, data.*.detection_classes), or put {CLASSES} into it"
        raise FileFault(folder, "no names of the classes of these YOLO labels", hint=hint)
    return read_names(path)


def _values(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The numbers of a file's lines (n, 6), NaN for a confidence that is not there, and the lines' numbers."""
    rows, lines = [], []
    for number, text in enumerate(read_text(path, KIND, LARGEST, FORM).split("\n"), 1):
        tokens = text.split()
        if not tokens:
            continue
        if len(tokens) not in (WIDTH - 1, WIDTH):
            problem = f"{len(tokens)} values where a box has {WIDTH} (outlines, tracks?)"
            raise FileFault(path, problem, line=number, hint=FORM)
        wrong = next((t for t in tokens if not NUMBER.fullmatch(t) or not np.isfinite(float(t))), None)
        if wrong is not None:
            problem = f"{wrong[:40]!r} where a finite number belongs"
            raise FileFault(path, problem, line=number, hint=FORM)
        rows.append([*map(float, tokens), np.nan][:WIDTH])
        lines.append(number)
    return np.asarray(rows, np.float64).reshape(-1, WIDTH), np.asarray(lines, np.int64)


def write_yolo(path: Path | str, table: Detections) -> None:
    """A folder of label files, one of every image of the table, and the names of the 57 classes (classes.txt).

    Raises KitError where there is something at `path` already.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise KitError(f"{path}: there already", "give a folder that is not there, or an empty one")
    if Path(CLASSES).stem in table.images:
        raise KitError(f"{path}: an image is named {Path(CLASSES).stem}, as the file of the classes is")
    part = temporary_path(path)
    try:
        with writing(path, part):
            _write_folder(part, table)
            part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_folder(folder: Path, table: Detections) -> None:
    folder.mkdir(parents=True)
    vocab = vocabulary()
    (folder / CLASSES).write_text("".join(f"{name}\n" for name in vocab.names[: vocab.classes]))
    order = np.argsort(table.image, kind="stable")
    bounds = np.searchsorted(table.image[order], np.arange(len(table.images) + 1))
    for i, name in enumerate(table.images):
        own = table.take(order[bounds[i] : bounds[i + 1]])
        (folder / f"{name}{ENDING}").write_text("".join(_lines(own)))


def _lines(table: Detections) -> list[str]:
    box = table.box.astype(np.float64)
    numbers = np.concatenate([(box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]], axis=1)
    return [
        f"{label} {' '.join(f'{value:.{DIGITS}f}' for value in row)} {score!s}\n"
        for label, row, score in zip(table.label, numbers, table.score, strict=True)
    ]
