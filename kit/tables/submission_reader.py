"""The Kaggle form of predictions in: `ImageId,PredictionString`, twelve tokens a prediction.

One prediction is `Confidence LabelName1 XMin1 YMin1 XMax1 YMax1 LabelName2 XMin2 YMin2 XMax2 YMax2
RelationshipLabel`, predictions separated by spaces; an empty string is an image without predictions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.base.errors import FileFault
from kit.tables.arrow import DictionaryEncoder, as_indices, as_numpy
from kit.tables.csvfile import NUMBER, Column, CsvFile
from kit.tables.left_out import place, say, share
from kit.tables.schema import Predictions
from kit.vocabulary import vocabulary

HEADER = ("ImageId", "PredictionString")
TOKENS = (
    "Confidence",
    "LabelName1",
    *("XMin1", "YMin1", "XMax1", "YMax1"),
    "LabelName2",
    *("XMin2", "YMin2", "XMax2", "YMax2"),
    "RelationshipLabel",
)
NUMBERS = tuple(t for t in TOKENS if t == "Confidence" or t[0] in "XY")
DETECTION_TOKENS = 6  # Confidence LabelName XMin YMin XMax YMax
CORNERS = (NUMBERS[1:5], NUMBERS[5:9])


@dataclass(frozen=True, eq=False)
class Chunk:
    """A stretch of a submission: `ids` of its lines, `first` the 0-based row of the first one.

    tokens: the tokens' texts; line: of every prediction, the line it stands on (index into ids);
    count: tokens of every line; ragged: bool per line, True where that is no multiple of twelve (left out of
    tokens).
    """

    first: int
    ids: pa.DictionaryArray
    tokens: pa.StringArray
    line: NDArray[np.int64]
    count: NDArray[np.int64]
    ragged: NDArray[np.bool_]

    def column(self, name: str) -> pa.StringArray:
        """The named token of every prediction."""
        start = TOKENS.index(name)
        return self.tokens.take(as_indices(np.arange(start, len(self.tokens), len(TOKENS))))

    def take(self, predictions: NDArray[np.bool_]) -> Chunk:
        """The chunk with some of its predictions alone."""
        tokens = self.tokens.filter(pa.array(np.repeat(predictions, len(TOKENS))))
        return replace(self, tokens=tokens, line=self.line[predictions])


def chunks(file: CsvFile) -> Iterator[Chunk]:
    """Yield a submission's tokens in stretches of some 100,000 predictions. Raises FileFault."""
    first = 0
    for batch in file.batches([Column("ImageId"), Column("PredictionString", "text")]):
        texts = pc.ascii_trim_whitespace(batch.column(1))
        lists = pc.ascii_split_whitespace(texts)
        count = as_numpy(pc.list_value_length(lists)).astype(np.int64)
        empty = as_numpy(pc.binary_length(texts)) == 0
        ragged = ~empty & (count % len(TOKENS) != 0)
        whole = ~empty & ~ragged
        yield Chunk(
            first=first,
            ids=batch.column(0),
            tokens=pc.list_flatten(lists.take(as_indices(np.flatnonzero(whole)))),
            line=np.repeat(np.flatnonzero(whole), count[whole] // len(TOKENS)),
            count=count,
            ragged=ragged,
        )
        first += batch.num_rows


def read_submission(file: CsvFile, skip_unknown: bool = False) -> Predictions:
    """Predictions of a submission, in file order; with `skip_unknown` those of the challenge's words alone, told.

    Raises FileFault with line and column at a wrong token count, an unknown label or predicate, or a token
    that is no finite number.
    """
    images = DictionaryEncoder()
    left = _Unknown()
    parts: list[dict[str, NDArray[Any]]] = []
    for chunk in chunks(file):
        if chunk.ragged.any():
            line = int(np.argmax(chunk.ragged))
            problem = f"token count is not a multiple of {len(TOKENS)} ({chunk.count[line]})"
            raise file.fault(chunk.first + line, HEADER[1], problem, hint=_form(int(chunk.count[line])))
        codes = images.encode(chunk.ids)
        if skip_unknown:
            chunk = left.leave(chunk)
        try:
            part = _parse(chunk)
        except (pa.ArrowInvalid, _UnknownToken):
            raise _first_fault(file, chunk) from None
        parts.append({"image": codes[chunk.line], **part})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    left.warn(file)
    if not len(columns["image"]):
        raise FileFault(file.path, "no prediction in the whole file", column=HEADER[1])
    return Predictions(images=tuple(images.index), **columns)


def _form(count: int) -> str:
    if count % DETECTION_TOKENS:
        return ""
    return (
        f"the detection track's form has {DETECTION_TOKENS} tokens a box; here a relation has {len(TOKENS)}"
    )


@dataclass
class _Unknown:
    """Counts the predictions with words that are not the challenge's; first: the row and the word of one."""

    count: int = 0
    total: int = 0
    first: tuple[int, str] | None = None

    def leave(self, chunk: Chunk) -> Chunk:
        """The chunk without them."""
        known = _is_known(chunk)
        self.count, self.total = self.count + int((~known).sum()), self.total + len(known)
        if self.first is None and not known.all():
            row = int(np.argmin(known))
            words = [(chunk.column(name)[row].as_py(), known_words) for name, known_words in _words()]
            word = next(word for word, known_words in words if word not in known_words)
            self.first = chunk.first + int(chunk.line[row]), word
        return chunk.take(known)

    def warn(self, file: CsvFile) -> None:
        """Say how many were left out."""
        if self.first is not None:
            number, percent = share(self.count, self.total)
            row, word = self.first
            say(
                f"{file.path}: {number} predictions ({percent}) are left out: a label or predicate that is not "
                f"the challenge's, first at {place(file.line(row), word)}"
            )


def _words() -> tuple[tuple[str, dict[str, int]], ...]:
    """The tokens that are words, and which they may be."""
    vocab = vocabulary()
    return (
        ("LabelName1", vocab.label),
        ("LabelName2", vocab.label),
        ("RelationshipLabel", vocab.predicate),
    )


def _is_known(chunk: Chunk) -> NDArray[np.bool_]:
    """Of every prediction whether all its words are the challenge's."""
    codes = [
        DictionaryEncoder(known).encode(chunk.column(name).dictionary_encode()) for name, known in _words()
    ]
    return np.all([code >= 0 for code in codes], axis=0)


def submission_fault(file: CsvFile, prediction: int, problem: str, skip_unknown: bool = False) -> FileFault:
    """The fault at the given prediction of a submission (0-based, over those that `read_submission` gives)."""
    for chunk in chunks(file):
        if skip_unknown:
            known = np.flatnonzero(_is_known(chunk))
            if prediction >= len(known):
                prediction -= len(known)
                continue
            prediction = int(known[prediction])
        if prediction < len(chunk.line):
            start = int(np.searchsorted(chunk.line, chunk.line[prediction]))
            place = f"prediction {prediction - start + 1} of the line"
            return file.fault(chunk.first + int(chunk.line[prediction]), HEADER[1], f"{place}: {problem}")
        prediction -= len(chunk.line)
    return FileFault(file.path, problem)


class _UnknownToken(ValueError):
    pass


def _parse(chunk: Chunk) -> dict[str, NDArray[Any]]:
    number = {name: as_numpy(pc.cast(chunk.column(name), pa.float64())) for name in NUMBERS}
    if not all(np.isfinite(values).all() for values in number.values()):
        raise _UnknownToken
    coded = {}
    for name, known in _words():
        coded[name] = DictionaryEncoder(known).encode(chunk.column(name).dictionary_encode())
        if (coded[name] < 0).any():
            raise _UnknownToken
    with np.errstate(over="ignore"):
        boxes = [np.stack([number[c].astype(np.float32) for c in side], axis=1) for side in CORNERS]
    if not all(np.isfinite(box).all() for box in boxes):
        raise _UnknownToken
    return {
        "subject": coded["LabelName1"].astype(np.uint8),
        "object": coded["LabelName2"].astype(np.uint8),
        "predicate": coded["RelationshipLabel"].astype(np.uint8),
        "subject_box": boxes[0],
        "object_box": boxes[1],
        "score": number["Confidence"],
    }


def _first_fault(file: CsvFile, chunk: Chunk) -> FileFault:
    for i, token in enumerate(chunk.tokens.to_pylist()):
        prediction, place = divmod(i, len(TOKENS))
        problem = token_fault(token, TOKENS[place])
        if problem:
            line = int(chunk.line[prediction])
            nth = prediction - int(np.searchsorted(chunk.line, line)) + 1
            problem = f"prediction {nth} of the line, {TOKENS[place]}: {problem}"
            return file.fault(chunk.first + line, HEADER[1], problem)
    return FileFault(file.path, "not a readable submission", column=HEADER[1])


def token_fault(token: str, name: str) -> str:
    """What is wrong with one token; empty where it is fine."""
    if name in NUMBERS:
        if not NUMBER.fullmatch(token):
            return f"{token[:40]!r} where a finite number belongs"
        with np.errstate(over="ignore"):
            fits = np.isfinite(float(token) if name == "Confidence" else np.float32(token))
        return "" if fits else f"{token[:40]} where a finite number belongs"
    known = vocabulary().predicate if name == "RelationshipLabel" else vocabulary().label
    if token in known:
        return ""
    kind = "predicate" if name[0] == "R" else "label"
    if NUMBER.fullmatch(token):
        return f"{token[:40]!r} where a {kind} belongs (the detection track's form, or other columns?)"
    return f"unknown {kind} {token[:40]!r}"
