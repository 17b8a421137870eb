"""Writing and checking a submission of 100,000 images × 200 predictions."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import run, table
from benchmarks.synthetic import image_ids, random_boxes
from kit.tables.schema import Predictions
from kit.tables.submission_check import check_submission
from kit.tables.submission_writer import write_submission
from kit.vocabulary import IS, vocabulary

IMAGES, PER_IMAGE, SHARD = 100_000, 200, 1_000


def main() -> None:
    """Print the table; each half runs in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for half in ("write", "check"):
            path = str(Path(folder) / "submission.csv")
            _, memory = run(["-c", f"from benchmarks.submission import {half}; {half}({path!r})"])
            seconds = float(Path(f"{path}.{half}").read_text())
            n = IMAGES * PER_IMAGE
            rows.append([half, f"{n:,}", f"{seconds:.1f}", f"{memory:,.0f}", f"{n / seconds:,.0f}"])
    table(
        f"A submission of {IMAGES:,} images × {PER_IMAGE} predictions",
        ("step", "predictions", "seconds", "peak MB", "predictions/s"),
        rows,
    )


def write(path: str, images: int = IMAGES) -> None:
    """Write the submission; the time without making the random predictions beside it."""
    ids, making = image_ids(images), 0.0

    def parts():
        nonlocal making
        for start in range(0, images, SHARD):
            begin = time.perf_counter()
            part = _predictions(ids[start : start + SHARD], start)
            making += time.perf_counter() - begin
            yield part

    start = time.perf_counter()
    write_submission(path, ids, parts(), top=PER_IMAGE)
    Path(f"{path}.write").write_text(str(time.perf_counter() - start - making))


def check(path: str, images: int = IMAGES) -> None:
    """Check the submission that `write` wrote."""
    start = time.perf_counter()
    report = check_submission(path, image_ids(images))
    if not report.ok:
        sys.exit(str(report.faults))
    Path(f"{path}.check").write_text(str(time.perf_counter() - start))


def _predictions(ids: tuple[str, ...], seed: int) -> Predictions:
    rng = np.random.default_rng(seed)
    n = len(ids) * PER_IMAGE
    predicate, subject, object_ = vocabulary().triplets[rng.integers(0, 329, n)].T
    first, second = random_boxes(rng, n), random_boxes(rng, n)
    second[predicate == IS] = first[predicate == IS]
    image = np.repeat(np.arange(len(ids)), PER_IMAGE)
    return Predictions(ids, image, subject, object_, predicate, first, second, score=rng.random(n))
