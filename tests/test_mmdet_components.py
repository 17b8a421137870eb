import json
from itertools import islice

import numpy as np
import pytest
import torch

from kit.detector.annotated_images import read_annotations, write_annotations
from kit.detector.architecture import prepare
from kit.detector.class_balanced_sampling import draw_images
from kit.metric.detection_tables import detection_scores
from kit.tables.coco import read_instances
from kit.tables.schema import Boxes, Detections

pytestmark = pytest.mark.filterwarnings("ignore")
BOXES = Boxes(
    ("a", "b", "c"),
    [0, 0, 1],
    [0, 1, 0],
    np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1], [0, 0, 1, 1]]),
    [False, True, False],
)
DRAWS = np.array([1, 0, 0, 1, 0])


@pytest.fixture
def dataset(tmp_path):
    prepare()
    from mmdet.registry import DATASETS
    from PIL import Image

    write_annotations(tmp_path / "annotations.npz", BOXES, DRAWS)
    for name in "abc":
        Image.new("RGB", (40, 20)).save(tmp_path / f"{name}.jpg")
    config = {
        "type": "BoxesDataset",
        "ann_file": str(tmp_path / "annotations.npz"),
        "data_prefix": {"img": str(tmp_path)},
        "metainfo": {"classes": ("x", "y")},
        "pipeline": [
            {"type": "LoadImage", "skipped": str(tmp_path / "skipped.csv")},
            {"type": "PackDetInputs", "meta_keys": ()},
        ],
    }
    return DATASETS.build(config)


def test_boxes_become_pixels_and_groups_are_ignored(dataset):
    sample = dataset[0, 0]["data_samples"]
    assert sample.gt_instances.bboxes.tensor.tolist() == [[0, 0, 20, 20]]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[20, 0, 40, 20]]
    assert dataset[0, 0]["inputs"].shape == (3, 20, 40)


def test_a_image_without_boxes_is_legal(dataset):
    assert len(dataset) == 3
    assert len(dataset[2, 0]["data_samples"].gt_instances) == 0


def test_records_hold_the_boxes_with_area_of_their_image_whatever_their_order(tmp_path):
    from mmdet.registry import DATASETS

    prepare()
    rng = np.random.default_rng(0)
    n, names = 60, tuple(f"{i:02}" for i in range(20))
    box = np.sort(rng.random((n, 2, 2)), axis=1).reshape(n, 4).astype(np.float32)
    box[::7, 2] = box[::7, 0]
    boxes = Boxes(names, rng.integers(0, 15, n), rng.integers(0, 57, n), box, rng.random(n) < 0.2)
    write_annotations(tmp_path / "annotations.npz", boxes, np.zeros(1, int))
    dataset = DATASETS.build(
        {
            "type": "BoxesDataset",
            "ann_file": str(tmp_path / "annotations.npz"),
            "data_prefix": {"img": str(tmp_path)},
            "pipeline": [],
        }
    )
    assert len(dataset) == len(names)
    for i, name in enumerate(names):
        rows = [r for r in range(n) if boxes.image[r] == i and r % 7]
        record = dataset.get_data_info(i)
        assert (record["name"], record["img_path"]) == (name, str(tmp_path / name[:2] / f"{name}.jpg"))
        assert np.array_equal(record["boxes"], box[rows])
        assert record["labels"].tolist() == boxes.label[rows].tolist()
        assert record["groups"].tolist() == boxes.is_group_of[rows].tolist()


def test_a_broken_image_is_recorded_and_another_one_taken(dataset, tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"broken")
    assert dataset[1, 0]["inputs"].shape == (3, 20, 40)
    assert "b,not readable as an image" in (tmp_path / "skipped.csv").read_text()


def test_for_an_image_that_is_gone_stands_one_that_is_drawn(tmp_path):
    """Images that no draw names are there in one folder and not in the other: every draw gives the same."""
    from mmdet.registry import DATASETS
    from PIL import Image

    prepare()
    names = tuple(f"{i:02}" for i in range(40))
    n = len(names)
    table = Boxes(names, range(n), np.zeros(n, int), np.tile([[0, 0, 1, 1]], (n, 1)), np.zeros(n, bool))
    drawn = draw_images(table, 1, None, seed=5, count=12)
    gone = drawn.boxes.images[2]
    seen = []
    for folder, kept in (("all", names), ("few", drawn.boxes.images)):
        (tmp_path / folder).mkdir()
        for name in set(kept) - {gone}:
            Image.new("L", (1, 1), int(name)).save(tmp_path / folder / f"{name}.jpg", quality=100)
        write_annotations(tmp_path / "annotations.npz", drawn.boxes, drawn.draws)
        pipeline = [
            {"type": "LoadImage", "skipped": str(tmp_path / f"{folder}.csv")},
            {"type": "PackDetInputs", "meta_keys": ()},
        ]
        dataset = DATASETS.build(
            {
                "type": "BoxesDataset",
                "seed": 5,
                "ann_file": str(tmp_path / "annotations.npz"),
                "data_prefix": {"img": str(tmp_path / folder)},
                "metainfo": {"classes": ("x",)},
                "pipeline": pipeline,
            }
        )
        seen.append([int(dataset[image, i]["inputs"][0]) for i, image in enumerate(drawn.draws)])
        skipped = (tmp_path / f"{folder}.csv").read_text().splitlines()
        assert set(skipped) == {f"{gone},not there"}
    assert seen[0] == seen[1]
    assert set(seen[0]) <= {int(name) for name in drawn.boxes.images}


def test_the_sampler_gives_the_draws_and_shares_them_out(dataset, monkeypatch):
    from kit.detector import mmdet_components as parts

    sampler = parts.DrawSampler(dataset)
    whole = list(islice(iter(sampler), 40))
    assert whole == [(DRAWS[i % 5], i) for i in range(40)]
    shared = []
    for rank in range(2):
        monkeypatch.setattr(parts, "get_dist_info", lambda rank=rank: (rank, 2))
        shared.append(list(islice(iter(parts.DrawSampler(dataset)), 20)))
    assert [x for pair in zip(*shared, strict=True) for x in pair] == whole
    sampler.advance(7)
    assert list(islice(iter(sampler), 5)) == whole[7:12]


def test_rois_are_float32_under_mixed_precision():
    prepare()
    from mmdet.registry import MODELS

    extractor = MODELS.build(
        {
            "type": "FloatRoIExtractor",
            "roi_layer": {"type": "RoIAlign", "output_size": 3, "sampling_ratio": 2},
            "out_channels": 4,
            "featmap_strides": [4],
        }
    )
    features = torch.rand(1, 4, 200, 200)
    rois = torch.tensor([[0, 501.3, 402.7, 611.9, 533.1]])
    exact = extractor((features,), rois)
    mixed = extractor((features.bfloat16(),), rois)
    assert mixed.dtype == torch.float32
    assert torch.allclose(exact, mixed, atol=0.01)


def test_bfloat16_keeps_weights_and_gradients_in_float32():
    prepare()
    from kit.detector.mmdet_components import Bfloat16OptimWrapper

    model = torch.nn.Linear(4, 4)
    wrapper = Bfloat16OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
    with wrapper.optim_context(model):
        out = model(torch.rand(2, 4))
    assert out.dtype == torch.bfloat16
    before = model.weight.clone()
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32
    assert not torch.equal(before, model.weight)


@pytest.mark.parametrize("size", [(30, 40), (40, 30), (200, 333), (17, 96), (64, 96)])
def test_resizing_is_mmdets(size):
    prepare()
    from mmdet.registry import TRANSFORMS
    from mmdet.structures.bbox import HorizontalBoxes

    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    results = []
    for kind in ("Resize", "ResizeImage"):
        boxes = HorizontalBoxes(torch.tensor([[1.0, 2.0, 11.0, 13.0]]))
        record = {"img": pixels, "img_shape": size, "gt_bboxes": boxes}
        results.append(TRANSFORMS.build({"type": kind, "scale": (96, 64), "keep_ratio": True})(record))
    one, two = results
    assert np.array_equal(one["img"], two["img"])
    assert one["scale_factor"] == two["scale_factor"]
    assert one["img_shape"] == two["img_shape"]
    assert torch.equal(one["gt_bboxes"].tensor, two["gt_bboxes"].tensor)


@pytest.mark.parametrize("size", [(5, 8000), (8000, 5), (1, 1)])
def test_no_image_is_too_narrow(size):
    prepare()
    from mmdet.registry import TRANSFORMS

    resize = TRANSFORMS.build({"type": "ResizeImage", "scale": (96, 64), "keep_ratio": True})
    image = resize({"img": np.zeros((*size, 3), np.uint8), "img_shape": size})["img"]
    assert min(image.shape[:2]) >= 1
    assert max(image.shape[:2]) <= 96


def test_label_300_of_a_source_set_stays_300_up_to_the_training_and_its_evaluation(tmp_path):
    """COCO file, annotations for the workers, data set, balanced draws; detections and their mAP."""
    prepare()
    from mmdet.registry import DATASETS

    boxes = [{"image_id": i, "category_id": c, "bbox": [0, 0, 10, 5 + i]} for i, c in ((1, 301), (2, 45))]
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 20, "height": 20} for i in (1, 2)],
        "categories": [{"id": c + 1, "name": f"c{c}"} for c in range(1203)],
        "annotations": boxes,
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))
    truth, classes = read_instances(tmp_path / "instances.json")
    drawn = draw_images(truth, len(classes), None, 0, 40)
    write_annotations(tmp_path / "annotations.npz", drawn.boxes, drawn.draws)
    config = {"type": "BoxesDataset", "ann_file": str(tmp_path / "annotations.npz"), "pipeline": []}
    dataset = DATASETS.build(
        {**config, "data_prefix": {"img": str(tmp_path)}, "metainfo": {"classes": classes}}
    )
    labels = [dataset.get_data_info(i)["labels"] for i in range(2)]
    assert [own.tolist() for own in labels] == [[300], [44]]
    assert set(dataset.draws.tolist()) == {0, 1}
    found = Detections(truth.images, truth.image, np.asarray([300, 44]), [0.9, 0.8], truth.box)
    scores = detection_scores(truth, None, found, classes)
    assert scores.ap == {"c300": 1.0, "c44": 1.0}
    wrong = Detections(truth.images, truth.image, np.asarray([44, 300]), [0.9, 0.8], truth.box)
    assert detection_scores(truth, None, wrong, classes).mean_ap == 0


def test_annotations_of_an_earlier_run_are_read(tmp_path):
    columns = {"image": BOXES.image, **{name: getattr(BOXES, name) for name in BOXES.COLUMNS}}
    columns["label"] = BOXES.label.astype(np.uint8)
    np.savez(tmp_path / "annotations.npz", images=np.asarray(BOXES.images), draws=DRAWS, **columns)
    boxes, draws = read_annotations(tmp_path / "annotations.npz")
    assert (boxes.label.tolist(), draws.tolist()) == ([0, 1, 0], DRAWS.tolist())


@pytest.mark.parametrize(("n", "num"), [(1, 1), (5, 0), (1000, 64)])
def test_anchors_are_drawn_as_mmdet_draws_them(n, num):
    prepare()
    from mmdet.registry import TASK_UTILS

    gallery, drawn = torch.arange(n) * 3, []
    for name in ("RandomSampler", "DeviceRandomSampler"):
        sampler = TASK_UTILS.build({"type": name, "num": 64, "pos_fraction": 0.5})
        torch.manual_seed(0)
        drawn.append(sampler.random_choice(gallery, num))
    assert torch.equal(*drawn)
    assert len(drawn[0].unique()) == num
