import fcntl
import json
import subprocess
import sys
from contextlib import suppress

import pytest
from kit.run import Run

from kit.base.errors import KitError
from kit.config import Config


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


WRONG = ["", "{", "[]", "null", '"x"', "{}", "\x00" * 200]
TYPES = ["metrics", "files", "made_from", "id", "seconds"]


def record_of(run, **changes):
    return json.dumps(json.loads((run.path / "s" / "stage.json").read_text()) | changes)


@pytest.mark.parametrize("value", [None, [], 3, "x"])
@pytest.mark.parametrize("key", TYPES)
def test_a_record_with_a_wrong_type_is_told_and_done_again(a_run, capsys, key, value):
    do(a_run)
    if isinstance(value, (int, str)) and key in ("seconds", "id"):
        value = {}
    (a_run.path / "s" / "stage.json").write_text(record_of(a_run, **{key: value}))
    assert a_run.finished("s") is None
    assert do(a_run)
    assert f"stage.json: not the record of a stage ({key} is missing" in capsys.readouterr().err
    assert not do(a_run)


@pytest.mark.parametrize("text", WRONG)
def test_damaged_files_of_a_run_are_told_once_and_made_again(a_run, tmp_path, capsys, text):
    source = tmp_path / "in"
    source.write_text("1")
    do(a_run, inputs=[source])
    for name in ("s/stage.json", "hashes.json", "manifest.json", "config.yaml"):
        (a_run.path / name).write_text(text)
    again = Run(Config(), a_run.path)
    assert do(again, inputs=[source])
    assert capsys.readouterr().err.count("\n") == 1
    assert not do(Run(Config(), a_run.path), inputs=[source])


def test_a_damaged_stage_that_another_needs_is_one_line(a_run):
    do(a_run, "prior")
    (a_run.path / "prior" / "result").write_text("")
    with pytest.raises(
        KitError, match=r"result: 0 bytes, 1 when .*; run `kit train prior` to do stage prior ag"
    ):
        a_run.folder("prior")
    (a_run.path / "prior" / "result").unlink()
    with pytest.raises(KitError, match=r"prior/result: gone since"):
        a_run.folder("prior")


def test_what_is_damaged_in_a_part_is_thrown_away_and_the_rest_kept(a_run, capsys):
    def interrupted():
        with suppress(RuntimeError), a_run.stage("s", a_run.key(1)) as stage:
            found = sorted(path.name for path in stage.path.iterdir())
            for name in ("a.json", "a.npz", "a.parquet", ".b.json.123.part", "b.json"):
                (stage.path / name).write_text("{}" if name == "b.json" else "")
            raise RuntimeError
        return found

    assert interrupted() == []
    assert interrupted() == ["b.json"]
    err = capsys.readouterr().err
    assert err.count("thrown away, it is made again") == err.count("(empty)") == 3
    (a_run.path / ".s.json").write_text("")
    assert interrupted() == []
    assert "what an interrupted s left is thrown away" in capsys.readouterr().err


def test_nothing_is_written_where_everything_is_fresh(a_run, tmp_path):
    """As on a read-only mount: opening, asking and fresh stages open no file of the run for writing."""
    source = tmp_path / "in"
    source.write_text("1")
    do(a_run, inputs=[source])
    code = (
        "import os, sys\n"
        "def hook(event, args):\n"
        "    if event == 'open' and isinstance(args[0], str) and args[2] & 3: print(event, *args)\n"
        "    if event in ('os.mkdir', 'os.rename', 'os.remove'): print(event, *args)\n"
        "from pathlib import Path\nfrom kit.config import Config\nfrom kit.run import Run\n"
        "sys.addaudithook(hook)\n"
        f"run = Run(Config(), Path({str(a_run.path)!r}))\n"
        f"with run.stage('s', run.key(1, [Path({str(source)!r})])) as stage: assert stage is None\n"
        "run.folder('s'); run.write_config()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_read_only_mount(a_run, tmp_path):
    do(a_run)
    code = (
        "from pathlib import Path\nfrom kit.config import Config\nfrom kit.base.errors import KitError\n"
        "from kit.run import Run\n"
        f"run = Run(Config(), Path({str(a_run.path)!r}))\n"
        "assert run.folder('s')\n"
        "with run.stage('s', run.key(1)) as stage: assert stage is None\n"
        "try:\n    with run.stage('s', run.key(2)): pass\nexcept KitError as error: print(error)\n"
    )
    mount = f"mount --bind {a_run.path} {a_run.path} && mount -o remount,ro,bind {a_run.path}"
    words = ["unshare", "-m", "sh", "-c", f'{mount} || exit 77; exec "$0" -c "$1"', sys.executable, code]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not there")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert done.stderr == ""
    told = "s would have to be written, but the folder cannot be (Read-only file system)"
    assert done.stdout == f"{a_run.path}: {told}\n"
