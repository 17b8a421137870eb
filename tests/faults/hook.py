"""The operations on files of a command and of all its processes: counted, and a kill before the n-th of them."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SPEC = "KIT_TESTS_HOOK"  # environment: what processes that the command starts are to do
INJECTED = Path(__file__).parent / "injected"  # of PYTHONPATH: its sitecustomize calls `from_environment`
EVENTS = {
    "open",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "shutil.rmtree",
}


@dataclass(frozen=True)
class Hook:
    """What is counted, and who is killed when.

    below: the folder whose operations count; count: a file that grows by a byte with each; at: the operation
    before which someone is killed, 0: none; main: the command's process, or 0 where the one at the operation is
    killed; told: a file for the operation at which it was.
    """

    below: str
    count: str
    at: int = 0
    main: int = 0
    told: str = ""

    def environment(self) -> dict[str, str]:
        """The variables by which the processes that the command starts count too."""
        return {SPEC: json.dumps(asdict(self))}


def from_environment() -> None:
    """Count in this process, where the environment says so."""
    text = os.environ.get(SPEC)
    if text:
        install(Hook(**json.loads(text)))


def install(hook: Hook) -> None:
    """Count in this process from here on; it cannot be taken away."""
    counter = os.open(hook.count, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    busy = [False]

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event not in EVENTS or busy[0] or not _counts(hook.below, event, args):
            return
        busy[0] = True
        os.write(counter, b".")
        if hook.at and os.lseek(counter, 0, os.SEEK_CUR) >= hook.at:
            Path(hook.told).write_text(f"{event} {os.path.relpath(args[0], hook.below)}", encoding="utf-8")
            os.kill(hook.main or os.getpid(), signal.SIGKILL)
        busy[0] = False

    sys.addaudithook(audit)


def _counts(below: str, event: str, args: tuple[Any, ...]) -> bool:
    """Whether an event changes something below the folder."""
    if not isinstance(args[0], (str, os.PathLike)):
        return False
    flags = args[2] if event == "open" else os.O_RDWR
    return bool(flags & (os.O_WRONLY | os.O_RDWR)) and os.path.abspath(args[0]).startswith(below)
