import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from kit.base.errors import KitError
from kit.config import Config, load_config
from kit.pipeline.detector_task import training_stage
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.record import content_id
from kit.pipeline.run import Run
from kit.pipeline.stage import FileInput, Stage
from tests.stages import small_stage, writing


@pytest.fixture
def a_run(tmp_path):
    return Run(Config(), tmp_path / "run")


def do(run, name="s", settings=1, force=False, inputs=(), after=(), work=None, text="x"):
    """Whether a stage had to be done; the stages after which it comes are declared, not done."""
    done = []
    own = small_stage(name, *after, settings=settings, inputs=inputs, work=work or writing(text, done))
    pipeline = Pipeline(run, [*(small_stage(other) for other in after), own])
    pipeline.do(name, force=force)
    return bool(done)


def breaking(then=lambda path: None):
    """Work that does something in its folder and fails."""

    def work(context):
        then(context.path)
        raise RuntimeError

    return work


def half(path):
    (path / "result").write_text("half")


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
    do(a_run, "first", 2, text="another result")
    assert do(a_run, "second", after=["first"])


def test_a_half_written_stage_is_not_finished(a_run):
    with suppress(RuntimeError):
        do(a_run, work=breaking(half))
    assert a_run.record("s") is None
    with pytest.raises(KitError, match="stage prior is not there; run `kit train prior` first"):
        Pipeline(a_run).folder("prior")
    assert do(a_run)
    assert (a_run.path / "s" / "result").read_text() == "x"


def test_a_failed_repetition_keeps_the_finished_stage(a_run):
    do(a_run)
    with suppress(RuntimeError):
        do(a_run, settings=2, work=breaking(half))
    assert (a_run.path / "s" / "result").read_text() == "x"
    assert not do(a_run)


def test_a_stage_with_a_broken_record_is_not_finished(a_run):
    do(a_run)
    (a_run.path / "s" / "stage.json").write_text("{")
    assert a_run.record("s") is None
    assert do(a_run)


def test_the_manifest_and_the_resolved_config(a_run):
    do(a_run)
    manifest = json.loads((a_run.path / "manifest.json").read_text())
    assert manifest["stages"]["s"]["metrics"] == {"figure": 7}
    assert {"kit", "git", "python", "packages", "seed"} <= set(manifest)
    assert (a_run.path / "config.yaml").read_text().startswith(f"run: {a_run.path}\n")


def test_two_at_once_do_not_hurt_each_other(a_run):
    do(a_run)
    with (a_run.path / ".s.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(KitError, match="another kit is at work on s"):
            do(a_run, settings=2)


def test_a_missing_input_and_a_file_as_folder(a_run, tmp_path):
    with pytest.raises(KitError, match="no such file"):
        do(a_run, inputs=[tmp_path / "none"])
    assert not a_run.path.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError, match="is a file, not a run folder"):
        Run(Config(), tmp_path / "file")


def test_a_stage_that_lost_a_file_is_not_finished(a_run):
    do(a_run)
    (a_run.path / "s" / "result").write_text("longer")
    assert a_run.record("s") is None
    assert do(a_run)
    (a_run.path / "s" / "result").unlink()
    assert a_run.record("s") is None
    assert do(a_run)


def test_an_interrupted_stage_keeps_its_files_for_the_same_work_only(a_run):
    def interrupted(settings):
        before = []

        def piece(path):
            before.extend(sorted(found.name for found in path.iterdir()))
            (path / f"piece{len(before)}").write_text("x")

        with suppress(RuntimeError):
            do(a_run, settings=settings, work=breaking(piece))
        return before

    assert interrupted(1) == []
    assert interrupted(1) == ["piece0"]
    assert interrupted(2) == []
    assert interrupted(1) == []


WRONG = ["", "{", "[]", "null", '"x"', "{}", "\x00" * 200]
TYPES = ["metrics", "files", "fingerprint", "id", "seconds"]


def record_of(run, **changes):
    return json.dumps(json.loads((run.path / "s" / "stage.json").read_text()) | changes)


@pytest.mark.parametrize("value", [None, [], 3, "x"])
@pytest.mark.parametrize("key", TYPES)
def test_a_record_with_a_wrong_type_is_told_and_done_again(a_run, capsys, key, value):
    do(a_run)
    if isinstance(value, (int, str)) and key in ("seconds", "id"):
        value = {}
    (a_run.path / "s" / "stage.json").write_text(record_of(a_run, **{key: value}))
    assert a_run.record("s") is None
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
    pipeline = Pipeline(a_run)
    (a_run.path / "prior" / "result").write_text("")
    with pytest.raises(
        KitError, match=r"result: 0 bytes, 1 when .*; run `kit train prior` to do stage prior ag"
    ):
        pipeline.folder("prior")
    (a_run.path / "prior" / "result").unlink()
    with pytest.raises(KitError, match=r"prior/result: gone since"):
        pipeline.folder("prior")


def test_what_is_damaged_in_a_part_is_thrown_away_and_the_rest_kept(a_run, capsys):
    def interrupted():
        found = []

        def pieces(path):
            found.extend(sorted(piece.name for piece in path.iterdir()))
            for name in ("a.json", "a.npz", "a.parquet", ".b.json.123.part", "b.json"):
                (path / name).write_text("{}" if name == "b.json" else "")

        with suppress(RuntimeError):
            do(a_run, work=breaking(pieces))
        return found

    assert interrupted() == []
    assert interrupted() == ["b.json"]
    err = capsys.readouterr().err
    assert err.count("thrown away, it is made again") == err.count("(empty)") == 3
    (a_run.path / ".s.json").write_text("")
    assert interrupted() == []
    assert "what an interrupted s left is thrown away" in capsys.readouterr().err


def test_what_a_kill_at_the_very_end_left_goes_with_nothing_left_to_do(a_run):
    do(a_run)
    left = [a_run.path / name for name in (".images.json.999999999.part", ".manifest.json.99999.part")]
    for path in left:
        path.touch()
    Run(a_run.config, tend=False)
    Run(a_run.config)  # its writer may be on another machine
    assert all(path.exists() for path in left)
    for path in left:
        os.utime(path, (0, 0))
    Run(a_run.config, tend=False)
    assert all(path.exists() for path in left)
    Run(a_run.config)
    assert not any(path.exists() for path in left)


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
        "from pathlib import Path\nfrom kit.config import Config\n"
        "from kit.pipeline.pipeline import Pipeline\nfrom kit.pipeline.run import Run\n"
        "from tests.stages import small_stage\n"
        "def never(context): raise AssertionError\n"
        f"stage = small_stage('s', inputs=[Path({str(source)!r})], work=never)\n"
        "sys.addaudithook(hook)\n"
        f"run = Run(Config(), Path({str(a_run.path)!r}))\n"
        "pipeline = Pipeline(run, [stage])\n"
        "assert [s.state for s in pipeline.status(['s'])] == ['finished']\n"
        "pipeline.make(['s']); pipeline.folder('s'); run.write_config()\n"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_read_only_mount(a_run, tmp_path):
    do(a_run)
    code = (
        "from pathlib import Path\nfrom kit.config import Config\nfrom kit.base.errors import KitError\n"
        "from kit.pipeline.pipeline import Pipeline\nfrom kit.pipeline.run import Run\n"
        "from tests.stages import small_stage\n"
        "def never(context): raise AssertionError\n"
        f"run = Run(Config(), Path({str(a_run.path)!r}))\n"
        "assert run.folder('s')\n"
        "Pipeline(run, [small_stage('s', work=never)]).make(['s'])\n"
        "changed = Pipeline(run, [small_stage('s', settings=2, work=never)])\n"
        "try: changed.make(['s'])\nexcept KitError as error: print(error)\n"
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


def test_what_is_thrown_away_of_an_interrupted_stage_is_told(a_run, capsys):
    def stopped(context):
        (context.path / "half").write_text("x")
        raise KeyboardInterrupt

    for settings in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            Pipeline(a_run, [small_stage("s", settings=settings, work=stopped)]).make(["s"])
    told = "what an interrupted s left (1 file) is thrown away (settings: value 1 → 2)\n"
    assert capsys.readouterr().err == told


def test_what_other_processes_began_is_refused_and_kept(a_run, tmp_path):
    source = tmp_path / "in"
    source.write_text("1")

    def stopped(context):
        (context.path / "iter_4.pth").write_text("x")
        raise KeyboardInterrupt

    def make(processes, seed=0, force=()):
        settings = {"seed": seed, **({"processes": processes} if processes > 1 else {})}
        drawn = FileInput("data.train.images", source)  # more processes draw other images
        source.write_text(str(processes))
        stages = [
            Stage("source", writing(), settings=settings),
            Stage("s", stopped, ("source",), (drawn,), settings=settings),
        ]
        Pipeline(a_run, stages).make(["s"], force=force)

    with pytest.raises(KeyboardInterrupt):
        make(2)
    made = (a_run.path / "source" / "stage.json").read_bytes()
    told = "s: interrupted under 2 processes, now 1: .*; start it under 2 again, or give --force"
    with pytest.raises(KitError, match=told):
        make(1)
    assert (a_run.path / ".s.part" / "iter_4.pth").exists()
    assert (a_run.path / "source" / "stage.json").read_bytes() == made
    for others in ({"processes": 1, "force": ["s"]}, {"processes": 1}, {"processes": 2, "seed": 1}):
        with pytest.raises(KeyboardInterrupt):
            make(**others)
    with pytest.raises(KitError, match="interrupted under 2 processes, now 3"):
        a_run._part("s", {"settings": {"seed": 1, "processes": 3}}, force=False)


def test_the_id_passes_over_files_that_hold_times(tmp_path):
    """A detector's training leaves a log, and files of mmengine's that are named by the time."""
    times = training_stage("s", work=lambda context: {}).timing_files
    for second in (1, 2):
        for name in (
            "weights.pth",
            "log.txt",
            f"20260101_00000{second}.py",
            f"20260101_00000{second}/vis/a.json",
        ):
            (tmp_path / str(second) / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / str(second) / name).write_text("weights" if "weights" in name else str(second))
    one, two = tmp_path / "1", tmp_path / "2"
    assert content_id(one, times) == content_id(two, times)
    assert content_id(one) != content_id(two)
    (two / "weights.pth").write_text("others")
    assert content_id(one, times) != content_id(two, times)


def test_processes_of_two_kits_at_a_run_read_each_their_own_configuration(tmp_path):
    runs = [Run(load_config("mini", [f"seed={seed}"]), tmp_path / "run") for seed in (1, 2)]
    files = [run.own_config() for run in runs]
    for run in runs:
        run.write_config()
    assert [load_config(str(run.own_config())) for run in runs] == [run.config for run in runs]
    assert [run.own_config() for run in runs] == files


def test_a_stage_begins_anew_once_tasks_of_an_earlier_try_have_ended(tmp_path):
    """They would write what they made of other settings into its folder."""
    run, begun, ended = Run(load_config("mini"), tmp_path / "run"), threading.Event(), []
    with suppress(KeyError), run.working("a", {"settings": {"x": 1}}) as attempt:
        (attempt.path / "f.txt").touch()
        raise KeyError

    def help_on():
        with run.helping("a", "t") as path:
            begun.set()
            time.sleep(0.3)
            (path / "late.txt").touch()
            ended.append("t")

    task = threading.Thread(target=help_on)
    task.start()
    begun.wait()
    with run.working("a", {"settings": {"x": 2}}) as attempt:
        assert ended == ["t"]
        assert list(attempt.path.iterdir()) == []
    task.join()
