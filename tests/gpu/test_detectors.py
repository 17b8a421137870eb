"""Both full-size detectors and the attribute detector learn on the device; detections are those of the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from kit.config import Inference, View
from kit.detector import training
from kit.detector.annotated_images import AnnotatedImages
from kit.detector.architecture import build, model_config, prepare
from kit.detector.checkpoint import read_state
from kit.detector.inference import detect
from kit.detector.training import train_detector
from tests.learning import NAMES, task

pytestmark = pytest.mark.filterwarnings("ignore")
ATTRIBUTES = tuple(f"pair {i}" for i in range(42))
ITERATIONS = 12
SCHEDULE = dict(iterations=ITERATIONS, batch_size=2, lr=1e-4, weight_decay=0.0, warmup=0, milestones=[])
VIEWS = [View(size=(128, 128)), View(size=(128, 128), flip=True), View(size=(192, 160))]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 255, (96, 128, 3)).astype(np.uint8)).save(folder / f"{name}.jpg")
    return folder


def losses(monkeypatch, own, folder):
    """The loss of every iteration."""
    seen, step = [], training.TrainingReport.step

    def noting(report, runner, done):
        step(report, runner, done)
        seen.append(report.loss)

    monkeypatch.setattr(training.TrainingReport, "step", noting)
    folder.mkdir(exist_ok=True)
    train_detector(own, folder, None, None)
    return seen


def falls(seen):
    return bool(np.isfinite(seen).all()) and np.mean(seen[-3:]) < np.mean(seen[:3])


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@pytest.mark.parametrize("architecture", ["resnext101-64x4d", "hrnet-w32"])
def test_a_full_size_detector_learns(architecture, precision, device, photos, tmp_path, monkeypatch):
    own = task(photos, size=(256, 256), precision=precision, **SCHEDULE)
    own = replace(own, architecture=architecture, device=device)
    assert falls(losses(monkeypatch, own, tmp_path))
    state = read_state(tmp_path / training.WEIGHTS)
    assert all(tensor.device.type == "cpu" for tensor in state.values())


def test_the_attribute_detector_learns(device, photos, tmp_path, monkeypatch):
    own = task(photos, size=(256, 256), precision="bfloat16", channels_last=True, **SCHEDULE)
    images = AnnotatedImages(photos, own.images.boxes, ATTRIBUTES)
    own = replace(own, architecture="resnext101-64x4d", images=images, device=device)
    assert falls(losses(monkeypatch, own, tmp_path))


@pytest.fixture(scope="module")
def weights(device, photos, tmp_path_factory):
    """A small detector that was trained on the device, by two workers from pinned memory."""
    folder = tmp_path_factory.mktemp("small")
    own = task(photos, size=(128, 128), workers=2, iterations=20, checkpoint_every=10)
    train_detector(replace(own, device=device), folder, None, None)
    return read_state(folder / training.WEIGHTS)


def found(weights, where, photos, **settings):
    prepare()
    model = build(model_config("resnext-mini", 2, 1e-4, 50))
    model.load_state_dict(weights)
    return detect(model.to(where), photos, NAMES, VIEWS, Inference(batch_size=2, **settings))


@pytest.mark.parametrize(("precision", "off"), [("float32", 1e-3), ("bfloat16", 0.05)])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_view_is_detected_as_on_the_cpu(workers, precision, off, weights, device, photos):
    ours = found(weights, device, photos, precision=precision, workers=workers)
    theirs = found(weights, "cpu", photos, precision=precision)
    assert not ours.skipped
    for own, other in zip(ours.views, theirs.views, strict=True):
        for image in range(len(NAMES)):
            mine, cpu = (np.sort(t.score[t.image == image])[::-1][:10] for t in (own, other))
            assert len(mine) == len(cpu) > 0
            assert mine == pytest.approx(cpu, abs=off)
        if precision == "float32":
            for label, score, box in zip(own.label[:5], own.score[:5], own.box[:5], strict=True):
                same = (other.image == own.image[0]) & (other.label == label)
                near = same & (abs(other.score - score) < off)
                assert (abs(other.box[near] - box).max(axis=1) < 0.01).any()


def test_copies_from_pinned_memory_are_whole(device):
    """What the loaders pin and copy without waiting arrives as it was."""
    if device == "cpu":
        pytest.skip("memory is pinned for a card alone")
    data = torch.arange(4096 * 64).reshape(64, 4096)
    loader = DataLoader(data, 8, num_workers=1, pin_memory=True, multiprocessing_context="forkserver")
    got = []
    for batch in loader:
        assert batch.is_pinned()
        got.append(batch.to(device, non_blocking=True))
    assert torch.equal(torch.cat(got).cpu(), data)


def test_workers_are_no_fork_of_a_process_that_holds_the_card(device, weights, photos, tmp_path, monkeypatch):
    """A fork takes the card's context with it, which no other process can use."""
    if device == "cpu":
        pytest.skip("there is no card to hold")
    methods, begin = [], DataLoader.__init__

    def noting(loader, *arguments, **options):
        begin(loader, *arguments, **options)
        context = loader.multiprocessing_context
        methods.append(context.get_start_method() if context else "fork")

    monkeypatch.setattr(DataLoader, "__init__", noting)
    found(weights, device, photos, workers=1)
    own = task(photos, size=(64, 64), iterations=2, workers=1)
    train_detector(replace(own, device=device), tmp_path, None, None)
    assert len(methods) >= 2
    assert set(methods) <= {"spawn", "forkserver"}
