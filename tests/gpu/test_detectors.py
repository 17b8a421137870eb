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
from kit.detector.architecture import build, model_config, prepare
from kit.detector.checkpoint import read_state
from kit.detector.device import mixed_precision
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
    images = replace(own.images, classes=ATTRIBUTES)
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


def scores(table, image):
    """The ten best scores of an image."""
    return np.sort(table.score[table.image == image])[::-1][:10]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_view_is_detected_as_on_the_cpu(workers, weights, device, photos):
    ours = found(weights, device, photos, precision="float32", workers=workers)
    theirs = found(weights, "cpu", photos, precision="float32")
    assert not ours.skipped
    for own, other in zip(ours.views, theirs.views, strict=True):
        for image in range(len(NAMES)):
            mine, cpu = scores(own, image), scores(other, image)
            assert len(mine) == len(cpu) > 0
            assert mine == pytest.approx(cpu, abs=1e-3)
        for label, score, box in zip(own.label[:5], own.score[:5], own.box[:5], strict=True):
            same = (other.image == own.image[0]) & (other.label == label)
            near = same & (abs(other.score - score) < 1e-3)
            assert (abs(other.box[near] - box).max(axis=1) < 0.01).any()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_best_of_bfloat16_are_those_of_the_cpu(workers, weights, device, photos):
    """Which of two boxes that overlap by about the threshold is suppressed hangs on the last bits: only boxes that
    both have are compared, and the best must be among them; what is rounded is seen by the next test."""
    ours = found(weights, device, photos, precision="bfloat16", workers=workers)
    theirs = found(weights, "cpu", photos, precision="bfloat16")
    assert not ours.skipped
    for own, other in zip(ours.views, theirs.views, strict=True):
        for image in range(len(NAMES)):
            mine, cpu = own.of_images([own.images[image]]), other.of_images([other.images[image]])
            best = np.argsort(-mine.score)[:1]
            near = (cpu.label == mine.label[best]) & (abs(cpu.box - mine.box[best]).max(axis=1) < 0.05)
            assert (abs(cpu.score[near] - mine.score[best]) < 0.05).any()


def numbers(weights, where, precision):
    """What the parts of a detector give for fixed pixels and fixed regions, before anything is chosen."""
    prepare()
    model = build(model_config("resnext-mini", 2, 1e-4, 50))
    model.load_state_dict(weights)
    model = model.to(where).eval()
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 3, 128, 160, generator=rng).to(where)
    corner = 96 * torch.rand(40, 2, generator=rng)
    image = torch.arange(40).reshape(-1, 1) % 2
    regions = torch.cat([image, corner, corner + 8 + 24 * torch.rand(40, 2, generator=rng)], dim=1).to(where)
    with torch.inference_mode(), mixed_precision(torch.device(where), precision):
        maps = model.extract_feat(pixels)
        given = [*maps, *(part for parts in model.rpn_head(maps) for part in parts)]
        for extract, head in zip(model.roi_head.bbox_roi_extractor, model.roi_head.bbox_head, strict=True):
            given += head(extract(maps[: extract.num_inputs], regions))
    return [tensor.float().cpu() for tensor in given]


def test_bfloat16_rounds_no_more_than_on_the_cpu(weights, device):
    """Of every part: how far it is from the CPU's float32, beside the CPU's own bfloat16."""
    exact, cpu, ours = (
        numbers(weights, where, precision)
        for where, precision in (("cpu", "float32"), ("cpu", "bfloat16"), (device, "bfloat16"))
    )
    for true, rounded, own in zip(exact, cpu, ours, strict=True):
        assert (own - true).abs().mean() <= 1.5 * (rounded - true).abs().mean() + 1e-6
        assert (own - true).abs().max() <= 0.05 * true.abs().max() + 1e-6


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
