"""Full-size detectors take layer6's settings and make no tensor on the CPU by default: seen without a GPU."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

from benchmarks.operations import counter, training_image
from kit.config import load_config
from kit.detector.annotated_images import TrainingImages
from kit.detector.architecture import build, prepare
from kit.detector.training_spec import TrainingSpec, runner_config
from kit.tables.schema import Boxes

MOVED = {"nms.batched_nms"}  # mmcv sends this on to the device at once
pytestmark = pytest.mark.filterwarnings("ignore")
SIDE, ROIS = 64, 16  # pixels, and boxes that a head learns from: few, for speed


@pytest.fixture(scope="module", params=["resnext", "hrnet"])
def trained(request, tmp_path_factory):
    """A full-size detector with the optimiser that layer6 asks for."""
    from mmengine import ConfigDict
    from mmengine.optim import build_optim_wrapper

    prepare()
    config = load_config("layer6").detector
    images = TrainingImages(
        tmp_path_factory.mktemp("photos"), Boxes.empty(("a",)), ("x",) * 57, np.zeros(1, int)
    )
    own = TrainingSpec(
        "t", config.models[request.param].architecture, images, config.training, config.inference, 0, "cpu"
    )
    settings = runner_config(own, images.folder, None, False)
    for head in settings["model"]["train_cfg"]["rcnn"]:
        head["sampler"]["num"] = ROIS
    model = build(settings["model"])
    normalise(model)
    return model, build_optim_wrapper(model, ConfigDict(settings["optim_wrapper"]))


def normalise(model):
    """Give the normalisation layers of fresh weights an image's statistics: without, values grow by each layer."""
    layers = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = 1.0
        layer.train()
    with torch.no_grad():
        model.backbone(model.data_preprocessor(batch())["inputs"])


class Places(TorchFunctionMode):
    """Notes where a tensor is made without a word of its device: on the CPU, whatever holds the model."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in _device_constructors() and (kwargs or {}).get("device") is None:
            code = sys._getframe(1).f_code
            self.seen.add(f"{Path(code.co_filename).stem}.{code.co_name}")
        return func(*args, **(kwargs or {}))


def batch():
    """An image of noise with two boxes of objects."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes
    from mmengine.structures import InstanceData

    shown = {"img_shape": (SIDE, SIDE), "ori_shape": (SIDE, SIDE), "scale_factor": (1.0, 1.0), "flip": False}
    sample = DetDataSample(metainfo=shown)
    boxes = torch.tensor([[6.0, 6, 50, 54], [20, 12, 60, 40]])
    sample.gt_instances = InstanceData(bboxes=HorizontalBoxes(boxes), labels=torch.tensor([3, 50]))
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.zeros(0, 4)), labels=torch.zeros(0).long()
    )
    pixels = torch.randint(
        0, 255, (3, SIDE, SIDE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    return {"inputs": [pixels], "data_samples": [sample]}


def test_a_step_with_the_settings_of_layer6(trained):
    model, optimiser = trained
    before = model.roi_head.bbox_head[2].fc_cls.weight.detach().clone()
    data = model.data_preprocessor(batch(), training=True)
    model.train()
    with counter() as operations:
        with optimiser.optim_context(model), Places() as places:
            losses = model(**data, mode="loss")
        total, _ = model.parse_losses(losses)
        assert places.seen <= MOVED
        assert torch.isfinite(total)
        optimiser.update_params(total)
    by_parts = training_image(copy.deepcopy(model).to("meta"), (SIDE, SIDE))  # of benchmarks/full_size
    assert operations.get_total_flops() == by_parts
    assert not torch.equal(model.roi_head.bbox_head[2].fc_cls.weight, before)


def test_detection_by_full_size_detectors(trained):
    model, _ = trained
    model.eval()
    data = model.data_preprocessor(batch())
    with torch.inference_mode(), Places() as places:
        (sample,) = model(**data, mode="predict")
    assert places.seen <= MOVED
    assert 0 < len(sample.pred_instances) <= 400


def test_a_tensor_without_a_device_is_seen():
    with Places() as places:
        torch.ones(2, device="cpu").new_zeros(3)
        assert not places.seen
        torch.zeros(1)
    assert places.seen == {f"{Path(__file__).stem}.test_a_tensor_without_a_device_is_seen"}
