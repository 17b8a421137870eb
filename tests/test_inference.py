"""Views are undone exactly: a model that finds the bright rectangle stands in for a detector."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from kit.config import Inference, View
from kit.data.decode import fitted
from kit.detector.architecture import prepare
from kit.detector.device import device_of, mixed_precision
from kit.detector.inference import detect

RECTANGLES = {"wide": ((200, 100), (20, 10, 60, 40)), "tall": ((80, 160), (10, 100, 70, 150))}


class Bright(torch.nn.Module):
    """Finds the rectangle of bright pixels and gives it in the original image's pixels, as mmdet does."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches = []

    def test_step(self, data):
        from mmengine.structures import InstanceData

        self.batches.append([tuple(image.shape) for image in data["inputs"]])
        for image, sample in zip(data["inputs"], data["data_samples"], strict=True):
            rows, columns = np.nonzero(image.numpy().min(axis=0) > 128)
            across, down = sample.scale_factor
            box = [columns.min() / across, rows.min() / down]
            box += [(columns.max() + 1) / across, (rows.max() + 1) / down]
            found = {
                "bboxes": torch.tensor([box]),
                "scores": torch.tensor([0.5]),
                "labels": torch.tensor([3]),
            }
            sample.pred_instances = InstanceData(**found)
        return data["data_samples"]


@pytest.fixture
def folder(tmp_path):
    prepare()
    for name, (size, box) in RECTANGLES.items():
        image = Image.new("RGB", size)
        ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=(255, 255, 255))
        image.save(tmp_path / f"{name}.jpg", quality=98, subsampling=0)
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 1])
def test_boxes_of_every_view_are_in_the_images_frame(folder, workers):
    views = [
        View(size=(200, 200)),
        View(size=(200, 200), flip=True),
        View(size=(400, 400)),
        View(size=(100, 60)),
    ]
    images = ["wide", "broken", "tall", "wide"]
    model = Bright().train()
    found = detect(model, folder, images, views, Inference(batch_size=2, workers=workers))
    assert model.training
    assert found.skipped == {"broken": "not readable as an image"}
    for table in found.views:
        assert table.image.tolist() == [0, 2, 3]
        for image, box in zip(table.image, table.box, strict=True):
            size, truth = RECTANGLES[images[image]]
            assert box == pytest.approx(np.array(truth) / np.tile(size, 2), abs=0.02)
    assert found.timing.images == 3
    shapes = [{shape[1] > shape[2] for shape in batch} for batch in model.batches]
    assert all(len(kinds) == 1 for kinds in shapes)  # wide and tall images are not padded to each other


def test_no_image_at_all(folder):
    found = detect(Bright(), folder, ["broken"], [View(size=(64, 64))], Inference())
    assert [len(table) for table in found.views] == [0]
    assert found.views[0].images == ("broken",)


def test_the_size_is_mmdets(folder):
    from mmdet.datasets.transforms import Resize

    for size in ((480, 640), (1333, 800), (97, 1000), (31, 30)):
        image = np.zeros((*size, 3), np.uint8)
        theirs = Resize(scale=(1333, 800), keep_ratio=True)({"img": image})["img"].shape[:2]
        assert fitted(size, 1333, 800) == theirs


def test_device_and_precision():
    assert device_of("cpu") == torch.device("cpu")
    assert device_of("auto").type in ("cpu", "cuda")
    with mixed_precision(torch.device("cpu"), "bfloat16"):
        assert torch.is_autocast_enabled("cpu")
    with mixed_precision(torch.device("cpu"), "float32"):
        assert not torch.is_autocast_enabled("cpu")
