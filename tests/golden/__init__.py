"""Golden cases of both official metrics: files, and what the published evaluator made of them.

relations.tar.xz: gt_vrd.csv, gt_labels.csv, pred.csv, expected.json and verdicts.csv of every case;
detections.tar.xz: gt_boxes.csv, gt_labels.csv, pred.csv and expected.json. All inputs are synthetic. NaN is null;
`if_argsort_were_stable` holds the numbers with every sort stable. label_ids.csv: the official ids of the labels.
Packed by GNU tar (--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar) and xz -9e.
"""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
LABEL_IDS = HERE / "label_ids.csv"
RELATIONS = (
    "attributes",
    "boundary",
    "const_score",
    "crowded",
    "degenerate",
    "few_predicates",
    "int_scores",
    "mixed",
    "nothing_kept",
    "perfect",
    "tie_free",
    "ties",
    "unverified",
)
FAULTY = (
    "err_empty_pred",
    "err_invalid_box",
    "err_missing_object_box",
    "err_no_gt_relation",
    "err_unknown_label",
    "err_unknown_label_in_labels",
)
DETECTIONS = ("degenerate", "group_of", "plain")
CORNERS = ("XMin{}", "YMin{}", "XMax{}", "YMax{}")
TOKENS = (
    "Score",
    *("LabelName1", *(corner.format(1) for corner in CORNERS)),
    *("LabelName2", *(corner.format(2) for corner in CORNERS)),
    "RelationshipLabel",
)


def unpack(folder: Path) -> None:
    """Lay all cases below a folder: relations/CASE, each with its submission.csv too, and detections/CASE."""
    for name in ("relations", "detections"):
        with tarfile.open(HERE / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    for case in RELATIONS:
        write_submission_form(folder / "relations" / case)


def write_submission_form(case: Path) -> None:
    """Write the same predictions, token by token, as Kaggle takes them: a line for every image of the case."""
    lines: dict[str, list[str]] = {}
    for name in ("gt_vrd.csv", "gt_labels.csv", "pred.csv"):
        with (case / name).open(newline="") as file:
            for row in csv.DictReader(file):
                line = lines.setdefault(row["ImageID"], [])
                if name == "pred.csv":
                    line += [row[token] for token in TOKENS]
    text = [f"{image},{' '.join(line)}\n" for image, line in lines.items()]
    (case / "submission.csv").write_text("".join(["ImageId,PredictionString\n", *text]))
