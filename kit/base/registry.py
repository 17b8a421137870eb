"""Things that are found by their names: kit's own, and those that a plugin adds."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Generic, TypeVar

from kit.base.errors import KitError

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind. Kit's own lie in a module that is imported when the first of them is asked for."""

    def __init__(self, kind: str, home: str, names: Sequence[str]) -> None:
        """kind: the word for one; home: the module that registers kit's own; names: of these."""
        self.kind, self._home = kind, home
        self._things: dict[str, T | None] = dict.fromkeys(names)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all, in the order of their registration."""
        return tuple(self._things)

    def register(self, name: str, thing: T) -> T:
        """Add a thing. Raises KitError where another has its name."""
        if self._things.get(name) is not None:
            raise KitError(f"there is already a {self.kind} {name}")
        self._things[name] = thing
        return thing

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
