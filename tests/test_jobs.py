import os
import signal
import threading
import time

import pytest

from kit.base.errors import KitError
from kit.base.files import write_text
from kit.config import load_config
from kit.pipeline.crew import Crew, Workers
from kit.pipeline.jobs import Job, run_jobs, side_by_side
from kit.pipeline.run import Run
from kit.session import open_run
from tests.conftest import TINY
from tests.stages import small_stage

PLUGIN = """
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stage import Stage
from kit.base.errors import KitError

def work(context):
    print("at work", flush=True)
    if context.stage.name == "bad":
        raise KitError("this one: cannot be done")
    return {}

@register_stages
def stages(config):
    for name in ("good", "bad", "after"):
        yield Stage(name, work, needs=("bad",) if name == "after" else ())
"""


@pytest.fixture
def job(tmp_path):
    """Jobs of stages that a plugin declares."""
    write_text(tmp_path / "plugin.py", PLUGIN)
    write_text(tmp_path / "c.yaml", f"plugins: [{tmp_path / 'plugin.py'}]\n")

    def made(name, *stages):
        return Job(name, tmp_path / "c.yaml", tmp_path / "run", stages, tmp_path / f"{name}.txt")

    return made


def test_jobs_run_and_log(tmp_path, tiny):
    """Two jobs of one run, one of another; each says in its log what its stages say."""
    write_text(tmp_path / "c.yaml", load_text(tmp_path))
    jobs = [
        Job(f"job{i}", tmp_path / "c.yaml", tmp_path / f"run{i}", ["prior", "spatial"], tmp_path / f"{i}.txt")
        for i in range(3)
    ]
    run_jobs(jobs, 2, "work")
    for i, own in enumerate(jobs):
        assert "spatial: the prior stands for" in (tmp_path / f"{i}.txt").read_text()
        run = Run(load_config(str(own.config)), own.run)
        assert all(run.record(name) for name in ("prior", "spatial"))


def load_text(folder):
    import yaml

    few = "relation.spatial={rounds: 4, early_stopping_interval: 2, folds: 1}"
    return yaml.safe_dump(load_config("mini", [*TINY, few]).model_dump(mode="json"))


def test_a_failure_is_told_after_the_others_have_ended(job, tmp_path):
    jobs = [job("first", "bad", "after"), job("second", "good")]
    with pytest.raises(KitError, match=r"first failed: this one: cannot be done \(see .*first.txt\)"):
        run_jobs(jobs, 1, "work")
    assert (tmp_path / "second.txt").read_text() == "at work\n"
    assert (tmp_path / "run/good/stage.json").exists()
    assert (tmp_path / "first.txt").read_text().count("at work") == 1  # the second stage was not begun


def test_no_jobs(capsys):
    run_jobs([], 2, "work")
    assert capsys.readouterr() == ("", "")


SPEAKS = """
from kit.base.log import logger
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stage import Stage

def work(context):
    logger.info("all is well")
    logger.warning("3 rows are left out")
    return {}

@register_stages
def stages(config):
    yield Stage("speaks", work)
"""


@pytest.mark.parametrize(("options", "told"), [((), True), (("-q",), False)])
def test_a_quiet_parent_still_tells_its_childrens_warnings(options, told, tmp_path, kit):
    write_text(tmp_path / "speaks.py", SPEAKS)
    words = ["--set", f"plugins=[{tmp_path / 'speaks.py'}]", "--run", tmp_path / "run"]
    code, _, err = kit(*options, "train", "all", "--only", "speaks", "--jobs", 2, *words)
    assert code == 0, err
    assert "3 rows are left out" in err
    assert ("all is well" in err) is told


TELLS_ITS_PROCESS = """
import os
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stage import Stage

def work(context):
    print("process", os.getpid(), end="", flush=True)  # a line that does not end
    if context.stage.name == "c":
        os._exit(0)
    return {}

@register_stages
def stages(config):
    yield Stage("a", work)
    yield Stage("b", work, needs=("a",))
    yield Stage("c", work, needs=("b",))
    yield Stage("d", work, needs=("c",))
"""


def test_a_process_makes_one_stage_after_another_and_its_end_is_a_failure(tmp_path, kit):
    write_text(tmp_path / "tells.py", TELLS_ITS_PROCESS)
    words = ["--set", f"plugins=[{tmp_path / 'tells.py'}]", "--run", tmp_path / "run", "--jobs", 2]
    stages = [word for name in "abcd" for word in ("--only", name)]
    code, _, err = kit("train", "all", *stages, *words)
    assert code == 2
    assert err.splitlines()[-1] == "kit: c failed: its process ended"
    logs = [(tmp_path / "run" / "logs" / f"{name}.txt").read_text() for name in "abc"]
    assert logs[0] == logs[1] == logs[2]
    assert logs[0].startswith("process ")
    assert not (tmp_path / "run" / "logs" / "d.txt").exists()


def test_a_process_that_is_killed_while_it_waits_is_replaced(tmp_path):
    """The second task has a new process, as the first one's was killed between the two."""
    write_text(tmp_path / "tells.py", TELLS_ITS_PROCESS)
    write_text(tmp_path / "c.yaml", f"plugins: [{tmp_path / 'tells.py'}]\n")
    words = [str(tmp_path / "c.yaml"), str(tmp_path / "run")]
    with Crew(1) as crew, Workers(crew, "kit.pipeline.worker", words) as workers:
        for name in "ab":
            assert workers.do(f"do {name}", name, tmp_path / f"{name}.txt") is None
            process = int((tmp_path / f"{name}.txt").read_text().removeprefix("process "))
            os.kill(process, signal.SIGKILL)
            os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert (tmp_path / "a.txt").read_text() != (tmp_path / "b.txt").read_text()


TAKES_STDIN = """
import subprocess
import sys
from kit.base.errors import KitError
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stage import Stage

def work(context):
    if context.stage.name == "listens":
        said = subprocess.run(["cat"], capture_output=True, text=True, timeout=20).stdout
        print("heard", repr(said + sys.stdin.read()), flush=True)
    else:
        print("end of a transmission: \\x04", flush=True)
        raise KitError("it fails after all")
    return {}

@register_stages
def stages(config):
    yield Stage("listens", work)
    yield Stage("fails", work, needs=("listens",))
"""


def test_what_a_stage_starts_hears_nothing_and_no_character_ends_a_stage(tmp_path, kit):
    """Independent truth: `cat` ends at once where stdin is empty, and would wait for the next task else."""
    write_text(tmp_path / "stdin.py", TAKES_STDIN)
    words = ["--set", f"plugins=[{tmp_path / 'stdin.py'}]", "--run", tmp_path / "run", "--jobs", 2]
    code, _, err = kit("train", "all", "--only", "listens", "--only", "fails", *words)
    assert (tmp_path / "run" / "logs" / "listens.txt").read_text() == "heard ''\n"
    assert (code, "kit: fails failed: it fails after all" in err) == (2, True), err


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_process_makes_no_stage(jobs, tmp_path):
    with pytest.raises(KitError, match=f"{jobs} jobs; give at least one"):
        open_run("mini", folder=tmp_path / "run").make("prior", jobs=jobs)


DIES = """
import os
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stage import Stage

def work(context):
    print("3 rows are left out", flush=True)
    os.kill(os.getpid(), int(context.run.config.extra["signal"]))

@register_stages
def stages(config):
    yield Stage("dies", work)
"""


@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGKILL, "killed (out of memory?)"), (signal.SIGSEGV, "ended by signal 11 (Seg")],
)
def test_the_signal_that_ends_a_process_at_work_is_the_reason(number, why, tmp_path, kit):
    """Not the last line that it happened to say."""
    write_text(tmp_path / "dies.py", DIES)
    words = ["--set", f"plugins=[{tmp_path / 'dies.py'}]", "--set", f"extra.signal={int(number)}"]
    code, _, err = kit("train", "all", "--only", "dies", "--jobs", 2, "--run", tmp_path / "run", *words)
    assert code == 2
    assert err.splitlines()[-1].startswith(f"kit: dies failed: {why}")


@pytest.mark.parametrize("workers", [2, 3])
def test_a_stage_of_several_processes_counts_as_so_many(workers):
    """What was at work beside each, seen from within; `wider` takes all the workers, and has more processes."""
    stages = {name: small_stage(name) for name in ("a", "b")}
    stages["wide"] = small_stage("wide", processes=2)
    stages["wider"] = small_stage("wider", processes=3)
    stages["after"] = small_stage("after", "wide")
    order, beside, lock = [], {}, threading.Lock()
    at_work = set()

    def do(name):
        with lock:
            order.append(name)
            at_work.add(name)
            for other in at_work:
                beside[other] = beside.get(other, set()) | at_work
        time.sleep(0.02)
        with lock:
            at_work.discard(name)

    assert side_by_side(list(stages), stages, workers, Crew(workers), do, lambda _: False) is None
    assert sorted(order) == sorted(stages)
    assert beside["wider"] == {"wider"}
    assert beside["wide"] <= ({"wide"} if workers == 2 else {"wide", "a", "b"})
    assert set(order[:2]) == {"wide", "wider"}
    assert order.index("after") > order.index("wide")
