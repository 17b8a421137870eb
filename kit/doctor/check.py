"""What a check found: its state, in words, and the one command that mends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread
from time import monotonic
from typing import Literal, TypeVar

State = Literal["OK", "WARN", "FAIL"]
T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """One look. found: in words, without secrets; cure: what mends it, empty where nothing has to be."""

    name: str
    state: State
    found: str
    cure: str = ""


def answers_within(seconds: float, calls: Sequence[Callable[[], T]]) -> list[T | None]:
    """What the calls give, all at once; None of those that are not back in time, which are waited for no more.

    A look-up of a name knows no time limit of its own.
    """
    answers: list[T | None] = [None] * len(calls)

    def ask(i: int) -> None:
        answers[i] = calls[i]()

    threads = [Thread(target=ask, args=(i,), daemon=True) for i in range(len(calls))]
    deadline = monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    return list(answers)
