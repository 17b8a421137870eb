"""Where the kaggle client finds credentials; they are never read, printed or stored here."""

from __future__ import annotations

import os
import stat
from pathlib import Path

SETTINGS = "https://www.kaggle.com/settings"
HOW = (
    f"make a token at {SETTINGS} and set KAGGLE_API_TOKEN or write it to ~/.kaggle/access_token; or make an API "
    "key there: put its kaggle.json into ~/.kaggle, or set KAGGLE_USERNAME and KAGGLE_KEY"
)


def sources() -> list[str]:
    """What the client will find, in the order in which it looks."""
    found = []
    if os.environ.get("KAGGLE_KERNEL_RUN_TYPE") and os.environ.get("KAGGLE_API_V1_TOKEN"):
        found.append("KAGGLE_API_V1_TOKEN")  # inside a notebook of Kaggle's
    if os.environ.get("KAGGLE_API_TOKEN"):
        found.append("KAGGLE_API_TOKEN")
    found += [str(path) for path in _token_files() if path.exists()]
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        found.append("KAGGLE_USERNAME and KAGGLE_KEY")
    found += [str(path) for path in (_key_file(), _home() / "credentials.json") if path.exists()]
    return found


def open_to_others() -> list[Path]:
    """Files with credentials that other users of this machine can read."""
    files = [*_token_files(), _key_file(), _home() / "credentials.json"]
    value = os.environ.get("KAGGLE_API_TOKEN", "")
    if value and len(value) < 256 and Path(value).exists():
        files.insert(0, Path(value))
    others = stat.S_IRGRP | stat.S_IROTH
    return [path for path in files if path.exists() and path.stat().st_mode & others]


def _home() -> Path:
    return Path.home() / ".kaggle"


def _token_files() -> list[Path]:
    return [_home() / "access_token", _home() / "access_token.txt"]


def _key_file() -> Path:
    """kaggle.json, where the client looks for it."""
    named = os.environ.get("KAGGLE_CONFIG_DIR")
    if named:
        return Path(named) / "kaggle.json"
    if _home().exists():
        return _home() / "kaggle.json"
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return config / "kaggle" / "kaggle.json"
