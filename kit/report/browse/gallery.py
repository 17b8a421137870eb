"""The images of a split by what is predicted and true of them: which ones fit a choice, and their drawings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from kit.pipeline.splits import split_of
from kit.report.browse.choice import Choice, Side
from kit.report.drawing import Pixels, draw
from kit.report.error_examples import KINDS, NUMBER, error_kinds
from kit.report.image_rows import drawn_relations, rows_of_image, top_rows
from kit.report.split_images import SplitImages
from kit.tables.schema import Predictions, Relations
from kit.vocabulary import PREDICATES, vocabulary

QUALITY = 88  # of the drawings, as JPEG
RIGHT = NUMBER["right"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Relations of one side. kind: int (n,), index into KINDS; None where the truth is not known."""

    table: Relations
    kind: NDArray[np.int64] | None

    def fitting(self, choice: Choice) -> NDArray[np.intp]:
        """The rows of a choice, predictions with the best score first."""
        table, fits = self.table, np.ones(len(self.table), bool)
        if choice.predicate:
            fits &= table.predicate == PREDICATES.index(choice.predicate)
        if choice.label:
            label = vocabulary().names.index(choice.label)
            fits &= (table.subject == label) | (table.object == label)
        if choice.kind and self.kind is not None:
            fits &= self.kind == NUMBER[choice.kind]
        if not isinstance(table, Predictions):
            return np.flatnonzero(fits)
        rows = np.flatnonzero(fits & (table.score >= choice.score))
        return rows[np.argsort(-table.score[rows], kind="stable")]

    def kind_of(self, row: int) -> str:
        """A row's kind in words; empty where it is not known."""
        return "" if self.kind is None else tuple(KINDS)[self.kind[row]]


@dataclass(frozen=True)
class Found:
    """The images of a choice, and of the one shown its fitting rows (at most `top` of them)."""

    images: tuple[str, ...]
    at: int
    rows: NDArray[np.intp]
    fitting: int

    @property
    def image(self) -> str:
        """The id of the image that is shown."""
        return self.images[self.at]


class Gallery:
    """All images of a split with relations, true or predicted."""

    def __init__(self, shown: SplitImages) -> None:
        """Read everything once. Raises KitError where the predictions are not made, or there are no images."""
        self.shown = shown
        config = shown.pipeline.run.config
        self.photos = shown.photos
        if split_of(config, shown.split).relations:
            errors = error_kinds(shown.pipeline, shown.split, shown.scorer)
            self.sides: dict[Side, Rows] = {
                "predictions": Rows(errors.predictions, errors.prediction_kind),
                "truth": Rows(errors.tables.relations, errors.truth_kind),
            }
        else:
            self.sides = {"predictions": Rows(shown.predictions, None)}
        self.drawing = lru_cache(maxsize=64)(self._drawing)
        self._order = lru_cache(maxsize=64)(self._ordered)

    def find(self, choice: Choice) -> Found:
        """The images of a choice, those with the surest predictions first."""
        rows = self.sides.get(choice.side, self.sides["predictions"])
        fitting, images = self._order(choice.to(0))
        names = tuple(rows.table.images[i] for i in images)
        at = min(choice.at, max(len(images) - 1, 0))
        own = fitting[rows.table.image[fitting] == images[at]] if len(images) else fitting
        return Found(names, at, own[: self.shown.top], len(fitting))

    def _ordered(self, choice: Choice) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """The fitting rows, and the images that have a photo in the order in which these rows name them."""
        rows = self.sides.get(choice.side, self.sides["predictions"])
        fitting = rows.fitting(choice)
        distinct, first = np.unique(rows.table.image[fitting], return_index=True)
        images = distinct[np.argsort(first)]
        there = [i for i in images if rows.table.images[i] in self.photos]
        return fitting, np.array(there, np.int64)

    def _drawing(self, choice: Choice, side: Side) -> bytes:
        """The chosen image with the relations of one side, as JPEG: those that fit, of the other side the first.

        Raises UnreadableError.
        """
        found, rows = self.find(choice), self.sides[side]
        chosen = found.rows if side == choice.side else self._best_of(rows.table, found.image, choice.score)
        correct = None
        if isinstance(rows.table, Predictions) and rows.kind is not None:
            correct = [bool(rows.kind[row] == RIGHT) for row in chosen]
        return _jpeg(draw(self.shown.pixels(found.image), *drawn_relations(rows.table.take(chosen), correct)))

    def _best_of(self, table: Relations, image: str, score: float) -> NDArray[np.intp]:
        """An image's rows; of predictions the surest."""
        rows = rows_of_image(table, image)
        if not isinstance(table, Predictions):
            return rows
        rows = rows[table.score[rows] >= score]
        return rows[top_rows(table.score[rows], self.shown.top)]


def _jpeg(image: Pixels) -> bytes:
    from PIL import Image

    out = BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
