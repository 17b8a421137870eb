"""`kit download` of the real challenge, from a local mirror that holds the mini one's files."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.config import load_config
from kit.data.photos import photo_names
from kit.download.plan import Choice, wanted_files, wanted_photos, wanted_splits
from kit.errors import KitError
from kit.tables.official import read_relations
from kit.vocabulary import vocabulary
from tests.conftest import SAMPLE

NEW = "annotations"


def test_everything_comes_and_the_next_call_gets_nothing(kit, published, options, tmp_path, tiny_folder):
    code, out, err = kit("download", *options)
    assert code == 0, err
    images = {
        name
        for ending in ("", "-bbox")
        for name in pd.read_csv(tiny_folder / f"data/mini/challenge-2019-train-vrd{ending}.csv").ImageID
    }
    assert f"photos train: {len(images)} got" in out
    root = tmp_path / "data"
    for name in ("challenge-2019-train-vrd.csv", "test-annotations-vrd.csv"):
        assert (root / name).read_bytes() == (tiny_folder / "data/mini" / name).read_bytes()
    assert photo_names(root / "validation")
    before = sum(published.seen.values())
    code, out, _ = kit("download", *options, "--json")
    assert code == 0
    assert json.loads(out)["files"] == []
    assert sum(published.seen.values()) == before
    counts = json.loads(out)["photos"]
    assert counts["train"] == {"got": 0, "there": len(images), "missing": 0, "failed": 0}
    code, out, _ = kit("download", "test", *options)
    assert out == "photos test: 0 got, 30 there, 0 missing, 0 failed\n"


def test_a_dry_run_gets_nothing_and_tells_sizes(kit, published, options, tmp_path):
    code, out, err = kit("download", "--dry-run", "--json", *options)
    assert code == 0
    rows = json.loads(out)
    assert {Path(row["what"]).name: row["bytes"] for row in rows if row["bytes"] is not None} == {
        path[1:]: len(data)
        for path, data in published.files.items()
        if path.count("/") == 1 and path != SAMPLE
    }
    assert all(row["seconds"] is not None for row in rows if row["bytes"])
    assert "known when the files that name them are there" in err
    assert not (tmp_path / "data").exists()
    kit("download", NEW, *options)
    code, out, _ = kit("download", "photos", "--dry-run", "--json", *options)
    for row, folder in zip(json.loads(out), ("train", "test", "validation"), strict=True):
        size = sum(len(d) for p, d in published.files.items() if p.startswith(f"/{folder}/"))
        assert row["bytes"] == pytest.approx(size, rel=0.6)
        assert row["to get"] > 0
    code, out, _ = kit("download", "photos", "--dry-run", *options)
    assert "photos train" in out
    assert "kB and about" in out
    assert "free:" in out
    assert not (tmp_path / "data/train").exists()


def test_less_and_then_more(kit, published, options, tmp_path):
    kit("download", NEW, *options)
    _, out, _ = kit("download", "photos", "--split", "train", "--limit", 5, *options)
    assert out == "photos train: 5 got, 0 there, 0 missing, 0 failed\n"
    _, out, _ = kit("download", "photos", "--split", "train", "--limit", 9, *options)
    assert out == "photos train: 4 got, 5 there, 0 missing, 0 failed\n"
    config = load_config(str(options[1]))
    relations = read_relations(config.data.train.relations)
    _, out, _ = kit("download", "photos", "--split", "train", "--predicates", "holds,wears", *options)
    holding = {relations.images[i] for i in relations.image[np.isin(relations.predicate, [2, 5])]}
    assert sum(int(n) for n in re.findall(r"(\d+) (?:got|there)", out)) == len(holding)
    for choice in (Choice(["train"], ["holds"]), Choice(["train"], ["holds"], ["Man"])):
        _, ids = wanted_photos(config, "train", choice)
        assert 0 < len(ids) < len(relations.images)
    _, ids = wanted_photos(config, "train", Choice(classes=["Man"]))
    boxes = pd.read_csv(config.data.train.boxes[0])
    man = boxes.ImageID[boxes.LabelName == "/m/04yx4"]
    with_man = relations.subject == vocabulary().names.index("Man")
    assert set(ids.to_pylist()) == set(man) | {relations.images[i] for i in relations.image[with_man]}
    with pytest.raises(KitError, match="no predicate eats; one of: at, on"):
        wanted_splits(config, "photos", Choice(["train"], ["eats"]))


def test_failures_are_listed_at_the_end_and_the_next_call_gets_the_rest(kit, published, options, tmp_path):
    published.tricks["/challenge-2019-train-vrd.csv"] = ["status 500"] * 2
    published.tricks["/challenge-2019-classes-vrd.csv"] = ["page"] * 2
    code, out, err = kit("download", *options)
    assert code == 1
    assert "challenge-2019-train-vrd.csv: HTTP 500" in err
    assert "a web page came instead of the file" in err
    assert not (tmp_path / "data/challenge-2019-train-vrd.csv").exists()
    for path in list(published.files):
        if path.startswith("/train/"):
            published.tricks[path] = ["status 503"] * 2
            break
    code, out, err = kit("download", *options)
    assert code == 1
    assert re.search(r"not got: 1 photos of train \([0-9a-f]{16} the first\): HTTP 503", err)
    code, out, _ = kit("download", *options)
    assert code == 0
    assert "photos train: 1 got" in out


def test_verify_finds_and_mends_what_is_damaged(kit, published, options, tmp_path):
    kit("download", *options)
    root = tmp_path / "data"
    text = root / "challenge-2019-classes-vrd.csv"
    whole = text.read_bytes()
    text.write_bytes(whole[:-1] + b"X")
    photo = next((root / "train").rglob("*.jpg"))
    photo.write_bytes(photo.read_bytes()[:-1] + b"X")
    published.tricks[f"/{text.name}"] = ["status 500"] * 2
    published.tricks[f"/train/{photo.name}"] = ["status 500"] * 2
    code, _, err = kit("download", "--verify", *options)
    assert code == 1
    assert err.count("was damaged") == 2
    assert text.read_bytes() == whole[:-1] + b"X"  # nothing is taken away before there is something better
    assert photo.exists()
    code, _, err = kit("download", "--verify", *options)
    assert code == 0
    assert err.count("was damaged") == 2
    assert text.read_bytes() == whole
    assert photo.read_bytes() == published.files[f"/train/{photo.name}"]
    assert kit("download", "--verify", *options)[2] == ""
    (root / "downloads.json").unlink()  # of what has no record the published tells the size
    text.write_bytes(whole[:10])
    code, _, err = kit("download", "--verify", *options)
    assert (code, err.count("was damaged")) == (0, 1)
    assert text.read_bytes() == whole


def test_the_dry_run_of_the_mini_challenge_makes_nothing(kit, tmp_path):
    options = ["--set", f"data.root={tmp_path}/mini"]
    code, out, err = kit("download", "--dry-run", "--json", *options)
    assert (code, json.loads(out)) == (0, {"files": []})
    assert "would be generated" in err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_listed(kit, published, options, tmp_path):
    kit("download", NEW, *options)
    (tmp_path / "data/train").write_text("no folder")
    code, out, err = kit("download", "photos", *options)
    assert code == 1
    assert "photos val: 60 got" in out
    assert "train: cannot be written" in err


def test_an_id_that_leads_elsewhere_is_refused(kit, published, options, tmp_path):
    published.files[SAMPLE] = b"ImageId,PredictionString\n../../evil,\n"
    code, _, err = kit("download", "test", *options)
    assert code == 1
    assert "photos test: data.test: image id '../../evil' cannot be a photo's name" in err


def test_a_wrong_name_is_told_before_anything_is_got(kit, published, options):
    code, _, err = kit("download", "--classes", "Dragon", *options)
    assert code == 2
    assert "no class Dragon; one of: " in err
    assert sum(published.seen.values()) == 0


def test_a_file_that_cannot_be_read_holds_up_its_own_photos_alone(kit, published, options):
    published.files["/challenge-2019-train-vrd.csv"] = b"x,y\n1,2\n"
    published.tricks["/challenge-2019-classes-vrd.csv"] = ["status 500"] * 2
    code, out, err = kit("download", *options)
    assert code == 1
    assert "photos val: 60 got" in out
    assert "not got: photos train: " in err
    assert "HTTP 500" in err


def test_without_the_client_the_rest_comes(kit, published, options, monkeypatch):
    del published.files[SAMPLE]
    monkeypatch.setattr("kit.download.job.find_spec", lambda _: None)
    code, out, err = kit("download", *options)
    assert code == 1
    assert "photos val: 60 got" in out
    assert "kaggle is not installed; pip install 'kit[kaggle]'" in err


def test_weights_are_those_of_the_config_and_hashed(kit, published, options, tmp_path):
    config = load_config("layer6")
    names = [r.path.name for r in wanted_files(config, "weights")]
    assert [n[:18] for n in names] == ["cascade_rcnn_x101_", "cascade_rcnn_hrnet"]
    model = f"detector.models.resnext.weights={tmp_path}/data/weights/{names[0]}"
    code, _, err = kit("download", "weights", *options, "--set", model)
    assert code == 1
    assert "another sha256" in err
    assert not (tmp_path / "data/weights" / names[0]).exists()


def test_photos_need_what_names_them(kit, published, options):
    code, _, err = kit("download", "photos", *options)
    assert code == 2
    assert (
        "challenge-2019-train-vrd.csv is not there; it names the photos: `kit download annotations` first"
        in err
    )
