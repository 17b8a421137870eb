import pytest
import torch

from kit.detector.architecture import build, model_config, prepare
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
