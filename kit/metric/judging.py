"""Which predictions count, and which truth each finds: rules R2 to R4 of the published evaluator, in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kit.base.growing import Growing
from kit.base.parallel import ordered_map
from kit.base.threads import cpu_count
from kit.boxes import enclosing, inverted, iou
from kit.tables.join import CHUNK, THRESHOLD, Join, Overlap
from kit.tables.schema import ImageLabels, Predictions, Relations
from kit.vocabulary import vocabulary

TASKS = ("relationships", "phrases")
VERIFIED, ABSENT = 1, 2  # bits of a label of an image


class InvertedBox(ValueError):
    """A prediction that counts has a box that ends before it begins (quirk Q9); `row` and `side` tell which."""

    def __init__(self, row: int, side: str) -> None:
        super().__init__(f"prediction {row}: the {side} box is inverted")
        self.row, self.side = row, side


class Claims(NamedTuple):
    """Predictions that overlap a truth enough to take it: their rows, the truth's rows, and the overlaps."""

    row: NDArray[np.intp]
    truth: NDArray[np.intp]
    overlap: NDArray[np.float64]


class Judged(NamedTuple):
    """The predictions that count, of some.

    rows: of the input; image: the judge's number of it; claims: by task, with rows among those that count;
    negative: how many count because of a negative label; total: how many were judged; strange: the images that have
    no truth and no labels.
    """

    rows: NDArray[np.intp]
    image: NDArray[np.int64]
    triplet: NDArray[np.int64]
    score: NDArray[np.float64]
    claims: dict[str, Claims]
    negative: int
    total: int
    strange: set[str]


class Judge:
    """What the truth and the verified labels say about predictions.

    place: the number of every image with truth or labels, which rises with its id; truth_image: of every truth row;
    names: all images that truth, labels and the predictions judged so far name; predicted: by number, whether a
    prediction judged so far has the image.
    """

    def __init__(self, truth: Relations, labels: ImageLabels) -> None:
        """Truth and labels are looked at once."""
        tables = (truth, labels)
        self.names = {*truth.images, *labels.images}
        named = {table.images[i] for table in tables for i in np.unique(table.image)}
        self.place = {name: i for i, name in enumerate(sorted(named))}
        self.predicted = np.zeros(len(self.place) + 1, bool)  # at the end those that are not there
        self.truth_image, label_image = (self._places(table.images)[table.image] for table in tables)
        self._truth, self._phrase = truth, enclosing(truth.subject_box, truth.object_box)
        self._triplets = vocabulary().labels ** 2 * len(vocabulary().predicates)
        self._join = Join(self.truth_image * self._triplets + triplets(truth))
        positive = np.zeros((len(self.predicted), vocabulary().labels), np.uint8)
        positive[self.truth_image, truth.subject] = positive[self.truth_image, truth.object] = VERIFIED
        known = positive.copy()
        known[label_image, labels.label] = VERIFIED | ABSENT
        self._known = np.where(positive, positive, known).ravel()

    def judge_all(self, tables: Iterable[Predictions]) -> Judged:
        """All predictions, in order, chunks of them side by side. Raises InvertedBox."""
        whole = _Whole()
        for part in ordered_map(self._judge, self._chunks(tables), cpu_count()):
            if isinstance(part, InvertedBox):
                try:
                    raise part
                finally:
                    del part  # which would hold this frame and all that is in it, and be held by it
            whole.add(part)
        return whole.judged()

    def _chunks(self, tables: Iterable[Predictions]) -> Iterator[tuple[Predictions, NDArray[np.int64], int]]:
        """Pieces of the tables, the places of their table's images, and how many predictions come before them."""
        before = 0
        for table in tables:
            self.names.update(table.images)
            place = self._places(table.images)
            bounds = np.linspace(0, len(table), max(1, round(len(table) / CHUNK)) + 1).astype(int)
            for start, stop in pairwise(bounds.tolist()):
                yield table.take(slice(start, stop)), place, before + start
            before += len(table)

    def _places(self, names: Iterable[str]) -> NDArray[np.int64]:
        """The numbers of images, -1 for one without truth and labels."""
        return np.fromiter((self.place.get(name, -1) for name in names), np.int64)

    def _judge(self, chunk: tuple[Predictions, NDArray[np.int64], int]) -> Judged | InvertedBox:
        part, place, before = chunk
        image = place[part.image]
        self.predicted[image] = True
        strange = {part.images[i] for i in np.unique(part.image[image < 0])}
        row = image * vocabulary().labels  # -1: the last row, where nothing is known
        subject, object_ = self._known[row + part.subject], self._known[row + part.object]
        against = (subject | object_) & ABSENT > 0
        rows = np.flatnonzero(against | (subject & object_ > 0))
        if wrong := _first_inverted(part, rows):
            return InvertedBox(before + wrong[0], wrong[1])
        total, image, part = len(part), image[rows], part.take(rows)
        triplet = triplets(part)
        best = self._join.best(image * self._triplets + triplet, self._overlaps(part))
        claims = {task: _claims(*found) for task, found in zip(TASKS, best, strict=True)}
        return Judged(before + rows, image, triplet, part.score, claims, int(against.sum()), total, strange)

    def _overlaps(self, part: Predictions) -> list[Overlap]:
        """Of predictions with truths: by the smaller overlap of their two boxes, and by the box around both."""
        truth = self._truth

        def both_boxes(p: NDArray[np.intp], t: NDArray[np.intp]) -> NDArray[np.float64]:
            subject, object_ = (
                iou(box.take(p, 0), true.take(t, 0))
                for box, true in (
                    (part.subject_box, truth.subject_box),
                    (part.object_box, truth.object_box),
                )
            )
            return np.minimum(subject, object_)

        def phrase_box(p: NDArray[np.intp], t: NDArray[np.intp]) -> NDArray[np.float64]:
            around = enclosing(part.subject_box.take(p, 0), part.object_box.take(p, 0))
            return iou(around, self._phrase.take(t, 0))

        return [both_boxes, phrase_box]


class _Whole:
    """Chunk after chunk as one."""

    def __init__(self) -> None:
        self.rows, self.image, self.triplet = Growing(np.intp), Growing(np.int64), Growing(np.int64)
        self.score = Growing(np.float64)
        self.claims = {task: _GrowingClaims() for task in TASKS}
        self.kept = self.negative = self.total = 0
        self.strange: set[str] = set()

    def add(self, part: Judged) -> None:
        """The next chunk."""
        self.rows.extend(part.rows)
        self.image.extend(part.image)
        self.triplet.extend(part.triplet)
        self.score.extend(part.score)
        for task, claims in part.claims.items():
            self.claims[task].extend(claims, self.kept)
        self.kept += len(part.rows)
        self.negative += part.negative
        self.total += part.total
        self.strange |= part.strange

    def judged(self) -> Judged:
        """All of them."""
        return Judged(
            rows=self.rows.done(),
            image=self.image.done(),
            triplet=self.triplet.done(),
            score=self.score.done(),
            claims={task: claims.done() for task, claims in self.claims.items()},
            negative=self.negative,
            total=self.total,
            strange=self.strange,
        )


class _GrowingClaims:
    def __init__(self) -> None:
        self.row, self.truth, self.overlap = Growing(np.intp), Growing(np.intp), Growing(np.float64)

    def extend(self, claims: Claims, before: int) -> None:
        """before: how many predictions count before theirs."""
        self.row.extend(claims.row + before)
        self.truth.extend(claims.truth)
        self.overlap.extend(claims.overlap)

    def done(self) -> Claims:
        return Claims(self.row.done(), self.truth.done(), self.overlap.done())


def _first_inverted(part: Predictions, rows: NDArray[np.intp]) -> tuple[int, str] | None:
    """The first of these rows with an inverted box, and which it is."""
    wrong = {"subject": inverted(part.subject_box), "object": inverted(part.object_box)}
    found = rows[(wrong["subject"] | wrong["object"])[rows]]
    if not len(found):
        return None
    return int(found[0]), next(side for side in wrong if wrong[side][found[0]])


def _claims(truth: NDArray[np.intp], overlap: NDArray[np.float64]) -> Claims:
    row = np.flatnonzero(overlap >= THRESHOLD)
    return Claims(row, truth[row], overlap[row])


def triplets(table: Relations) -> NDArray[np.int64]:
    """One integer a row, ordered by (subject, object, predicate) (R4)."""
    vocab = vocabulary()
    pair = table.subject.astype(np.int64) * vocab.labels + table.object
    return pair * len(vocab.predicates) + table.predicate
