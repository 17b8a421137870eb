import fcntl
import json
from contextlib import suppress

import pytest

from kit.config import Config
from kit.errors import KitError
from kit.run import Run


@pytest.fixture
def a_run(tmp_path):
    return Run(Config(), tmp_path / "run")


def do(run, name="s", settings=1, force=False, inputs=(), after=()):
    with run.stage(name, run.key(settings, inputs, after), force=force) as stage:
        if stage:
            (stage.path / "result").write_text("x")
            stage.metrics = {"n": settings}
        return stage is not None


def test_a_stage_runs_once_and_again_when_something_changed(a_run, tmp_path):
    source = tmp_path / "in"
    source.write_text("1")
    assert do(a_run, inputs=[source])
    assert not do(a_run, inputs=[source])
    assert do(a_run, settings=2, inputs=[source])
    source.write_text("22")
    assert do(a_run, settings=2, inputs=[source])
    assert do(a_run, settings=2, inputs=[source], force=True)
    assert not do(a_run, settings=2, inputs=[source])


def test_a_stage_runs_again_after_an_earlier_one_changed(a_run):
    do(a_run, "first", 1)
    assert do(a_run, "second", after=["first"])
    assert not do(a_run, "second", after=["first"])
    do(a_run, "first", 2)
    assert do(a_run, "second", after=["first"])


def test_a_half_written_stage_is_not_finished(a_run):
    with suppress(RuntimeError), a_run.stage("s", a_run.key(1)) as stage:
        (stage.path / "result").write_text("half")
        raise RuntimeError
    assert a_run.finished("s") is None
    with pytest.raises(KitError, match="stage prior is not there; run `kit train prior` first"):
        a_run.folder("prior")
    assert do(a_run)
    assert (a_run.path / "s" / "result").read_text() == "x"


def test_a_failed_repetition_keeps_the_finished_stage(a_run):
    do(a_run)
    with suppress(RuntimeError), a_run.stage("s", a_run.key(2)) as stage:
        (stage.path / "result").write_text("half")
        raise RuntimeError
    assert (a_run.path / "s" / "result").read_text() == "x"
    assert not do(a_run)


def test_a_stage_with_a_broken_record_is_not_finished(a_run):
    do(a_run)
    (a_run.path / "s" / "stage.json").write_text("{")
    assert a_run.finished("s") is None
    assert do(a_run)


def test_the_manifest_and_the_resolved_config(a_run):
    do(a_run)
    manifest = json.loads((a_run.path / "manifest.json").read_text())
    assert manifest["stages"]["s"]["metrics"] == {"n": 1}
    assert {"kit", "git", "python", "packages", "seed"} <= set(manifest)
    assert (a_run.path / "config.yaml").read_text().startswith("run: runs/default")


def test_two_at_once_do_not_hurt_each_other(a_run):
    do(a_run)
    with (a_run.path / ".s.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(KitError, match="another kit is at work on s"):
            do(a_run, settings=2)


def test_a_missing_input_and_a_file_as_folder(a_run, tmp_path):
    with pytest.raises(KitError, match="no such file"):
        a_run.key(1, [tmp_path / "none"])
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError, match="is a file, not a run folder"):
        Run(Config(), tmp_path / "file")


def test_a_stage_that_lost_a_file_is_not_finished(a_run):
    do(a_run)
    (a_run.path / "s" / "result").write_text("longer")
    assert a_run.finished("s") is None
    assert do(a_run)
    (a_run.path / "s" / "result").unlink()
    assert a_run.finished("s") is None
    assert do(a_run)


def test_an_interrupted_stage_keeps_its_files_for_the_same_work_only(a_run):
    def interrupted(settings):
        with suppress(RuntimeError), a_run.stage("s", a_run.key(settings)) as stage:
            before = sorted(path.name for path in stage.path.iterdir())
            (stage.path / f"piece{len(before)}").write_text("x")
            raise RuntimeError
        return before

    assert interrupted(1) == []
    assert interrupted(1) == ["piece0"]
    assert interrupted(2) == []
    assert interrupted(1) == []
