"""A config file that extends another: `extends: layer6` and only what is different."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kit.base.errors import FileFault, printable
from kit.base.yamlfile import SHOWN

EXTENDS = "extends"
Values = dict[str, Any]


def read_extended(
    path: Path, read: Callable[[Path], Values], find: Callable[[str], Path]
) -> list[tuple[Path, Values]]:
    """A config file's own settings and those of each file that it extends, one after the other, itself first.

    find: the file of a path or of a name that comes with kit; a path is beside the file that names it, or as
    it is. Raises FileFault for a value that is no name, and for files that extend each other in a circle.
    """
    chain: list[tuple[Path, Values]] = []
    seen = [path.resolve()]
    while True:
        values = read(path)
        base = values.pop(EXTENDS, None)
        chain.append((path, values))
        if base is None:
            return chain
        if not isinstance(base, str) or not base:
            shown = printable(repr(base), SHOWN)
            raise FileFault(path, f"{EXTENDS}: {shown} is no config file", hint="give a YAML file or a name")
        beside = path.parent / base
        path = beside if beside.is_file() else find(base)
        if path.resolve() in seen:
            names = " -> ".join(p.name for p in (*seen, path))
            raise FileFault(chain[-1][0], f"{EXTENDS}: files extend each other in a circle: {names}")
        seen.append(path.resolve())


def merged(chain: Sequence[Values]) -> Values:
    """The settings of files that extend one another, the first one's own before all: tables by their keys."""
    whole: Values = {}
    for values in reversed(chain):
        whole = _over(whole, values)
    return whole


def _over(base: Values, own: Values) -> Values:
    both = {key: (base[key], own[key]) for key in base.keys() & own.keys()}
    deeper = {k: _over(b, o) for k, (b, o) in both.items() if isinstance(b, dict) and isinstance(o, dict)}
    return {**base, **own, **deeper}
