"""Large imports, cheaper: modules executed when first used, or absent for a while; no looking for garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType


class _LaterModule(ModuleType):
    """A module that is executed where an attribute of it is asked for.

    That of importlib's LazyLoader is executed by the second import of it: Python asks it for its `__spec__`.
    """

    def __getattr__(self, name: str) -> object:
        self.__class__ = ModuleType  # type: ignore[assignment]
        if self.__spec__ and self.__spec__.loader:
            self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def import_later(name: str) -> None:
    """Let a module that another one imports be executed when it is first used, if ever."""
    spec = None if name in sys.modules else find_spec(name)
    if spec:
        sys.modules[name] = module = module_from_spec(spec)
        module.__class__ = _LaterModule
        package, _, own_name = name.rpartition(".")
        if package:
            setattr(sys.modules[package], own_name, module)


@contextmanager
def absent(name: str) -> Iterator[None]:
    """Inside, a module that was not imported yet is none, for those that can do without it: it takes a second."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # which Python raises ImportError for
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def uncollected(name: str) -> Iterator[None]:
    """Inside, where a module is imported first, nothing looks for garbage.

    A large import makes none, and takes a fifth longer where all that it has made is looked at again and again.
    """
    if name in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
