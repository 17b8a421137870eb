import numpy as np
import pytest
import torch

from kit.base.errors import KitError
from kit.detector.checkpoint import read_state, write_state
from kit.detector.ops import install_ops
from kit.detector.trained import source_names
from kit.detector.weight_transfer import resized, transfer_weights
from kit.vocabulary import vocabulary
from kit.vocabulary.class_map import class_indices
from tests.heads import small, without

CLASSES = vocabulary().names[:57]
WIDTH = 8


def backbone(family):
    if family == "resnext":
        return {
            "backbone": dict(
                type="ResNeXt", depth=50, groups=4, base_width=1, base_channels=WIDTH, stem_channels=8
            ),
            "neck": dict(type="FPN", in_channels=[32, 64, 128, 256], out_channels=WIDTH, num_outs=5),
        }

    def branch(n):
        blocks = dict(num_blocks=(1,) * n, num_channels=(4, 8, 16, 32)[:n])
        return dict(num_modules=1, num_branches=n, block="BASIC", **blocks)

    stem = dict(num_modules=1, num_branches=1, block="BOTTLENECK", num_blocks=(1,), num_channels=(4,))
    extra = dict(stage1=stem, stage2=branch(2), stage3=branch(3), stage4=branch(4))
    return {
        "backbone": dict(type="HRNet", extra=extra),
        "neck": dict(type="HRFPN", in_channels=[4, 8, 16, 32], out_channels=WIDTH),
    }


def head(classes, agnostic):
    return dict(
        type="Shared2FCBBoxHead",
        in_channels=WIDTH,
        fc_out_channels=16,
        roi_feat_size=2,
        num_classes=classes,
        reg_class_agnostic=agnostic,
        loss_cls=dict(type="CrossEntropyLoss"),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
    )


def detector_state(family, classes, agnostic=True, seed=0):
    """Weights of a small Cascade R-CNN that mmdet builds; every tensor random."""
    install_ops()
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine import ConfigDict

    register_all_modules(init_default_scope=True)
    config = dict(
        type="CascadeRCNN",
        **backbone(family),
        rpn_head=dict(
            type="RPNHead",
            in_channels=WIDTH,
            feat_channels=WIDTH,
            anchor_generator=dict(
                type="AnchorGenerator", scales=[8], ratios=[1.0], strides=[4, 8, 16, 32, 64]
            ),
            bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        ),
        roi_head=dict(
            type="CascadeRoIHead",
            num_stages=3,
            stage_loss_weights=[1, 0.5, 0.25],
            bbox_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=2),
                out_channels=WIDTH,
                featmap_strides=[4, 8, 16, 32],
            ),
            bbox_head=[head(classes, agnostic) for _ in range(3)],
        ),
        test_cfg=dict(rpn=dict(), rcnn=dict()),
    )
    torch.manual_seed(seed)
    state = MODELS.build(ConfigDict(config)).state_dict()
    return {n: torch.randn_like(t) if t.is_floating_point() else t.clone() for n, t in state.items()}


SOURCES = {
    80: source_names("coco"),
    57: tuple(reversed(CLASSES)),
    500: tuple(f"thing {i}" for i in range(470)) + CLASSES[:30],
}


@pytest.fixture(scope="module", params=["resnext", "hrnet"])
def family(request):
    return request.param


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("classes", SOURCES)
@pytest.mark.parametrize("agnostic", [True, False])
def test_every_row_of_the_new_heads_equals_its_source_row(family, classes, agnostic):
    source = detector_state(family, classes, agnostic, seed=1)
    target = detector_state(family, 57, agnostic, seed=2)
    mapped = class_indices(SOURCES[classes])
    state, report = transfer_weights(source, target, mapped)
    heads = [f"roi_head.bbox_head.{i}" for i in range(3)]
    for name in heads:
        for part in ("weight", "bias"):
            ours, theirs, start = (s[f"{name}.fc_cls.{part}"] for s in (state, source, target))
            for k, g in enumerate(mapped):
                assert torch.equal(ours[k], theirs[g] if g >= 0 else start[k]), (name, k)
            assert torch.equal(ours[-1], theirs[-1])  # background: mmdet's last row
            ours, theirs, start = (s[f"{name}.fc_reg.{part}"] for s in (state, source, target))
            if agnostic:
                assert torch.equal(ours, theirs)
            else:
                for k, g in enumerate(mapped):
                    want = theirs[4 * g : 4 * g + 4] if g >= 0 else start[4 * k : 4 * k + 4]
                    assert torch.equal(ours[4 * k : 4 * k + 4], want), (name, k)
    for name, tensor in state.items():
        if "fc_cls" not in name and "fc_reg" not in name:
            assert torch.equal(tensor, source[name]), name
    matched = int((mapped >= 0).sum())
    assert report.rows[f"{heads[0]}.fc_cls.weight"] == (matched + 1, 57 - matched)
    assert set(report.copied) | set(report.rows) == set(target)
    assert report.unused == []


def test_one_regression_for_all_serves_every_class_but_not_the_other_way():
    mapped = np.array([1, -1])
    state, _ = transfer_weights(small(3, True), small(2, False, seed=1), mapped)
    assert torch.equal(state["head.fc_reg.bias"], small(3, True)["head.fc_reg.bias"].repeat(2))
    state, report = transfer_weights(small(3, False), small(2, True, seed=1), mapped)
    assert torch.equal(state["head.fc_reg.bias"], small(2, True, seed=1)["head.fc_reg.bias"])
    assert report.rows["head.fc_reg.bias"] == (0, 4)


def test_several_classes_may_take_one_source_class_and_the_source_stays_untouched():
    source = small(3)
    before = {name: tensor.clone() for name, tensor in source.items()}
    state, _ = transfer_weights(source, small(2, seed=1), np.array([2, 2]))
    assert torch.equal(state["head.fc_cls.weight"][0], state["head.fc_cls.weight"][1])
    state["backbone.conv.weight"].zero_()
    assert all(torch.equal(source[name], before[name]) for name in source)


REFUSED = [
    (lambda s: without(s, "backbone.conv.weight"), "another architecture: it lacks backbone.conv.weight"),
    (
        lambda s: {**s, "backbone.conv.weight": torch.zeros(3, 3)},
        r"backbone.conv.weight is \(3, 3\) against \(2, 2\)",
    ),
    (lambda s: without(s, "head.fc_reg.bias"), "it lacks head.fc_reg.bias"),
    (lambda s: {**s, "head.fc_cls.weight": torch.zeros(4, 9)}, r"head.fc_cls.weight is \(4, 9\) against"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_another_architecture_is_refused_by_its_first_mismatch(change, message):
    with pytest.raises(KitError, match=message):
        transfer_weights(change(small(3)), small(2), np.array([0, 1]))


def test_a_map_that_does_not_fit_the_heads():
    with pytest.raises(KitError, match=r"names source class 3, but head\.fc_cls\.weight has 3"):
        transfer_weights(small(3), small(2), np.array([0, 3]))
    with pytest.raises(KitError, match="has 3 rows, the class map 5 classes and background"):
        transfer_weights(small(3), small(2), np.zeros(5, int))


def test_what_the_source_has_more_is_reported():
    _, report = transfer_weights({**small(3), "mask.weight": torch.zeros(1)}, small(2), np.array([0, 1]))
    assert report.unused == ["mask.weight"]
    assert report.as_dict()["copied"] == ["backbone.conv.weight"]


def test_resized_heads_start_as_mmdet_starts_them():
    source = small(3, agnostic=False, width=400)
    state = resized(source, 57, seed=0)
    assert state["head.fc_cls.weight"].shape == (58, 400)
    assert state["head.fc_reg.bias"].shape == (4 * 57,)
    assert state["head.fc_cls.weight"].std() == pytest.approx(0.01, rel=0.05)
    assert state["head.fc_reg.weight"].std() == pytest.approx(0.001, rel=0.05)
    assert not state["head.fc_cls.bias"].any()
    again = resized(source, 57, seed=0)
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert resized(small(3), 57, seed=0)["head.fc_reg.weight"].shape == (4, 3)
    with pytest.raises(KitError, match="no fc_cls layer"):
        resized({"a.weight": torch.zeros(1)}, 57, seed=0)


def test_weights_are_written_and_read(tmp_path):
    write_state(tmp_path / "a.pth", small(3), ["x", "y", "z"])
    state = read_state(tmp_path / "a.pth")
    assert all(torch.equal(state[name], tensor) for name, tensor in small(3).items())
    assert source_names(str(tmp_path / "a.pth")) == ("x", "y", "z")
    torch.save([1], tmp_path / "b.pth")
    with pytest.raises(KitError, match="it holds no weights"):
        read_state(tmp_path / "b.pth")
    torch.save({"state_dict": {"a": 1}}, tmp_path / "c.pth")
    with pytest.raises(KitError, match="it holds no weights"):
        read_state(tmp_path / "c.pth")
