"""Ctrl-C, SIGTERM and a killed parent, in real processes: one line, the exit code, no child left."""

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from kit.base import stopping

PARENT = """
import os, subprocess, sys, time
from kit.base import stopping
stopping.install()
child = subprocess.Popen([sys.executable, "-c", os.environ["CHILD"]],
                         env={**os.environ, stopping.PARENT: str(os.getpid())}, process_group=0)
print(child.pid, flush=True)
child.wait()
"""
SLEEPS = (
    "from kit.base import stopping; stopping.install(); import time; print(1, flush=True); time.sleep(60)"
)
DEAF = SLEEPS.replace("import time;", "import time, signal; signal.signal(15, lambda *_: None);")
WORKS = """
import asyncio, sys, threading, time, kit.cli, kit.cli.app
from kit.base.parallel import ordered_map
def call(words):
    print("at work", flush=True)
    {work}
    return 0
kit.cli.app.call = call
kit.cli.main()
"""


def started(code, **environment):
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    return process, process.stdout.readline()


def gone(pid, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not stopping.is_alive(pid):
            return True
        time.sleep(0.05)
    return False


WAIT = "time.sleep(60)"
WORK = {  # indented by four
    "waiting": WAIT,
    "a lock": "threading.Event().wait()",
    "threads": "list(ordered_map(time.sleep, [60] * 4, 2))",
    "a wide except": f"while True:\n        try: {WAIT}\n        except BaseException: pass",
    "an error that follows": f"try: {WAIT}\n    except BaseException: raise RuntimeError('no compiled object yet')",
    "asyncio": "asyncio.run(asyncio.sleep(60))",
    "a callback": f"class D:\n        def __del__(self): {WAIT}\n    D()\n    {WAIT}",
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize(("signum", "code", "name"), [(2, 130, "Ctrl-C"), (15, 143, "SIGTERM")])
def test_one_line_and_the_exit_code(work, signum, code, name):
    process, _ = started(WORKS.format(work=WORK[work]))
    process.send_signal(signum)
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert err == f"kit: stopped by {name}; what was finished is kept\n"


def test_a_signal_among_the_imports():
    for wait in (0.15, 0.25, 0.4, 0.6):
        process = subprocess.Popen(
            [sys.executable, "-c", "from kit.cli import main\nprint(flush=True)\nmain()", "config"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdout.readline()
        time.sleep(wait - 0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -2)
        assert err in ("", "kit: stopped by Ctrl-C; what was finished is kept\n") or process.returncode == -2


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("child", [SLEEPS, DEAF])
def test_a_child_does_not_outlive_its_parent(signum, child):
    process, line = started(PARENT, CHILD=child)
    assert process.stdout.readline() == "1\n"
    process.send_signal(signum)
    process.wait(timeout=60)
    try:
        assert gone(int(line), 60)
    finally:
        process.communicate()


def test_a_forked_worker_goes_with_its_parent():
    code = (
        "import os, time; from kit.base import stopping; stopping.install()\n"
        "pid = os.fork()\n"
        "if pid: print(pid, flush=True)\n"
        "time.sleep(60)"
    )
    process, line = started(code)
    process.kill()
    process.wait()
    assert gone(int(line), 20)
    process.communicate()


def test_a_child_that_does_not_hear_is_killed():
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    before = set(stopping.descendants(os.getpid()))
    process, _ = started(code)
    assert set(stopping.descendants(os.getpid())) - before == {process.pid}
    stopping.end([process.pid], patience=0.3)
    assert gone(process.pid, 10)
    process.communicate()


def test_what_is_kept_is_the_innermost(capsys, monkeypatch):
    monkeypatch.setattr(stopping, "state", stopping.State())
    with stopping.keeping("all of it"), stopping.keeping("stage s goes on"):
        stopping.state.signum = signal.SIGTERM
    stopping.tell()
    stopping.tell()
    assert capsys.readouterr().err == "kit: stopped by SIGTERM; stage s goes on\n"


def test_ctrl_c_on_a_terminal_reaches_a_pool_too_and_leaves_it_in_order(tmp_path):
    """The children print nothing, the live line is gone, the cursor is shown, then comes the one line."""
    words = ["download", "--set", "data.mini={train: 3000, side: 400}", "--set", f"data.root={tmp_path}"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "kit", *words])
    seen, sent = b"", False
    with suppress(OSError):  # the terminal's end
        while data := os.read(terminal, 65536):
            seen += data
            if not sent and b"paint train" in seen:
                time.sleep(1)
                sent = os.write(terminal, b"\x03") == 1
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert b"Traceback" not in seen
    assert seen.endswith(b"\x1b[?25hkit: stopped by Ctrl-C; what was finished is kept\r\n")


POOL = """
import os, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver, get_context, set_forkserver_preload
from kit.base.process import guarded
from kit.base.stopping import pool_worker
preloaded = [name for name in sys.argv[1:] if name]
set_forkserver_preload(preloaded)
def work(_words):
    pool = ProcessPoolExecutor(2, get_context("forkserver"), None if preloaded else pool_worker)
    tasks = [pool.submit(time.sleep, 60) for _ in range(2)]
    while len(pool._processes) < 2: time.sleep(0.01)
    time.sleep(1)
    print(*pool._processes, forkserver._forkserver._forkserver_pid, flush=True)
    [task.result() for task in tasks]
    return 0
sys.exit(guarded(work, []))
"""
PRELOADED = (
    "import os; from kit.base.stopping import end_with_maker as e; os.register_at_fork(after_in_child=e)"
)


@pytest.fixture
def pool(tmp_path):
    """Starts a process with a pool of two, forked by a server; it, and the three."""
    processes = []

    def start(*words):
        (tmp_path / "preloaded.py").write_text(PRELOADED)
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", POOL, *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            )
        )
        return processes[-1], [int(word) for word in processes[-1].stdout.readline().split()]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("preloaded", ["", "preloaded"])
def test_a_pool_does_not_outlive_its_killed_maker(pool, preloaded):
    """The server that forked it stays until its last worker has gone, so it is no parent to go by."""
    process, pids = pool(preloaded)
    assert len(pids) == 3
    process.kill()
    process.wait()
    try:
        assert all(gone(pid, 30) for pid in pids)
    finally:
        stopping.end(pids, 0)


def test_a_worker_that_is_killed_is_one_line(pool):
    process, pids = pool("")
    os.kill(pids[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith("kit: a process that it had started was killed (out of memory?): ")
    assert err.count("\n") == 1
