import numpy as np
import pytest

from kit.base.errors import KitError
from kit.config import Inference, Training
from kit.detector import training_spec as tasks
from kit.detector.annotated_images import TrainingImages
from kit.detector.training_spec import TrainingSpec, runner_config
from kit.tables.schema import Boxes


def task(tmp_path, **training):
    images = TrainingImages(tmp_path, Boxes.empty(("a",)), ("x", "y"), np.zeros(1, int))
    return TrainingSpec("t", "resnext-mini", images, Training(**training), Inference(), 3, "cpu")


def test_what_the_settings_become(tmp_path):
    settings = {
        "iterations": 100,
        "warmup": 10,
        "milestones": [0.5, 0.9],
        "lr": 0.1,
        "grad_clip_norm": 4,
        "batch_size": 3,
    }
    config = runner_config(task(tmp_path, **settings), tmp_path, None, False)
    ramp, steps = config["param_scheduler"]
    assert (ramp["type"], ramp["begin"], ramp["end"]) == ("LinearLR", 0, 10)
    assert steps["milestones"] == [50, 90]
    wrapper = config["optim_wrapper"]
    assert wrapper["clip_grad"] == {"max_norm": 4}
    assert wrapper["optimizer"]["type"] == "AdamW"
    assert config["train_dataloader"]["batch_size"] == 3
    assert config["train_dataloader"]["sampler"] == {"type": "DrawSampler"}
    assert config["train_dataloader"]["dataset"]["seed"] == 3
    assert config["model"]["roi_head"]["bbox_head"][0]["num_classes"] == 2
    assert (config["load_from"], config["resume"]) == (None, False)


@pytest.mark.parametrize(("rule", "lr"), [("linear", 0.4), ("none", 0.1)])
def test_processes_that_train_together_learn_faster(tmp_path, monkeypatch, rule, lr):
    own = task(tmp_path, lr=0.1, scale_lr=rule)
    assert runner_config(own, tmp_path, None, False)["optim_wrapper"]["optimizer"]["lr"] == 0.1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "4")
    config = runner_config(own, tmp_path, None, False)
    assert config["optim_wrapper"]["optimizer"]["lr"] == pytest.approx(lr)


@pytest.mark.parametrize(
    ("processes", "sync", "averaged"), [("1", False, 0), ("4", True, 0), ("4", False, 1)]
)
def test_statistics_of_processes_that_see_their_own_images_are_averaged(
    tmp_path, monkeypatch, processes, sync, averaged
):
    monkeypatch.setenv("WORLD_SIZE", processes)
    if processes != "1":
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    hooks = runner_config(task(tmp_path, sync_batch_norm=sync), tmp_path, None, False)["custom_hooks"]
    assert hooks == [{"type": name} for name in ("PlainCheckpoints", *["AveragedStatistics"] * averaged)]


def test_no_warmup_no_steps(tmp_path):
    config = runner_config(task(tmp_path, warmup=0, milestones=[]), tmp_path, None, False)
    assert config["param_scheduler"] == []


@pytest.mark.parametrize(
    ("precision", "wrapper"),
    [("float32", "OptimWrapper"), ("bfloat16", "Bfloat16OptimWrapper")],
)
def test_precisions(tmp_path, precision, wrapper):
    config = runner_config(task(tmp_path, precision=precision, optimizer="sgd"), tmp_path, None, False)
    assert config["optim_wrapper"]["type"] == wrapper
    assert config["optim_wrapper"]["optimizer"]["momentum"] == 0.9


def test_where_it_starts(tmp_path):
    assert runner_config(task(tmp_path), tmp_path, None, True)["load_from"] == str(tmp_path / "start.pth")
    config = runner_config(task(tmp_path), tmp_path, tmp_path / "iter_4.pth", True)
    assert (config["load_from"], config["resume"]) == (str(tmp_path / "iter_4.pth"), True)


def test_float16_and_the_fused_optimiser_are_a_gpus(tmp_path, monkeypatch):
    own = task(tmp_path, precision="float16")
    with pytest.raises(KitError, match="float16 needs a GPU"):
        runner_config(own, tmp_path, None, False)
    monkeypatch.setattr(tasks, "_on_gpu", lambda _: True)
    wrapper = runner_config(own, tmp_path, None, False)["optim_wrapper"]
    assert wrapper["type"] == "AmpOptimWrapper"
    assert wrapper["optimizer"]["fused"] is True
