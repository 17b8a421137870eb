"""Every check meets the real condition: broken modules, files in the way, servers that answer, hang or are gone."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from kit.base.memory import usable_memory
from kit.config import load_config
from kit.data.mini import is_built
from kit.doctor.check import answers_within
from kit.doctor.disk import data_bytes, disk_check
from kit.doctor.hardware import cores, gpu, memory, shared_memory
from kit.doctor.software import installed, operators, python_check, works, xgboost_check
from kit.doctor.surroundings import credentials, hosts, run_folder
from tests.badserver import serving

MINI = "data.mini={{train: {}, stack: 1, val: 1, test: 1, source: 0}}"
SECRET = "KGAT_0123456789"
ALL = [f"KAGGLE_{name}" for name in ("USERNAME", "KEY", "API_TOKEN", "CONFIG_DIR")]


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A home of its own, without credentials."""
    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/.kaggle").mkdir(parents=True)
    return tmp_path / "home/.kaggle"


def test_python():
    assert python_check().state == "OK"
    assert (python_check((3, 10)).state, python_check((3, 10)).cure) == ("FAIL", "uv venv --python 3.11")


@pytest.mark.parametrize(
    ("names", "needed", "state"),
    [
        (("numpy",), True, "OK"),
        (("numpy", "no-such-thing"), False, "WARN"),
        (("no-such-thing",), True, "FAIL"),
    ],
)
def test_packages(names, needed, state):
    check = installed("train", names, needed)
    assert check.state == state
    assert check.cure == ("" if state == "OK" else "pip install 'kit[train]'")


BROKEN = """
import sys
import mmcv
mmcv.__path__.append(sys.argv[1])
from kit.config import load_config
from kit.doctor.software import operators, works, xgboost_check
for check in (operators(), works("xgboost", "train"), xgboost_check(load_config("mini"))):
    print(check.state, check.found)
"""


def test_libraries_that_work_and_that_are_broken(tmp_path):
    """A compiled mmcv of another torch, and an XGBoost without its system library."""
    assert [operators().state, works("numba", "train").state] == ["OK", "OK"]
    assert xgboost_check(load_config("mini")).state == "OK"
    (tmp_path / "_ext.py").write_text("raise ImportError('undefined symbol: _ZN2at4_ops')")
    (tmp_path / "xgboost.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [sys.executable, "-W", "ignore", "-c", BROKEN, str(tmp_path)]
    told = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=True
    )
    broken, *xgboost = told.stdout.splitlines()
    assert broken.startswith("FAIL")
    assert "undefined symbol" in broken
    assert xgboost == ["FAIL cannot be imported: libgomp.so.1: cannot open shared object file"] * 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu():
    assert gpu(load_config("mini")).state == "OK"
    assert gpu(load_config("layer6")).state == "WARN"
    check = gpu(load_config("layer6", ["detector.device=cuda:0"]))
    assert (check.state, check.cure) == ("FAIL", "--set detector.device=auto")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_with_a_gpu():
    check = gpu(load_config("layer6"))
    assert (check.state, torch.cuda.get_device_name() in check.found) == ("OK", True)


def test_cores(monkeypatch):
    monkeypatch.setenv("KIT_CPUS", "3")
    assert cores(load_config("mini")).state == "OK"
    check = cores(load_config("mini", ["detector.training.workers=4", "detector.processes=1"]))
    assert (check.state, check.cure) == ("WARN", "--set detector.training.workers=3")
    check = cores(load_config("mini", ["detector.training.workers=2", "detector.processes=2"]))
    assert (check.state, check.cure) == ("WARN", "--set detector.training.workers=1")


def test_memory():
    free = usable_memory()
    assert memory({"ram": 1e18}, free).state == "FAIL"
    assert memory({"ram": 1}, free).state == "OK"
    assert memory({}, 8 << 30).state == "OK"
    assert memory({}, 1 << 30).state == memory({}, None).state == "WARN"


def test_shared_memory(tmp_path):
    many = load_config("mini", ["detector.training.workers=1000000"])
    assert shared_memory(load_config("mini"), tmp_path).state == "OK"
    assert shared_memory(many, tmp_path).state == "FAIL"
    assert shared_memory(many, tmp_path / "none").state == "WARN"


def test_disk(tiny, tmp_path):
    """What is to come is built up from the space that is free; what is there already does not count."""
    free = shutil.disk_usage(tmp_path).free
    root = f"data.root={tmp_path}"
    pixels = data_bytes(load_config("mini", [root, MINI.format(1000)]))
    per_image = pixels / 1003
    states = {}
    for share in (0.1, 0.9, 2.0):
        mini = MINI.format(int(share * free / per_image))
        states[share] = disk_check(load_config("mini", [root, mini]), tmp_path / "run", {}).state
    assert states == {0.1: "OK", 0.9: "WARN", 2.0: "FAIL"}
    assert disk_check(load_config("mini", [root]), tmp_path / "run", {"disk": 2 * free}).state == "FAIL"
    built = load_config(
        "mini", ["data.mini={train: 150, stack: 20, val: 60, test: 30, source: 40, side: 96, seed: 3}"]
    )
    assert (is_built(built.data.root, built.data.mini), data_bytes(built)) == (True, 0.0)


def test_disk_of_the_real_data(tmp_path):
    """1.2 million photos of 293 kB and more; photos that are there do not count."""
    everything = data_bytes(load_config("layer6"))
    assert 350e9 < everything < 450e9
    (tmp_path / "0123456789abcdef.jpg").write_bytes(b"x")
    assert data_bytes(load_config("layer6", [f"data.train.images={tmp_path}"])) == everything - 293_000


def test_run_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for there in (tmp_path, tmp_path / "to/be/made"):
        assert run_folder(there).state == "OK"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    for wrong in (tmp_path / "file", tmp_path / "file/below"):
        assert run_folder(wrong).state == "FAIL"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="Linux only")
def test_a_folder_that_cannot_be_written():
    check = run_folder(Path("/proc/self"))
    assert (check.state, "cannot be written" in check.found) == ("FAIL", True)


def test_credentials(home, monkeypatch):
    real = load_config("layer6")
    assert credentials(real).state == "WARN"
    assert credentials(load_config("mini")).state == "OK"
    (home / "access_token").write_text(SECRET)
    (home / "access_token").chmod(0o600)
    check = credentials(real)
    assert (check.state, SECRET in check.found) == ("OK", False)
    (home / "access_token").chmod(0o644)
    check = credentials(real)
    assert (check.state, check.cure) == ("WARN", f"chmod 600 {home / 'access_token'}")
    (home / "access_token").unlink()
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    assert credentials(real).state == "FAIL"


def asked(mirror, seconds=2.0):
    (check,) = hosts(load_config("layer6", [f"data.download.mirror={mirror}"]), seconds)
    return check


def test_hosts(tmp_path):
    assert list(hosts(load_config("mini"))) == []
    assert asked(tmp_path).state == "OK"
    assert asked(tmp_path / "none").state == "FAIL"
    assert asked("ftp://somewhere").state == "FAIL"
    with serving() as answers:
        answers.tricks["/"] = ["status 503"]
        busy, well = asked(f"{answers.url}/"), asked(answers.url.replace("://", "://me:secret@"))
        assert (busy.state, busy.found) == ("WARN", "HTTP 503")
        assert (well.state, well.found) == ("OK", "answers")
        assert "secret" not in well.name
    assert asked(answers.url).state == "WARN"  # closed by now


def test_a_host_that_never_answers_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as server:
        check = asked(f"http://127.0.0.1:{server.getsockname()[1]}", 0.2)
    assert (check.state, check.found.startswith("no answer")) == ("WARN", True)


def test_what_does_not_come_back_is_left_behind():
    never = threading.Event()
    assert answers_within(0.1, [lambda: 1, never.wait, lambda: 3]) == [1, None, 3]
    never.set()


def test_the_command(kit, tiny, tmp_path, home, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    there = ("data.source=mini", f"data.root={tiny / 'data/mini'}")
    words = ["doctor", "--config", "relations", *(word for text in there for word in ("--set", text))]
    code, out, err = kit(*words, "--run", tmp_path / "run", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert told["state"] in ("OK", "WARN")
    assert {check["name"] for check in told["checks"]} >= {
        "Python",
        "kit[train]",
        "xgboost",
        "memory",
        "Kaggle",
    }
    assert SECRET not in out
    (tmp_path / "file").write_text("")
    code, out, _ = kit(*words, "--run", tmp_path / "file")
    assert code == 1
    assert f"{tmp_path / 'file'} is a file" in out
    assert "FAIL  run folder " in out
    assert "→ --run FOLDER that can be written" in out
