import importlib
import sys

import pytest
import torch

from kit.detector.architecture import _absent, _import_later, build, model_config, prepare
from kit.detector.trained import source_names
from kit.detector.weight_transfer import transfer_weights
from kit.vocabulary.class_map import class_indices


@pytest.mark.parametrize(
    ("name", "backbone", "neck", "parameters"),
    [("resnext101-64x4d", "ResNeXt", "FPN", 127e6), ("hrnet-w32", "HRNet", "HRFPN", 75e6)],
)
def test_the_papers_detectors(name, backbone, neck, parameters):
    config = model_config(name, 57, 1e-4, 400)
    assert (config["type"], config["backbone"]["type"], config["neck"]["type"]) == (
        "CascadeRCNN",
        backbone,
        neck,
    )
    assert [head["num_classes"] for head in config["roi_head"]["bbox_head"]] == [57] * 3
    assert (config["test_cfg"]["rcnn"]["score_thr"], config["test_cfg"]["rcnn"]["max_per_img"]) == (1e-4, 400)
    assert "init_cfg" not in config["backbone"]  # nothing is fetched
    prepare()
    from mmdet.registry import MODELS
    from mmengine import ConfigDict

    with torch.device("meta"):
        model = MODELS.build(ConfigDict(config))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=0.03)


@pytest.mark.parametrize("name", ["resnext-mini", "hrnet-mini"])
def test_a_small_detector_takes_the_weights_of_its_80_class_twin(name):
    prepare()
    source, target = (build(model_config(name, n, 1e-4, 100)).state_dict() for n in (80, 57))
    names = source_names("coco")
    state, report = transfer_weights(source, target, class_indices(names))
    assert not report.unused
    man, person = 12, names.index("person")
    for stage in range(3):
        head = f"roi_head.bbox_head.{stage}.fc_cls.weight"
        assert report.rows[head] == (45, 13)  # 44 classes and the background
        assert torch.equal(state[head][man], source[head][person])
    assert sum(t.numel() for t in target.values()) < 1e6


def test_a_module_is_executed_when_it_is_first_used(tmp_path, monkeypatch):
    """Importing it as others do is not yet using it."""
    package = tmp_path / "drawing_library"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plots.py").write_text("import sys\nsys.plots_executed = True\nplot = len\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "plots_executed", False, raising=False)
    _import_later("drawing_library.plots")
    exec("import drawing_library.plots as plots; from drawing_library import plots as again")
    plots = importlib.import_module("drawing_library.plots")
    assert sys.modules["drawing_library"].plots is plots
    assert not sys.plots_executed
    assert plots.plot("ab") == 2
    assert sys.plots_executed
    assert not hasattr(plots, "show")
    _import_later("drawing_library.plots")
    assert sys.modules["drawing_library.plots"] is plots
    _import_later("drawing_library.gone")
    assert "drawing_library.gone" not in sys.modules


def test_a_module_can_be_absent_for_a_while(tmp_path, monkeypatch):
    (tmp_path / "sharded_optimizer.py").write_text("steps = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    with _absent("sharded_optimizer"), pytest.raises(ImportError):
        importlib.import_module("sharded_optimizer")
    assert importlib.import_module("sharded_optimizer").steps == 3
    with _absent("sharded_optimizer"):  # others may have it already
        assert importlib.import_module("sharded_optimizer").steps == 3
