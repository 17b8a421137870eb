"""Plugins: Python files of the user, named in the config, that register stages, scorers and architectures."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TypeVar

from kit.base.errors import FileFault, first_line
from kit.base.registry import Registry, forget

T = TypeVar("T")

PREFIX = "kit_plugin_"


def load_plugins(files: Any) -> None:
    """Import the files, each once. Raises FileFault where one is not there or fails; wrong types are let pass."""
    for file in files if isinstance(files, list) else [files]:
        if isinstance(file, str):
            _load(Path(file).expanduser())


def known_names(registry: Registry[T], plugins: Sequence[Path]) -> tuple[str, ...]:
    """The names that a config knows: not those of another config's plugins."""
    modules = {plugin_module(path) for path in plugins}
    return tuple(name for name in registry.names if _is_known(registry.module(name), modules))


def plugin_digest(registry: Registry[T], name: str) -> str | None:
    """A hash of the plugin's file that registered a thing; None for what no plugin registered."""
    module = registry.module(name)
    if not module.startswith(PREFIX):
        return None
    return sha256(Path(str(sys.modules[module].__file__)).read_bytes()).hexdigest()[:12]


def _is_known(module: str, plugins: Collection[str]) -> bool:
    return not module.startswith(PREFIX) or module in plugins


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
        forget(name)
        raise FileFault(path, f"the plugin cannot be loaded ({first_line(error)})") from error
