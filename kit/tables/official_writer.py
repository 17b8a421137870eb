"""The challenge's own CSV files out: same columns and order of columns as the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from kit.base.files import atomic_write, open_compressed, write_text
from kit.tables.schema import Boxes, Detections, Floats, Predictions, Relations, Table, VerifiedLabels
from kit.tables.submission_reader import HEADER
from kit.vocabulary import vocabulary

DIGITS = 6  # decimals of a coordinate


def write_relations(path: Path | str, table: Relations) -> None:
    """Ground-truth relations, or with a Score column predictions in the long form."""
    score = {"Score": table.score} if isinstance(table, Predictions) else {}
    columns = {
        "ImageID": _ids(table),
        "LabelName1": _mids(table.subject),
        "LabelName2": _mids(table.object),
        **_box(table.subject_box, "1"),
        **_box(table.object_box, "2"),
        "RelationshipLabel": np.asarray(vocabulary().predicates)[table.predicate],
        **score,
    }
    _write(path, columns)


def write_boxes(path: Path | str, table: Boxes) -> None:
    """Ground-truth boxes."""
    columns = {"ImageID": _ids(table), "LabelName": _mids(table.label), **_box(table.box)}
    _write(path, {**columns, "IsGroupOf": table.is_group_of.astype(np.int8)})


def write_image_labels(path: Path | str, table: VerifiedLabels) -> None:
    """Verified image labels, present or absent."""
    columns = {"ImageID": _ids(table), "LabelName": _mids(table.label)}
    _write(path, {**columns, "Confidence": table.present.astype(np.int8)})


def write_detections(path: Path | str, table: Detections) -> None:
    """Detections in the form of the detection track's predictions."""
    columns = {"ImageID": _ids(table), "LabelName": _mids(table.label)}
    _write(path, {**columns, "Score": table.score, **_box(table.box)})


def write_sample_submission(path: Path | str, image_ids: Sequence[str]) -> None:
    """An empty submission: the ids in their order."""
    lines = [",".join(HEADER), *(f"{name}," for name in image_ids)]
    with atomic_write(path) as part, open_compressed(part, Path(path).name) as file:
        file.write(("\n".join(lines) + "\n").encode())


def write_vocabulary(folder: Path) -> list[Path]:
    """The class, attribute, relation and triplet files, named as the published ones."""
    vocab = vocabulary()
    labels = list(zip(vocab.mids, vocab.names, strict=True))
    predicates = [(name, name.replace("_", " ")) for name in vocab.predicates]
    triplets = [(vocab.mids[s], vocab.mids[o], vocab.predicates[p]) for p, s, o in vocab.triplets]
    tables: dict[str, Sequence[tuple[str, ...]]] = {
        "classes-vrd": labels[: vocab.classes],
        "attributes-description": labels[vocab.classes :],
        "relationships-description": predicates,
        "relationship-triplets": [("LabelName1", "LabelName2", "RelationshipLabel"), *triplets],
    }
    files = []
    for name, rows in tables.items():
        files.append(folder / f"challenge-2019-{name}.csv")
        write_text(files[-1], "".join(",".join(row) + "\n" for row in rows))
    return files


def _ids(table: Table) -> Any:
    return pa.array(table.images, pa.string()).take(pa.array(table.image))


def _mids(label: Any) -> Any:
    return np.asarray(vocabulary().mids)[label]


def _box(box: Floats, suffix: str = "") -> dict[str, Any]:
    rounded = np.round(box.astype(np.float64), DIGITS)
    order = {"XMin": 0, "XMax": 2, "YMin": 1, "YMax": 3}
    return {f"{name}{suffix}": rounded[:, i] for name, i in order.items()}


def _write(path: Path | str, columns: dict[str, Any]) -> None:
    with atomic_write(path) as part, open_compressed(part, Path(path).name) as file:
        file.write((",".join(columns) + "\n").encode())
        plain = pacsv.WriteOptions(include_header=False, quoting_style="none")
        pacsv.write_csv(pa.table(columns), file, plain)
