"""Images of a split with what is known and what was found of them, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from kit.base.split_names import SplitName
from kit.data.decode import read_image
from kit.data.orientation import upright
from kit.data.photos import PhotoFolder, list_photos
from kit.data.split_tables import SplitTables
from kit.metric.matching import match_predictions
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.splits import image_folder, split_ids, split_of, split_tables
from kit.pipeline.stages.predictions import predict_stage
from kit.report.drawing import DrawnObject, DrawnRelation, Pixels, draw
from kit.report.image_rows import drawn_objects, drawn_relations, rows_of_image, top_rows
from kit.report.panels import captioned, side_by_side
from kit.report.split_results import split_detections, split_predictions
from kit.tables.schema import Detections, Predictions, Relations


@dataclass(frozen=True)
class SplitImages:
    """A split of a run. scorer: whose predictions are shown; top: detections and relations of an image at most.

    orientations: EXIF's, of images that are drawn turned, with their boxes, by Open Images' Rotation.
    """

    pipeline: Pipeline
    split: SplitName
    scorer: str
    top: int
    orientations: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def names(self) -> frozenset[str]:
        """The ids of the split's images."""
        return frozenset(split_ids(self.pipeline.run.config, self.split))

    def first(self, most: int) -> list[str]:
        """The first images, those with relations where these are known."""
        if "truth" not in self.layers():
            return list(split_ids(self.pipeline.run.config, self.split))[:most]
        related = np.unique(self.truth.image)[:most]
        return [self.truth.images[i] for i in related]

    @cached_property
    def photos(self) -> PhotoFolder:
        """The image files. Raises KitError where there is no folder of them."""
        return list_photos(image_folder(self.pipeline.run.config, self.split))

    @cached_property
    def tables(self) -> SplitTables:
        """What is known of the split. Raises KitError where that is nothing."""
        return split_tables(self.pipeline.run.config, self.split)

    @property
    def truth(self) -> Relations:
        """The true relations. Raises KitError where they are not known."""
        return self.tables.relations

    @cached_property
    def detections(self) -> Detections:
        """The fused detections. Raises KitError where they are not made."""
        return split_detections(self.pipeline, self.split)

    @cached_property
    def predictions(self) -> Predictions:
        """The predictions. Raises KitError where they are not made."""
        return split_predictions(self.pipeline, self.split, self.scorer)

    @cached_property
    def verdicts(self) -> dict[int, bool]:
        """Whether each prediction that counts is right, by its row; nothing where the truth is not known."""
        if "truth" not in self.layers():
            return {}
        matches = match_predictions(self.truth, self.predictions, self.tables.labels)
        return dict(zip(matches.rows.tolist(), matches.true_positive["relationships"].tolist(), strict=True))

    def layers(self) -> list[str]:
        """What there is to show: the truth where it is known, the predictions where they are made."""
        config = self.pipeline.run.config
        made = self.pipeline.run.record(predict_stage(config, self.split, self.scorer)) is not None
        known = bool(split_of(config, self.split).relations)
        return [name for name, there in (("truth", known), ("predictions", made or not known)) if there]

    def pixels(self, name: str, path: Path | None = None) -> Pixels:
        """An image as RGB, read as the detectors do. Raises UnreadableError."""
        decoding = self.pipeline.run.config.data.decoding()
        return np.ascontiguousarray(read_image(path or self.photos.path(name), decoding)[..., ::-1])

    def drawn(self, name: str, layers: Sequence[str], path: Path | None = None) -> Pixels:
        """An image with some layers, side by side. path: of its file, where it is given by that.

        Predictions are marked as right or wrong where the truth is known and they count.
        """
        image = self.pixels(name, path)
        return side_by_side(
            [captioned(self._layer(image, name, layer), f"{name}: {layer}") for layer in layers]
        )

    def _layer(self, image: Pixels, name: str, layer: str) -> Pixels:
        objects, relations = self._rows(name, layer)
        boxes = np.array([one.box for one in objects], np.float32).reshape(-1, 4)
        image, boxes = upright(image, boxes, self.orientations.get(name, 1))
        return draw(
            image, [replace(one, box=box) for one, box in zip(objects, boxes, strict=True)], relations
        )

    def _rows(self, name: str, layer: str) -> tuple[Sequence[DrawnObject], Sequence[DrawnRelation]]:
        if layer == "truth":
            return drawn_relations(self.truth.take(rows_of_image(self.truth, name)))
        table = self.detections if layer == "detections" else self.predictions
        rows = rows_of_image(table, name)
        rows = rows[top_rows(table.score[rows], self.top)]
        if isinstance(table, Detections):
            return drawn_objects(table.take(rows)), []
        correct = [self.verdicts.get(int(row)) for row in rows]
        return drawn_relations(table.take(rows), correct)
