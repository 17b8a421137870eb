"""Trainings that are stopped and go on, and one that two processes share."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from kit.base.process import TRACEBACK
from kit.base.progress import ProgressLine
from kit.config import load_config
from kit.detector import training
from kit.detector.checkpoint import read_state
from kit.pipeline.needed_images import needed_images
from kit.pipeline.ranks import ranks_kept
from kit.pipeline.run import Run
from tests.conftest import ALONE, FAST, FEW, TINY, config
from tests.stages import alone, made, set_words

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def _ranks():
    """The other processes of a stage load their libraries once, as long as no stage fails."""
    with ranks_kept():
        yield


@pytest.fixture(scope="module")
def stopped(trained, tiny_folder, tmp_path_factory):
    """A run whose detector was stopped in its fifth iteration of six; checkpoints come every two."""
    run = Run(trained.config, tmp_path_factory.mktemp("stopped") / "run")
    shutil.copytree(trained.path / "source-resnext", run.path / "source-resnext")
    with chdir(tiny_folder), stopped_at(5):
        alone(run, "detector-resnext")
    return run


@pytest.fixture
def interrupted(stopped, tiny, tmp_path):
    """A copy of that run."""
    shutil.copytree(stopped.path, tmp_path / "run")
    return Run(stopped.config, tmp_path / "run")


@contextmanager
def stopped_at(iteration):
    """Inside, a training is stopped by Ctrl-C after so many iterations."""
    whole = training.TrainingReport.step

    def stopped(report, runner, done):
        if done == iteration:
            raise KeyboardInterrupt
        whole(report, runner, done)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.TrainingReport, "step", stopped)
        with pytest.raises(KeyboardInterrupt):
            yield


@contextmanager
def stopped_line(text, step):
    """Inside, what shows its progress as `text` is stopped by Ctrl-C at a step."""
    show = ProgressLine.show

    def stopping(line, done, note=""):
        if (line.text, done) == (text, step):
            raise KeyboardInterrupt
        show(line, done, note)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressLine, "show", stopping)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_an_interrupted_training_goes_on(interrupted, trained, monkeypatch, capsys):
    run = interrupted
    part = run.path / ".detector-resnext.part"
    kept = torch.load(part / "iter_4.pth", weights_only=True)
    assert kept["meta"]["iter"] == 4
    seen, whole = [], training.TrainingReport.step

    def watched(report, runner, done):
        seen.append(done)
        whole(report, runner, done)

    monkeypatch.setattr(training.TrainingReport, "step", watched)
    capsys.readouterr()
    assert alone(run, "detector-resnext")["metrics"]["images"] == len(needed_images(config(*ALONE), "train"))
    assert seen == [5, 6]
    assert "going on from iter_4.pth" in capsys.readouterr().err
    manifest = json.loads((run.path / "manifest.json").read_text())["stages"]["detector-resnext"]
    assert manifest["metrics"]["resumed_at"] == [4]
    undisturbed = read_state(trained.folder("detector-resnext") / "weights.pth")
    went_on = read_state(run.folder("detector-resnext") / "weights.pth")
    assert all(torch.equal(went_on[name], undisturbed[name]) for name in undisturbed)
    curve = json.loads((run.folder("detector-resnext") / "curve.json").read_text())
    assert [point["iteration"] for point in curve] == [0, 3, 6]


def two_processes(folder, refused, new, *more, cwd=None):
    """What torchrun of two processes said of `tests.two_ranks`: see there."""
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    words += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    words += ["-m", "--", "tests.two_ranks", folder, refused, new]
    words += set_words(*TINY, *FEW, "data.test.detections=[]", *more)
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1]), TRACEBACK: "1"}
    return subprocess.run(
        [str(w) for w in words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )


@dataclass(frozen=True)
class Torchrun:
    """What a torchrun of two processes did: `kit train detector resnext` of the stopped run, then of a new one.

    kept: the checkpoint's files before; folder: what every process noted.
    """

    stopped: Path
    kept: dict[str, bytes]
    new: Path
    folder: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def torchrun(trained, stopped, tiny_folder, tmp_path_factory):
    """Two commands of one torchrun: its processes load torch and mmdet once for both."""
    folder = tmp_path_factory.mktemp("torchrun")
    before, new = (folder / name for name in ("stopped", "new"))
    shutil.copytree(stopped.path, before)
    shutil.copytree(trained.path / "source-resnext", new / "source-resnext")
    part = before / ".detector-resnext.part"
    kept = {name: (part / name).read_bytes() for name in ("annotations.npz", "iter_2.pth", "iter_4.pth")}
    done = two_processes(folder, before, new, cwd=tiny_folder)
    return Torchrun(before, kept, new, folder, done)


def test_two_processes_train_one_detector(trained, torchrun, tiny, tmp_path):
    path, done = torchrun.new, torchrun.done
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("detector-resnext: loss") == 1
    assert done.stderr.count("detector-resnext: 2 processes learn at 0.006, one alone at 0.003") == 1
    record = Run(trained.config, path).record("detector-resnext")
    assert record["metrics"]["images"] == len(needed_images(config(*ALONE), "train", processes=2))
    told = [json.loads((torchrun.folder / f"told{rank}.json").read_text()) for rank in range(2)]
    assert told == [[True, False]] * 2  # what the first decided
    ranks = [torch.load(torchrun.folder / f"rank{rank}.pth", weights_only=True) for rank in range(2)]
    single = read_state(trained.folder("detector-resnext") / "weights.pth")
    learned = [name for name in single if name.endswith("weight") and "bn" not in name]
    for name in learned:  # the processes saw different images and learned the same: gradients were averaged
        assert torch.equal(ranks[0][name], ranks[1][name]), name
    assert not all(torch.equal(ranks[0][name], single[name]) for name in learned)
    kept = read_state(path / "detector-resnext" / "weights.pth")
    assert all(torch.equal(kept[name], ranks[0][name]) for name in learned)
    statistics = "backbone.bn1.running_mean"
    assert torch.equal(ranks[0][statistics], ranks[1][statistics])  # of all images of a step
    again = Run(config(*ALONE, "detector.processes=2"), tmp_path / "again")
    shutil.copytree(trained.path / "source-resnext", again.path / "source-resnext")
    with stopped_at(5):
        alone(again, "detector-resnext")
    went_on = alone(again, "detector-resnext")
    assert went_on["metrics"]["resumed_at"] == [4]
    assert went_on["fingerprint"]["settings"]["processes"] == 2
    assert went_on["metrics"]["images"] == record["metrics"]["images"]
    own = read_state(again.folder("detector-resnext") / "weights.pth")
    assert all(torch.equal(own[name], kept[name]) for name in kept)  # torchrun's, which nothing has stopped
    apart = config(*ALONE, "detector.processes=2", "detector.training.sync_batch_norm=false")
    own = []
    for stop in (5, None):
        run = Run(apart, tmp_path / f"apart-{stop}")
        shutil.copytree(trained.path / "source-resnext", run.path / "source-resnext")
        if stop:
            with stopped_at(stop):
                alone(run, "detector-resnext")
        alone(run, "detector-resnext")
        own.append(read_state(run.folder("detector-resnext") / "weights.pth"))
    assert all(torch.equal(own[0][name], own[1][name]) for name in kept)  # statistics are of both
    assert not any(torch.equal(own[0][name], kept[name]) for name in ("backbone.conv1.weight", statistics))


def test_two_processes_train_the_visual_model_and_go_on_where_they_were_stopped(trained, tiny, tmp_path):
    words = ("relation.visual.processes=2", "relation.visual.backbone=shared", "relation.visual.epochs=2")
    words += ("relation.visual.checkpoint_minutes=0",)
    whole, stopped = (Run(config(*words), tmp_path / name) for name in ("whole", "stopped"))
    for run in (whole, stopped):
        shutil.copytree(trained.path, run.path)
    record = alone(whole, "visual")
    assert record["fingerprint"]["settings"]["processes"] == 2
    with stopped_line("visual shared", 2):
        alone(stopped, "visual")
    went_on = alone(stopped, "visual")["metrics"]
    assert went_on["networks"]["shared"].pop("resumed_at") == [2]
    assert went_on == record["metrics"]
    files = [(run.folder("visual") / "shared.pth").read_bytes() for run in (whole, stopped)]
    assert files[0] == files[1]


def test_two_processes_train_the_boosted_models(tiny, tmp_path, capfd):
    plain = (*FAST, "relation.spatial.objective=multiclass", "relation.spatial.folds=1")
    plain += ("relation.spatial.rounds=6", "relation.spatial.early_stopping_interval=3")
    plain += ("relation.stack.rounds=4", "relation.stack.early_stopping_interval=4", "relation.stack.folds=1")
    words = (*plain, "relation.spatial.processes=2", "relation.stack.processes=2")
    by_name = {"one": plain, "two": words, "stopped": words}
    one, two, stopped = (Run(load_config("mini", own), tmp_path / name) for name, own in by_name.items())
    for name in ("spatial", "stack"):
        own, expected = made(two, name), made(one, name)
        assert own["fingerprint"]["settings"]["processes"] == 2
        assert own["metrics"].keys() == expected["metrics"].keys()
        assert own["metrics"]["rows_in"] == expected["metrics"]["rows_in"] == "memory"
        files = [{p.name for p in run.folder(name).iterdir() if ".ubj" not in p.name} for run in (one, two)]
        assert files[0] == files[1]
    figures = [run.record("stack")["metrics"]["models"] for run in (one, two)]
    counts = [{name: (f["rows"], f["positives"]) for name, f in models.items()} for models in figures]
    assert counts[0] == counts[1]
    assert capfd.readouterr().out == ""
    with stopped_line("spatial-multiclass", 6):
        made(stopped, "spatial")
    assert "spatial-multiclass.trial.npz" in {path.name for path in stopped.part_of("spatial").iterdir()}
    assert made(stopped, "spatial")["metrics"] == two.record("spatial")["metrics"]
    trees = [{p.name: p.read_bytes() for p in run.folder("spatial").glob("*.ubj")} for run in (two, stopped)]
    assert trees[0] == trees[1]


def test_two_processes_of_torchrun_grow_trees_together(torchrun):
    assert torchrun.done.returncode == 0, torchrun.done.stderr
    record = Run(config(), torchrun.new).record("spatial")
    assert set(record["metrics"]["rounds"].values()) <= {0, 2}
    assert torchrun.done.stdout.count("spatial: trees ") == 1
    assert torchrun.done.stderr.count("spatial: the prior stands") <= 1


def test_two_processes_do_not_go_on_where_one_was_interrupted(torchrun):
    part = torchrun.stopped / ".detector-resnext.part"
    codes = [json.loads((torchrun.folder / f"code{rank}.json").read_text()) for rank in range(2)]
    assert codes == [2, 2]
    lines = [line for line in torchrun.done.stderr.splitlines() if line.startswith("kit: ")]
    assert len(lines) == 1
    assert lines[0].startswith("kit: detector-resnext: interrupted under 1 process (iter_4.pth), now 2: ")
    assert lines[0].endswith("; start it under 1 again, or give --force to begin anew")
    assert {name: (part / name).read_bytes() for name in torchrun.kept} == torchrun.kept


def test_all_processes_stop_where_one_diverges(trained, tiny, tmp_path, kit):
    path = tmp_path / "run"
    shutil.copytree(trained.path / "source-resnext", path / "source-resnext")
    more = ("detector.training.lr=1e30", "detector.training.warmup=0", "detector.training.iterations=20")
    settings = set_words(*TINY, *FEW, "data.test.detections=[]", "detector.processes=2", *more)
    code, out, err = kit("train", "detector", "resnext", "--run", path, *settings)
    assert (code, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("kit: ")]
    assert len(lines) == 1
    assert lines[0].startswith("kit: detector-resnext: ")
    assert " of 20 (images " in lines[0]
    rate = "now 1e+30, learned at 2e+30: scale_lr=linear, 2 processes"
    assert f"lower detector.training.lr ({rate}) or" in lines[0]
    assert Run(trained.config, path).record("detector-resnext") is None


def test_all_processes_stop_where_a_visual_network_diverges(copied, kit):
    more = ("relation.visual.processes=2", "relation.visual.max_lr=1e30", "relation.visual.warmup=0")
    more += (
        "relation.visual.backbone=shared",
        "relation.visual.checkpoint_minutes=0",
        "relation.visual.epochs=9",
    )
    settings = set_words(*TINY, *FEW, "data.test.detections=[]", *more)
    code, out, err = kit("train", "visual", "--run", copied.path, *settings)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("kit: ")]
    assert line.startswith("kit: visual shared: the ")
    assert "lower relation.visual.max_lr (now 1e+30)" in line
    assert "(images " in line or "is not finite" in line
    assert not copied.record("visual")


def test_an_attribute_detector_that_diverges_is_not_finished(copied, kit):
    more = ("attribute.training.lr=1e30", "attribute.training.warmup=0", "attribute.training.iterations=20")
    settings = set_words(*TINY, *FEW, "data.test.detections=[]", *more)
    code, out, err = kit("train", "attribute", "resnext", "--run", copied.path, *settings)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("kit: attribute-detector-resnext: ")
    assert "lower attribute.training.lr (now 1e+30) or attribute.training.grad_clip_norm" in last
    assert copied.record("attribute-detector-resnext") is None


def test_a_half_written_checkpoint_is_passed_over(interrupted, capsys):
    run = interrupted
    newest = run.path / ".detector-resnext.part" / "iter_4.pth"
    newest.write_bytes(newest.read_bytes()[:1000])
    alone(run, "detector-resnext")
    err = capsys.readouterr().err
    assert "iter_4.pth is passed over: cut short or damaged" in err
    assert "going on from iter_2.pth" in err
