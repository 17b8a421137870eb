"""Detectors of a few iterations on made images: stopped and gone on, diverging, under other thread counts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kit.base import threads
from kit.base.errors import KitError
from kit.detector import training
from kit.detector.annotated_images import write_annotations
from kit.detector.checkpoint import read_checkpoint, read_state
from kit.detector.divergence import DivergedError
from kit.detector.training import train_detector
from tests.learning import NAMES, learn, task

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)).save(folder / f"{name}.jpg")
    return folder


@pytest.fixture(scope="module")
def undisturbed(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert "resumed_at" not in learn(folder, photos)
    return folder


def stop_after(patch, iteration):
    whole = training.TrainingReport.step

    def stopping(report, runner, done):
        whole(report, runner, done)
        if done == iteration:
            raise KeyboardInterrupt

    patch.setattr(training.TrainingReport, "step", stopping)


def equal(folder, other):
    a, b = (read_state(f / "weights.pth") for f in (folder, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("stops", "resumed"), [((2,), [2]), ((3, 4), [2, 4])])
def test_a_training_that_went_on_is_the_same(stops, resumed, undisturbed, photos, tmp_path):
    for stop in stops:
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, stop)
            with pytest.raises(KeyboardInterrupt):
                learn(tmp_path, photos)
        torch.rand(stop)  # whatever else drew in between
    assert learn(tmp_path, photos).get("resumed_at", []) == resumed
    assert equal(tmp_path, undisturbed)
    assert not list(tmp_path.glob("iter_*"))
    assert not (tmp_path / training.RESUMED).exists()


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def under(patch, processes):
    patch.setenv("TORCHELASTIC_RUN_ID", "x")
    patch.setenv("WORLD_SIZE", str(processes))


@pytest.mark.parametrize(
    ("before", "now", "rank", "said"),
    [(1, 2, 0, "1 process"), (1, 2, 1, None), (3, 2, 0, "3 processes"), (2, 1, 0, "2 processes")],
)
def test_a_training_does_not_go_on_under_other_processes(
    before, now, rank, said, interrupted, photos, tmp_path, monkeypatch, capsys
):
    """Its draws and its rate would be others: the first process says so, and nothing is changed."""
    folder = shutil.copytree(interrupted, tmp_path / "folder")
    under(monkeypatch, before)
    images = task(photos).images
    write_annotations(folder / "annotations.npz", images.boxes, images.draws)
    kept = contents(folder)
    under(monkeypatch, now)
    monkeypatch.setenv("RANK", str(rank))
    capsys.readouterr()
    with pytest.raises(KitError if said else SystemExit) as error:
        learn(folder, photos)
    if said:
        text = str(error.value)
        assert text.startswith(f"t: interrupted under {said} (iter_4.pth), now {now}: ")
        assert text.endswith(f"; start it under {before} again, or give --force to begin anew")
    else:
        assert error.value.code == 2
    assert capsys.readouterr().err == ""
    assert contents(folder) == kept


@pytest.mark.parametrize("curve", [True, False])
def test_one_stopped_in_its_last_validation_still_has_its_figures(curve, photos, tmp_path):
    def learn_on():
        own = task(photos, iterations=2, validate_every=2)
        return train_detector(own, tmp_path, None, lambda _: 0.25)

    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            learn_on()
    points = json.loads((tmp_path / "curve.json").read_text())
    if not curve:
        (tmp_path / "curve.json").write_text(json.dumps(points[:-1]))
    loss = round(points[-1]["loss"], 4)
    assert learn_on() == {"loss": loss, "mAP": 0.25, "resumed_at": [2]}
    again = json.loads((tmp_path / "curve.json").read_text())
    assert [{**p, "seconds": 0} for p in again] == [{**p, "seconds": 0} for p in points]


def test_workers_and_checkpoints_change_nothing(undisturbed, photos, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            learn(tmp_path, photos, workers=2, checkpoint_every=3)
    assert learn(tmp_path, photos, workers=1)["resumed_at"] == [3]
    assert equal(tmp_path, undisturbed)


@pytest.fixture(scope="module")
def interrupted(photos, tmp_path_factory):
    """A folder with the checkpoints of iterations 2 and 4."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            learn(folder, photos)
    return folder


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "zeros", "other", "nan"])
def test_a_damaged_checkpoint_is_passed_over(damage, interrupted, tmp_path, capsys):
    for name in ("iter_2.pth", "iter_4.pth"):
        shutil.copy(interrupted / name, tmp_path)
    (tmp_path / "iter_x.pth").write_bytes(b"no checkpoint of this training")
    newest = tmp_path / "iter_4.pth"
    assert training.last_checkpoint(tmp_path) == newest
    data = newest.read_bytes()
    if damage == "other":
        torch.save({"x": torch.zeros(1)}, newest)
    elif damage == "nan":
        checkpoint = read_checkpoint(newest)
        checkpoint["state_dict"]["backbone.conv1.weight"][0] = np.nan
        torch.save(checkpoint, newest)
    else:
        garbage = np.random.default_rng(0).bytes(5000)
        kinds = {"empty": b"", "cut": data[: len(data) // 2], "garbage": garbage, "zeros": bytes(len(data))}
        newest.write_bytes(kinds[damage])
    assert training.last_checkpoint(tmp_path) == tmp_path / "iter_2.pth"
    err = capsys.readouterr().err
    assert err.startswith("iter_4.pth is passed over: ")
    assert err.count("\n") == 1


def test_a_rate_that_is_too_high_stops_the_training(photos, tmp_path):
    with pytest.raises(DivergedError) as error:
        learn(tmp_path, photos, lr=1e30, iterations=50, warmup=0)
    text = str(error.value)
    assert text.startswith("t: ")
    assert " at iteration " in text
    assert " of 50 (images " in text
    assert "lower detector.training.lr (now 1e+30) or detector.training.grad_clip_norm" in text
    assert not (tmp_path / "weights.pth").exists()
    for path in tmp_path.glob("iter_*.pth"):
        assert all(torch.isfinite(t.float()).all() for t in read_checkpoint(path)["state_dict"].values())


def test_the_checkpoint_before_a_divergence_is_not_gone_on_from(photos, tmp_path):
    """Its weights are finite, and lead to a loss that is not."""
    with pytest.raises(DivergedError):
        learn(tmp_path, photos, lr=1e30, iterations=50, warmup=0, checkpoint_every=1)
    assert list(tmp_path.glob("iter_*.pth")) == []


def test_poisoned_boxes_stop_it_at_their_batch(photos, tmp_path):
    boxes = np.tile([[0.1, 0.1, 0.7, 0.8]], (len(NAMES), 1))
    boxes[2] = [1.1, 0.1, 1.3, 0.8]  # no width is left of it at the image's edge
    with pytest.raises(DivergedError) as error:
        learn(tmp_path, photos, boxes, iterations=50)
    shown = str(error.value).split("(images ")[1].split(")")[0]
    assert "c" in shown.split(", ")
    assert len(shown.split(", ")) <= 2


def test_gradients_and_weights_are_looked_at_too(photos, tmp_path, monkeypatch):
    from mmengine.optim import OptimWrapper

    clip = OptimWrapper._clip_grad

    def poisoned(wrapper):
        wrapper.optimizer.param_groups[0]["params"][0].grad[0] = np.nan
        clip(wrapper)

    with monkeypatch.context() as patch:
        patch.setattr(OptimWrapper, "_clip_grad", poisoned)
        with pytest.raises(DivergedError, match="the gradient is nan at iteration 1 of 5 "):
            learn(tmp_path / "gradient", photos)
    step = torch.optim.AdamW.step

    def broken(optimizer, *arguments, **options):
        step(optimizer, *arguments, **options)
        optimizer.param_groups[0]["params"][-1].data[:] = (
            np.nan
        )  # the last layer's, which the next loss shows

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", broken)
        with pytest.raises(DivergedError, match="is not finite at iteration 1 of 5 "):
            learn(tmp_path / "weights", photos, checkpoint_every=1)
    assert not list((tmp_path / "weights").glob("iter_*"))


def test_a_healthy_training_shows_its_loss_from_the_start(photos, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(training.ProgressLine, "show", lambda _, done, note="": shown.append((done, note)))
    figures = learn(tmp_path, photos)
    assert [done for done, _ in shown] == [1, 2, 3, 4, 5]
    assert not any("nan" in note for _, note in shown)
    assert shown[-1][1] == f"loss {figures['loss']:.3f}"


ALONE = """
import sys
from pathlib import Path
from kit.base.threads import use_threads
use_threads(2)
from tests.learning import learn
learn(Path(sys.argv[2]), Path(sys.argv[1]), iterations=1)
"""


@pytest.fixture
def two_threads(monkeypatch):
    """This process, whatever it was started with, as the config of two threads has it."""
    before, count = threads.threads_used(), torch.get_num_threads()
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, "1")
    threads.use_threads(2)
    yield
    threads.use_threads(before)
    torch.set_num_threads(count)


def test_the_environment_does_not_change_the_weights(photos, tmp_path, two_threads):
    root, around = Path(__file__).parents[1], dict.fromkeys(threads.VARIABLES, "4")
    words = [sys.executable, "-c", ALONE, photos, tmp_path / "alone"]
    environment = {**os.environ, **around, "PYTHONPATH": str(root)}
    subprocess.run([*map(str, words)], env=environment, check=True)
    learn(tmp_path / "here", photos, iterations=1)
    alone, here = ((tmp_path / name / "weights.pth").read_bytes() for name in ("alone", "here"))
    assert alone == here
