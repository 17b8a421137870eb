"""The submission checker: every kind of fault, how often it occurs, and where first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.boxes import inverted
from kit.tables.arrow import DictionaryEncoder, as_numpy
from kit.tables.csvfile import NUMBER, CsvFile
from kit.tables.image_ids import explained
from kit.tables.image_index import BLOCK, ImageIndex
from kit.tables.ranges import PERCENT, PIXELS
from kit.tables.submission_header import check_header
from kit.tables.submission_reader import CORNERS, DETECTION_TOKENS, HEADER, NUMBERS, TOKENS, Chunk, chunks
from kit.vocabulary import IS, vocabulary

Mask = NDArray[np.bool_]
STRANGE = 1_000_000  # ids outside the test list that are remembered
LARGEST = 4 << 30  # bytes; a raw submission with every pair of 2019 reached 3.2 GB


TAKEN = (
    "score outside [0, 1]",
    "coordinate outside [0, 1]",
    "box without area",
    "triplet not allowed",
    '"is" with two different boxes',
)


@dataclass
class Fault:
    """One kind of fault: how many times, and the first place.

    taken: the metric would score the file all the same; else it fails, or what Kaggle does is not known.
    """

    kind: str
    count: int
    first: str
    taken: bool = False


@dataclass
class SubmissionReport:
    """What the checker saw: lines and predictions read, bytes on disk, and the faults."""

    path: Path
    bytes: int
    images: int = 0
    filled: int = 0
    predictions: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the file can be sent."""
        return not self.faults

    @property
    def taken(self) -> bool:
        """Whether the metric would score the file, faults and all."""
        return all(fault.taken for fault in self.faults)

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return {
            "path": str(self.path),
            "ok": self.ok,
            "bytes": self.bytes,
            "images": self.images,
            "filled": self.filled,
            "predictions": self.predictions,
            "faults": [vars(fault) for fault in self.faults],
        }


def check_submission(
    path: Path | str, image_ids: ImageIndex | Sequence[str], largest: int = LARGEST
) -> SubmissionReport:
    """Check a submission file against the list of test images; streams.

    Raises FileFault only where the file cannot be read as a CSV with the two columns.
    """
    file = CsvFile(path)
    check_header(file)
    check = _Check(file, SubmissionReport(file.path, file.path.stat().st_size), ImageIndex.of(image_ids))
    for chunk in chunks(file):
        check.chunk(chunk)
    return check.finish(largest)


@dataclass
class _Check:
    file: CsvFile
    report: SubmissionReport
    expected: ImageIndex
    others: dict[str, None] = field(default_factory=dict)  # strange ids, the first STRANGE
    kinds: dict[str, Fault] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen = np.zeros(len(self.expected), bool)

    def chunk(self, chunk: Chunk) -> None:
        """Count the faults of one stretch of the file."""
        self._ids(chunk)
        count = chunk.count
        detections = chunk.ragged & (count % DETECTION_TOKENS == 0)
        kind = f"token count is not a multiple of {len(TOKENS)}"
        self._lines(f"{kind}, but of {DETECTION_TOKENS}: the detection track's form?", chunk, detections)
        self._lines(kind, chunk, chunk.ragged & ~detections)
        self.report.images += len(chunk.ids)
        self.report.filled += int((np.bincount(chunk.line, minlength=1) > 0).sum())
        self.report.predictions += len(chunk.line)
        number = {name: self._numbers(chunk, name) for name in NUMBERS}
        score = number["Confidence"]
        percent = score.size and PERCENT <= score.max() <= 100
        self._predictions("score outside [0, 1]", chunk, _outside(score), ": percent?" if percent else "")
        boxes = [np.stack([number[c] for c in side], axis=1) for side in CORNERS]
        for box in boxes:
            pixels = box.size and box.max() >= PIXELS
            beyond = _outside(box).any(axis=1)
            self._predictions("coordinate outside [0, 1]", chunk, beyond, ": pixels?" if pixels else "")
            self._predictions("inverted box", chunk, inverted(box))
            self._predictions(
                "box without area", chunk, (box[:, :2] == box[:, 2:]).any(axis=1) & ~inverted(box)
            )
        self._labels(chunk, boxes)

    def finish(self, largest: int) -> SubmissionReport:
        """What can be said only at the end of the file."""
        blocks = (self.expected.names(i, i + BLOCK) for i in range(0, len(self.expected), BLOCK))
        total = int(self.seen.sum()) + len(self.others)
        strange = explained(tuple(self.others), total, (name for block in blocks for name in block))
        if strange:
            unknown = self.kinds["image id not in the test list"]
            if strange.cause:
                unknown.first += f"; {strange.why}"
            elif strange.none_match:
                unknown.first += "; no image is: another list of test images (--ids)?"
        missing = np.flatnonzero(~self.seen)
        if len(missing):
            self._add(
                "image missing", len(missing), *self.expected.names(int(missing[0]), int(missing[0]) + 1)
            )
        if not self.report.predictions:
            self._add("no prediction in the whole file", 1, str(self.file.path))
        if self.report.bytes > largest:
            self._add(f"file larger than {largest} bytes", 1, f"{self.report.bytes} bytes")
        self.report.faults = list(self.kinds.values())
        return self.report

    def _ids(self, chunk: Chunk) -> None:
        names = chunk.ids.dictionary.to_pylist()
        codes = as_numpy(chunk.ids.indices)
        place = self.expected.places(names)
        strange = [names[i] for i in np.flatnonzero(place < 0).tolist()]
        before = self.seen[place] if len(self.seen) else np.zeros(len(place), bool)
        before[place < 0] = [name in self.others for name in strange]
        first = np.zeros(len(codes), bool)
        first[np.unique(codes, return_index=True)[1]] = True
        if len(self.others) < STRANGE:
            self.others.update(dict.fromkeys(strange))
        self.seen[place[place >= 0]] = True
        self._lines("image id not in the test list", chunk, (place < 0)[codes])
        self._lines("image id twice", chunk, ~first | before[codes])

    def _numbers(self, chunk: Chunk, name: str) -> NDArray[np.float64]:
        """Values of a number token; what is no finite number is a fault and becomes 0."""
        texts = chunk.column(name)
        try:
            values = as_numpy(pc.cast(texts, "float64")).copy()
        except ValueError:
            good = [bool(NUMBER.fullmatch(text)) for text in texts.to_pylist()]
            self._predictions(f"{name} is not a number", chunk, ~np.asarray(good))
            values = np.asarray(
                [float(t) if ok else 0.0 for t, ok in zip(texts.to_pylist(), good, strict=True)]
            )
        self._predictions(f"{name} is not finite", chunk, ~np.isfinite(values))
        values[~np.isfinite(values)] = 0
        return values

    def _labels(self, chunk: Chunk, boxes: list[NDArray[np.float64]]) -> None:
        vocab = vocabulary()
        codes = {}
        for name, known in (
            ("LabelName1", vocab.label),
            ("LabelName2", vocab.label),
            ("RelationshipLabel", vocab.predicate),
        ):
            codes[name] = DictionaryEncoder(known).encode(chunk.column(name).dictionary_encode())
            self._predictions(f"{name} unknown", chunk, codes[name] < 0)
        subject, object_, predicate = codes.values()
        known_all = (subject >= 0) & (object_ >= 0) & (predicate >= 0)
        self._predictions(
            "triplet not allowed", chunk, known_all & ~vocab.allowed[predicate, subject, object_]
        )
        differ = (predicate == IS) & (boxes[0] != boxes[1]).any(axis=1)
        self._predictions('"is" with two different boxes', chunk, differ)

    def _predictions(self, kind: str, chunk: Chunk, wrong: Mask | np.bool_, cause: str = "") -> None:
        if wrong.any():
            prediction = int(np.argmax(wrong))
            line = int(chunk.line[prediction])
            nth = prediction - int(np.searchsorted(chunk.line, line)) + 1
            self._add(kind, int(wrong.sum()), self._place(chunk, kind, line), f", prediction {nth}{cause}")

    def _lines(self, kind: str, chunk: Chunk, wrong: Mask) -> None:
        if wrong.any():
            self._add(kind, int(wrong.sum()), self._place(chunk, kind, int(np.argmax(wrong))))

    def _place(self, chunk: Chunk, kind: str, line: int) -> str:
        if kind in self.kinds:
            return ""
        number = self.file.fault(chunk.first + line, HEADER[1], kind).line
        return f"line {number}, image {chunk.ids[line].as_py()}"

    def _add(self, kind: str, count: int, first: str, more: str = "") -> None:
        fault = self.kinds.setdefault(kind, Fault(kind, 0, first + more, kind in TAKEN))
        fault.count += count


def _outside(values: NDArray[np.float64]) -> Mask:
    return (values < 0) | (values > 1)
