"""What a job's process sees of the machine: its share of the processors."""

from pathlib import Path

import pytest

from kit.base.errors import KitError
from kit.base.threads import SHARE
from kit.config import load_config
from kit.pipeline.jobs import Job, run_jobs, run_stages
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stage import Stage

SHOW = "import os; print('threads', os.environ.get('OMP_NUM_THREADS'), flush=True)"


@pytest.fixture
def telling(tmp_path, monkeypatch):
    """Every Python process started from here begins by telling its threads."""
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "sitecustomize.py").write_text(SHOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "start"))


@pytest.mark.parametrize(
    ("processors", "workers", "jobs", "threads"),
    [(8, 2, 3, 4), (8, 3, 1, 8), (8, 3, 3, 2), (1, 2, 2, 1), (4, 0, 1, 4)],
)
def test_the_processors_are_shared_out_among_the_jobs_at_work(
    telling, tmp_path, monkeypatch, processors, workers, jobs, threads
):
    monkeypatch.setenv(SHARE, str(processors))
    logs = [tmp_path / f"{i}.txt" for i in range(jobs)]
    run_jobs([Job(log.stem, Path("mini"), tmp_path / log.stem, (), log) for log in logs], workers, "work")
    assert {log.read_text().splitlines()[0] for log in logs} == {f"threads {threads}"}


@pytest.mark.parametrize(("own", "threads"), [(0, 4), (3, 3)])
def test_stages_have_the_configs_number_or_their_share(telling, tmp_path, monkeypatch, own, threads):
    """The stage is unknown to its process, which ends soon after the start."""
    monkeypatch.setenv(SHARE, "8")
    run = Run(load_config("mini", [f"threads={own}"]), tmp_path / "run")
    pipeline = Pipeline(run, [Stage("nothing", lambda _: {})])
    with pytest.raises(KitError, match="nothing failed"):
        run_stages(pipeline, ["nothing"], workers=2)
    assert (run.path / "logs" / "nothing.txt").read_text().splitlines()[0] == f"threads {threads}"
