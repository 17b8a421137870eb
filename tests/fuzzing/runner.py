"""Give damaged inputs to a target and watch: only a whole answer or a KitError, in bounded time and memory."""

from __future__ import annotations

import hashlib
import random
import resource
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from kit.base.errors import KitError
from tests.fuzzing.mutation import damaged
from tests.fuzzing.targets import Target

SECONDS = 10  # for one input
MEMORY = 1000  # MB above what the process takes before the first input


@dataclass
class Result:
    """What became of the inputs of a target; failures: (name of the kept input, what happened)."""

    target: str
    inputs: int = 0
    taken: int = 0
    refused: int = 0
    seconds: float = 0.0
    peak: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)


class HangError(BaseException):
    """An input took too long; no reader catches this."""


def run_target(target: Target, inputs: int, seed: int, folder: Path, keep: Path | None = None) -> Result:
    """Try so many inputs in `folder`; keep: where the inputs that fail are left. The first ten failures end it."""
    result, rng = Result(target.name), random.Random(f"{target.name} {seed}")
    seeds = target.prepare(folder)
    for data in seeds:  # whole inputs are taken, or the target tests nothing
        _give(target, folder, data)
    before, start = _peak(), time.monotonic()
    for _ in range(inputs):
        data = damaged(rng, seeds, target.words)
        failure = _outcome(target, folder, data, result)
        result.inputs += 1
        result.peak = _peak() - before
        if not failure and result.peak > MEMORY:
            failure = f"{result.peak:.0f} MB"
        if failure:
            result.failures.append((_keep(target, data, keep), failure))
            if len(result.failures) == 10 or result.peak > MEMORY:
                break
    result.seconds = time.monotonic() - start
    return result


def _outcome(target: Target, folder: Path, data: bytes, result: Result) -> str:
    """What is wrong with how the target took the input; empty where nothing is."""
    try:
        with _limited():
            _give(target, folder, data)
    except KitError as error:
        result.refused += 1
        text = str(error)
        return "" if text.isprintable() and len(text) < 1300 else f"not one line that can be shown: {text!r}"
    except HangError:
        return f"more than {SECONDS} s"
    except Exception:
        return traceback.format_exc(limit=-4)
    result.taken += 1
    return ""


def _give(target: Target, folder: Path, data: bytes) -> None:
    path = folder / target.file
    path.write_bytes(data)
    target.read(path)


def _keep(target: Target, data: bytes, keep: Path | None) -> str:
    name = f"{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / name).write_bytes(data)
    return name


@contextmanager
def _limited() -> Iterator[None]:
    def end(_signal: int, _frame: FrameType | None) -> None:
        raise HangError

    old = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def _peak() -> float:
    """The most memory that this process had so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
