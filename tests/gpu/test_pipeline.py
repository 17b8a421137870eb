"""The pipeline of the tiny mini challenge on the device; its memory that is not enough; two cards."""

import math

import pytest
import torch
import xgboost as xgb

from kit.pipeline.record import read_record
from tests.conftest import FEW, TINY
from tests.stages import set_words
from tests.test_stages_training import two_processes

pytestmark = pytest.mark.filterwarnings("ignore")


def on(device, *more):
    """Words of a command: the tiny challenge, everything on the device that can be."""
    boosted = device if xgb.build_info()["USE_CUDA"] else "cpu"
    own = [f"detector.device={device}", *(f"relation.{k}.device={boosted}" for k in ("spatial", "stack"))]
    return set_words(*TINY, *FEW, "data.test.detections=[]", *own, *more)


def test_from_images_to_a_submission(device, tiny, tmp_path, kit):
    words = on(device, "detector.training.precision=bfloat16", "detector.inference.precision=bfloat16")
    code, _, err = kit("train", "all", "--run", tmp_path / "run", *words)
    assert code == 0, err
    for name in ("source-resnext", "detector-resnext", "attribute-detector-resnext", "visual"):
        assert math.isfinite(read_record(tmp_path / "run" / name)["metrics"]["loss"])
    code, _, err = kit("evaluate", "--split", "val", "--run", tmp_path / "run", *words)
    assert code == 0, err


def test_too_little_memory_is_one_line(device, tiny, tmp_path, kit):
    if device == "cpu":
        pytest.skip("a card's memory alone can be limited within a process")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-5)
    try:
        words = on(device, "detector.initial_weights=scratch")
        code, _, err = kit("train", "detector", "resnext", "--run", tmp_path / "run", *words)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert code == 2
    line = err.strip().splitlines()[-1]
    assert "out of memory" in line
    assert "batch_size" in line
    assert "Traceback" not in err


def test_two_ranks_on_two_cards(device, tiny, tmp_path):
    if torch.cuda.device_count() < 2:
        pytest.skip("one card at the most")
    words = (f"detector.device={device}", "detector.initial_weights=scratch")
    done = two_processes(tmp_path, "-", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    ranks = [torch.load(tmp_path / f"rank{r}.pth", weights_only=True, map_location="cpu") for r in range(2)]
    learned = [name for name in ranks[0] if name.endswith("weight") and "bn" not in name]
    assert all(torch.equal(ranks[0][name], ranks[1][name]) for name in learned)
