"""The tables between the stages: rows about images, as typed columns.

Boxes are float32 (x1, y1, x2, y2), normalised to [0, 1]; labels and predicates are the integers of the
vocabulary, or in a source set of its classes, of which there may be thousands. Every table numbers its own
images: row i belongs to `images[image[i]]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Ints = NDArray[np.integer[Any]]
Labels = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]
T = TypeVar("T", bound=np.generic)
BOX = "box"
LABEL = np.uint16  # of objects: a source set has up to 65,536 classes; relations are of the challenge's alone
CORNERS = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, eq=False)
class Table:
    """Rows about images. `images`: the ids; `image`: int32 (n,), each row's index into `images`.

    Raises ValueError where a column has not the table's shape, or numbers that its type cannot hold.
    """

    images: tuple[str, ...]
    image: Ints

    COLUMNS: ClassVar[dict[str, Any]] = {}  # column name -> numpy dtype, or BOX for float32 (n, 4)

    def __post_init__(self) -> None:
        n = len(self.image)
        for name, kind in {"image": np.int32, **self.COLUMNS}.items():
            dtype, shape = (np.float32, (n, 4)) if kind is BOX else (kind, (n,))
            column = np.asarray(getattr(self, name))
            place = f"{type(self).__name__}.{name}"
            if column.shape != shape:
                raise ValueError(f"{place}: expected shape {shape}, given {column.shape}")
            object.__setattr__(self, name, _as_type(column, np.dtype(dtype), place))

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: NDArray[Any] | slice) -> Self:
        """The given rows, by index, mask or slice; the images stay as they are."""
        columns = {name: rows_of(getattr(self, name), rows) for name in ("image", *self.COLUMNS)}
        return type(self)(images=self.images, **columns)

    def of_images(self, ids: Sequence[str]) -> Self:
        """The rows of the given images, with exactly `ids` as the table's images."""
        place = {name: i for i, name in enumerate(ids)}
        code = np.fromiter((place.get(name, -1) for name in self.images), np.int32, len(self.images))
        image = code[self.image]
        kept = self.take(image >= 0)
        columns = {name: getattr(kept, name) for name in self.COLUMNS}
        return type(self)(images=tuple(ids), image=image[image >= 0], **columns)

    @classmethod
    def empty(cls, images: Sequence[str] = ()) -> Self:
        """A table without rows."""
        columns = {
            n: np.zeros((0, 4) if k is BOX else 0, None if k is BOX else k) for n, k in cls.COLUMNS.items()
        }
        return cls(images=tuple(images), image=np.zeros(0, np.int32), **columns)

    @classmethod
    def concat(cls, tables: Sequence[Self]) -> Self:
        """One table of all rows in order; equal ids become one image."""
        if len(tables) == 1:
            return tables[0]
        place: dict[str, int] = {}
        image = [
            np.asarray([place.setdefault(i, len(place)) for i in t.images], np.int32)[t.image] for t in tables
        ]
        columns = {n: np.concatenate([getattr(t, n) for t in tables]) for n in cls.COLUMNS} if tables else {}
        return cls(images=tuple(place), image=np.concatenate(image), **columns) if tables else cls.empty()

    def to_arrow(self) -> pa.Table:
        """As an Arrow table: `image_id` dictionary-coded, boxes as four columns each."""
        import pyarrow as pa

        ids = pa.DictionaryArray.from_arrays(pa.array(self.image), pa.array(self.images, pa.string()))
        return pa.table({"image_id": ids, **self.corner_columns()})

    def corner_columns(self) -> dict[str, NDArray[Any]]:
        """The columns but those of the images, every box as four: x1, y1, x2, y2."""
        columns: dict[str, NDArray[Any]] = {}
        for name, kind in self.COLUMNS.items():
            values = getattr(self, name)
            if kind is BOX:
                columns |= {corner: values[:, i] for i, corner in enumerate(box_columns(name))}
            else:
                columns[name] = values
        return columns

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """The table that `to_arrow` wrote.

        Raises KeyError where a column is missing, ValueError or TypeError where one holds something else.
        """
        import pyarrow as pa

        ids = table.column("image_id").combine_chunks()
        if not pa.types.is_dictionary(ids.type):
            ids = ids.dictionary_encode()
        if isinstance(ids, pa.ChunkedArray):
            ids = ids.unify_dictionaries().chunk(0) if ids.num_chunks else pa.array([], ids.type)
        if not pa.types.is_string(ids.type.value_type):
            raise TypeError(f"image_id: expected texts, given {ids.type.value_type}")
        return cls.from_corner_columns(ids.dictionary.to_pylist(), ids.indices.to_numpy(), table)

    @classmethod
    def from_corner_columns(cls, images: Sequence[str], image: Ints, columns: pa.Table) -> Self:
        """The table of its images and of what `corner_columns` gives. Raises as `from_arrow`."""
        whole = {}
        for name, kind in cls.COLUMNS.items():
            names = box_columns(name) if kind is BOX else (name,)
            values = [columns.column(n).to_numpy() for n in names]
            whole[name] = np.stack(values, 1) if kind is BOX else values[0]
        return cls(images=tuple(images), image=image, **whole)


@dataclass(frozen=True, eq=False)
class ImageLabels(Table):
    """Verified image labels: one row a (image, label) that a person has judged, present or absent."""

    label: Labels
    COLUMNS: ClassVar[dict[str, Any]] = {"label": LABEL}


@dataclass(frozen=True, eq=False)
class VerifiedLabels(ImageLabels):
    """Verified image labels with the judgement: whether the label is present in the image."""

    present: NDArray[np.bool_]
    COLUMNS: ClassVar[dict[str, Any]] = {**ImageLabels.COLUMNS, "present": np.bool_}


@dataclass(frozen=True, eq=False)
class Boxes(Table):
    """Ground-truth objects."""

    label: Labels
    box: Floats
    is_group_of: NDArray[np.bool_]
    COLUMNS: ClassVar[dict[str, Any]] = {"label": LABEL, "box": BOX, "is_group_of": np.bool_}


@dataclass(frozen=True, eq=False)
class Detections(Table):
    """Detected objects; a higher score is a surer one."""

    label: Labels
    score: Floats
    box: Floats
    COLUMNS: ClassVar[dict[str, Any]] = {"label": LABEL, "score": np.float32, "box": BOX}


@dataclass(frozen=True, eq=False)
class ViewDetections(Detections):
    """Detections before fusion: which detector (`model`, its name) found them under which `view`."""

    model: NDArray[Any]
    view: NDArray[Any]
    COLUMNS: ClassVar[dict[str, Any]] = {**Detections.COLUMNS, "model": np.object_, "view": np.object_}

    def of_source(self, model: str, view: str) -> Detections:
        """The detections of one model under one view."""
        rows = (self.model == model) & (self.view == view)
        columns = {name: getattr(self, name)[rows] for name in ("image", *Detections.COLUMNS)}
        return Detections(images=self.images, **columns)


@dataclass(frozen=True, eq=False)
class Relations(Table):
    """Ground-truth relations; for "is" the object is the attribute and both boxes are the same."""

    subject: Labels
    object: Labels
    predicate: Labels
    subject_box: Floats
    object_box: Floats
    COLUMNS: ClassVar[dict[str, Any]] = {
        "subject": np.uint8,
        "object": np.uint8,
        "predicate": np.uint8,
        "subject_box": BOX,
        "object_box": BOX,
    }


@dataclass(frozen=True, eq=False)
class Predictions(Relations):
    """Scored relations: the columns of Relations and a float64 score (metric rule R1)."""

    score: NDArray[np.float64]
    COLUMNS: ClassVar[dict[str, Any]] = {**Relations.COLUMNS, "score": np.float64}


def rows_of(values: NDArray[T], rows: NDArray[Any] | slice) -> NDArray[T]:
    """The given rows, by index, mask or slice: `values[rows]`, several times as fast for boxes by index."""
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "iu":
        return values.take(rows, axis=0)
    return values[rows]


def box_columns(name: str) -> tuple[str, ...]:
    """The names of a box column's four corners where each stands alone: x1 or subject_x1."""
    return CORNERS if name == BOX else tuple(f"{name.removesuffix('_box')}_{corner}" for corner in CORNERS)


def _as_type(column: NDArray[Any], dtype: np.dtype[Any], place: str) -> NDArray[Any]:
    """The column in a type that must hold its numbers: nothing wraps, nothing is cut."""
    if dtype.kind in "iub" and not np.can_cast(column.dtype, dtype) and len(column):
        if column.dtype.kind not in "iubf":
            raise ValueError(f"{place}: expected numbers, given {column.dtype}")
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        wrong = ~((column >= low) & (column <= high))  # NaN too
        if column.dtype.kind == "f":
            wrong |= column != np.floor(column)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{place}: {column[row]} in row {row} is no {dtype} number")
    return np.ascontiguousarray(column, dtype)
