"""`kit predict PHOTO...` and `kit show` by a run of few iterations."""

import json
import os
import shutil
from contextlib import chdir

import numpy as np
import pytest
from PIL import Image

from kit.base.errors import KitError
from kit.base.files import read_json
from kit.config import load_config
from kit.data.photos import list_photos
from kit.pipeline.photo_run import newest_run, predict_photos, run_of
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.splits import split_ids
from kit.tables.official import read_predictions
from kit.tables.schema import Predictions
from kit.tables.shards import SHARDS, read_shards
from tests.conftest import ALONE, config
from tests.jpegs import jpeg

pytestmark = pytest.mark.filterwarnings("ignore")
PRIOR = (*ALONE, "relation.scorer=prior")


@pytest.fixture(scope="module")
def predicted(trained, tiny_folder, tmp_path_factory):
    """A run whose prior has scored the validation and the test images."""
    base = tmp_path_factory.mktemp("work")
    shutil.copytree(trained.path, base / "runs/few")
    run = Run(config(*PRIOR), base / "runs/few")
    with chdir(tiny_folder):
        Pipeline(run).make(["predict-val", "predict-test"])
    return run


@pytest.fixture
def at_work(predicted, tiny_folder):
    """In the folder above the runs, where no data is."""
    with chdir(predicted.path.parents[1]):
        yield predicted


@pytest.fixture
def words(predicted, tiny):
    """Options that name the run, in the folder of its data."""
    return ["--config", predicted.path / "config.yaml", "--run", predicted.path]


def test_photos_of_the_test_set_have_the_predictions_of_the_test_set(at_work, tiny_folder, tmp_path, kit):
    folder = tiny_folder / load_config("mini").data.test.images
    with chdir(tiny_folder):
        names = split_ids(at_work.config, "test")[:3]
    photos = [list_photos(folder).path(name) for name in names]
    (tmp_path / "broken.png").write_bytes(b"x")
    code, out, err = kit("predict", *photos, tmp_path, "--out", tmp_path / "out", "--json")
    assert code == 0, err
    assert "1 of 4 photos (25.0%) could not be read, the first" in err
    told = json.loads(out)
    wanted = Predictions.concat(list(read_shards(at_work.path / "predict-test" / SHARDS, Predictions)))
    found = read_predictions(tmp_path / "out/relations.csv")
    assert told["photos"] == len(names)
    assert told["relations"] == len(found)
    for name in names:
        one, other = (table.of_images([name]) for table in (wanted, found))
        assert np.allclose(np.sort(other.score), np.sort(one.score)[-len(other) :], atol=1e-6)
        assert (tmp_path / f"out/{name}.png").is_file()
    whole = read_json(tmp_path / "out/relations.json", dict)
    assert [photo["id"] for photo in whole["photos"]] == list(names)
    assert [photo["file"] for photo in whole["unread"]] == [str(tmp_path / "broken.png")]
    first = whole["photos"][0]
    assert Image.open(photos[0]).size == (first["width"], first["height"])
    assert sum(len(photo["relations"]) for photo in whole["photos"]) == len(found)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["relations.csv", "relations.json", *(f"{name}.png" for name in names)]
    )


def test_a_further_call_goes_on_from_what_an_interrupted_one_left(predicted, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1, (96, 96)))
    photos = {"a": tmp_path / "a.jpg"}
    predict_photos(predicted, photos, tmp_path / "work")
    before = (tmp_path / "work/detect-test-resnext/stage.json").stat().st_mtime_ns
    again = predict_photos(predicted, photos, tmp_path / "work")
    assert (tmp_path / "work/detect-test-resnext/stage.json").stat().st_mtime_ns == before
    assert again.predictions.images == ("a",)


def test_the_newest_run_whose_models_are_there_is_taken(predicted, tmp_path):
    shutil.copytree(predicted.path, tmp_path / "old")
    shutil.copytree(predicted.path, tmp_path / "new")
    shutil.copytree(predicted.path, tmp_path / "unfinished")
    shutil.rmtree(tmp_path / "unfinished/final")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/config.yaml").write_text("a: [")
    for path in (tmp_path / "old").glob("*/stage.json"):
        os.utime(path, (1, 1))
    assert newest_run(tmp_path).path == tmp_path / "new"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gone.jpg"], "gone.jpg: no such file or folder"),
        (["empty"], "empty: no photos in it"),
        (["x.jpg"], "none of 1 photos can be read, the first x.jpg (not readable as an image)"),
        (["x.jpg", "--split", "val"], "--split and photos exclude each other"),
        (["x.jpg", "--run", "nowhere"], "nowhere: not the folder of a run"),
    ],
)
def test_what_is_wrong_is_one_line(at_work, kit, words, told):
    (at_work.path.parents[1] / "empty").mkdir(exist_ok=True)
    (at_work.path.parents[1] / "x.jpg").write_text("x")
    code, _, err = kit("predict", *words)
    assert code == 2
    assert told in err
    assert err.count("\n") == 1


def test_no_run_at_all(tmp_path):
    with pytest.raises(KitError, match="no run whose models are trained"):
        newest_run(tmp_path)
    with pytest.raises(KitError, match="a run without detectors"):
        predict_photos(
            Run(load_config("mini", ["detector.models={}"]), tmp_path / "run"), {}, tmp_path / "work"
        )
    with pytest.raises(KitError, match="not the folder of a run"):
        run_of(tmp_path)


def test_show_draws_every_layer_beside_the_others(words, predicted, tmp_path, kit):
    out = tmp_path / "shown"
    layers = ("--truth", "--detections", "--predictions")
    code, printed, err = kit("show", *words, "--images", "2", "--sheet", "--out", out, *layers)
    assert code == 0, err
    paths = printed.split()
    assert len(paths) == 3
    assert paths[0] == str(out / "sheet.png")
    three = Image.open(paths[1])
    name = paths[1].rpartition("/")[2].removesuffix(".png")
    code, printed, err = kit("show", name, *words, "--out", out, "--truth")
    assert (code, printed.split()) == (0, [str(out / f"{name}.png")])
    one = Image.open(printed.strip())
    assert three.width > 3 * one.width - 10


def test_show_takes_the_file_of_an_image_too(words, predicted, tmp_path, kit):
    name = split_ids(predicted.config, "val")[0]
    path = list_photos(predicted.config.data.val.images).path(name)
    assert kit("show", path, *words, "--out", tmp_path)[0] == 0
    by_file = np.asarray(Image.open(tmp_path / f"{name}.png"))
    assert kit("show", name, *words, "--out", tmp_path)[0] == 0
    assert (np.asarray(Image.open(tmp_path / f"{name}.png")) == by_file).all()


def test_show_turns_images_with_their_boxes_by_open_images_rotation(words, predicted, tmp_path, kit):
    """A quarter more a time, so that four drawings are four, and only a file that says so turns one."""
    name = split_ids(predicted.config, "val")[0]

    def shown(*rotated):
        (tmp_path / "images.csv").write_text("ImageID,Rotation\n" + "".join(f"{i},{d}\n" for i, d in rotated))
        more = ("--rotations", tmp_path / "images.csv", "--out", tmp_path, "--truth")
        assert kit("show", name, *words, *more)[0] == 0
        return (tmp_path / f"{name}.png").read_bytes()

    drawings = [shown((name, degrees)) for degrees in (0, 90, 180, 270)]
    assert len(set(drawings)) == 4
    assert drawings[0] == shown(("another", 90))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["nope"], "nope: neither an image of split val nor a file"),
        (["own.jpg"], "`kit predict own.jpg` finds relations in any photo"),
        (["--rotations", "x.csv", "--disagree"], "--rotations turns images of a split"),
        (["--rotations", "x.csv"], "x.csv"),
        (["--errors", "odd"], "no kind of error 'odd'"),
        (["--disagree"], "the spatial model has not scored these candidates"),
        (["a", "--errors", "all"], "--errors and --disagree choose the images themselves"),
        (["--errors", "all", "--truth"], "leave out --truth"),
        (["--split", "stack", "--detections"], "stage fuse-stack is not there"),
    ],
)
def test_show_says_what_is_wrong(words, tiny, kit, more, told):
    (tiny / "own.jpg").write_bytes(jpeg(1))
    code, _, err = kit("show", *words, *more)
    assert code == 2
    assert told in err
    assert err.count("\n") == 1


def test_show_draws_errors_of_each_kind(words, tmp_path, kit):
    code, printed, err = kit("show", *words, "--errors", "all", "--images", "1", "--out", tmp_path)
    assert code == 0, err
    kinds = [path.rpartition("/")[2].rpartition("-")[0] for path in printed.split()]
    assert "box-missed-01" in kinds
    assert len(kinds) == len(set(kinds))


def test_show_leaves_out_what_cannot_be_read(words, predicted, tmp_path, kit, monkeypatch):
    names = split_ids(predicted.config, "val")[:2]
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(list_photos(predicted.config.data.val.images).path(names[0]), folder)
    more = ["--set", f"data.val.images={folder}", "--truth", "--out", tmp_path]
    code, printed, err = kit("show", *names, *words, *more)
    assert (code, printed.count("\n")) == (0, 1)
    assert f"1 of 2 images (50.0%) cannot be drawn, the first {names[1]} (not there); left out" in err
