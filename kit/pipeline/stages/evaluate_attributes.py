"""Stages `evaluate-SPLIT-attributes` (paper, table 4): "is" by attribute, with its best and its worst class."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.files import read_json, write_json
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.metric.summary import HIDDEN, HIDDEN_TEST
from kit.pipeline.models import scorer_option, usable_scorers
from kit.pipeline.splits import has_detections, shows_hidden_test, split_inputs, split_of, split_tables
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.predictions import predict_stage
from kit.tables.shards import SHARDS, read_shards
from kit.vocabulary import IS, vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kit.data.split_tables import SplitTables
    from kit.tables.schema import ImageLabels, Predictions, Relations

TABLE = "table4.json"
OF_CLASSES = {"best": "best class", "best AP": "best AP", "worst": "worst class", "worst AP": "worst AP"}
HEADS = {"attribute": "attribute", "n": "n", "AP": "AP", HIDDEN_TEST: HIDDEN, **OF_CLASSES}  # for people


@register_stages
def evaluate_attributes_stages(config: Config) -> Iterator[Stage]:
    """The attributes of every split whose truth is known, by every scorer."""
    for split in SPLITS:
        if not has_detections(config, split):
            continue
        for scorer in usable_scorers(config) if split_of(config, split).relations else ():
            yield Stage(
                attributes_stage(config, split, scorer),
                partial(_evaluate, split=split, scorer=scorer),
                needs=(
                    predict_stage(config, split, scorer),
                    *([attributes_stage(config, "test", scorer)] if shows_hidden_test(config, split) else []),
                ),
                inputs=split_inputs(config, split),
                command=f"evaluate --attributes --split {split}{scorer_option(config, scorer)}",
                version=3,
            )


def attributes_stage(config: Config, split: SplitName, scorer: str) -> str:
    """The stage of a split's attributes by a scorer."""
    return f"evaluate-{split}-attributes{'' if scorer == config.relation.scorer else f'-{scorer}'}"


def _evaluate(context: StageContext, split: SplitName, scorer: str) -> Metrics:
    from kit.tables.schema import Predictions

    config = context.config
    shards = read_shards(context.result(predict_stage(config, split, scorer)) / SHARDS, Predictions)
    found = Predictions.concat([t.take(t.predicate == IS) for t in shards])
    rows = table4(split_tables(config, split), found)
    if split == "val":
        beside = attributes_stage(config, "test", scorer)
        hidden = read_table(context.result(beside)) if beside in context.stage.needs else []
        ap = {row["attribute"]: row["AP"] for row in hidden}
        rows = [row | {HIDDEN_TEST: ap.get(row["attribute"])} for row in rows]
    write_json(context.path / TABLE, rows)
    return {row["attribute"]: row["AP"] for row in rows}


def read_table(folder: Path) -> list[dict[str, Any]]:
    """A row an attribute; of the validation split with the hidden test's AP, None where that has no such row."""
    rows: list[dict[str, Any]] = read_json(folder / TABLE, list, "give --force")
    return rows


def table4(tables: SplitTables, found: Predictions) -> list[dict[str, Any]]:
    """A row an attribute: attribute, n, AP, best class and AP, worst class and AP; AP of relationships."""
    import numpy as np

    from kit.tables.schema import ImageLabels

    names, verified = vocabulary().names, tables.verified()
    labels = ImageLabels(tables.objects.images, *np.nonzero(verified))
    truth = tables.relations.take(tables.relations.predicate == IS)
    rows = []
    for attribute in range(vocabulary().classes, vocabulary().labels):
        true_rows, guess = truth.object == attribute, found.object == attribute
        if not true_rows.any():
            continue
        classes = {
            names[c]: _ap(
                truth, found, labels, true_rows & (truth.subject == c), guess & (found.subject == c)
            )
            for c in np.unique(truth.subject[true_rows])
        }
        best, worst = max(classes, key=lambda c: classes[c]), min(classes, key=lambda c: classes[c])
        rows.append(
            {
                "attribute": names[attribute],
                "n": int(true_rows.sum()),
                "AP": _ap(truth, found, labels, true_rows, guess),
                "best": best,
                "best AP": classes[best],
                "worst": worst,
                "worst AP": classes[worst],
            }
        )
    return rows


def _ap(
    truth: Relations,
    found: Predictions,
    labels: ImageLabels,
    rows: NDArray[np.bool_],
    guess: NDArray[np.bool_],
) -> float:
    from kit.metric.relations import evaluate

    return float(evaluate(truth.take(rows), found.take(guess), labels).relationships["mAP"])
