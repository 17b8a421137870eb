"""Plugins: Python files of the user, named in the config, that register stages, scorers and architectures."""

from __future__ import annotations

import sys
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from kit.base.errors import FileFault, first_line

PREFIX = "kit_plugin_"


def load_plugins(files: Any) -> None:
    """Import the files, each once. Raises FileFault where one is not there or fails; wrong types are let pass."""
    for file in files if isinstance(files, list) else [files]:
        if isinstance(file, str):
            _load(Path(file).expanduser())


def plugin_module(path: Path) -> str:
    """The name of the module that a plugin's file becomes."""
    return f"{PREFIX}{path.stem}_{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"


def _load(path: Path) -> None:
    name = plugin_module(path)
    if name in sys.modules:
        return
    if not path.is_file():
        raise FileFault(path, "no such file", hint="plugins names Python files")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileFault(path, "not a Python file", hint="plugins names Python files")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise FileFault(path, f"the plugin cannot be loaded ({first_line(error)})") from error
