"""Two processes that train a model together, against one that learns from the same alone."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kit.config import Boosting, Visual
from kit.detector.annotated_images import SKIPPED, read_skipped
from kit.detector.architecture import build, model_config, prepare
from kit.detector.team import ALONE, Team
from kit.relation.boosting import TrainingRows, fit
from kit.relation.features import Features
from kit.relation.spatial_rows import PAIRWISE
from kit.relation.visual_data import PairRows
from kit.relation.visual_training import train_visual

pytestmark = pytest.mark.filterwarnings("ignore")
PAIRS, ROWS = 24, 600
PLAIN = Visual(
    crop_size=32, image_size=(64, 64), hidden=8, dropout=0.0, epochs=2, batch_size=8, negatives="all"
)
NETWORKS = {
    "heads": {"backbone": "shared", "freeze_backbone": True},
    "whole": {"backbone": "shared", "max_lr": 1e-4, "checkpoint_minutes": 0},
    "parts": {"backbone": "shared", "freeze_backbone": True, "accumulate": 3},
    "stored": {"crops": "store", "freeze_backbone": True},
    "dropped": {"crops": "store", "freeze_backbone": True, "dropout": 0.5},
    "regions": {"backbone": "shared", "features": "regions", "max_lr": 1e-4},
    "few": {"backbone": "shared", "features": "regions", "max_lr": 1e-4, "accumulate": 8},
    "broken": {"backbone": "shared", "max_lr": 1e-4, "batch_size": 4, "crop_size": 64},
}
NEAR = ("dropped", "few")  # each process has draws of its own; parts of a batch are normalised by other pairs
GROWN = {"memory": 0, "disk": 0, "classes": 3}  # classes of the labels, 0 for a binary one
EVERYTHING = Boosting(
    rounds=40,
    early_stopping_interval=10,
    subsample=1,
    colsample_bytree=1,
    reg_lambda=1,
    max_depth=3,
    folds=1,
    threads=1,
)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Rows, detector, settings: an image a pair, of which in the last case three of four are no photos."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(PAIRS):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / f"{i}.jpg")
        (folder / f"bad-{i}.jpg").write_bytes((folder / f"{i}.jpg").read_bytes() if i % 4 == 0 else b"broken")
    positive = rng.random((PAIRS, len(PAIRWISE))) < np.r_[0.5, 0.5, np.zeros(len(PAIRWISE) - 2)]
    box = np.sort(rng.random((2, PAIRS, 2, 2)), axis=2).reshape(2, PAIRS, 4).astype(np.float32)
    files = [folder / f"{i}.jpg" for i in range(PAIRS)]
    rows = PairRows(files, *box, positive, np.ones_like(positive))
    damaged = replace(rows, files=[folder / f"bad-{i}.jpg" for i in range(PAIRS)])
    prepare()
    torch.manual_seed(0)
    detector = build(model_config("resnext-mini", 57, 1e-4, 10)).state_dict()
    return {
        name: (
            damaged if name == "broken" else rows,
            "resnext-mini",
            detector,
            PLAIN.model_copy(update=changes),
        )
        for name, changes in NETWORKS.items()
    }


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Rows, settings, classes. Features have few values: the bins of all rows are those of any part of them."""
    cases = {}
    for name, classes in GROWN.items():
        rng = np.random.default_rng(1)
        x = rng.integers(0, 9, (ROWS, 4)).astype(np.float32)
        chance = 1 / (1 + np.exp(4 - x[:, 0] + 2 * (x[:, 1] > x[:, 2])))
        label = rng.random(ROWS) < chance
        label = (label + (x[:, 3] > 6)).astype(np.int64) if classes else label
        scratch = tmp_path_factory.mktemp("pages") if name == "disk" else None
        image = np.arange(ROWS) // 2
        rows = TrainingRows(Features(("a", "b", "c", "d"), x), label, image, image % 10, scratch=scratch)
        cases[name] = (rows, EVERYTHING, classes)
    return cases


@pytest.fixture(scope="module")
def together(networks, grown, tmp_path_factory):
    """The folder in which two processes have done everything."""
    folder = tmp_path_factory.mktemp("together")
    work = [(name, "visual", case) for name, case in networks.items()]
    work += [(name, "boosted", case) for name, case in grown.items()]
    for name, _, _ in work:
        (folder / name).mkdir()
    torch.save(work, folder / "work.pt")
    words, root = [sys.executable, "-m", "tests.team_rank", str(folder)], Path(__file__).parents[1]
    ranks = [subprocess.Popen([*words, str(rank)], cwd=root, stderr=subprocess.PIPE) for rank in range(2)]
    errors = [rank.communicate(timeout=300)[1].decode() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], errors
    return folder


@pytest.fixture
def notes(together):
    """What both said of every piece of work."""
    return [json.loads((together / f"notes{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", NETWORKS)
def test_two_processes_learn_what_one_learns_from_the_whole_batches(
    name, networks, together, notes, tmp_path
):
    expected = train_visual(*networks[name], 0, tmp_path, "cpu")
    assert notes[0][name] == notes[1][name]
    assert notes[0][name].keys() == expected.keys()
    for network, figures in expected.items():
        loss = pytest.approx(figures["loss"], abs=0.1 if name in NEAR else 1e-3)
        assert notes[0][name][network] == {**figures, "loss": loss}
        one, two = (read(place / f"{network}.pth") for place in (tmp_path, together / name))
        assert one.keys() == two.keys()
        assert all(torch.isfinite(tensor).all() for tensor in two.values())
        if name not in NEAR:
            apart = {key: float((one[key].double() - two[key].double()).abs().max()) for key in one}
            assert max(apart.values()) < 1e-3, apart
        assert not all(torch.equal(one[key], two[key]) for key in one)
    assert {p.name for p in (together / name).iterdir()} == {p.name for p in tmp_path.iterdir()}
    assert read_skipped(together / name / SKIPPED) == read_skipped(tmp_path / SKIPPED)


def read(path):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.parametrize("name", GROWN)
def test_two_processes_grow_the_trees_of_all_rows(name, grown, together, notes, tmp_path):
    rows, settings, classes = grown[name]
    expected = fit(rows, settings, 0, classes, folder=tmp_path)
    own = [np.load(together / name / f"rank{rank}.npy") for rank in range(2)]
    assert np.array_equal(*own)
    np.testing.assert_allclose(own[0], expected.model.predict(rows.features), atol=1e-4)
    for note in (note[name] for note in notes):
        assert note["rounds"] == expected.model.rounds > 0
        assert note["rows"] == ROWS // 2
        assert np.array_equal(np.float32(note["one"]), own[0][:1])
        assert list(note["loss"].values()) == pytest.approx(list(expected.loss.values()), abs=1e-4)


@given(st.lists(st.integers(), max_size=40), st.integers(1, 9))
def test_the_parts_of_anything_are_all_of_it(items, count):
    parts = [Team(rank, count).part(items) for rank in range(count)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_alone_has_nobody_to_tell():
    gradient = torch.ones(3)
    assert Team.here() == ALONE == Team(0, 1)
    assert (ALONE.first, ALONE.key) == (True, ())
    assert ALONE.told(2, 0.5).tolist() == [[2, 0.5]]
    assert ALONE.everyones("ab") == ["a", "b"]
    ALONE.agree(3, "x")
    assert [ALONE.first_decides(said) for said in (True, False)] == [True, False]
    assert ALONE.of_first(lambda: "made") == "made"
    ALONE.add_up([gradient])
    assert gradient.tolist() == [1, 1, 1]
    assert ALONE.joined(np.arange(3)).tolist() == [0, 1, 2]
