import pytest

from kit.base.errors import KitError
from kit.base.files import write_text
from kit.config import load_config
from kit.pipeline.jobs import Job, run_jobs
from kit.pipeline.run import Run
from tests.conftest import TINY

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

    return yaml.safe_dump(load_config("mini", TINY).model_dump(mode="json"))


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
