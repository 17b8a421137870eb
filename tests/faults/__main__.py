"""Kill commands of kit, fill disks, set clocks back, and judge what is left: `python -m tests.faults --kills 200`.

Exit code 1 where something was lost, doubled, trusted half-written or left at work, or a line was another than
expected; what failed says how to repeat it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.conditions import CONDITIONS, Absent, try_condition
from tests.faults.mirror import mirror
from tests.faults.namespace import MountError
from tests.faults.runner import Kill, Range
from tests.faults.victims import Victim, World, victims

LIBRARIES = (
    "kit.cli.app",
    "kit.pipeline.stages",
    "numpy",
    "pyarrow.parquet",
    "scipy.sparse",
    "xgboost",
    "aiohttp",
)
DETECTORS = ("torch", "kit.detector.training", "kit.detector.inference", "kit.relation.network_training")


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, disturb, judge, tell; a line each, the last with the sums."""
    given = _parser().parse_args(arguments)
    by_name = {victim.name: victim for victim in victims()}
    names = given.names or [*by_name, *CONDITIONS]
    if unknown := set(names) - {*by_name, *CONDITIONS}:
        sys.stderr.write(f"{', '.join(unknown)}: not among {' '.join([*by_name, *CONDITIONS])}\n")
        return 2
    chosen = [by_name[name] for name in names if name in by_name]
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    _load(any(victim.name.startswith("few") for victim in chosen))
    with tempfile.TemporaryDirectory() as fresh:
        folder = (given.folder or Path(fresh)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        world = World(folder)
        with mirror(world.data / "mini") as world.url:
            kills = _kill(Range(world, given.seed), chosen, given) if chosen else []
            tried = {name: _try(name, world) for name in names if name in CONDITIONS}
    struck, failed = sum(kill.struck for kill in kills), sum(bool(kill.faults) for kill in kills)
    failed += sum(bool(faults) for faults in tried.values())
    skipped = sum(faults is None for faults in tried.values())
    conditions = f"{len(tried) - skipped} conditions ({skipped} skipped)"
    sys.stdout.write(f"{struck} kills of {len(kills)} commands, {conditions}, {failed} failures\n")
    return 1 if failed else 0


def _kill(range_: Range, chosen: Sequence[Victim], given: argparse.Namespace) -> list[Kill]:
    """Kill the victims in turn, until so many kills have struck; or the one of a number."""
    kills: list[Kill] = []
    one = given.number is not None
    for number in [given.number] if one else range(given.first, given.first + 100 * given.kills):
        before = time.monotonic()
        kill = range_.kill(chosen[number % len(chosen)], number)
        kills.append(kill)
        struck = sum(kill.struck for kill in kills)
        what = f"{struck:5}/{given.kills} {kill.victim}: {'; '.join(kill.moments)}"
        again = f"--seed {given.seed} --number {number} {kill.victim}"
        _say(what, kill.faults, time.monotonic() - before, again)
        if struck >= given.kills:
            break
    return kills


def _try(name: str, world: World) -> list[str] | None:
    """What is wrong under a condition; None where it cannot be had here."""
    before = time.monotonic()
    try:
        faults = try_condition(name, world)
    except (Absent, MountError) as error:
        sys.stdout.write(f"      {name}: skipped: {error}\n")
        return None
    _say(f"      {name}", faults, time.monotonic() - before, name)
    return faults


def _say(what: str, faults: Sequence[str], seconds: float, again: str) -> None:
    sys.stdout.write(f"{what}: {'FAILED' if faults else 'as expected'} ({seconds:.1f} s)\n")
    for fault in faults:
        sys.stdout.write(f"         {fault}\n")
    if faults:
        sys.stdout.write(f"         again: python -m tests.faults {again}\n")
    sys.stdout.flush()


def _load(detectors: bool) -> None:
    """Import once what the commands need: they are forked from here."""
    for name in (*LIBRARIES, *(DETECTORS if detectors else ())):
        importlib.import_module(name)
    if detectors:
        from kit.detector.architecture import prepare

        prepare()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="over all commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first command")
    parser.add_argument("--number", type=int, help="the command of this number alone")
    parser.add_argument(
        "--folder", type=Path, help="where the work is done and kept (default: a temporary one)"
    )
    parser.add_argument("names", nargs="*", help="of commands and conditions (default: all)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
