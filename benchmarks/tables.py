"""A training split of full size: its files read first and again, features of its pairs, the detectors' data set.

The whole of it: `python -m benchmarks.tables 1200000`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import run, table
from benchmarks.synthetic import write_split

IMAGES = 300_000  # a quarter of the real training split
STEPS = {
    "read a split, first": "split_tables(config, 'train')",
    "read a split, again": "split_tables(config, 'train')",
    "its boxes alone, again": "split_boxes(config, 'train')",
    "... and its pairs": "pair_examples(split_tables(config, 'train'))",
    "... and their features": (
        "s = split_tables(config, 'train'); features_of_pairs(s.objects, pair_examples(s).candidates)"
    ),
    "the detectors' data set": "data_set()",
}
PROLOGUE = """
from pathlib import Path
from kit.config import load_config
from kit.pipeline.splits import split_boxes, split_tables
from kit.relation.features import features_of_pairs
from kit.relation.prior_model import pair_examples
folder = Path({folder!r})
files = {{"relations": "vrd", "boxes": "boxes", "labels": "labels"}}
config = load_config("mini", [f"run={{folder / 'run'}}", *(
    f"data.train.{{name}}=[{{folder / file}}.csv]" for name, file in files.items())])
def data_set():
    from kit.detector.annotated_images import write_annotations
    from kit.detector.architecture import prepare
    from kit.pipeline.splits import CLASSES
    from kit.pipeline.training_draws import training_draws
    prepare()
    from kit.detector.mmdet_components import BoxesDataset, DrawSampler
    learned = load_config("layer6").detector
    boxes = split_boxes(config, "train")
    drawn = training_draws(boxes, CLASSES, learned.training, learned.sampling_limit, 0)
    write_annotations(folder / "a.npz", drawn.boxes, drawn.draws)
    found = BoxesDataset(ann_file=str(folder / "a.npz"), data_prefix={{"img": str(folder)}},
                         metainfo={{"classes": CLASSES}}, pipeline=[])
    next(iter(DrawSampler(found)))
"""


def main(images: int = IMAGES) -> None:
    """Print the table; every step is a process of its own, and all but the first find the split's tables kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_split(folder, images)
        (folder / "run").mkdir()
        prologue = PROLOGUE.format(folder=name)
        start, base = run(["-c", prologue])
        rows = [["start of Python", f"{start:.2f}", f"{base:,.0f}"]]
        for step, code in STEPS.items():
            seconds, memory = run(["-c", f"{prologue}\n{code}"])
            rows.append([step, f"{seconds - start:.2f}", f"{memory:,.0f}"])
    table(
        f"A training split of {images:,} images, {images * 25 // 8:,} boxes (beyond the start of Python)",
        ("step", "seconds", "peak MB"),
        rows,
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
