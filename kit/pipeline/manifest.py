"""`manifest.json` of a run: its finished stages, and the code, packages and machine that made them."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kit.base.version import __version__

PACKAGES = ("numpy", "pyarrow", "pandas", "xgboost", "torch", "mmdet")


def manifest(seed: int, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the file says. records: of the finished stages, by name."""
    return {
        "kit": __version__,
        "git": _git_state(),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "seed": seed,
        "stages": records,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_state() -> str | None:
    """Commit of the source tree, with -dirty where it is changed; None outside a checkout."""
    place = str(Path(__file__).parent)  # no lock: a git that is killed would leave it behind
    command = ["git", "--no-optional-locks", "-C", place, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
