"""Ctrl-C, SIGTERM and the end of a process: one line, no child left, in bounded time whatever is at work."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T")
GRACE = 5.0  # seconds that Python code has to end after a signal; then the process ends without it
GRACE_PERIOD = 3.0  # seconds that a child has between SIGTERM and SIGKILL
LOOK = 1.0  # seconds between two looks at the parent
PARENT = "KIT_PARENT"  # environment: the process that this one must not outlive
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
_PDEATHSIG = 1  # prctl's PR_SET_PDEATHSIG


class Stopped(KeyboardInterrupt):
    """A signal asks the process to end. signum: which one."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class State:
    """What this process knows of its end."""

    signum: int | None = None
    told = False
    kept: tuple[str, ...] = ()
    endings: tuple[Callable[[], object], ...] = ()
    lock = threading.Lock()


state = State()


def install() -> None:
    """From here on signals stop this process as the module says; call it once, first thing, in the main thread."""
    parent = _parent()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for signum in NAMES:
        if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup, and shells' background jobs
            signal.signal(signum, _stop)
    os.register_at_fork(before=_remember, after_in_child=_in_fork)
    sys.unraisablehook = _quiet(sys.unraisablehook)
    threading.excepthook = _quiet(threading.excepthook)
    threading.Thread(target=_watch, args=(reader, parent), daemon=True, name="kit-stopping").start()


def uninstall() -> None:
    """Signals end the process at once, as the last thing it does has nothing to lose."""
    signal.set_wakeup_fd(-1)
    for signum in NAMES:
        if signal.getsignal(signum) is _stop:
            signal.signal(signum, signal.SIG_DFL)


def stopped_by() -> int | None:
    """The signal that stops this process, None where none has come."""
    return state.signum


@contextmanager
def keeping(what: str) -> Iterator[None]:
    """Inside, the line of a stop says `what` is kept."""
    before = state.kept
    state.kept = (*before, what)
    try:
        yield
    finally:
        if state.signum is None:
            state.kept = before


def tell() -> None:
    """Say once by what the process is stopped and what is kept."""
    with state.lock:
        if state.told:
            return
        state.told = True
    name = NAMES.get(signal.Signals(state.signum or signal.SIGINT), "a signal")
    kept = state.kept[-1] if state.kept else "what was finished is kept"
    err = getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # below a live line
    show = "\r\x1b[2K\x1b[?25h" if err.isatty() else ""  # it may be there, and have hidden the cursor
    with suppress(OSError, ValueError):
        err.write(f"{show}kit: stopped by {name}; {kept}\n")
        err.flush()


def at_end(ending: Callable[[], object]) -> None:
    """Have something done as the last thing of this process, however it ends but by SIGKILL."""
    if not state.endings:
        atexit.register(_end_all)
    state.endings = (*state.endings, ending)


def _end_all() -> None:
    for ending in state.endings:
        with suppress(OSError):
            ending()


def leave(code: int) -> NoReturn:
    """End the process and its children now: no thread, no C++ destructor of a library runs any more."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    end(descendants(os.getpid()))
    _end_all()
    os._exit(code)


def end(pids: Iterable[int], patience: float = GRACE_PERIOD) -> None:
    """SIGTERM to processes, SIGKILL to those that are there after a while."""
    left = [pid for pid in pids if _send(pid, signal.SIGTERM)]
    deadline = time.monotonic() + patience
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [pid for pid in left if is_alive(pid)]
    for pid in left:
        _send(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The processes below one, children before grandchildren; none where the system has no /proc.

    Python's resource tracker is left out: it cleans up after the others and then ends by itself.
    """
    parents: dict[int, list[int]] = {}
    with suppress(OSError):
        for name in filter(str.isdigit, os.listdir("/proc")):
            stat = _stat(int(name))
            if stat is not None:
                parents.setdefault(stat[1], []).append(int(name))
    out, todo = [], [pid]
    while todo:
        children = [child for child in parents.get(todo.pop(0), []) if child != _tracker()]
        out += children
        todo += children
    return out


def die_with_parent() -> None:
    """Let the system end this process when the one that started it ends (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def pool_worker() -> None:
    """First thing in a process of a pool: Ctrl-C, which a terminal sends to all, is the parent's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_maker()


def end_with_maker() -> None:
    """From here on a process of multiprocessing ends with the one that made it, also where a server forked it.

    Such a server is no help: it stays until the last process that it forked has ended.
    """
    die_with_parent()
    threading.Thread(target=_watch_maker, daemon=True, name="kit-maker").start()


def _watch_maker() -> None:
    from multiprocessing import parent_process

    while (maker := parent_process()) is None:  # the process has but been forked
        time.sleep(LOOK)
    maker.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _stop(signum: int, _frame: FrameType | None) -> None:
    if state.signum is None:
        state.signum = signum
        warnings.simplefilter("ignore")  # of what is left unfinished
        raise Stopped(signum)


def _watch(reader: int, parent: int | None) -> None:
    """Wait for a signal, or the parent's end, and see that the process ends soon after."""
    wanted = set(NAMES)
    while True:
        ready, _, _ = select.select([reader], [], [], LOOK if parent else None)
        if ready and wanted & set(os.read(reader, 64)):
            break
        if parent and os.getppid() != parent:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            break
    time.sleep(GRACE)
    state.signum = state.signum or signal.SIGTERM
    tell()
    leave(128 + state.signum)


def _parent() -> int | None:
    """The process that this one must not outlive, told by the one that started it."""
    text = os.environ.pop(PARENT, "")
    return int(text) if text.isdigit() and int(text) == os.getppid() else None


_forking = threading.local()


def _remember() -> None:
    _forking.pid = os.getpid()


def _in_fork() -> None:
    """In a forked child (a data-loader worker): the parent alone hears signals, and ends it."""
    signal.set_wakeup_fd(-1)
    for signum in NAMES:
        signal.signal(signum, signal.SIG_IGN if signum == signal.SIGINT else signal.SIG_DFL)
    die_with_parent()
    if os.getppid() != _forking.pid:
        os._exit(1)


def _quiet(hook: Callable[[T], object]) -> Callable[[T], None]:
    """The hook, silent once the process is being stopped: errors of what is cut off tell nothing."""

    def wrapped(args: T) -> None:
        if state.signum is None:
            hook(args)

    return wrapped


def _tracker() -> int | None:
    module = sys.modules.get("multiprocessing.resource_tracker")
    return getattr(getattr(module, "_resource_tracker", None), "_pid", None)


def _send(pid: int, signum: int) -> bool:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)
        return True
    return False


def is_alive(pid: int) -> bool:
    """Whether a process is there and at work; one of our own that has ended is taken away."""
    with suppress(OSError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    stat = _stat(pid)
    return stat is not None and stat[0] != "Z"


def _stat(pid: int) -> tuple[str, int] | None:
    """State and parent of a process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            words = file.read().rpartition(")")[2].split()
        return words[0], int(words[1])
    except (OSError, ValueError, IndexError):
        return None
