"""`kit score relations` on CSV files of 1,000 to 100,000 images, beside a plain loop over the same rules."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.measure import run, table
from benchmarks.synthetic import write_scoring_files
from kit.tables.official import read_image_labels, read_predictions, read_relations
from kit.vocabulary import PREDICATES
from tests import reference

IMAGES = (1_000, 5_000, 20_000, 100_000)
PUBLISHED = {5_000: 35.5}  # seconds of the published evaluator on this very file (350,538 rows), two cores
LOOP_IMAGES = 200  # the plain loop's time an image does not depend on their number


def main() -> None:
    """Print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_scoring_files(path, LOOP_IMAGES)
        loop = _plain_loop(path)
        for images in IMAGES:
            count = write_scoring_files(path, images)
            files = ["--truth", str(path / "truth.csv"), "--labels", str(path / "labels.csv")]
            words = [
                "-m",
                "kit",
                "score",
                "relations",
                *files,
                "--predictions",
                str(path / "predictions.csv"),
            ]
            seconds, memory = min(run([*words, "--json"]) for _ in range(2))
            rows.append(
                [
                    f"{images:,}",
                    f"{count:,}",
                    f"{seconds:.2f}",
                    f"{memory:,.0f}",
                    f"{count / seconds:,.0f}",
                    f"{loop * images / seconds:,.0f}",
                    f"{PUBLISHED[images] / seconds:,.0f}" if images in PUBLISHED else "",
                ]
            )
    table(
        "kit score relations, the whole process (best of two)",
        ("images", "rows", "seconds", "peak MB", "rows/s", "times a plain loop", "times the published"),
        rows,
    )
    print("The published evaluator took 35.5 s on the file of 5,000 images (350,538 rows), in another run.")


def _plain_loop(folder: Path) -> float:
    """Seconds an image of the plain loop, files already read."""
    true, predictions = read_relations(folder / "truth.csv"), read_predictions(folder / "predictions.csv")
    labels = read_image_labels(folder / "labels.csv")
    truth_rows = _rows(true)
    scored = list(zip(_rows(predictions), predictions.score.tolist(), strict=True))
    named = [(labels.images[i], int(x)) for i, x in zip(labels.image, labels.label, strict=True)]
    start = time.perf_counter()
    reference.score(truth_rows, scored, named, PREDICATES)
    return (time.perf_counter() - start) / LOOP_IMAGES


def _rows(t) -> list[reference.Row]:
    boxes = (map(tuple, t.subject_box.tolist()), map(tuple, t.object_box.tolist()))
    columns = (t.subject.tolist(), t.object.tolist(), t.predicate.tolist(), *boxes)
    return list(zip([t.images[i] for i in t.image], *columns, strict=True))
