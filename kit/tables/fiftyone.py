"""Tables as a FiftyOne dataset folder (its format FiftyOneDataset): metadata.json, samples.json, data/.

An object is a Detection; a relation is one too, over both of its boxes, with subject and object as attributes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.base.files import atomic_write, write_json
from kit.boxes import enclosing
from kit.tables.schema import Boxes, Detections, Floats, Predictions, Relations
from kit.vocabulary import vocabulary

METADATA, SAMPLES = "metadata.json", "samples.json"
VERSION = "1.0.0"  # of FiftyOne, whose documents these are; later ones migrate them
FIELDS, DOCUMENTS = "fiftyone.core.fields", "fiftyone.core.labels"
DIGITS = 6
OF_A_SAMPLE = (  # name, kind, kind of its items
    ("id", "ObjectIdField", None),
    ("filepath", "StringField", None),
    ("tags", "ListField", "StringField"),
    ("_media_type", "StringField", None),
    ("_rand", "FloatField", None),
    ("_dataset_id", "ObjectIdField", None),
    ("created_at", "DateTimeField", None),
    ("last_modified_at", "DateTimeField", None),
)
OF_A_DETECTION = (
    ("id", "ObjectIdField", None),
    ("tags", "ListField", "StringField"),
    ("label", "StringField", None),
    ("bounding_box", "ListField", "FloatField"),
    ("confidence", "FloatField", None),
)
OF_AN_OBJECT = (("is_group_of", "BooleanField", None),)
OF_A_RELATION = (
    ("subject", "StringField", None),
    ("object", "StringField", None),
    ("subject_box", "ListField", "FloatField"),
    ("object_box", "ListField", "FloatField"),
    ("verdict", "StringField", None),
)
Spec = tuple[str, str, str | None]


@dataclass(frozen=True, eq=False)
class Layer:
    """A field of the samples: rows of a table. verdict: what became of each prediction, in words."""

    name: str
    table: Boxes | Detections | Relations
    verdict: Sequence[str] = ()


def write_fiftyone(
    folder: Path, name: str, files: Mapping[str, str], layers: Sequence[Layer], tags: Sequence[str] = ()
) -> None:
    """Write metadata.json and samples.json. files: of every image, the path of its file below the folder."""
    write_json(folder / METADATA, _metadata(name, layers))
    with atomic_write(folder / SAMPLES) as part, part.open("w", encoding="utf-8") as out:
        out.write('{"samples": [')
        for i, sample in enumerate(_samples(name, files, layers, tags)):
            out.write(",\n" if i else "\n")
            out.write(json.dumps(sample))
        out.write("\n]}\n")


def _metadata(name: str, layers: Sequence[Layer]) -> dict[str, Any]:
    fields = [_field(*spec) for spec in OF_A_SAMPLE]
    for layer in layers:
        more = OF_A_RELATION if isinstance(layer.table, Relations) else OF_AN_OBJECT
        rows = _field("detections", "ListField", "EmbeddedDocumentField")
        rows |= {"embedded_doc_type": f"{DOCUMENTS}.Detection"}
        rows |= {"fields": [_field(*spec) for spec in (*OF_A_DETECTION, *more)]}
        whole = _field(layer.name, "EmbeddedDocumentField", None)
        fields.append({**whole, "embedded_doc_type": f"{DOCUMENTS}.Detections", "fields": [rows]})
    return {"version": VERSION, "name": name, "media_type": "image", "sample_fields": fields}


def _field(name: str, kind: str, items: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "ftype": f"{FIELDS}.{kind}",
        "embedded_doc_type": None,
        "subfield": items and f"{FIELDS}.{items}",
        "fields": [],
        "db_field": "_id" if name == "id" else name,
        "description": None,
        "info": None,
    }


def _samples(
    name: str, files: Mapping[str, str], layers: Sequence[Layer], tags: Sequence[str]
) -> Iterator[dict[str, Any]]:
    rows = [(layer, _rows_by_image(layer.table)) for layer in layers]
    for image, path in files.items():
        key = f"{name} {image}"
        sample: dict[str, Any] = {
            "_id": _object_id(key),
            "filepath": path,
            "tags": list(tags),
            "_media_type": "image",
        }
        sample["_rand"] = int(_digest(key)[:8], 16) / 2**32
        for layer, by_image in rows:
            found = list(_detections(layer, by_image.get(image, []), key))
            sample[layer.name] = {"_cls": "Detections", "detections": found}
        yield sample


def _rows_by_image(table: Boxes | Detections | Relations) -> dict[str, NDArray[np.intp]]:
    order = np.argsort(table.image, kind="stable")
    bounds = np.searchsorted(table.image[order], np.arange(len(table.images) + 1))
    return {name: order[bounds[i] : bounds[i + 1]] for i, name in enumerate(table.images)}


def _detections(layer: Layer, rows: Iterable[int], key: str) -> Iterator[dict[str, Any]]:
    table, names = layer.table, vocabulary().names
    for row in rows:
        document: dict[str, Any] = {
            "_id": _object_id(f"{key} {layer.name} {row}"),
            "_cls": "Detection",
            "tags": [],
        }
        if isinstance(table, Relations):
            document |= _relation(table, row)
            if len(layer.verdict):
                document["verdict"] = layer.verdict[row]
        else:
            document |= {"label": names[table.label[row]], "bounding_box": _xywh(table.box[row])}
            if isinstance(table, Boxes):
                document["is_group_of"] = bool(table.is_group_of[row])
        if isinstance(table, Detections | Predictions):
            document["confidence"] = round(float(table.score[row]), DIGITS)
        yield document


def _relation(table: Relations, row: int) -> dict[str, Any]:
    vocab, subject_box, object_box = vocabulary(), table.subject_box[row], table.object_box[row]
    return {
        "label": vocab.predicates[table.predicate[row]],
        "bounding_box": _xywh(enclosing(subject_box[None], object_box[None])[0]),
        "subject": vocab.names[table.subject[row]],
        "object": vocab.names[table.object[row]],
        "subject_box": _xywh(subject_box),
        "object_box": _xywh(object_box),
    }


def _xywh(box: Floats) -> list[float]:
    """Left, top, width and height, as shares of the image."""
    x1, y1, x2, y2 = (float(v) for v in box)
    return [round(v, DIGITS) for v in (x1, y1, x2 - x1, y2 - y1)]


def _object_id(key: str) -> dict[str, str]:
    """The id of a document: the same for the same content, so that an export can be compared with another."""
    return {"$oid": _digest(key)[:24]}


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
