"""The lock file: one pinned version a package and platform, with the hashes of its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.base.errors import FileFault

PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>.+))?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class LockedPackage:
    """A pinned version; `marker` says where it is installed ("": everywhere), `hashes` which files are taken."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


def read_lock(path: Path) -> list[LockedPackage]:
    """The packages of a lock file with hashes; FileFault for a line that is neither a pin nor a hash."""
    packages = []
    for number, line in _joined(path.read_text(encoding="utf-8").splitlines()):
        pin, *rest = line.split(" --hash=")
        hashes = tuple(f"--hash={text.strip()}" for text in rest)
        match = PIN.fullmatch(pin.strip())
        if match is None:
            raise FileFault(path, f"{pin.strip()!r} is not NAME==VERSION", line=number, hint="run make lock")
        if not hashes or not all(map(HASH.fullmatch, hashes)):
            raise FileFault(path, f"{match['name']} has no SHA-256", line=number, hint="run make lock")
        packages.append(LockedPackage(match["name"], match["version"], match["marker"] or "", hashes))
    if not packages:
        raise FileFault(path, "locks no package", hint="run make lock")
    return packages


def _joined(lines: Sequence[str]) -> list[tuple[int, str]]:
    """Logical lines with the number of their first line: a backslash at the end goes on below."""
    joined: list[tuple[int, str]] = []
    goes_on = False
    for number, line in enumerate(lines, 1):
        text = line.strip().removesuffix("\\").strip()
        if goes_on:
            joined[-1] = (joined[-1][0], f"{joined[-1][1]} {text}")
        elif text and not text.startswith("#"):
            joined.append((number, text))
        goes_on = line.rstrip().endswith("\\")
    return joined
