"""The paper's table 4 of a split: "is" by attribute, with the best and the worst class of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.data.splits import SplitTables, load_split, split_files
from kit.files import read_json, write_json
from kit.metric.relations import evaluate
from kit.relation.ensemble import ScorerName
from kit.run import Run
from kit.stages.plan import detections_of
from kit.stages.predict import predict_stage
from kit.stages.splits import SplitName
from kit.tables.schema import ImageLabels, Predictions, Relations
from kit.tables.shards import read_shards
from kit.vocabulary import IS, vocabulary


def table4_stage(
    run: Run, split: SplitName, scorer: ScorerName, force: bool = False
) -> tuple[Path, list[dict[str, Any]]]:
    """AP of every attribute, its best and its worst class: stage `evaluate-SPLIT-is`, after `predict-SPLIT`."""
    detections_of(run, split)
    predict_stage(run, split, scorer)
    files = getattr(run.config.data, split)
    name = f"evaluate-{split}-is"
    made_from = run.key({}, split_files(files), after=[f"predict-{split}"])
    with run.stage(name, made_from, force=force) as stage:
        if stage:
            shards = read_shards(run.folder(f"predict-{split}") / "predictions", Predictions)
            found = Predictions.concat([t.take(t.predicate == IS) for t in shards])
            rows = table4(load_split(files, split), found)
            write_json(stage.path / "table4.json", rows)
            stage.metrics = {row["attribute"]: row["AP"] for row in rows}
    path = run.path / name
    return path, read_json(path / "table4.json", list, "give --force")


def table4(tables: SplitTables, found: Predictions) -> list[dict[str, Any]]:
    """A row an attribute: attribute, n, AP, best class and AP, worst class and AP; AP of relationships."""
    names, verified = vocabulary().names, tables.verified()
    labels = ImageLabels(tables.objects.images, *np.nonzero(verified))
    truth = tables.relations.take(tables.relations.predicate == IS)
    rows = []
    for attribute in range(vocabulary().classes, vocabulary().labels):
        own, guess = truth.object == attribute, found.object == attribute
        if not own.any():
            continue
        classes = {
            names[c]: _ap(truth, found, labels, own & (truth.subject == c), guess & (found.subject == c))
            for c in np.unique(truth.subject[own])
        }
        best, worst = max(classes, key=lambda c: classes[c]), min(classes, key=lambda c: classes[c])
        rows.append(
            {
                "attribute": names[attribute],
                "n": int(own.sum()),
                "AP": _ap(truth, found, labels, own, guess),
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
    own: NDArray[np.bool_],
    guess: NDArray[np.bool_],
) -> float:
    return float(evaluate(truth.take(own), found.take(guess), labels).relationships["mAP"])
