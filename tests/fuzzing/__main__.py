"""Give the readers many damaged inputs: `python -m tests.fuzzing --inputs 1000000`; exit code 1 on a failure."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.fuzzing.runner import Result
from tests.fuzzing.share import run_share
from tests.fuzzing.targets import TARGETS


def main(arguments: Sequence[str] | None = None) -> int:
    """Share the inputs out over the targets, a process a target; a row a target, then what failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="over all targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time")
    parser.add_argument("targets", nargs="*", help="names of targets (default: all)")
    given = parser.parse_args(arguments)
    chosen = [t for t in TARGETS if not given.targets or t.name in given.targets]
    whole = sum(target.share for target in chosen)
    shares = [(target.name, -int(-given.inputs * target.share // whole)) for target in chosen]
    results, spawn = [], multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.jobs, spawn, max_tasks_per_child=1) as pool:
        for future in as_completed([pool.submit(run_share, *share, given.seed) for share in shares]):
            results.append(future.result())
            _show(results[-1])
    failures = sum(len(result.failures) for result in results)
    sys.stdout.write(f"{sum(r.inputs for r in results):,} inputs, {failures} failures\n")
    return 1 if failures else 0


def _show(result: Result) -> None:
    sys.stdout.write(
        f"{result.target:24} {result.inputs:9,} inputs: {result.taken:9,} taken, {result.refused:9,} refused, "
        f"{result.seconds:6.0f} s, {result.peak:5.0f} MB more\n"
    )
    for name, failure in result.failures:
        sys.stdout.write(f"  {name}: {failure}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
