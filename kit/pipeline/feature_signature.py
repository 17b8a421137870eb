"""The features of pairs in a fingerprint: by their values, looked at again only where the code is another."""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from kit.base.errors import KitError
from kit.base.files import read_json, write_json
from kit.pipeline.run import Run

MEMORY = "features.json"  # in a run's folder: the signature, and a hash of the code that it was computed by
FEATURES = "kit.relation.features"


def feature_signature(run: Run) -> dict[str, str]:
    """`kit.relation.features.signature`, remembered in the run's folder, so that a look at a run needs no numpy.

    A process that has the features loaded asks them: it may have changed them (as a plugin can).
    """
    if FEATURES in sys.modules:
        return _computed()
    with suppress(KitError):
        memory = read_json(run.path / MEMORY, dict)
        if memory.get("code") == _code() and isinstance(memory.get("signature"), dict):
            return dict(memory["signature"])
    signature = _computed()
    with suppress(KitError):  # a run that cannot be written to can be looked at
        if run.path.is_dir():
            write_json(run.path / MEMORY, {"code": _code(), "signature": signature})
    return signature


def _computed() -> dict[str, str]:
    from kit.relation.features import signature

    return signature()


@cache
def _code() -> str:
    """A hash of all of kit's modules and tables, and of numpy's version."""
    whole = hashlib.sha256(version("numpy").encode())
    root = Path(__file__).parents[1]
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.csv")]):
        whole.update(f"\n{path.relative_to(root)}\n".encode() + path.read_bytes())
    return whole.hexdigest()
