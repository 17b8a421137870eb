"""The submission out: one line a test image, in bounded memory whatever the order of the predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.base.files import atomic_write, open_compressed
from kit.base.log import logger
from kit.boxes import outside
from kit.tables.image_ids import share
from kit.tables.image_index import BLOCK, ImageIndex
from kit.tables.join import best_in_group
from kit.tables.schema import Predictions, Table
from kit.tables.submission_reader import HEADER
from kit.vocabulary import vocabulary

CHUNK = 250_000  # predictions formatted at a time
SCORE_DIGITS = 6


@dataclass(frozen=True)
class Written:
    """What a submission holds: its size on disk in bytes, its images, those with predictions, its predictions."""

    path: Path
    bytes: int
    images: int
    filled: int
    predictions: int


class _Spans:
    """Where in a spool the line of every image lies; 16 bytes an image."""

    def __init__(self, images: ImageIndex) -> None:
        self.images = images
        self.begin, self.length = (np.zeros(len(images), np.int64) for _ in range(2))

    def add(self, ids: Sequence[str], begin: NDArray[np.int64], length: NDArray[np.int32]) -> None:
        """Take in lines. Raises KitError at an unknown image and one that has a line."""
        place = self.images.places(ids)
        wrong = np.ones(len(place), bool)
        wrong[np.unique(place, return_index=True)[1]] = False
        wrong |= place < 0
        wrong[~wrong] = self.length[place[~wrong]] > 0
        if wrong.any():
            first = int(np.argmax(wrong))
            known = place[first] >= 0
            why = "in two shards" if known else "but is not in the list of test images"
            raise KitError(f"image {ids[first]} has predictions {why}")
        self.begin[place], self.length[place] = begin, length


@dataclass(frozen=True, eq=False)
class SubmissionLines(Table):
    """Lines of a submission, a row an image.

    text: `ImageId,PredictionString`; predictions: in the line; beyond: those of them with a box beyond [0, 1] by
    more than rounding.
    """

    text: NDArray[Any]
    predictions: NDArray[np.int32]
    beyond: NDArray[np.int32]
    COLUMNS: ClassVar[dict[str, Any]] = {"text": np.object_, "predictions": np.int32, "beyond": np.int32}


def submission_lines(table: Predictions, *, top: int = 200, digits: int = 5) -> SubmissionLines:
    """The lines of the images of a table that have predictions, the best `top` of each.

    Coordinates are clipped to [0, 1] and rounded to `digits` decimals, scores to 6 significant digits; a box with
    area keeps one unit of the last decimal. Raises KitError where a number is not finite.
    """
    best = table.take(best_in_group(table.image, table.score, top))
    return SubmissionLines.concat([_lines(piece, digits) for piece in _pieces(best)])


def write_submission(
    path: Path | str,
    image_ids: ImageIndex | Sequence[str],
    shards: Iterable[Predictions],
    *,
    top: int = 200,
    digits: int = 5,
) -> Written:
    """Write the lines of tables of predictions, as `submission_lines` makes them. The rest as `write_lines`."""
    return write_lines(path, image_ids, (submission_lines(shard, top=top, digits=digits) for shard in shards))


def write_lines(
    path: Path | str, image_ids: ImageIndex | Sequence[str], shards: Iterable[SubmissionLines]
) -> Written:
    """Write `ImageId,PredictionString` for every id in order.

    shards: the lines of the images that have predictions; path: .csv, .csv.gz or .csv.zip. What lies beyond [0, 1]
    by more than rounding is told. Raises KitError where an image is unknown or in two shards.
    """
    path = Path(path)
    spans = _Spans(ImageIndex.of(image_ids))
    predictions, beyond, first = 0, 0, ""
    with atomic_write(path) as part, tempfile.TemporaryFile(dir=path.parent) as spool:
        for shard in shards:
            _spool(shard, spans, spool)
            predictions += int(shard.predictions.sum())
            wrong = np.flatnonzero(shard.beyond)
            if len(wrong):
                beyond += int(shard.beyond.sum())
                first = first or shard.images[shard.image[wrong[0]]]
        with open_compressed(part, path.name) as file:
            _assemble(file, spans, spool)
        size = part.stat().st_size
    if beyond:
        count = share(beyond, predictions, "predictions")
        logger.warning(
            f"{path}: boxes of {count} reach beyond [0, 1] and are cut (pixels?), first image {first}"
        )
    return Written(path, size, len(spans.images), int((spans.length > 0).sum()), predictions)


def _pieces(table: Predictions) -> Iterable[Predictions]:
    """Cut a table whose images stand together into stretches that split no image."""
    start = 0
    while start < len(table):
        end = min(start + CHUNK, len(table))
        if end < len(table):
            end = int(np.searchsorted(table.image, table.image[end - 1], "right"))
        yield table.take(slice(start, end))
        start = end


def _lines(table: Predictions, digits: int) -> SubmissionLines:
    """The lines of a table whose images stand together."""
    first = np.flatnonzero(np.r_[True, table.image[1:] != table.image[:-1]])
    ids = tuple(table.images[i] for i in table.image[first])
    ends = np.r_[first, len(table)].astype(np.int32)
    strings = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends), prediction_strings(table, digits)), " ")
    lines = pc.binary_join_element_wise(pa.array(ids, pa.string()), strings, ",")
    beyond = outside(table.subject_box) | outside(table.object_box)
    return SubmissionLines(
        images=ids,
        image=np.arange(len(ids), dtype=np.int32),
        text=lines.to_numpy(zero_copy_only=False),
        predictions=np.diff(ends),
        beyond=np.add.reduceat(beyond.astype(np.int32), first),
    )


def _spool(lines: SubmissionLines, spans: _Spans, spool: IO[bytes]) -> None:
    text = [line.encode() for line in lines.text]
    length = np.fromiter(map(len, text), np.int32, len(text))
    begin = spool.tell() + np.r_[0, np.cumsum(length, dtype=np.int64)]
    spans.add([lines.images[i] for i in lines.image], begin[:-1], length)
    spool.writelines(text)


def _assemble(file: IO[bytes], spans: _Spans, spool: IO[bytes]) -> None:
    file.write(",".join(HEADER).encode() + b"\n")
    for start in range(0, len(spans.images), BLOCK):
        block = slice(start, start + BLOCK)
        places = zip(spans.begin[block].tolist(), spans.length[block].tolist(), strict=True)
        for name, (begin, length) in zip(spans.images.names(start, block.stop), places, strict=True):
            if length:
                if spool.tell() != begin:
                    spool.seek(begin)
                file.write(spool.read(length) + b"\n")
            else:
                file.write(f"{name},\n".encode())


def prediction_strings(table: Predictions, digits: int) -> pa.StringArray:
    """The twelve tokens of every prediction as one text, shape (n,). Raises KitError on NaN or infinity."""
    boxes = [table.subject_box, table.object_box]
    if not all(np.isfinite(values).all() for values in (table.score, *boxes)):
        raise KitError("a prediction's score or box is not a finite number")
    vocab = vocabulary()
    mids, predicates = pa.array(vocab.mids), pa.array(vocab.predicates)
    sides = [_coordinates(box, digits) for box in boxes]
    return pc.binary_join_element_wise(
        _scores(table.score),
        mids.take(pa.array(table.subject)),
        *sides[0],
        mids.take(pa.array(table.object)),
        *sides[1],
        predicates.take(pa.array(table.predicate)),
        " ",
    )


def _scores(score: NDArray[np.float64]) -> pa.StringArray:
    with np.errstate(divide="ignore"):
        magnitude = np.floor(np.log10(np.abs(score)))
    scale = 10.0 ** np.clip(SCORE_DIGITS - 1 - np.where(np.isfinite(magnitude), magnitude, 0), -300, 300)
    return pc.cast(pa.array(np.rint(score * scale) / scale), pa.string())


def _coordinates(box: NDArray[np.float32], digits: int) -> list[pa.StringArray]:
    whole = 10**digits
    scaled = np.clip(box.astype(np.float64), 0, 1) * whole
    units = np.rint(scaled).astype(np.int32)
    thin = (units[:, :2] == units[:, 2:]) & (scaled[:, :2] < scaled[:, 2:])
    if thin.any():  # rounded away: the two sides go apart by one unit, where there is room
        low = np.minimum(np.floor(scaled[:, :2]), whole - 1).astype(np.int32)
        units[:, :2] = np.where(thin, low, units[:, :2])
        units[:, 2:] = np.where(thin, low + 1, units[:, 2:])
    return [_decimals(digits).take(pa.array(np.ascontiguousarray(units[:, i]))) for i in range(4)]


@lru_cache(maxsize=4)
def _decimals(digits: int) -> pa.StringArray:
    """The texts of 0 to 1 in steps of 10**-digits, without trailing zeros."""
    part = pc.utf8_lpad(pc.cast(pa.array(np.arange(10**digits)), pa.string()), digits, "0")
    texts = pc.utf8_rtrim(pc.binary_join_element_wise("0", pc.utf8_rtrim(part, "0"), "."), ".")
    return pa.concat_arrays([texts, pa.array(["1"])])
