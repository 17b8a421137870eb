"""The detectors from source images to table 1, on the tiny challenge: few iterations, everything real."""

import json
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from contextlib import chdir
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kit.config import load_config
from kit.detector.annotated_images import read_skipped
from kit.detector.checkpoint import read_checkpoint, read_state
from kit.metric.detection_tables import detection_scores
from kit.metric.hierarchy import read_hierarchy, relatives_among
from kit.pipeline.images import say_left_out
from kit.pipeline.needed_images import needed_images
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.splits import CLASSES, split_boxes, split_ids
from kit.pipeline.stages.detector import starting_weights
from kit.pipeline.stages.evaluate_detections import read_table
from kit.pipeline.stages.fused_detections import fused_detections, search_weights
from kit.pipeline.stages.submission import file_name
from kit.tables.official import read_verified_labels
from kit.tables.schema import Detections, ViewDetections
from kit.tables.shards import read_shards
from kit.tables.submission_check import check_submission
from kit.vocabulary import vocabulary
from tests.conftest import ALONE, FEW, TINY, config
from tests.imperfect import imperfect
from tests.stages import alone, made, set_words

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
    record = trained.record("detector-resnext")
    assert made(trained, "detector-resnext") == record


def test_learning_changes_every_layer(trained, tiny):
    before = read_state(trained.folder("source-resnext") / "weights.pth")
    after = read_state(trained.folder("detector-resnext") / "weights.pth")
    for name in ("backbone.conv1.weight", "neck.fpn_convs.0.conv.weight", "rpn_head.rpn_cls.weight"):
        assert not torch.equal(before[name], after[name])


@pytest.mark.parametrize(
    ("start", "equal"), [("pwt", {"backbone", "fc_cls"}), ("new-heads", {"backbone"}), ("scratch", set())]
)
def test_where_the_weights_start(trained, tiny, tmp_path, start, equal):
    weights = trained.folder("source-resnext") / "weights.pth"
    state = starting_weights(config(f"detector.initial_weights={start}"), "resnext", weights, tmp_path)
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


def test_missing_and_broken_images_are_recorded_and_skipped(trained, tiny, tmp_path, capsys):
    photos = tmp_path / "photos"
    shutil.copytree("data/mini/train", photos)
    drawn = sorted(needed_images(config(*ALONE), "train"))
    gone, broken = drawn[0], drawn[1:6]
    (photos / f"{gone}.jpg").unlink()
    for name in broken:
        (photos / f"{name}.jpg").write_bytes(b"broken")
    shutil.copytree(trained.path / "source-resnext", tmp_path / "run" / "source-resnext")
    run = Run(config(f"data.train.images={photos}"), tmp_path / "run")
    figures = alone(run, "detector-resnext")["metrics"]
    rows = (run.folder("detector-resnext") / "skipped.csv").read_text().splitlines()[1:]
    assert (figures["images"], figures["left_out"]) == (len(drawn), 6)
    assert f"{gone},not there" in rows
    assert {row.split(",")[0] for row in rows} == {gone, *broken}
    said = capsys.readouterr().err
    assert f"1 of {len(drawn)} images that the training draws" in said
    assert f"6 of {len(drawn)} images ({6 / len(drawn):.1%}) were left out, the first " in said


def test_mixed_precision_and_sgd(trained, tiny, tmp_path):
    shutil.copytree(trained.path / "source-resnext", tmp_path / "run" / "source-resnext")
    changes = ("precision=bfloat16", "optimizer=sgd", "lr=0.005", "iterations=2", "channels_last=true")
    more = [f"detector.training.{change}" for change in changes]
    run = Run(config(*more, "detector.inference.precision=bfloat16"), tmp_path / "run")
    assert np.isfinite(alone(run, "detector-resnext")["metrics"]["loss"])


@pytest.fixture(scope="module")
def detected(trained, tiny_folder, tmp_path_factory):
    """A run with both detectors' detections of the validation and the test split."""
    path = tmp_path_factory.mktemp("detected") / "run"
    shutil.copytree(trained.path, path)
    run = Run(trained.config, path)
    with chdir(tiny_folder):
        Pipeline(run).make([f"detect-{split}-{n}" for split in ("val", "test") for n in ("resnext", "hrnet")])
    return run


@pytest.fixture
def with_detections(detected, tiny, tmp_path):
    """A copy of that run."""
    shutil.copytree(detected.path, tmp_path / "run")
    return Run(detected.config, tmp_path / "run")


def test_from_detections_to_a_submission(with_detections):
    many = (
        "relation.candidate_limits={boxes: 60, per_image: 100, per_pair: 20}"  # of detectors that know little
    )
    run = Run(config("attribute.models=[]", "relation.scorer=prior", many), with_detections.path)
    for split in ("val", "test"):
        for name in ("resnext", "hrnet"):
            figures = made(run, f"detect-{split}-{name}")["metrics"]
            assert figures["detections"] > 0
            assert figures["images_per_second"] > 0
    (folder,) = [run.folder("detect-val-hrnet") / "shards"]
    tables = list(read_shards(folder, ViewDetections))
    assert [len(t.images) for t in tables] == [
        25,
        25,
        len(split_boxes(run.config, "val").images) - 50,
    ]
    assert set(tables[0].model) == {"hrnet"}
    assert set(tables[0].view) == {"96x96", "96x96-flip"}
    assert np.bincount(tables[0].image).max() <= 2 * 20

    weights = made(run, "fusion-weights")["metrics"]["weights"]
    assert json.loads((run.folder("fusion-weights") / "weights.json").read_text()) == weights
    assert set(weights) == {"resnext", "hrnet"}
    tries = json.loads((run.folder("fusion-weights") / "tries.json").read_text())
    best = max(tries, key=lambda t: t["mAP"])
    chosen = next(t for t in tries if t["resnext"] * weights["hrnet"] == t["hrnet"] * weights["resnext"])
    assert chosen["mAP"] == best["mAP"]
    for split in ("val", "test"):
        record = made(run, f"fuse-{split}")
        assert 0 < record["metrics"]["fused"] < record["metrics"]["boxes"]
    made(run, "evaluate-val-detections")
    rows = read_table(run.folder("evaluate-val-detections"))
    assert [row["detector"] for row in rows] == [
        "resnext", "resnext + 2 views", "hrnet", "hrnet + 2 views", "blend", "blend + 2 views",
    ]  # fmt: skip
    truth = split_boxes(run.config, "val")
    fused = fused_detections(run.folder("fuse-val"))
    labels = read_verified_labels(run.config.data.val.labels)
    assert rows[-1]["mAP"] == pytest.approx(
        detection_scores(truth, labels, fused, CLASSES).mean_ap, abs=1e-12
    )
    made(run, "submission")
    path = run.folder("submission") / file_name(run.config)
    assert check_submission(path, split_ids(run.config, "test")).ok


def test_table_1_uses_the_hierarchy_of_the_config(with_detections, tmp_path, kit):
    """By a tree of one class above all others: the detectors of a few steps find some object, if not which."""
    path, (above, *others) = tmp_path / "tree.json", vocabulary().mids[:57]
    tree = {"LabelName": above, "Subcategory": [{"LabelName": mid} for mid in others]}
    path.write_text(json.dumps({"LabelName": "/m/0bl9f", "Subcategory": [tree]}))
    run = Run(config("attribute.models=[]", f"data.hierarchy={path}"), with_detections.path)
    for stage in ("fuse-val", "evaluate-val-detections"):
        made(run, stage)
    truth, fused = split_boxes(run.config, "val"), fused_detections(run.folder("fuse-val"))
    labels = read_verified_labels(run.config.data.val.labels)
    relatives = relatives_among(read_hierarchy(path), vocabulary().mids[:57])
    value = read_table(run.folder("evaluate-val-detections"))[-1]["mAP"]
    assert value == pytest.approx(
        detection_scores(truth, labels, fused, CLASSES, relatives).mean_ap, abs=1e-12
    )
    assert value != pytest.approx(detection_scores(truth, labels, fused, CLASSES).mean_ap, abs=1e-12)
    words = set_words(*TINY, *FEW, "data.test.detections=[]", "attribute.models=[]", f"data.hierarchy={path}")
    code, out, _ = kit("evaluate", "--detections", "--run", run.path, *words)
    assert (code, "val, detection mAP at IoU 0.5, with the class hierarchy tree.json" in out) == (0, True)

    path.write_text(path.read_text() + " ")
    states = {s.stage.name: s.state for s in Pipeline(run).status(["evaluate-val-detections"])}
    assert (states["detector-hrnet"], states["detect-val-hrnet"]) == ("finished", "finished")
    assert (states["fusion-weights"], states["evaluate-val-detections"]) == ("stale", "stale")


def test_detection_goes_on_after_the_shards_that_are_there(copied, monkeypatch, capsys):
    from kit.pipeline.engine import sharded

    real, calls = sharded.write_shard_bytes, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(sharded, "write_shard_bytes", stopping)
    with pytest.raises(KeyboardInterrupt):
        made(copied, "detect-val-resnext")
    made(copied, "detect-val-resnext")
    assert "going on after 1 of 3 shards" in capsys.readouterr().err
    assert len(calls) == 4


def test_one_pass_for_all_detectors_finds_what_a_pass_for_each_does(copied, monkeypatch):
    from kit.detector import photo_batches

    names = ["detect-val-resnext", "detect-val-hrnet"]
    alone = {name: made(copied, name, force=True)["id"] for name in names}
    decoded, real = [], photo_batches.read_image

    def counting(path, how):
        decoded.append(path)
        return real(path, how)

    monkeypatch.setattr(photo_batches, "read_image", counting)
    first = next((copied.folder(names[0]) / "shards").iterdir())
    part = copied.part_of(names[0])  # as after an interruption: one detector is a shard ahead
    (part / "shards").mkdir(parents=True)
    shutil.copy(first, part / "shards")
    fingerprint = copied.record(names[0])["fingerprint"]
    (copied.path / f".{names[0]}.json").write_text(json.dumps(fingerprint))
    for name in names:
        shutil.rmtree(copied.folder(name))
    records = Pipeline(copied).make(names)
    assert {name: records[name]["id"] for name in names} == alone
    assert len(decoded) == len(set(decoded)) == records[names[0]]["metrics"]["images"]


KILLED = """
import os, signal, sys
left = [4]
def hook(event, args):
    if event == "os.rename" and str(args[1]).endswith(".parquet"):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from kit.cli import main
main()
"""


def test_a_pass_of_two_detectors_that_is_killed_goes_on_to_the_same_bytes(detected, copied, kit):
    """SIGKILL while the fourth shard is written: one detector has the second of three, the other has not."""
    words = ["detect", "--split", "val", "--run", str(copied.path)]
    words += set_words(*TINY, *FEW, "data.test.detections=[]")
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], stderr=subprocess.DEVNULL, check=False)
    assert killed.returncode == -signal.SIGKILL
    names = ("detect-val-resnext", "detect-val-hrnet")
    assert [copied.record(name) for name in names] == [None, None]
    before = {}
    for name, count in zip(names, (2, 1), strict=True):
        shards = sorted((copied.part_of(name) / "shards").glob("[0-9]*.parquet"))
        before[name] = {path.name: path.stat().st_mtime_ns for path in shards}
        assert list(before[name]) == ["00000.parquet", "00001.parquet"][:count]
    code, _, err = kit(*words)
    assert code == 0, err
    for name, count in zip(names, (2, 1), strict=True):
        assert f"{name}: going on after {count} of 3 shards" in err
        shards, unbroken = (sorted((run.folder(name) / "shards").iterdir()) for run in (copied, detected))
        assert before[name].items() <= {path.name: path.stat().st_mtime_ns for path in shards}.items()
        assert [(p.name, p.read_bytes()) for p in shards] == [(p.name, p.read_bytes()) for p in unbroken]
        assert copied.record(name)["id"] == detected.record(name)["id"]


@pytest.mark.parametrize("method", ["nms", "soft-nms", "nmw"])
def test_the_published_ways_to_fuse(with_detections, method):
    run = Run(config(f"detector.fusion={{method: {method}, rounds: 0}}"), with_detections.path)
    assert made(run, "fuse-val")["metrics"]["fused"] > 0


def test_the_search_prefers_the_better_model(run):
    truth = split_boxes(run.config, "val")
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


DETECT, FUSE = ("detect", "hrnet"), ("fuse", "--split")
MISSING = [
    ((), ("train", "detector", "vgg"), "detector.models has no vgg; it has: resnext, hrnet"),
    (("data.train.images=null",), ("train", "detector", "resnext"), "data.train.images is not set"),
    (("data.val.images=null",), DETECT, "data.val.images is not set"),
    (("data.val.images=none",), DETECT, "none: no such folder"),
    ((), DETECT, "run `kit train detector hrnet` first"),
    ((), (*FUSE, "test"), "run `kit train detector resnext` first"),
    ((), ("train", "all", "--only", "fuse-val"), "run `kit detect resnext --split val` first"),
    ((), ("evaluate", "--detections"), "run `kit train detector resnext` first"),
    (("detector.models={}", "attribute.models=[]"), (*FUSE, "val"), "detector.models is empty"),
    (
        ("detector.source.images=null",),
        ("train", "detector", "resnext", "--only-source"),
        "detector.source.images is not set",
    ),
    (
        ("detector.source={images: null, annotations: null}",),
        ("train", "detector", "resnext"),
        "give a checkpoint with detector.models.resnext.weights, or a set to train one on",
    ),
]


@pytest.mark.parametrize(("changes", "words", "message"), MISSING)
def test_what_is_missing_is_said_in_one_line(tiny, tmp_path, kit, changes, words, message):
    settings = set_words(*TINY, *FEW, "data.test.detections=[]", *changes)
    code, out, err = kit(*words, "--run", tmp_path / "run", *settings)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_images_that_came_later_are_seen(with_detections, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    every = sorted(Path("data/mini/challenge2018").glob("*.jpg"))
    for path in every[:13]:
        shutil.copy(path, photos)
    (photos / every[13].name).write_bytes(b"broken")
    run = Run(config("attribute.models=[]", f"data.test.images={photos}"), with_detections.path)
    made(run, "fuse-val")
    capsys.readouterr()

    def detected(run):
        made(run, "fuse-test")
        say_left_out(Pipeline(run), "fuse-test")
        return run.record("detect-test-resnext")

    first = detected(run)
    assert (first["metrics"]["images"], first["metrics"]["left_out"]) == (len(every), len(every) - 13)
    said = f"{len(every) - 14} of {len(every)} test images"
    assert capsys.readouterr().err.count(said) == 1  # one notice for both models
    rows = read_skipped(run.folder("detect-test-resnext") / "skipped.csv")
    assert set(rows) == {path.stem for path in every[13:]}
    assert rows[every[13].stem] == "not readable as an image"
    again = Run(run.config, run.path)
    assert detected(again) == first
    for path in every:
        shutil.copy(path, photos)
    last = detected(again)
    assert last["metrics"]["left_out"] == 0
    assert last["fingerprint"] != first["fingerprint"]
    assert not (again.folder("detect-test-resnext") / "skipped.csv").exists()


def _chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_training_counts_by_its_images_and_takes_any(trained, tiny, tmp_path):
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
    first = alone(run, "detector-resnext")
    assert np.isfinite(first["metrics"]["loss"])
    rows = read_skipped(run.folder("detector-resnext") / "skipped.csv")
    assert set(rows) <= {path.stem for path in every[:60]}
    large = "20000 x 20000 pixels are more than data.max_pixels (100000000)"
    assert set(rows.values()) <= {large, "too narrow for an anchor"}
    assert alone(run, "detector-resnext") == first
    drawn = needed_images(config(*ALONE), "train")
    other, one = (next(p for p in every[60:] if (p.stem in drawn) == is_drawn) for is_drawn in (False, True))
    other.unlink()
    assert alone(run, "detector-resnext") == first
    one.unlink()
    assert alone(run, "detector-resnext")["fingerprint"] != first["fingerprint"]
    skipped = read_skipped(run.folder("detector-resnext") / "skipped.csv")
    assert skipped[one.stem] == "not there"
    assert other.stem not in skipped
