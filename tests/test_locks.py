import subprocess
import sys

import pytest

from kit.base.errors import KitError
from kit.base.locks import LockedError, exclusive_lock

HOLD = (
    "import sys, time; from pathlib import Path; from kit.base.locks import exclusive_lock\n"
    "with exclusive_lock(Path(sys.argv[1]), 'busy'): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path / "a/lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("wait", [0.0, 0.2])
def test_what_another_process_holds_is_not_had(holder, tmp_path, wait):
    with (
        pytest.raises(LockedError, match="somebody is at work; wait for it"),
        exclusive_lock(tmp_path / "a/lock", "somebody is at work", wait=wait),
    ):
        pass
    with exclusive_lock(tmp_path / "a/another", "somebody is at work"):
        pass


def test_what_a_killed_process_held_is_free(holder, tmp_path):
    holder.kill()
    had = 0
    for _ in range(2):
        with exclusive_lock(tmp_path / "a/lock", "somebody is at work", wait=None):
            had += 1
    assert had == 2


def test_an_error_inside_frees_it(tmp_path):
    with pytest.raises(OSError, match="mine"), exclusive_lock(tmp_path / "lock", "busy"):
        raise OSError("mine")
    with exclusive_lock(tmp_path / "lock", "busy"):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "a").write_text("")
    with (
        pytest.raises(KitError, match=r"a: cannot be written \(File exists\)"),
        exclusive_lock(tmp_path / "a/lock", "busy"),
    ):
        pass
