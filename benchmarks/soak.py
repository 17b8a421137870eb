"""`kit predict` and `kit submit --dry-run` of very many made images' detections: the memory's curve. Slow: minutes.

    python -m benchmarks.soak --images 100000 [predict | submit]

The models are a prior and a spatial model of made annotations; the detections are written by kit's own
writer as a file of Open Images' columns, as a user would give them (`data.test.detections`).
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import table
from benchmarks.synthetic import detections, write_split
from kit.base.stopping import descendants
from kit.tables.detection_formats import save_detections
from kit.tables.official_writer import write_sample_submission
from kit.tables.schema import Detections

IMAGES, PER_IMAGE = 100_000, 20
COMMANDS = {"predict": ("predict", "--split", "test"), "submit": ("submit", "--dry-run")}
TRAINED = 3_000  # images that the models learn from
BLOCK = 20_000  # images whose detections are made at once
PAUSE = 0.1  # seconds between two looks


def main() -> None:
    """Print resident megabytes of each tenth of the time, and the last tenth's to the second's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("commands", nargs="*", help=f"of {' '.join(COMMANDS)} (default: all, in this order)")
    given = parser.parse_args()
    if unknown := set(given.commands) - set(COMMANDS):
        parser.error(f"{', '.join(unknown)}: not among {' '.join(COMMANDS)}")
    soak(given.images, given.commands or list(COMMANDS))


def benchmark() -> None:
    """The soak as one of all benchmarks."""
    soak(IMAGES, list(COMMANDS))


def soak(images: int, commands: Sequence[str]) -> None:
    """Print the tables of so many images, one a command."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = _train(folder)
        files = _write(folder, images)
        words = [f"data.test.detections=[{','.join(map(str, files))}]", f"data.test.ids={folder / 'ids.csv'}"]
        for command in commands:
            _print(command, images, watched(_kit(COMMANDS[command], folder, [*sets, *words])))


def _print(command: str, images: int, seen: Watched) -> None:
    tenths = [float(max(part)) for part in np.array_split(np.asarray(seen.curve), 10)]
    rows = [(f"{i}", f"{mb:,.0f}") for i, mb in enumerate(tenths, 1)]
    rate = f"{seen.seconds:.0f} s ({seen.processor:.0f} of processor), {images / seen.seconds:,.0f} a second"
    title = f"kit {command}, {images:,} images of {PER_IMAGE} detections: {rate}"
    table(title, ("tenth of the time", "peak MB, all processes"), rows)
    print(f"\nlast tenth to the second: {tenths[-1] / tenths[1]:.2f}\n")


def _kit(command: Sequence[str], folder: Path, sets: Sequence[str]) -> list[str]:
    words = [word for each in sets for word in ("--set", each)]
    return [
        sys.executable,
        "-m",
        "kit",
        *command,
        "--config",
        "relations",
        "--run",
        str(folder / "run"),
        *words,
    ]


def _train(folder: Path) -> list[str]:
    """A run with a spatial model of made annotations; the settings that name them."""
    write_split(folder, TRAINED)
    files = {"relations": "vrd.csv", "boxes": "boxes.csv", "labels": "labels.csv"}
    sets = [f"data.train.{key}={folder / name}" for key, name in files.items()]
    sets.append("relation.spatial.rounds=50")
    subprocess.run(_kit(["train", "spatial"], folder, sets), check=True, stdout=subprocess.DEVNULL)
    return sets


def _write(folder: Path, images: int) -> list[Path]:
    """Detections in files of BLOCK images, and the list of the images."""
    rng = np.random.default_rng(0)
    files, ids = [], []
    for first in range(0, images, BLOCK):
        n = min(BLOCK, images - first)
        made = detections(rng, n, PER_IMAGE)
        names = tuple(f"{i:016x}" for i in range(first, first + n))
        files.append(folder / f"detections{first:09}.csv")
        save_detections(files[-1], Detections(names, made.image, made.label, made.score, made.box))
        ids += names
    write_sample_submission(folder / "ids.csv", ids)
    return files


@dataclass(frozen=True)
class Watched:
    """Resident megabytes of a command and all its children, again and again; its seconds, and the processor's."""

    curve: list[float]
    seconds: float
    processor: float


def watched(words: Sequence[str]) -> Watched:
    """Run a command and look at its memory."""
    start, before, curve = time.monotonic(), _processor(), []
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        curve.append(sum(map(_resident, [process.pid, *descendants(process.pid)])))
        time.sleep(PAUSE)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
    return Watched(curve, time.monotonic() - start, _processor() - before)


def _processor() -> float:
    """Seconds of processor of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(pid: int) -> float:
    """Megabytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


if __name__ == "__main__":
    main()
