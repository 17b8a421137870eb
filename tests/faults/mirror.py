"""A server of the files below a folder, as a process: `python -m tests.faults.mirror FOLDER` prints its address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.badserver import serving


@contextmanager
def mirror(folder: Path) -> Iterator[str]:
    """Serve a folder's files while inside, by their paths in it; the address."""
    words = [sys.executable, "-m", "tests.faults.mirror", str(folder)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()  # its stdin ends, and so does it


def main(folder: Path) -> None:
    """Serve until stdin ends."""
    with serving() as answers:
        for path in folder.rglob("*"):
            if path.is_file():
                answers.files[f"/{path.relative_to(folder)}"] = path.read_bytes()
        sys.stdout.write(f"{answers.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
