"""Lists of images: the ids of a sample submission, and those that files of relations or boxes name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kit.tables.arrow import as_numpy
from kit.tables.csvfile import Column, CsvFile
from kit.tables.ranges import refuse_bad_ids
from kit.vocabulary import vocabulary

IMAGE = Column("ImageID", kind="text", aliases=("ImageId",))
LABEL = Column("LabelName")
Path_ = Path | str


def read_image_ids(path: Path_) -> tuple[str, ...]:
    """The image ids of a sample submission or an id list, in file order. Raises FileFault on a repeated id."""
    return tuple(image_id_array(path).to_pylist())


def image_id_array(path: Path_) -> pa.StringArray:
    """`read_image_ids` in a third of the memory, for millions."""
    file = CsvFile(path)
    ids = pa.concat_arrays([batch.column(0) for batch in file.batches([IMAGE])])
    refuse_bad_ids(file, file.source(IMAGE), 0, ids)
    ordered = _sorted(ids)
    if pc.any(pc.equal(ordered[1:], ordered[:-1])).as_py():
        codes = as_numpy(ids.dictionary_encode().indices)
        row = int(np.argmin(codes == np.arange(len(codes))))  # a new id takes the next code
        raise file.fault(row, "ImageId", f"image {ids[row].as_py()} is there twice")
    return ids


def distinct_images(paths: Sequence[Path_], labels: Sequence[int] = ()) -> pa.StringArray:
    """The images that files of relations or boxes name, each once, in the order of their ids.

    labels: those with a row of these alone. Streams: a file of millions of rows takes little more memory than
    its images' ids.
    """
    known = pa.array([], pa.string())
    for path in paths:
        known = _each_once([known, *_images(CsvFile(path), labels)])
    return known


def _images(file: CsvFile, labels: Sequence[int]) -> Iterator[pa.StringArray]:
    mids = pa.array([vocabulary().mids[label] for label in labels], pa.string())
    for batch in file.batches([IMAGE, LABEL] if labels else [IMAGE], block=1 << 20):
        if labels:
            batch = batch.filter(pc.is_in(batch.column(1).cast(pa.string()), mids))
        ids = batch.column(0)
        new = pc.not_equal(ids[1:], ids[:-1])  # the rows of an image stand together
        yield ids.filter(pa.concat_arrays([pa.array([True] * min(len(ids), 1), pa.bool_()), new]))


def _each_once(parts: list[pa.StringArray]) -> pa.StringArray:
    """The ids in order; the parts are given up on the way."""
    ids = pa.concat_arrays(parts)
    parts.clear()
    ids = _sorted(ids)
    first = pa.array([True] * min(len(ids), 1), pa.bool_())
    return ids.filter(pa.concat_arrays([first, pc.not_equal(ids[1:], ids[:-1])]))


def _sorted(ids: pa.StringArray) -> pa.StringArray:
    """Sorting finds what is there twice in less memory than a table of hashes."""
    return ids.take(pc.array_sort_indices(ids))
