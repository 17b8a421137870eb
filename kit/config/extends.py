"""A config file that extends another: `extends: layer6` and only what is different."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from os.path import isfile
from pathlib import Path
from typing import Any

from kit.base.errors import FileFault, KitError, printable
from kit.base.yamlfile import SHOWN

EXTENDS, RUN = "extends", "run"
DEFAULT_RUN = Path("runs/default")  # of a file that extends none and names none
Values = dict[str, Any]
Chain = list[tuple[Path, Values]]  # files and their own settings, each extended by the one before it


def read_extended(path: Path, read: Callable[[Path], Values], find: Callable[[str], Path]) -> Chain:
    """A config file's own settings and those of each file that it extends, one after the other, itself first.

    find: the file of a path or of a name that comes with kit; a path is beside the file that names it, or as
    it is. Raises FileFault for a value that is no name or names no file, and for files that extend each other
    in a circle.
    """
    chain: Chain = []
    seen = [path.resolve()]
    while True:
        values = read(path)
        base = values.pop(EXTENDS, None)
        chain.append((path, values))
        if base is None:
            return _with_own_run(chain)
        path = _base(path, base, find)
        if path.resolve() in seen:
            names = " -> ".join(p.name for p in (*seen, path))
            raise FileFault(chain[-1][0], f"{EXTENDS}: files extend each other in a circle: {names}")
        seen.append(path.resolve())


def _base(path: Path, base: object, find: Callable[[str], Path]) -> Path:
    """The file that `path` extends."""
    if not isinstance(base, str) or not base:
        shown = printable(repr(base), SHOWN)
        raise FileFault(path, f"{EXTENDS}: {shown} is no config file", hint="give a YAML file or a name")
    beside = path.parent / base
    if isfile(beside):
        return beside
    try:
        return find(base)
    except KitError as error:
        raise FileFault(path, f"{EXTENDS}: {error.message}", hint=error.hint) from None


def _with_own_run(chain: Chain) -> Chain:
    """The chain; a file that extends another and names no run folder gets one of its name, never the other's."""
    (path, values), *bases = chain
    if not bases or values.get(RUN) is not None:
        return chain
    folder = Path("runs", path.stem)
    if any(base.stem == path.stem or Path(str(own.get(RUN) or DEFAULT_RUN)) == folder for base, own in bases):
        problem = (
            f"without a {RUN} of its own it would write into {folder}, the run folder of what it extends"
        )
        raise FileFault(path, problem, hint=f"write {RUN}: FOLDER into it")
    return [(path, {**values, RUN: str(folder)}), *bases]


def merged(chain: Sequence[Values]) -> Values:
    """The settings of files that extend one another, the first one's own before all: tables by their keys.

    Tables and lists of the result are nobody else's, also where an alias stood for one.
    """
    whole: Values = {}
    for values in reversed(chain):
        whole = _over(whole, values)
    copy: Values = _copied(whole)
    return copy


def place_of(chain: Chain, keys: Sequence[str | int]) -> tuple[Path, int]:
    """The file in which a setting stands, or the tables around a missing one; and how many of its keys do.

    A value that is no table hides those of the files that are extended.
    """
    layers: list[tuple[Path, Any]] = list(chain)
    for depth, key in enumerate(keys):
        inside = [(path, table[key]) for path, table in layers if isinstance(table, dict) and key in table]
        if not inside:
            return layers[0][0], depth
        layers = list(takewhile(lambda layer: isinstance(layer[1], dict), inside)) or inside[:1]
    return layers[0][0], len(keys)


def _over(base: Values, own: Values) -> Values:
    both = {key: (base[key], own[key]) for key in base.keys() & own.keys()}
    deeper = {k: _over(b, o) for k, (b, o) in both.items() if isinstance(b, dict) and isinstance(o, dict)}
    return {**base, **own, **deeper}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inside) for key, inside in value.items()}
    return [_copied(inside) for inside in value] if isinstance(value, list) else value
