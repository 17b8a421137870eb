"""Run the benchmarks that are named, or all."""

from __future__ import annotations

import argparse

from benchmarks import (
    boosting,
    candidates,
    commands,
    crops,
    detection,
    external_memory,
    full_size,
    fusion,
    metric,
    photos,
    pipeline,
    rehearsal,
    shared,
    soak,
    submission,
    tables,
)

ALL = {
    "commands": commands.main,
    "metric": metric.main,
    "fusion": fusion.main,
    "submission": submission.main,
    "candidates": candidates.main,
    "tables": tables.main,
    "pipeline": pipeline.main,
    "boosting": boosting.main,
    "external_memory": external_memory.main,
    "crops": crops.main,
    "detection": detection.main,
    "photos": photos.main,
    "shared": shared.main,
    "rehearsal": rehearsal.main,
    "soak": soak.benchmark,
    "full_size": full_size.main,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure kit's speed.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)} (default: all)")
    names = parser.parse_args().names or list(ALL)
    for name in names:
        if name not in ALL:
            parser.error(f"no benchmark {name!r}: choose from {', '.join(ALL)}")
    for name in names:
        ALL[name]()
