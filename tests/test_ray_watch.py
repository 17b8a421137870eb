"""What becomes of a cluster whose owner is killed; processes that hold its logs open stand for those of Ray."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kit.base.stopping import is_alive
from kit.pipeline.engine.ray_watch import end_cluster, of_cluster, watch
from tests.waiting import wait_for

HOLD = "import sys, time; file = open(sys.argv[1], 'a'); print('open', flush=True); time.sleep(60)"
OWN = """
import sys, time
from pathlib import Path
from kit.base import stopping
from kit.pipeline.engine.ray_watch import watch
watch(Path(sys.argv[1]))
print("watched", flush=True)
if sys.stdin.readline() == "end":
    stopping._end_all()
    sys.exit()
time.sleep(60)
"""


@pytest.fixture
def processes():
    """Starts a program of Python with a folder or a file, and gives it once it has said something."""
    started = []

    def start(program, path):
        words = [sys.executable, "-c", program, str(path)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path):
    """The temporary folder of a cluster."""
    (tmp_path / "cluster/session_1/logs").mkdir(parents=True)
    return tmp_path / "cluster"


def test_what_holds_a_log_open_ends_and_nothing_else(processes, folder):
    agents = [processes(HOLD, folder / "session_1/logs" / name) for name in ("agent.log", "worker.out")]
    beside = processes(HOLD, folder / "owner"), processes(HOLD, folder.with_name("cluster2"))
    reader = subprocess.Popen(["tail", "-f", str(folder / "session_1/logs/agent.log")])
    try:
        assert sorted(of_cluster(folder)) == sorted(agent.pid for agent in agents)
        end_cluster(folder)
        assert not any(is_alive(agent.pid) for agent in agents)
        assert all(is_alive(other.pid) for other in (*beside, reader))
        assert not folder.exists()
    finally:
        reader.kill()
        reader.wait()


def test_none_and_no_folder_are_no_error(tmp_path):
    end_cluster(tmp_path / "gone")


def test_an_owner_that_is_killed_takes_its_cluster_along(processes, folder):
    agent, owner = processes(HOLD, folder / "session_1/logs/agent.log"), processes(OWN, folder)
    owner.kill()
    wait_for(lambda: not folder.exists(), 30)
    assert not is_alive(agent.pid)


def test_an_owner_that_ends_leaves_no_watcher(processes, folder):
    owner = processes(OWN, folder)
    owner.communicate("end")
    assert owner.returncode == 0
    assert folder.exists()  # the owner removes it


def test_without_a_list_of_processes_nothing_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr("kit.pipeline.engine.ray_watch.PROCESSES", tmp_path / "none")
    monkeypatch.setattr("subprocess.Popen", None)
    watch(tmp_path)
