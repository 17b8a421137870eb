"""Things that are found by their names: kit's own, and those that a plugin adds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Generic, TypeVar

from kit.base.errors import KitError

T = TypeVar("T")
_registries: list[Registry[Any]] = []


def forget(module: str) -> None:
    """Take out of all registries what a module has registered."""
    for registry in _registries:
        registry.forget(module)


class Registry(Generic[T]):
    """Named things of one kind. Kit's own lie in a module that is imported when the first of them is asked for."""

    def __init__(
        self, kind: str, home: str, names: Sequence[str], refused: Callable[[str], str | None] | None = None
    ) -> None:
        """kind: the word for one; home: the module that registers kit's own; names: of these.

        refused: why a thing cannot have a name, None where it can.
        """
        self.kind, self._home, self._refused = kind, home, refused
        self._things: dict[str, T | None] = dict.fromkeys(names)
        self._module = dict.fromkeys(names, home)
        _registries.append(self)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all, in the order of their registration."""
        return tuple(self._things)

    def module(self, name: str) -> str:
        """The module that registered a thing."""
        return self._module[name]

    def register(self, name: str, thing: T, module: str | None = None) -> T:
        """Add a thing. Raises KitError where another has its name, or it can have none such.

        module: that registers it, default the caller's; a notebook's may register a thing again.
        """
        module = module or str(sys._getframe(1).f_globals.get("__name__"))
        taken = name in self._things and (self._things[name] is not None or module != self._home)
        if taken and (module, self._module[name]) != ("__main__", "__main__"):
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise KitError(f"there is already {article} {self.kind} {name}", "give another name")
        if self._refused and (why := self._refused(name)):
            raise KitError(f"{self.kind} {name}: {why}", "give another name")
        self._things[name], self._module[name] = thing, module
        return thing

    def forget(self, module: str) -> None:
        """Take out what a module has registered."""
        for name in [name for name, owner in self._module.items() if owner == module]:
            del self._things[name], self._module[name]

    def check(self, name: str) -> str:
        """The name. Raises ValueError where no thing has it."""
        if name in self._things:
            return name
        near = get_close_matches(name, self._things, 1)
        meant = f"; did you mean {near[0]}?" if near else "."
        raise ValueError(f"no {self.kind} of this name{meant} There are: {', '.join(self._things)}")

    def __getitem__(self, name: str) -> T:
        """A thing by its name. Raises KitError where there is none."""
        if self._things.get(name) is None:
            import_module(self._home)
        thing = self._things.get(name)
        if thing is None:
            raise KitError(f"no {self.kind} {name}", f"there are: {', '.join(self._things)}")
        return thing
