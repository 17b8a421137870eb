"""Which libraries a stage needs, and how long each takes to load: a process loads each once, for all its stages."""

from __future__ import annotations

import builtins
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from types import FrameType, ModuleType
from typing import Any

from kit.rehearsal.work_clock import WorkClock

OWN, BESIDE = "kit", "kit.rehearsal."  # what a function of the second imports no stage needs
LEAST = 0.0001  # seconds of a module that count
MACHINERY = ("importlib", "_frozen_importlib", "_frozen_importlib_external")  # of Python

Modules = dict[str, float]  # seconds to load, without what each imports


@dataclass
class _Open:
    """A part of a module's loading. inner: seconds of those that it imports."""

    module: str
    inner: float = 0.0


class _Thread(threading.local):
    """What a thread is loading. open: the innermost last; own: seconds of following, which no module takes."""

    def __init__(self) -> None:
        self.open = list[_Open]()
        self.own = 0.0


class Loading(MetaPathFinder):
    """Follows imports from `start` on, those of all threads, and lets a clock stand still meanwhile.

    What a module imports, whenever it does, all need that import it. But a function of kit may serve one stage
    and not the other: what that imports only the work needs that is going on.
    """

    def __init__(self, clock: WorkClock) -> None:
        self._clock = clock
        self._seconds: defaultdict[str, float] = defaultdict(
            float
        )  # of each module, without those it imports
        self._imported: defaultdict[str, set[str]] = defaultdict(set)  # by each module
        self._wanted: set[str] = set()  # by the work that is going on
        self._seen: set[tuple[object, ...]] = set()
        self._here = _Thread()
        self._import = builtins.__import__

    def start(self) -> None:
        """Follow all imports from here on."""
        builtins.__import__ = self._follow
        sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Follow them no more."""
        builtins.__import__ = self._import
        sys.meta_path.remove(self)

    def needed(self) -> Modules:
        """What was needed since the last time this was asked, whether it was loaded by then or not."""
        needed, todo = set[str](), list(self._wanted)
        while todo:
            module = todo.pop()
            if module not in needed:
                needed.add(module)
                todo += self._imported.get(module, ())
        self._wanted.clear()
        self._seen.clear()
        return {name: self._seconds[name] for name in sorted(needed) if self._seconds.get(name, 0.0) >= LEAST}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find, with a loader that is followed."""
        self._ask([fullname], _importer(sys._getframe(1)))
        with self._in(fullname):
            others = (f.find_spec(fullname, path, target) for f in sys.meta_path if f is not self)
            spec = next((spec for spec in others if spec is not None), None)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Followed(spec.loader, self)
        return spec

    @contextmanager
    def _in(self, module: str) -> Iterator[None]:
        """A part of the loading of a module."""
        here, part = self._here, _Open(module)
        begun, following = time.monotonic(), here.own
        here.open.append(part)
        try:
            with self._clock.pause():
                yield
        finally:
            here.open.pop()
            took = time.monotonic() - begun - (here.own - following)
            self._seconds[module] += took - part.inner
            if here.open:
                here.open[-1].inner += took

    def _follow(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        """Stands for `__import__`."""
        module = self._import(name, globals, locals, fromlist, level)
        if globals:
            begun, here = time.monotonic(), self._here
            importer = str(globals.get("__name__", ""))
            key = (importer, name, tuple(fromlist or ()), level, len(here.open))
            if key not in self._seen:
                if not here.open:
                    self._seen.add(key)
                self._ask(_modules(name, globals, fromlist or (), level), importer)
            here.own += time.monotonic() - begun
        return module

    def _ask(self, modules: Iterable[str], importer: str) -> None:
        if self._here.open:
            self._imported[self._here.open[-1].module].update(modules)
        elif importer.partition(".")[0] != OWN:
            self._imported[importer].update(modules)
        elif not importer.startswith(BESIDE):
            self._wanted.update(modules)


class _Followed(Loader):
    """A loader whose time is taken; the module gets the real one."""

    def __init__(self, real: Any, loading: Loading) -> None:
        self._real, self._loading = real, loading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        with self._loading._in(spec.name):
            module: ModuleType | None = self._real.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if module.__spec__ is not None:
            name, module.__spec__.loader = module.__spec__.name, self._real
        module.__loader__ = self._real
        with self._loading._in(name):
            self._real.exec_module(module)


def _modules(name: str, globals: Any, fromlist: Iterable[str], level: int) -> list[str]:
    """The modules that an import statement names, with those that they lie in."""
    base = resolve_name("." * level + name, globals.get("__package__") or "") if level else name
    parts = base.split(".")
    inside = (f"{base}.{part}" for part in fromlist)
    return [
        *(".".join(parts[: i + 1]) for i in range(len(parts))),
        *(module for module in inside if module in sys.modules),
    ]


def _importer(frame: FrameType | None) -> str:
    """The module whose code imports, whatever of Python's own stands between."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in MACHINERY and name != __name__:
            return name
        frame = frame.f_back
    return ""
