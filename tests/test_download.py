"""`kit download` of the real challenge, from a local mirror that holds the mini one's files."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.config import load_config
from kit.data.photos import photo_names
from kit.download import registry as kit_registry
from kit.download.plan import Choice, wanted_files, wanted_photos, wanted_splits
from kit.download.registry import registry
from kit.errors import KitError
from kit.tables.official import read_relations
from kit.vocabulary import vocabulary
from tests.badserver import serving

NEW = "annotations"
SAMPLE = "/VRD_sample_submission.csv"


@pytest.fixture
def server(tiny_folder, monkeypatch):
    """A mirror: every file of the registry by its name; what the mini challenge lacks is made up."""
    rows = [
        row if row["what"] == "weights" else row | {"size": "", "sha256": "", "rows": ""}
        for row in registry()
    ]
    monkeypatch.setattr("kit.download.registry.registry", lambda: rows)
    with serving() as answers:
        config = load_config("layer6")
        names = [r.path.relative_to(config.data.root) for r in wanted_files(config, "all")]
        for name in names:
            path = tiny_folder / "data/mini" / name
            answers.files[f"/{name}"] = path.read_bytes() if path.exists() else b"made up\n"
        for folder in ("train", "test", "validation", "challenge2018"):
            for path in (tiny_folder / "data/mini" / folder).glob("*.jpg"):
                answers.files[f"/{folder}/{path.name}"] = path.read_bytes()
        yield answers


@pytest.fixture
def words(server, tmp_path):
    """Options of the command: everything below a folder of its own, from the mirror."""
    root = tmp_path / "data"
    values = load_config("layer6").model_dump(mode="json")
    moved = json.loads(json.dumps(values).replace("data/openimages", str(root)))
    moved["data"]["download"] |= {"mirror": server.url, "read": 0.5, "tries": 2, "wait": 0.01}
    for model in moved["detector"]["models"].values():
        model["weights"] = None  # their hashes are known; the mirror's are made up
    (tmp_path / "config.yaml").write_text(json.dumps(moved))
    return ["--config", tmp_path / "config.yaml"]


def test_everything_comes_and_the_next_call_gets_nothing(kit, server, words, tmp_path, tiny_folder):
    code, out, err = kit("download", *words)
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
    before = sum(server.seen.values())
    code, out, _ = kit("download", *words, "--json")
    assert code == 0
    assert json.loads(out)["files"] == []
    assert sum(server.seen.values()) == before
    counts = json.loads(out)["photos"]
    assert counts["train"] == {"got": 0, "there": len(images), "missing": 0, "failed": 0}
    code, out, _ = kit("download", "test", *words)
    assert out == "photos test: 0 got, 30 there, 0 missing, 0 failed\n"


def test_a_dry_run_gets_nothing_and_tells_sizes(kit, server, words, tmp_path):
    code, out, err = kit("download", "--dry-run", "--json", *words)
    assert code == 0
    rows = json.loads(out)
    assert {Path(row["what"]).name: row["bytes"] for row in rows if row["bytes"] is not None} == {
        path[1:]: len(data) for path, data in server.files.items() if path.count("/") == 1 and path != SAMPLE
    }
    assert all(row["seconds"] is not None for row in rows if row["bytes"])
    assert "known when the files that name them are there" in err
    assert not (tmp_path / "data").exists()
    kit("download", NEW, *words)
    code, out, _ = kit("download", "photos", "--dry-run", "--json", *words)
    for row, folder in zip(json.loads(out), ("train", "test", "validation"), strict=True):
        size = sum(len(d) for p, d in server.files.items() if p.startswith(f"/{folder}/"))
        assert row["bytes"] == pytest.approx(size, rel=0.6)
        assert row["to get"] > 0
    code, out, _ = kit("download", "photos", "--dry-run", *words)
    assert "photos train" in out
    assert "kB and about" in out
    assert "free:" in out
    assert not (tmp_path / "data/train").exists()


def test_less_and_then_more(kit, server, words, tmp_path):
    kit("download", NEW, *words)
    _, out, _ = kit("download", "photos", "--split", "train", "--limit", 5, *words)
    assert out == "photos train: 5 got, 0 there, 0 missing, 0 failed\n"
    _, out, _ = kit("download", "photos", "--split", "train", "--limit", 9, *words)
    assert out == "photos train: 4 got, 5 there, 0 missing, 0 failed\n"
    config = load_config(str(words[1]))
    relations = read_relations(config.data.train.relations)
    _, out, _ = kit("download", "photos", "--split", "train", "--predicates", "holds,wears", *words)
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


def test_failures_are_listed_at_the_end_and_the_next_call_gets_the_rest(kit, server, words, tmp_path):
    server.tricks["/challenge-2019-train-vrd.csv"] = ["status 500"] * 2
    server.tricks["/challenge-2019-classes-vrd.csv"] = ["page"] * 2
    code, out, err = kit("download", *words)
    assert code == 1
    assert "challenge-2019-train-vrd.csv: HTTP 500" in err
    assert "a web page came instead of the file" in err
    assert not (tmp_path / "data/challenge-2019-train-vrd.csv").exists()
    for path in list(server.files):
        if path.startswith("/train/"):
            server.tricks[path] = ["status 503"] * 2
            break
    code, out, err = kit("download", *words)
    assert code == 1
    assert re.search(r"not got: 1 photos of train \([0-9a-f]{16} the first\): HTTP 503", err)
    code, out, _ = kit("download", *words)
    assert code == 0
    assert "photos train: 1 got" in out


def test_verify_finds_and_mends_what_is_damaged(kit, server, words, tmp_path):
    kit("download", *words)
    root = tmp_path / "data"
    text = root / "challenge-2019-classes-vrd.csv"
    whole = text.read_bytes()
    text.write_bytes(whole[:-1] + b"X")
    photo = next((root / "train").rglob("*.jpg"))
    photo.write_bytes(photo.read_bytes()[:-1] + b"X")
    server.tricks[f"/{text.name}"] = ["status 500"] * 2
    server.tricks[f"/train/{photo.name}"] = ["status 500"] * 2
    code, _, err = kit("download", "--verify", *words)
    assert code == 1
    assert err.count("was damaged") == 2
    assert text.read_bytes() == whole[:-1] + b"X"  # nothing is taken away before there is something better
    assert photo.exists()
    code, _, err = kit("download", "--verify", *words)
    assert code == 0
    assert err.count("was damaged") == 2
    assert text.read_bytes() == whole
    assert photo.read_bytes() == server.files[f"/train/{photo.name}"]
    assert kit("download", "--verify", *words)[2] == ""
    (root / "downloads.json").unlink()  # of what has no record the server tells the size
    text.write_bytes(whole[:10])
    code, _, err = kit("download", "--verify", *words)
    assert (code, err.count("was damaged")) == (0, 1)
    assert text.read_bytes() == whole


def test_the_dry_run_of_the_mini_challenge_makes_nothing(kit, tmp_path):
    options = ["--set", f"data.root={tmp_path}/mini"]
    code, out, err = kit("download", "--dry-run", "--json", *options)
    assert (code, json.loads(out)) == (0, {"files": []})
    assert "would be generated" in err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_listed(kit, server, words, tmp_path):
    kit("download", NEW, *words)
    (tmp_path / "data/train").write_text("no folder")
    code, out, err = kit("download", "photos", *words)
    assert code == 1
    assert "photos val: 60 got" in out
    assert "train: cannot be written" in err


def test_an_id_that_leads_elsewhere_is_refused(kit, server, words, tmp_path):
    server.files[SAMPLE] = b"ImageId,PredictionString\n../../evil,\n"
    code, _, err = kit("download", "test", *words)
    assert code == 1
    assert "photos test: data.test: image id '../../evil' cannot be a photo's name" in err


def test_a_wrong_name_is_told_before_anything_is_got(kit, server, words):
    code, _, err = kit("download", "--classes", "Dragon", *words)
    assert code == 2
    assert "no class Dragon; one of: " in err
    assert sum(server.seen.values()) == 0


def test_a_file_that_cannot_be_read_holds_up_its_own_photos_alone(kit, server, words):
    server.files["/challenge-2019-train-vrd.csv"] = b"x,y\n1,2\n"
    server.tricks["/challenge-2019-classes-vrd.csv"] = ["status 500"] * 2
    code, out, err = kit("download", *words)
    assert code == 1
    assert "photos val: 60 got" in out
    assert "not got: photos train: " in err
    assert "HTTP 500" in err


def test_without_the_client_the_rest_comes(kit, server, words, monkeypatch):
    del server.files[SAMPLE]
    monkeypatch.setattr("kit.download.job.find_spec", lambda _: None)
    code, out, err = kit("download", *words)
    assert code == 1
    assert "photos val: 60 got" in out
    assert "kaggle is not installed; pip install 'kit[kaggle]'" in err


def test_weights_are_those_of_the_config_and_hashed(kit, server, words, tmp_path):
    config = load_config("layer6")
    names = [r.path.name for r in wanted_files(config, "weights")]
    assert [n[:18] for n in names] == ["cascade_rcnn_x101_", "cascade_rcnn_hrnet"]
    model = f"detector.models.resnext.weights={tmp_path}/data/weights/{names[0]}"
    code, _, err = kit("download", "weights", *words, "--set", model)
    assert code == 1
    assert "another sha256" in err
    assert not (tmp_path / "data/weights" / names[0]).exists()


def broken_zip(data):
    with zipfile.ZipFile(archive := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.csv", data)
    bad = bytearray(archive.getvalue())
    bad[60:90] = bytes(30)
    return bytes(bad)


@pytest.mark.parametrize("packed", [False, True])
def test_the_sample_submission_comes_from_kaggle(kit, kaggle, server, words, tmp_path, packed):
    data = server.files.pop(SAMPLE)
    with zipfile.ZipFile(archive := io.BytesIO(), "w") as file:
        file.writestr("VRD_sample_submission.csv", data)
    kaggle.files[SAMPLE[1:]] = archive.getvalue() if packed else data
    code, out, err = kit("download", "test", *words)
    assert code == 0, err
    assert "photos test: 30 got" in out
    assert (tmp_path / "data" / SAMPLE[1:]).read_bytes() == data
    left = {p.name for p in (tmp_path / "data").iterdir() if not p.name.endswith(".lock")}
    assert left == {"challenge2018", "downloads.json", SAMPLE[1:]}
    kit("download", "test", *words)
    assert kaggle.seen["DownloadDataFile"] == 1


def test_what_kaggle_refuses_does_not_hold_up_the_rest(kit, kaggle, server, words, tmp_path, monkeypatch):
    data = server.files.pop(SAMPLE)
    kaggle.rules = False
    code, out, err = kit("download", *words)
    assert code == 1
    assert "got, 0 there" in out
    assert "not got: kaggle://open-images-2019-visual-relationship/VRD_sample_submission.csv: " in err
    assert "accept the rules" in err
    kaggle.rules = True
    monkeypatch.setattr("time.sleep", lambda _: None)
    for bad, cause in (
        (b"<html>log in</html>", "a web page came"),
        (b"ImageId\n", "no row"),
        (b"x,y\n1,2\n", "the header lacks this column"),
    ):
        kaggle.files[SAMPLE[1:]] = bad
        code, _, err = kit("download", "test", *words)
        assert (code, cause in err) == (1, True), err
        assert not (tmp_path / "data" / SAMPLE[1:]).exists()
    kaggle.files[SAMPLE[1:]] = data
    kaggle.tricks["GET"] = ["cut 100", "reset"]
    code, out, _ = kit("download", "test", *words)
    assert "photos test: 30 got" in out
    monkeypatch.setenv("KAGGLE_KEY", "")
    (tmp_path / "data" / SAMPLE[1:]).unlink()
    code, _, err = kit("download", "test", *words)
    assert "no Kaggle credentials; make a token" in err


def test_a_sample_submission_with_rows_missing_is_not_taken(
    kit, kaggle, server, words, tmp_path, monkeypatch
):
    rows = [row | {"rows": "30"} if row["what"] == "sample" else row for row in kit_registry.registry()]
    monkeypatch.setattr("kit.download.registry.registry", lambda: rows)
    data = server.files.pop(SAMPLE)
    kaggle.files[SAMPLE[1:]] = data[: data.index(b"\n", 200) + 1]
    code, _, err = kit("download", "test", *words)
    assert code == 1
    assert "rows came instead of 30" in err
    kaggle.files[SAMPLE[1:]] = data
    assert kit("download", "test", *words)[0] == 0


def test_photos_need_what_names_them(kit, server, words):
    code, _, err = kit("download", "photos", *words)
    assert code == 2
    assert (
        "challenge-2019-train-vrd.csv is not there; it names the photos: `kit download annotations` first"
        in err
    )
