"""Where a command writes: looked at before the work is done."""

from __future__ import annotations

from pathlib import Path

from kit.base.errors import FileFault


def check_target(out: Path, *inputs: str | Path | None) -> None:
    """Raise FileFault where `out` is a folder, lies below a file, or is one of the inputs."""
    if out.is_dir():
        raise FileFault(out, "a folder: --out is a file", hint="give the file's name too")
    parent = next((folder for folder in out.parents if folder.exists()), None)
    if parent is not None and not parent.is_dir():
        raise FileFault(out, f"cannot be written: {parent} is not a folder")
    for path in inputs:
        if path is not None and out.exists() and Path(path).exists() and out.samefile(path):
            raise FileFault(out, "--out is an input of this command", hint="give another name")
