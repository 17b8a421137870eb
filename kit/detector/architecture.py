"""Cascade R-CNN (paper 3.1) as mmdet builds it: the two full-size detectors, and a small one of each family.

Another architecture is a function that gives mmdet's configuration of a Cascade R-CNN, registered in
`kit.config.ARCHITECTURES` under its name.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from kit.base.imports import absent, import_later, uncollected
from kit.base.threads import limit_torch
from kit.config import ARCHITECTURES, Architecture
from kit.detector import top_nms
from kit.detector.checkpoint import State
from kit.detector.ops import install_ops

PUBLISHED = {
    "resnext101-64x4d": "cascade_rcnn/cascade-rcnn_x101_64x4d_fpn_20e_coco.py",
    "hrnet-w32": "hrnet/cascade-rcnn_hrnetv2p-w32-20e_coco.py",
}
NECK_CHANNELS = 32  # channels of a small neck
STAGES = 3
LOSS_WEIGHTS = (1.0, 0.5, 0.25)
TARGET_STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))


def prepare() -> None:
    """Make mmdet usable in this process: operators, registries, kit's own parts, the threads of the config."""
    limit_torch()
    install_ops()
    optim = "torch.distributed.optim"  # of an optimizer that kit does not have
    with warnings.catch_warnings(), absent(optim), uncollected("mmdet"):
        warnings.simplefilter("ignore")  # of mmdet's own sources
        import_later("matplotlib.pyplot")  # of a module of mmdet's that draws
        from mmdet.utils import register_all_modules

        import kit.detector.mmdet_components  # noqa: F401  (registers)

        register_all_modules(init_default_scope=True)


def model_config(
    architecture: Architecture, classes: int, score_threshold: float, max_detections: int
) -> dict[str, Any]:
    """Mmdet's configuration of a detector of `classes` classes.

    score_threshold: lowest score of a detection; max_detections: of an image. Weights are never fetched from here.
    """
    config = ARCHITECTURES[architecture]()
    for head in config["roi_head"]["bbox_head"]:
        head["num_classes"] = classes
    config["roi_head"]["bbox_roi_extractor"]["type"] = "FloatRoIExtractor"
    for part in (config["train_cfg"]["rpn"], *config["train_cfg"]["rcnn"]):
        part["sampler"]["type"] = "DeviceRandomSampler"
    rcnn = config["test_cfg"]["rcnn"]
    suppression = top_nms.settings(rcnn["nms"]["iou_threshold"], max_detections)
    rcnn.update(score_thr=score_threshold, max_per_img=max_detections, nms=suppression)
    return config


def build(config: dict[str, Any]) -> torch.nn.Module:
    """The detector with freshly initialised weights."""
    from mmdet.registry import MODELS
    from mmengine import ConfigDict
    from mmengine.logging import MMLogger

    MMLogger.get_instance("kit-build").setLevel("WARNING")
    model = MODELS.build(ConfigDict(copy.deepcopy(config)))
    model.init_weights()
    assert isinstance(model, torch.nn.Module)
    return model


def fresh_weights(architecture: Architecture, classes: int, seed: int) -> State:
    """Freshly initialised weights of a detector, the same for the same seed."""
    prepare()
    torch.manual_seed(seed)
    return build(model_config(architecture, classes, 1e-4, 100)).state_dict()


def _published(name: str) -> dict[str, Any]:
    from mmengine import Config

    folder = Path(str(files("mmdet"))) / ".mim" / "configs"
    config = Config.fromfile(folder / name).model.to_dict()
    config["backbone"].pop("init_cfg", None)
    return dict(config)


def _small(parts: Callable[[], tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    backbone, neck = parts()
    return {
        "type": "CascadeRCNN",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "bgr_to_rgb": True,
            "pad_size_divisor": 32,
        },
        "backbone": backbone,
        "neck": neck,
        "rpn_head": _proposals(),
        "roi_head": {
            "type": "CascadeRoIHead",
            "num_stages": STAGES,
            "stage_loss_weights": list(LOSS_WEIGHTS),
            "bbox_roi_extractor": {
                "type": "FloatRoIExtractor",
                "roi_layer": {"type": "RoIAlign", "output_size": 5, "sampling_ratio": 2},
                "out_channels": NECK_CHANNELS,
                "featmap_strides": [4, 8, 16, 32],
                "finest_scale": 20,
            },
            "bbox_head": [_head(stds) for stds in TARGET_STDS],
        },
        "train_cfg": _small_training(),
        "test_cfg": {
            "rpn": {
                "nms_pre": 300,
                "max_per_img": 100,
                "nms": {"type": "nms", "iou_threshold": 0.7},
                "min_bbox_size": 0,
            },
            "rcnn": {"score_thr": 1e-4, "nms": {"type": "nms", "iou_threshold": 0.5}, "max_per_img": 100},
        },
    }


def _small_resnext() -> tuple[dict[str, Any], dict[str, Any]]:
    backbone = {
        "type": "SmallResNeXt",
        "depth": 14,
        "groups": 4,
        "base_width": 4,
        "base_channels": 16,
        "stem_channels": 16,
        "frozen_stages": -1,
        "norm_cfg": {"type": "BN", "requires_grad": True},
        "norm_eval": False,
    }
    neck = {"type": "FPN", "in_channels": [64, 128, 256, 512], "out_channels": NECK_CHANNELS, "num_outs": 5}
    return backbone, neck


def _small_hrnet() -> tuple[dict[str, Any], dict[str, Any]]:
    def branches(n: int) -> dict[str, Any]:
        return {
            "num_modules": 1,
            "num_branches": n,
            "block": "BASIC",
            "num_blocks": (1,) * n,
            "num_channels": (8, 16, 32, 64)[:n],
        }

    stem = {
        "num_modules": 1,
        "num_branches": 1,
        "block": "BOTTLENECK",
        "num_blocks": (1,),
        "num_channels": (16,),
    }
    backbone = {
        "type": "HRNet",
        "extra": {"stage1": stem, "stage2": branches(2), "stage3": branches(3), "stage4": branches(4)},
        "norm_eval": False,
    }
    return backbone, {"type": "HRFPN", "in_channels": [8, 16, 32, 64], "out_channels": NECK_CHANNELS}


def _proposals() -> dict[str, Any]:
    return {
        "type": "RPNHead",
        "in_channels": NECK_CHANNELS,
        "feat_channels": NECK_CHANNELS,
        "anchor_generator": {
            "type": "AnchorGenerator",
            "scales": [4],
            "ratios": [0.5, 1.0, 2.0],
            "strides": [4, 8, 16, 32, 64],
        },
        "bbox_coder": _coder((1.0, 1.0, 1.0, 1.0)),
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0},
        "loss_bbox": {"type": "SmoothL1Loss", "beta": 1 / 9, "loss_weight": 1.0},
    }


def _head(stds: tuple[float, ...]) -> dict[str, Any]:
    return {
        "type": "Shared2FCBBoxHead",
        "in_channels": NECK_CHANNELS,
        "fc_out_channels": 128,
        "roi_feat_size": 5,
        "reg_class_agnostic": True,
        "bbox_coder": _coder(stds),
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        "loss_bbox": {"type": "SmoothL1Loss", "beta": 1.0, "loss_weight": 1.0},
    }


def _coder(stds: tuple[float, ...]) -> dict[str, Any]:
    return {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": list(stds)}


def _small_training() -> dict[str, Any]:
    return {
        "rpn": {
            "assigner": _assigner(0.7, 0.3, 0.3, low_quality=True),
            "sampler": {
                "type": "RandomSampler",
                "num": 64,
                "pos_fraction": 0.5,
                "add_gt_as_proposals": False,
            },
            "allowed_border": 0,
            "pos_weight": -1,
            "debug": False,
        },
        "rpn_proposal": {
            "nms_pre": 300,
            "max_per_img": 100,
            "nms": {"type": "nms", "iou_threshold": 0.7},
            "min_bbox_size": 0,
        },
        "rcnn": [
            {
                "assigner": _assigner(overlap, overlap, overlap, low_quality=False),
                "sampler": {"type": "RandomSampler", "num": 32, "pos_fraction": 0.5},
                "pos_weight": -1,
                "debug": False,
            }
            for overlap in (0.5, 0.6, 0.7)
        ],
    }


def _assigner(positive: float, negative: float, lowest: float, low_quality: bool) -> dict[str, Any]:
    return {
        "type": "MaxIoUAssigner",
        "pos_iou_thr": positive,
        "neg_iou_thr": negative,
        "min_pos_iou": lowest,
        "match_low_quality": low_quality,
        "ignore_iof_thr": -1,
    }


for _name, _file in PUBLISHED.items():
    ARCHITECTURES.register(_name, partial(_published, _file))
for _name, _parts in {"resnext-mini": _small_resnext, "hrnet-mini": _small_hrnet}.items():
    ARCHITECTURES.register(_name, partial(_small, _parts))
