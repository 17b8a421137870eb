"""The detectors from source pictures to table 1, on the tiny challenge: few iterations, everything real."""

import json
import shutil
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from kit.run import Run
from kit.stages.detection import detect_stage
from kit.stages.detector import detector_stage, source_stage
from kit.stages.family import OBJECTS
from kit.stages.fusion import chosen_weights, fuse_stage, fused_detections, search_weights
from kit.stages.plan import detections_of
from kit.stages.predict import predict_stage, submission_stage
from kit.stages.relation import prior_stage
from kit.stages.splits import CLASSES, split_boxes
from kit.stages.table1 import table1_stage

from kit.base.errors import KitError
from kit.config import load_config
from kit.detector.checkpoint import read_checkpoint, read_state
from kit.detector.pictures import read_skipped
from kit.metric.detection_tables import detection_scores
from kit.tables.schema import Detections, ViewDetections
from kit.tables.shards import read_shards
from tests.conftest import TINY, config
from tests.imperfect import imperfect

pytestmark = pytest.mark.filterwarnings("ignore")


def test_training_leaves_weights_a_curve_and_a_report(trained, tiny):
    for name in ("resnext", "hrnet"):
        folder = trained.folder(f"detector-{name}")
        curve = json.loads((folder / "curve.json").read_text())
        assert [point["iteration"] for point in curve] == [0, 3, 6]
        assert all(np.isfinite(point["mAP"]) for point in curve)
        assert read_checkpoint(folder / "weights.pth")["meta"]["dataset_meta"]["classes"] == list(CLASSES)
        report = json.loads((folder / "transfer.json").read_text())
        assert report["matched"] == 44
        assert not list(folder.glob("iter_*"))
        assert (folder / "log.txt").stat().st_size
    assert detector_stage(trained, "resnext") == trained.finished("detector-resnext")


def test_learning_changes_every_layer(trained, tiny):
    before = read_state(trained.folder("source-resnext") / "weights.pth")
    after = read_state(trained.folder("detector-resnext") / "weights.pth")
    for name in ("backbone.conv1.weight", "neck.fpn_convs.0.conv.weight", "rpn_head.rpn_cls.weight"):
        assert not torch.equal(before[name], after[name])


@pytest.mark.parametrize(
    ("start", "equal"), [("pwt", {"backbone", "fc_cls"}), ("new-heads", {"backbone"}), ("scratch", set())]
)
def test_where_the_weights_start(trained, tiny, tmp_path, start, equal):
    from kit.stages.detector import starting_weights

    run = Run(config(f"detector.start={start}"), trained.path)
    state = starting_weights(run, "resnext", tmp_path)
    if start == "scratch":
        assert state is None
        return
    source = read_state(trained.folder("source-resnext") / "weights.pth")
    assert torch.equal(state["backbone.conv1.weight"], source["backbone.conv1.weight"])
    man, person = CLASSES.index("Man"), 0
    row = state["roi_head.bbox_head.0.fc_cls.weight"][man]
    same = torch.equal(row, source["roi_head.bbox_head.0.fc_cls.weight"][person])
    assert same == ("fc_cls" in equal)
    shared = "roi_head.bbox_head.0.shared_fcs.0.weight"
    assert torch.equal(state[shared], source[shared])


def test_missing_and_broken_pictures_are_recorded_and_skipped(trained, tiny, tmp_path, capsys):
    photos = tmp_path / "photos"
    shutil.copytree("data/mini/train", photos)
    names = sorted(path.stem for path in photos.iterdir())
    gone, broken = names[0], names[1:60]
    (photos / f"{gone}.jpg").unlink()
    for name in broken:
        (photos / f"{name}.jpg").write_bytes(b"broken")
    shutil.copytree(trained.path / "source-resnext", tmp_path / "run" / "source-resnext")
    run = Run(config(f"data.train.images={photos}"), tmp_path / "run")
    figures = detector_stage(run, "resnext")["metrics"]
    rows = (run.folder("detector-resnext") / "skipped.csv").read_text().splitlines()[1:]
    assert figures["left_out"] == len(rows) > 1
    assert f"{gone},not there" in rows
    assert {row.split(",")[0] for row in rows} <= {gone, *broken}
    assert "of 150 pictures (16.7%) were left out, the first " in capsys.readouterr().err


def test_mixed_precision_and_sgd(trained, tiny, tmp_path):
    shutil.copytree(trained.path / "source-resnext", tmp_path / "run" / "source-resnext")
    changes = ("precision=bfloat16", "optimizer=sgd", "rate=0.005", "iterations=2", "channels_last=true")
    more = [f"detector.training.{change}" for change in changes]
    run = Run(config(*more, "detector.inference.precision=bfloat16"), tmp_path / "run")
    assert np.isfinite(detector_stage(run, "resnext")["metrics"]["loss"])


def test_from_detections_to_a_submission(copied):
    run = Run(config("attribute.models=[]"), copied.path)
    for split in ("val", "test"):
        for name in ("resnext", "hrnet"):
            figures = detect_stage(run, split, name)["metrics"]
            assert figures["detections"] > 0
            assert figures["pictures_per_second"] > 0
    (folder,) = [run.folder("detect-val-hrnet") / "shards"]
    tables = list(read_shards(folder, ViewDetections))
    assert [len(t.images) for t in tables] == [
        25,
        25,
        len(split_boxes(run.config.data.val, "val").images) - 50,
    ]
    assert set(tables[0].model) == {"hrnet"}
    assert set(tables[0].view) == {"96x96", "96x96-flip"}
    assert np.bincount(tables[0].image).max() <= 2 * 20

    weights = chosen_weights(run)
    assert set(weights) == {"resnext", "hrnet"}
    tries = json.loads((run.folder("fusion-weights") / "tries.json").read_text())
    best = max(tries, key=lambda t: t["mAP"])
    chosen = next(t for t in tries if t["resnext"] * weights["hrnet"] == t["hrnet"] * weights["resnext"])
    assert chosen["mAP"] == best["mAP"]
    for split in ("val", "test"):
        record = fuse_stage(run, split)
        assert 0 < record["metrics"]["fused"] < record["metrics"]["boxes"]
    _, rows = table1_stage(run, "val")
    assert [row["detector"] for row in rows] == [
        "resnext", "resnext + 2 views", "hrnet", "hrnet + 2 views", "blend", "blend + 2 views",
    ]  # fmt: skip
    truth = split_boxes(run.config.data.val, "val")
    fused = Detections.concat(list(fused_detections(run, "val")))
    from kit.tables.official import read_image_labels

    labels = read_image_labels(run.config.data.val.labels, others=True)
    assert rows[-1]["mAP"] == pytest.approx(
        detection_scores(truth, labels, fused, CLASSES).mean_ap, abs=1e-12
    )
    prior_stage(run)
    predict_stage(run, "test", "prior")
    assert submission_stage(run, "prior")[1].ok


def test_detection_goes_on_after_the_shards_that_are_there(copied, monkeypatch, capsys):
    from kit.detector import inference

    real, calls = inference.detect, []

    def stopping(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(inference, "detect", stopping)
    with pytest.raises(KeyboardInterrupt):
        detect_stage(copied, "val", "resnext")
    detect_stage(copied, "val", "resnext")
    assert "going on after 1 of 3 shards" in capsys.readouterr().err
    assert len(calls) == 4


@pytest.mark.parametrize("method", ["nms", "soft-nms", "nmw"])
def test_the_published_ways_to_fuse(copied, method):
    for name in ("resnext", "hrnet"):
        detect_stage(copied, "val", name)
    run = Run(config(f"detector.fusion={{method: {method}, rounds: 0}}"), copied.path)
    assert fuse_stage(run, "val")["metrics"]["fused"] > 0


def test_the_search_prefers_the_better_model(run):
    truth = split_boxes(run.config.data.val, "val")
    good, bad = imperfect(truth, 1), imperfect(truth, 2)
    rng = np.random.default_rng(0)
    worse = Detections(bad.images, bad.image, rng.permutation(bad.label), bad.score, bad.box)

    def named(name, table):
        columns = {c: getattr(table, c) for c in ("image", *Detections.COLUMNS)}
        source = {"model": np.full(len(table), name), "view": np.full(len(table), "160x160")}
        return ViewDetections(images=table.images, **columns, **source)

    settings = load_config("mini", [*TINY, "detector.inference.views=[{size: [160, 160]}]"])
    weights, tries = search_weights(settings, {"good": named("good", good), "worse": named("worse", worse)})
    assert weights["good"] > weights["worse"]
    assert len(tries) > 3


@pytest.mark.parametrize(
    ("changes", "call", "message"),
    [
        ((), lambda run: detector_stage(run, "vgg"), "detector.models has no vgg; it has: resnext, hrnet"),
        (
            ("data.train.images=null",),
            lambda run: detector_stage(run, "resnext"),
            "data.train.images is not set",
        ),
        (
            ("data.val.images=null",),
            lambda run: detect_stage(run, "val", "hrnet"),
            "data.val.images is not set",
        ),
        (("data.val.images=none",), lambda run: detect_stage(run, "val", "hrnet"), "none: no such folder"),
        ((), lambda run: detect_stage(run, "val", "hrnet"), "run `kit train detector hrnet` first"),
        ((), lambda run: fuse_stage(run, "test"), "run `kit detect --split test` first"),
        ((), lambda run: table1_stage(run, "val"), "run `kit fuse --split val` first"),
        (("detector.models={}",), lambda run: fuse_stage(run, "val"), "detector.models is empty"),
        (
            ("detector.source.images=null",),
            lambda run: source_stage(run, "resnext"),
            "detector.models.resnext.weights is not set",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(tiny, tmp_path, changes, call, message):
    with pytest.raises(KitError, match=message) as error:
        call(Run(config(*changes), tmp_path / "run"))
    assert "\n" not in str(error.value)


def test_images_that_came_later_are_seen(copied, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    every = sorted(Path("data/mini/challenge2018").glob("*.jpg"))
    for path in every[:13]:
        shutil.copy(path, photos)
    (photos / every[13].name).write_bytes(b"broken")
    run = Run(config("attribute.models=[]", f"data.test.images={photos}"), copied.path)
    for name in ("resnext", "hrnet"):
        detect_stage(run, "val", name)
    capsys.readouterr()
    detections_of(run, "test", [OBJECTS])
    first = run.finished("detect-test-resnext")
    assert (first["metrics"]["images"], first["metrics"]["left_out"]) == (len(every), len(every) - 13)
    said = f"{len(every) - 14} of {len(every)} test images"
    assert capsys.readouterr().err.count(said) == 1  # one notice for both models
    rows = read_skipped(run.folder("detect-test-resnext") / "skipped.csv")
    assert set(rows) == {path.stem for path in every[13:]}
    assert rows[every[13].stem] == "not readable as a picture"
    again = Run(run.config, run.path)
    detections_of(again, "test", [OBJECTS])
    assert again.finished("detect-test-resnext") == first
    for path in every:
        shutil.copy(path, photos)
    detections_of(again, "test", [OBJECTS])
    last = again.finished("detect-test-resnext")
    assert last["metrics"]["left_out"] == 0
    assert last["made_from"] != first["made_from"]
    assert not (again.folder("detect-test-resnext") / "skipped.csv").exists()


def _chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_training_counts_by_its_images_and_takes_any(trained, tiny, tmp_path, capsys):
    photos = tmp_path / "photos"
    shutil.copytree("data/mini/train", photos)
    every = sorted(photos.iterdir())
    rng, header = np.random.default_rng(0), struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    for path, size in zip(every[:40], [(5, 4000), (4000, 5), (1, 1), (300, 2)] * 10, strict=True):
        cv2.imwrite(str(path), rng.integers(0, 255, (*size, 3)).astype(np.uint8))
    for path in every[40:60]:
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b""))
    shutil.copytree(trained.path / "source-resnext", tmp_path / "run" / "source-resnext")
    run = Run(config(f"data.train.images={photos}"), tmp_path / "run")
    first = detector_stage(run, "resnext")
    assert np.isfinite(first["metrics"]["loss"])
    rows = read_skipped(run.folder("detector-resnext") / "skipped.csv")
    assert set(rows) <= {path.stem for path in every[:60]}
    large = "20000 x 20000 pixels are more than data.max_pixels (100000000)"
    assert set(rows.values()) <= {large, "too narrow for an anchor"}
    assert detector_stage(run, "resnext") == first
    every[60].unlink()
    assert detector_stage(run, "resnext")["made_from"] != first["made_from"]
    assert f"the first {every[60].stem} (not there)" in capsys.readouterr().err
