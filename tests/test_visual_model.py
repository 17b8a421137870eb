"""The visual model on images whose relation is seen in the pixels alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from kit.base.errors import KitError
from kit.base.parallel import ordered_map
from kit.base.progress import ProgressLine
from kit.config import Prior, Spatial, SplitFiles, Visual
from kit.data.split_tables import load_split
from kit.detector.annotated_images import SKIPPED, read_skipped
from kit.detector.architecture import build, model_config, prepare
from kit.detector.divergence import DivergedError
from kit.relation import network_training
from kit.relation.candidates import pair_candidates
from kit.relation.crops import union_crop
from kit.relation.prior_model import Examples, pair_examples
from kit.relation.spatial_model import SpatialScorer
from kit.relation.spatial_rows import PAIRWISE
from kit.relation.visual_data import PairRows, pair_rows
from kit.relation.visual_model import SHARED, load_visual
from kit.relation.visual_networks import CropNet
from kit.relation.visual_training import train_visual
from kit.tables.schema import Boxes
from kit.vocabulary import vocabulary
from tests.paths import OPENIMAGES, needs_openimages

pytestmark = pytest.mark.filterwarnings("ignore")
FEW = Visual(crop_size=32, hidden=16, epochs=6, batch_size=16, negatives=1.0, max_lr=3e-3)
LABEL = {name: i for i, name in enumerate(vocabulary().names)}
MAN, GUITAR = LABEL["Man"], LABEL["Guitar"]
HOLDS, PLAYS = vocabulary().predicate["holds"], vocabulary().predicate["plays"]
REGIONS = FEW.model_copy(update={"features": "regions", "image_size": (64, 64)})
PICTURES = 48


@pytest.fixture(scope="module")
def detector():
    prepare()
    torch.manual_seed(0)
    return build(model_config("resnext-mini", 57, 1e-4, 10)).state_dict()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A man and a guitar in every image; he holds it where the guitar is red, plays it where it is blue."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        pixels = rng.integers(60, 120, (40, 40, 3))
        pixels[10:30, 20:38] = [(220, 20, 20), (20, 20, 220)][i % 2]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"p{i:02}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def objects():
    images = tuple(f"p{i:02}" for i in range(PICTURES))
    box = np.tile(np.array([[0, 0.1, 0.4, 1], [0.5, 0.25, 0.95, 0.75]]), (PICTURES, 1))
    image = np.repeat(np.arange(PICTURES), 2)
    return Boxes(images, image, np.tile([MAN, GUITAR], PICTURES), box, np.zeros(2 * PICTURES, bool))


@pytest.fixture(scope="module")
def examples(objects):
    candidates = pair_candidates(objects)
    label = objects.label
    hit = np.zeros((len(candidates), 10), bool)
    man_first = label[candidates.subject] == MAN
    hit[:, HOLDS] = man_first & (candidates.image % 2 == 0)
    hit[:, PLAYS] = man_first & (candidates.image % 2 == 1)
    return Examples(candidates, label[candidates.subject], label[candidates.object], hit)


@pytest.fixture(scope="module")
def rows(examples, objects, photos):
    return pair_rows(examples, objects, photos)


@pytest.fixture(scope="module")
def spatial(examples):
    return SpatialScorer({}, {}, examples.statistics(Prior()), Spatial(), {})


def scores(folder, spatial, objects, photos):
    candidates = pair_candidates(objects)
    score = load_visual(folder, spatial, photos, "cpu").predict_pairs(objects, candidates)
    return candidates, score


@pytest.mark.parametrize("features", ["crops", "regions"])
@pytest.mark.parametrize("backbone", ["separate", "shared"])
def test_pixels_tell_what_boxes_cannot(
    backbone, features, rows, spatial, detector, objects, photos, tmp_path
):
    settings = REGIONS.model_copy(update={"backbone": backbone, "features": features, "epochs": 10})
    figures = train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path)
    names = {SHARED} if backbone == "shared" else {"holds", "plays"}
    assert set(figures) == names
    assert not list(tmp_path.glob("*.checkpoint"))
    candidates, score = scores(tmp_path, spatial, objects, photos)
    man_first = objects.label[candidates.subject] == MAN
    holds, plays = (score[man_first, p] for p in (HOLDS, PLAYS))
    red = candidates.image[man_first] % 2 == 0
    assert holds[red].mean() > holds[~red].mean() + 0.4
    assert plays[~red].mean() > plays[red].mean() + 0.4
    allowed = vocabulary().allowed[:, objects.label[candidates.subject], objects.label[candidates.object]].T
    assert (score[~allowed] == 0).all()


def test_a_frozen_trunk_keeps_the_detectors_weights(rows, detector, tmp_path):
    settings = FEW.model_copy(update={"freeze_backbone": True, "epochs": 1, "backbone": "shared"})
    train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path)
    state = torch.load(tmp_path / "shared.pth", weights_only=True)["state_dict"]
    tuned = FEW.model_copy(update={"epochs": 1, "backbone": "shared"})
    (tmp_path / "tuned").mkdir()
    train_visual(rows, "resnext-mini", detector, tuned, 0, tmp_path / "tuned")
    other = torch.load(tmp_path / "tuned/shared.pth", weights_only=True)["state_dict"]
    backbone = [name for name in state if name.startswith("backbone.")]
    assert all(torch.equal(state[name], detector[name]) for name in backbone)
    assert not all(torch.equal(other[name], detector[name]) for name in backbone)


def states(folder, names):
    return {name: torch.load(folder / f"{name}.pth", weights_only=True)["state_dict"] for name in names}


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("seen", [{"crops": "photos"}, {"crops": "store"}, {"features": "regions"}])
def test_a_training_interrupted_within_an_epoch_is_the_same(
    damaged, seen, rows, detector, tmp_path, monkeypatch, capsys
):
    """Of 24 positives and 24 negatives an epoch has three steps of 16; it is stopped at step five of nine."""
    shown = ProgressLine.show
    settings = FEW.model_copy(
        update={"epochs": 3, "workers": int(damaged), "checkpoint_minutes": 0, "image_size": (64, 64), **seen}
    )
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    for path in (whole, folder):
        path.mkdir()
    expected = train_visual(rows, "resnext-mini", detector, settings, 0, whole)

    def stopping(self, done, note=""):
        if (self.text, done) == ("visual plays", 5):
            raise KeyboardInterrupt
        shown(self, done, note)

    monkeypatch.setattr(ProgressLine, "show", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_visual(rows, "resnext-mini", detector, settings, 0, folder)
    newest = folder / "plays.5.checkpoint"
    assert {path.name for path in folder.glob("*.checkpoint")} == {"plays.4.checkpoint", newest.name}
    if damaged:
        newest.write_bytes(b"")
    done = []
    monkeypatch.setattr(ProgressLine, "show", lambda self, step, note="": done.append((self.text, step)))
    capsys.readouterr()
    figures = train_visual(rows, "resnext-mini", detector, settings, 0, folder)
    start = 4 if damaged else 5
    assert [step for step in done if step[0] not in ("crops", "regions")] == [
        ("visual plays", i) for i in range(start + 1, 10)
    ]
    err = capsys.readouterr().err
    assert f"visual plays: going on after step {start} of 9" in err
    assert ("plays.5.checkpoint is passed over" in err) == damaged
    assert figures == {"holds": expected["holds"], "plays": {**expected["plays"], "resumed_at": [start]}}
    assert json.loads((folder / "visual.json").read_text())["networks"] == ["holds", "plays"]
    one, other = (states(path, ("holds", "plays")) for path in (whole, folder))
    assert all(torch.equal(one[n][key], other[n][key]) for n in one for key in one[n])
    assert not list(folder.glob("*.checkpoint"))
    assert not (folder / "crops").exists()


def test_networks_trained_apart_are_those_of_one_training(rows, detector, tmp_path, monkeypatch):
    settings = FEW.model_copy(update={"epochs": 1, "crops": "store"})
    whole, apart = tmp_path / "whole", tmp_path / "apart"
    whole.mkdir()
    (apart / "crops-holds").mkdir(parents=True)  # of a process that was killed
    expected = train_visual(rows, "resnext-mini", detector, settings, 0, whole)
    for name in ("plays", "under", "holds"):  # the second has no pair to learn from
        figures = train_visual(rows, "resnext-mini", detector, settings, 0, apart, only=name)
        assert figures == {n: f for n, f in expected.items() if n == name}
    assert not (apart / "visual.json").exists()
    (apart / "crops-plays").mkdir()
    (apart / "plays.3.checkpoint").touch()  # of a process that was killed once its network was whole
    monkeypatch.setattr("kit.relation.visual_training._finish", None)  # nothing is trained again
    assert train_visual(rows, "resnext-mini", detector, settings, 0, apart) == expected
    one, other = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (whole, apart))
    assert one == other


def test_accumulated_parts_are_one_batch(rows, detector, tmp_path):
    """A frozen backbone, no dropout: four parts of four give the weights of one batch of sixteen."""
    settings = FEW.model_copy(
        update={"backbone": "shared", "freeze_backbone": True, "dropout": 0.0, "max_steps": 4}
    )
    for parts in (1, 4):
        folder = tmp_path / str(parts)
        folder.mkdir()
        own = settings.model_copy(update={"accumulate": parts})
        train_visual(rows, "resnext-mini", detector, own, 0, folder)
    one, four = (states(tmp_path / str(parts), ("shared",))["shared"] for parts in (1, 4))
    assert all(torch.allclose(one[key], four[key], atol=1e-5) for key in one)
    assert not all(torch.equal(one[key], detector.get(key, torch.zeros(0))) for key in one)


def test_a_network_that_is_not_whole_is_trained_again(rows, detector, tmp_path, capsys):
    settings = FEW.model_copy(update={"epochs": 1, "backbone": "shared"})
    figures = train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path)
    (tmp_path / "shared.pth").write_bytes(b"")
    assert train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path) == figures
    assert "visual shared is trained again" in capsys.readouterr().err


def test_a_training_that_diverges_stops(rows, detector, tmp_path):
    settings = FEW.model_copy(update={"backbone": "shared", "max_lr": 1e30, "warmup": 0})
    with pytest.raises(DivergedError) as error:
        train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path)
    text = str(error.value)
    assert text.startswith("visual shared: the ")
    assert " at step " in text
    assert "(images p" in text
    assert "lower relation.visual.max_lr (now 1e+30)" in text
    assert not (tmp_path / "shared.pth").exists()
    assert list(tmp_path.glob("*.checkpoint")) == []


@pytest.fixture
def batches(monkeypatch):
    """The images of every batch and the sum of its pixels, as trainings take them."""
    seen, whole = [], network_training.collate

    def noted(parts):
        batch = whole(parts)
        seen.append(([path.stem for path in batch[-1]], float(batch[0].sum())))
        return batch

    monkeypatch.setattr(network_training, "collate", noted)
    return seen


def test_the_batch_of_a_wrong_gradient_is_named(rows, detector, tmp_path, monkeypatch, batches):
    whole = torch.nn.utils.get_total_norm
    norms = []

    def poisoned(gradients):
        norms.append(whole(gradients))
        if len(norms) == 2:
            gradients[0][0] = np.inf
        return whole(gradients)

    monkeypatch.setattr(torch.nn.utils, "get_total_norm", poisoned)
    settings = FEW.model_copy(update={"backbone": "shared"})
    with pytest.raises(DivergedError, match="the gradient is inf at step 2 of epoch 1") as error:
        train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path)
    (first, _), (second, _) = batches[:2]
    assert set(first) != set(second)
    assert set(str(error.value).split("(images ")[1].split(")")[0].split(", ")) == set(second)


@pytest.mark.parametrize("settings", [FEW, REGIONS])
def test_a_missing_or_broken_image_has_the_prior(settings, rows, spatial, detector, objects, tmp_path):
    train_visual(rows, "resnext-mini", detector, settings.model_copy(update={"epochs": 1}), 0, tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "p00.jpg").write_bytes(b"broken")
    candidates, score = scores(tmp_path, spatial, objects, folder)
    subject, object_ = objects.label[candidates.subject], objects.label[candidates.object]
    assert np.allclose(score, spatial.statistics.prior[:, subject, object_].T)
    scorer = load_visual(tmp_path, spatial, folder, "cpu")
    scorer.predict_pairs(objects, candidates)
    assert scorer.skipped.pop("p00") == "not readable as an image"
    assert set(scorer.skipped.values()) == {"not there"}


@pytest.mark.parametrize("settings", [FEW, REGIONS])
def test_an_image_of_many_pairs_is_scored_in_portions(
    settings, rows, spatial, detector, photos, tmp_path, monkeypatch
):
    """A limit of 16 pairs: one image has 50, the others two or none; what the networks are given is within it."""
    settings = settings.model_copy(update={"epochs": 1, "backbone": "shared"})
    train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path)
    image = np.asarray([0] * 10 + [1, 1, 2] + [3] * 4)
    box = np.sort(np.random.default_rng(0).random((len(image), 2, 2)), axis=1).reshape(-1, 4)
    label = np.where(np.arange(len(image)) % 2, MAN, GUITAR)
    crowd = Boxes(tuple(f"p{i:02}" for i in range(4)), image, label, box, np.zeros(len(image), bool))
    candidates, whole = scores(tmp_path, spatial, crowd, photos)
    assert np.bincount(candidates.image).max() > 16
    given = []
    monkeypatch.setattr("kit.relation.visual_model.PAIRS", 16)
    monkeypatch.setattr("kit.relation.visual_model.CROPS", 16)
    scorer = load_visual(tmp_path, spatial, photos, "cpu")
    scorer.networks[SHARED].register_forward_pre_hook(lambda _, seen: given.append(len(seen[0])))
    assert np.abs(scorer.predict_pairs(crowd, candidates) - whole).max() < 1e-5
    assert sum(given) == len(candidates)
    assert max(given) == 16


def test_threads_score_as_one(rows, spatial, detector, objects, photos, tmp_path):
    train_visual(rows, "resnext-mini", detector, REGIONS.model_copy(update={"epochs": 1}), 0, tmp_path)
    candidates, alone = scores(tmp_path, spatial, objects, photos)
    scorer = load_visual(tmp_path, spatial, photos, "cpu")
    for found in ordered_map(lambda _: scorer.predict_pairs(objects, candidates), range(6), 3):
        assert np.allclose(found, alone, atol=1e-5)


def test_the_same_seed_the_same_networks(rows, detector, tmp_path):
    settings = FEW.model_copy(update={"epochs": 1, "backbone": "shared"})
    states = []
    for name in "ab":
        (tmp_path / name).mkdir()
        train_visual(rows, "resnext-mini", detector, settings, 3, tmp_path / name)
        states.append(torch.load(tmp_path / name / "shared.pth", weights_only=True)["state_dict"])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_rate_rises_and_falls_as_the_paper_says(rows, detector, tmp_path, monkeypatch):
    settings = Visual(epochs=35, crop_size=32, hidden=16, batch_size=2, warmup=0.1, backbone="shared")
    rates = []
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: rates.append(self.param_groups[0]["lr"]))
    few = rows.take(np.flatnonzero(rows.positive.any(axis=1))[:8])
    train_visual(few, "resnext-mini", detector, settings, 0, tmp_path)
    assert len(rates) == 35 * 4
    top = int(np.argmax(rates))
    assert top == 14  # a tenth of the steps
    assert rates[top] == pytest.approx(3e-4, rel=0.01)
    assert np.diff(rates[:top]) == pytest.approx(3e-4 / 15)
    assert (np.diff(rates[top:]) < 0).all()
    assert rates[77] == pytest.approx((3e-4 + 5e-5) / 2, rel=0.01)  # half way down
    assert rates[-1] == pytest.approx(5e-5, rel=0.01)


def test_negatives_are_bounded_and_new_in_every_epoch(rows, detector, tmp_path, batches):
    """Eight pairs are related; with one negative a positive an epoch has sixteen, one batch."""
    hit = np.zeros_like(rows.positive)
    hit[:8] = rows.positive[:8] | (np.arange(hit.shape[1]) == 0)
    hit[:, 1:] = False
    one = PairRows(rows.files, rows.subject, rows.object, hit, np.ones_like(rows.allowed))
    settings = FEW.model_copy(update={"epochs": 2})
    for name in "ab":
        (tmp_path / name).mkdir()
        train_visual(one, "resnext-mini", detector, settings, 0, tmp_path / name)
    assert [len(images) for images, _ in batches] == [16] * 4
    assert batches[:2] == batches[2:]
    assert sorted(batches[0][0]) != sorted(batches[1][0])


def test_every_negative_is_taken_where_all_are_wanted(rows, detector, tmp_path, batches):
    settings = FEW.model_copy(
        update={"epochs": 1, "negatives": "all", "backbone": "shared", "batch_size": 4096}
    )
    train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path)
    ((images, _),) = batches
    assert len(images) == int(rows.allowed.any(axis=1).sum())


def test_steps_can_be_capped(rows, detector, tmp_path, batches):
    settings = FEW.model_copy(update={"backbone": "shared", "max_steps": 2})
    train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path)
    assert len(batches) == 2


def test_both_families_have_a_backbone(tmp_path):
    prepare()
    for name in ("resnext-mini", "hrnet-mini"):
        network = CropNet(name, FEW, len(PAIRWISE)).eval()
        crop = union_crop(
            np.full((20, 20, 3), 99, np.uint8), np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 64
        )
        out = network(torch.from_numpy(crop.transpose(2, 0, 1)[None]))
        assert out.shape == (1, 9)
        linear = [m for m in network.heads[0] if isinstance(m, torch.nn.Linear)]
        assert len(linear) == 3
        assert [m.p for m in network.heads[0] if isinstance(m, torch.nn.Dropout)] == [FEW.dropout] * 3
    with pytest.raises(KitError, match="backbone is of another architecture"):
        network.start_from(build(model_config("resnext-mini", 2, 1e-4, 1)).state_dict())


def test_nothing_trained(spatial, tmp_path):
    with pytest.raises(KitError, match="run `kit train visual --force`"):
        load_visual(tmp_path, spatial, tmp_path, "cpu")


@pytest.mark.parametrize("settings", [FEW, REGIONS])
def test_no_pairs(settings, spatial, rows, detector, photos, tmp_path):
    train_visual(rows, "resnext-mini", detector, settings.model_copy(update={"epochs": 1}), 0, tmp_path)
    nothing = Boxes.empty(("p00",))
    assert load_visual(tmp_path, spatial, photos, "cpu").predict_pairs(
        nothing, pair_candidates(nothing)
    ).shape == (
        0,
        10,
    )


@needs_openimages
@pytest.mark.parametrize("part", ["train", "validation"])
def test_the_real_photos_go_the_same_way(part, detector, tmp_path):
    """Real rows and photos, read as any split; networks without training, since none is at hand."""
    folder = OPENIMAGES / "photos" / part
    tables = load_split(SplitFiles(relations=[folder / "vrd.csv"]), part)
    examples = pair_examples(tables)
    found = pair_rows(examples, tables.objects, folder)
    assert len(found.files) == len(examples.candidates) > 0
    settings = FEW.model_copy(update={"backbone": "shared", "epochs": 1, "crop_size": 64})
    train_visual(found, "resnext-mini", detector, settings, 0, tmp_path)
    spatial = SpatialScorer({}, {}, examples.statistics(Prior()), Spatial(), {})
    candidates, score = scores(tmp_path, spatial, tables.objects, folder)
    label = tables.objects.label
    allowed = vocabulary().allowed[list(PAIRWISE)][:, label[candidates.subject], label[candidates.object]].T
    own = score[:, list(PAIRWISE)]
    assert ((own > 0) == allowed).all()
    prior = spatial.statistics.prior[:, label[candidates.subject], label[candidates.object]].T
    assert not np.allclose(own, prior[:, list(PAIRWISE)])


@pytest.mark.parametrize("settings", [FEW, REGIONS])
def test_images_that_cannot_be_read_are_no_training(settings, rows, detector, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    rows = replace(rows, files=np.full(len(rows.files), tmp_path / "broken.jpg", object))
    with pytest.raises(KitError, match=r"visual shared: none of its \d+ pairs has an image that can be read"):
        train_visual(
            rows, "resnext-mini", detector, settings.model_copy(update={"backbone": "shared"}), 0, tmp_path
        )
    assert read_skipped(tmp_path / SKIPPED) == {"broken": "not readable as an image"}
