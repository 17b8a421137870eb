"""A process beside the owner of a cluster: where the owner is killed, it ends what Ray would leave for a minute."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from kit.base import stopping

PROCESSES = Path("/proc")
SESSION = "session_"  # how Ray's folders in a cluster's begin, of whose logs its processes hold some open
LOOK = 0.2  # seconds between two looks
PATIENCE = 30.0  # seconds in which what does not end at once is struck again


def watch(folder: Path) -> None:
    """Have a process end the cluster of a temporary folder, and remove the folder, once this process is gone.

    None where the system has no /proc: Ray ends by itself there, later.
    """
    if not PROCESSES.is_dir():
        return
    watcher = subprocess.Popen(
        [sys.executable, "-m", __name__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    stopping.at_end(partial(_dismiss, watcher))


def _dismiss(watcher: subprocess.Popen[bytes]) -> None:
    """There is nothing left to watch: the cluster was shut down."""
    watcher.kill()
    watcher.wait()


def end_cluster(folder: Path) -> None:
    """SIGKILL the processes of a cluster whose servers went with their owner, and remove its folder."""
    end = time.monotonic() + PATIENCE
    while (left := list(of_cluster(folder))) and time.monotonic() < end:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK)
    shutil.rmtree(folder, ignore_errors=True)


def of_cluster(folder: Path) -> Iterator[int]:
    """The processes of Python that hold a file open of a session of Ray in a folder; titles hide their words."""
    sessions, python = f"{folder.resolve()}/{SESSION}", os.path.realpath(sys.executable)
    for pid in map(int, filter(str.isdigit, os.listdir(PROCESSES))):
        with suppress(OSError):
            if os.readlink(PROCESSES / str(pid) / "exe") == python and any(
                name.startswith(sessions) for name in _open_files(pid)
            ):
                yield pid


def _open_files(pid: int) -> Iterator[str]:
    for file in (PROCESSES / str(pid) / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            yield os.readlink(file)


if __name__ == "__main__":
    sys.stdin.read()  # which ends with the owner
    end_cluster(Path(sys.argv[1]))
