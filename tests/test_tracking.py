import json
import shutil

import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.detector.architecture import prepare
from kit.detector.tracking import BACKENDS, Tracking
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from tests.conftest import config


def test_none_by_default_and_nothing_is_asked_for():
    tracking = Tracking()
    tracking.check()
    assert tracking.visualizer() is None
    assert load_config("layer6").tracking == load_config("mini").tracking == []


@pytest.mark.parametrize("tool", BACKENDS)
def test_every_backend_is_one_of_mmengines(tool, tmp_path):
    """Built without its tool, which mmengine imports at the first figure."""
    prepare()
    from mmengine.registry import VISBACKENDS

    settings = Tracking([tool], tmp_path, "run", "detector-x").visualizer()
    local, own = settings["vis_backends"]
    assert local == {"type": "LocalVisBackend"}
    assert type(VISBACKENDS.build(dict(own))).__name__ == BACKENDS[tool]
    assert own["save_dir"].startswith(str(tmp_path))


def test_a_tool_that_is_not_installed_is_named_with_its_cure(monkeypatch):
    monkeypatch.setitem(BACKENDS, "no_such_tool", "TensorboardVisBackend")
    with pytest.raises(KitError, match="no_such_tool is not installed; pip install no_such_tool"):
        Tracking(["no_such_tool"]).check()


def test_another_name_is_refused(kit):
    code, _, err = kit("config", "--set", "tracking=[comet]")
    assert (code, err.count("\n"), "tracking" in err) == (2, 1, True)


def test_no_stage_is_made_from_it(tiny, tmp_path):
    plain, tracked = (Pipeline(Run(config(*more), tmp_path)) for more in ((), ("tracking=[wandb]",)))
    for name in ("source-hrnet", "detector-hrnet", "attribute-detector-resnext"):
        one, other = (p.fingerprint(p.stage(name)) for p in (plain, tracked))
        assert json.dumps(one) == json.dumps(other)


class Figures:
    """What a tool is told."""

    def __init__(self):
        self.told = []

    def get_backend(self, name):
        return self

    def add_scalar(self, name, value, step):
        self.told.append((name, value, step))


def test_the_map_is_told_to_every_tool_alone(tmp_path):
    figures = Figures()
    Tracking(["tensorboard", "wandb"], tmp_path).tell(figures, "mAP", 0.5, 10)
    assert figures.told == [("mAP", 0.5, 10)] * 2
    Tracking().tell(figures, "mAP", 0.5, 10)
    assert len(figures.told) == 2


@pytest.mark.skipif(shutil.which("tensorboard") is None, reason="tensorboard is not installed")
def test_a_training_is_told_to_tensorboard(tiny, tmp_path):
    run = Run(config("tracking=[tensorboard]", "detector.initial_weights=scratch"), tmp_path / "run")
    Pipeline(run).make(["detector-hrnet"])
    assert list((tmp_path / "run/tracking/tensorboard/detector-hrnet").glob("events.*"))
