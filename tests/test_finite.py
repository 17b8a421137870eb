"""A detector whose weights or outputs are not finite numbers is an error, not an empty image."""

import numpy as np
import pytest
import torch
from PIL import Image

from kit.base.errors import KitError
from kit.config import Detector, DetectorModel, Inference, View
from kit.detector.architecture import build, model_config, prepare
from kit.detector.checkpoint import write_state
from kit.detector.finite import Watch, broken_weight, watched
from kit.detector.inference import detect, load_detector

pytestmark = pytest.mark.filterwarnings("ignore")
VIEWS = [View(size=(64, 64))]


@pytest.fixture(scope="module")
def model():
    prepare()
    torch.manual_seed(0)
    return build(model_config("resnext-mini", 3, 1e-4, 20)).eval()


@pytest.fixture
def folder(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["backbone.conv1.weight", "rpn_head.rpn_cls.bias", "roi_head.bbox_head.2.fc_reg.bias"]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_outputs_that_are_not_finite(model, folder, name, value):
    parameter = dict(model.named_parameters())[name]
    before = parameter.data.clone()
    try:
        parameter.data.fill_(value)
        if value == 3e38 and name.endswith("bias"):
            parameter.data *= 10  # more than a float holds
        with pytest.raises(KitError, match=r"not finite numbers in the batch of a; its weights are broken"):
            detect(model, folder, ["a"], VIEWS, Inference())
    finally:
        parameter.data.copy_(before)
    assert len(detect(model, folder, ["a"], VIEWS, Inference()).views) == 1


def test_the_model_is_as_before_when_nobody_watches(model):
    with watched(model):
        assert any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_nothing_seen_is_nothing_wrong():
    watch = Watch()
    watch.check(["a"])
    watch.hook(None, None, ([torch.ones(2)], torch.tensor([1]), None))
    watch.check(["a"])
    watch.hook(None, None, (torch.ones(2), [torch.tensor([1.0, float("nan")])]))
    with pytest.raises(KitError, match="batch of a, b"):
        watch.check(["a", "b"])


def test_broken_weights_are_not_loaded(model, tmp_path):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert broken_weight(state) is None
    state["backbone.conv1.weight"][0, 0, 0, 0] = float("nan")
    write_state(tmp_path / "weights.pth", state, ("x", "y", "z"))
    settings = Detector(models={"own": DetectorModel(architecture="resnext-mini")}, device="cpu")
    with pytest.raises(
        KitError, match=r"weights\.pth: backbone\.conv1\.weight holds numbers that are not finite"
    ):
        load_detector(settings, "own", tmp_path / "weights.pth", 3)


@pytest.mark.parametrize("sizes", [[(8000, 5), (5, 8000), (1, 1), (64, 48), (2, 3000)]])
def test_any_shape_of_image_is_looked_at_in_bounded_batches(model, tmp_path, sizes):
    for i, size in enumerate(sizes):
        Image.new("RGB", size, (200, 10, 99)).save(tmp_path / f"{i}.jpg")
    shapes = []
    hook = model.backbone.register_forward_hook(lambda _m, inputs, _o: shapes.append(inputs[0].shape))
    views = [View(size=(96, 64)), View(size=(96, 64), flip=True)]
    found = detect(model, tmp_path, [str(i) for i in range(len(sizes))], views, Inference(batch_size=4))
    hook.remove()
    assert not found.skipped
    assert found.timing.images == len(sizes)
    assert all(shape[2] * shape[3] <= 96 * 64 for shape in shapes)  # padded to no more than the view
    for table in found.views:
        assert np.isfinite(table.box).all()
        assert ((table.box >= 0) & (table.box <= 1)).all()


@pytest.mark.parametrize(
    "kind", [torch.float32, torch.bfloat16, torch.float8_e5m2, torch.complex64, torch.int64]
)
def test_a_broken_weight_of_any_kind_is_named(kind):
    fine = {"count": torch.tensor(3), "a": torch.ones(2).to(kind)}
    assert broken_weight(fine) is None
    assert broken_weight({}) is None
    if kind != torch.int64:
        broken = torch.tensor([1.0, float("nan")]).to(kind)
        assert broken_weight({**fine, "b": broken, "c": broken}) == "b"
