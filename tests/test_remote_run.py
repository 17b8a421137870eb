"""A run in a bucket: published whole, read elsewhere, gone on with after a kill, one kit at a time."""

import os
import signal

from kit.base.store import Store
from tests.s3 import do, found


def killed_at(n, work, calls=("write", "create", "_put", "remove")):
    """Do `work` in a process that is killed before its n-th change of the store; whether it came so far."""
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)
    code = 1
    try:
        left = [n]
        for name in calls:
            real = getattr(Store, name)

            def call(*given, real=real):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*given)

            setattr(Store, name, call)
        work()
        code = 0
    finally:
        os._exit(code)


def test_a_stage_is_published_and_read_on_another_machine(machines):
    do(machines.run("one"), "first")
    two = machines.run("two")
    assert found(two) == "first"
    assert two.folder("s") == two.path / "s"
    assert not two.begun("s")
    do(two, "second")
    assert found(machines.run("one")) == "second"
    assert found(machines.run("three")) == "second"


def test_a_kill_before_any_change_of_the_store(machines):
    """A reader sees the old stage or the new one, whole; the next kit of the machine ends with the same."""
    came = 0
    do(machines.run("one"), "old")
    for n in range(1, 40):
        killed = killed_at(n, lambda n=n: do(machines.run("one"), f"new {n}"))
        seen = found(machines.run(f"reader {n}"))
        assert seen in (f"new {n}", f"new {n - 1}", "old"), n
        came += seen == f"new {n}"
        do(machines.run("one"), f"new {n}")
        assert found(machines.run(f"after {n}")) == f"new {n}", n
        if not killed:
            break
    assert 8 < n < 39
    assert came > 2
    left = Store(machines.address).entries("files/s")
    assert len({name.split("/")[2] for name in left}) == 1
