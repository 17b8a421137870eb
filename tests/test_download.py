"""`kit download` of the real challenge, from a local mirror that holds the mini one's files."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.data.photos import photo_names
from kit.download.selection import PhotoFilter, wanted_files, wanted_photos, wanted_splits
from kit.pipeline.needed_images import needed_images
from kit.pipeline.run import Run
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
    read = {r.path.name for r in wanted_files(load_config(str(options[1])), "annotations")}
    assert {Path(row["what"]).name: row["bytes"] for row in rows if row["bytes"] is not None} == {
        path[1:]: len(data) for path, data in published.files.items() if path[1:] in read
    }
    assert re.search(
        "9 published files are left out, .*: validation-annotations-vrd.csv, .*classes-vrd.csv", err
    )
    every = json.loads(kit("download", NEW, "--dry-run", "--json", "--all", *options)[1])
    assert {Path(row["what"]).name for row in every} > read
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


FEW = (
    "detector.training.iterations=3",
    "detector.training.batch_size=4",
    "relation.visual=null",
    "attribute.models=[]",
)


def test_photos_are_those_that_the_trainings_look_at(kit, published, options, tmp_path):
    few = [word for setting in FEW for word in ("--set", setting)]
    kit("download", NEW, *options)
    config = load_config(str(options[1]), FEW)
    drawn = needed_images(config, "train")
    assert 0 < len(drawn) <= 12  # of three batches of four
    code, out, err = kit("download", "photos", "--split", "train", *options, *few)
    assert (code, out) == (0, f"photos train: {len(drawn)} got, 0 there, 0 missing, 0 failed\n")
    assert f"photos train: `kit train all` looks at {len(drawn)} of 150, about 0.0 GB instead of 0.0" in err
    assert photo_names(tmp_path / "data/train") == drawn
    more = needed_images(config, "train", processes=4)
    assert more > drawn
    _, out, _ = kit("download", "photos", "--split", "train", "--processes", "4", *options, *few)
    assert out == f"photos train: {len(more - drawn)} got, {len(drawn)} there, 0 missing, 0 failed\n"
    code, out, err = kit("download", "photos", "--split", "train", "--all", *options, *few)
    assert (out, err) == (
        f"photos train: {150 - len(more)} got, {len(more)} there, 0 missing, 0 failed\n",
        "",
    )
    code, _, err = kit("download", "photos", "--split", "stack", *options, *few)
    assert code == 2
    assert "photos stack: no photo is looked at by `kit train all` with this config; --all gets" in err


def test_the_size_of_photos_that_nobody_tells_is_an_estimate(kit, published, options):
    kit("download", NEW, *options)
    for path in [p for p in published.files if p.startswith("/train/")]:
        del published.files[path]
    words = ("download", "photos", "--split", "train", "--all", "--dry-run", *options)
    (row,) = json.loads(kit(*words, "--json")[1])
    assert row == {
        "what": "photos train",
        "to get": 150,
        "bytes": 150 * 293_000,
        "about": True,
        "seconds": None,
    }
    assert "needed: about 44 MB and a time that is not known yet; free: " in kit(*words)[1]


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
    for choice in (PhotoFilter(["train"], ["holds"]), PhotoFilter(["train"], ["holds"], ["Man"])):
        _, ids = wanted_photos(config, "train", choice)
        assert 0 < len(ids) < len(relations.images)
    _, ids = wanted_photos(config, "train", PhotoFilter(classes=["Man"]))
    boxes = pd.read_csv(config.data.train.boxes[0])
    man = boxes.ImageID[boxes.LabelName == "/m/04yx4"]
    with_man = relations.subject == vocabulary().names.index("Man")
    assert set(ids.to_pylist()) == set(man) | {relations.images[i] for i in relations.image[with_man]}
    with pytest.raises(KitError, match="no predicate eats; one of: at, on"):
        wanted_splits(config, "photos", PhotoFilter(["train"], ["eats"]))


def test_machines_share_the_photos_by_parts(kit, published, options):
    kit("download", NEW, *options)
    words = ("download", "photos", "--split", "train", "--all", *options)
    for number in (3, 1, 2):
        _, out, _ = kit(*words, "--part", f"{number}/3")
        assert out == "photos train: 50 got, 0 there, 0 missing, 0 failed\n"
    _, out, _ = kit(*words)
    assert out == "photos train: 0 got, 150 there, 0 missing, 0 failed\n"
    assert kit(*words, "--limit", 2, "--part", "3/3")[2] == (
        "kit: photos train: no photo fits --part 3/3; choose others\n"
    )
    for wrong in ("0/3", "4/3", "1", "1/0", "a/b"):
        code, _, err = kit(*words, "--part", wrong)
        assert (code, err) == (
            2,
            f"kit: --part {wrong}: no part; give one such as 1/8, 2/8, up to 8/8\n",
        )


def test_failures_are_listed_at_the_end_and_the_next_call_gets_the_rest(kit, published, options, tmp_path):
    published.tricks["/challenge-2019-train-vrd.csv"] = ["status 500"] * 2
    published.tricks["/challenge-2019-validation-vrd-labels.csv"] = ["page"] * 2
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
    text = root / "challenge-2019-validation-vrd-labels.csv"
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
    assert "VRD_sample_submission.csv, line 2, column ImageId: '../../evil' cannot be an image's id" in err
    name = "/challenge-2019-validation-vrd.csv"
    published.files[name] = published.files[name].replace(b"\n", b"\n../", 2)
    code, _, err = kit("download", *options)
    assert code == 1
    assert "photos val: data.val: image id '../" in err


def test_a_wrong_name_is_told_before_anything_is_got(kit, published, options):
    code, _, err = kit("download", "--classes", "Dragon", *options)
    assert code == 2
    assert "no class Dragon; one of: " in err
    assert sum(published.seen.values()) == 0


def test_a_file_that_cannot_be_read_holds_up_its_own_photos_alone(kit, published, options):
    published.files["/challenge-2019-train-vrd.csv"] = b"x,y\n1,2\n"
    published.tricks["/test-annotations-human-imagelabels-boxable.csv"] = ["status 500"] * 2
    code, out, err = kit("download", *options)
    assert code == 1
    assert "photos val: 60 got" in out
    assert "not got: photos train: " in err
    assert "HTTP 500" in err


def test_without_the_client_the_rest_comes(kit, published, options, monkeypatch):
    del published.files[SAMPLE]
    monkeypatch.setattr("kit.download.download_all.find_spec", lambda _: None)
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


@pytest.mark.parametrize("more", [["--classes", "Piano"], ["--predicates", "under"]])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_choice_that_fits_no_photo_is_one_line(kit, published, options, tmp_path, more, dry):
    table = (
        "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel\n"
    )
    published.files["/challenge-2019-train-vrd.csv"] = (
        table + "aa00000000000001,/m/04bcr3,/m/083vt,0.1,0.6,0.2,0.7,0.1,0.6,0.2,0.7,is\n"
    ).encode()
    boxes = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"
    published.files["/challenge-2019-train-vrd-bbox.csv"] = (
        boxes + "aa00000000000001,/m/04bcr3,0.1,0.6,0.2,0.7,0\n"
    ).encode()
    kit("download", NEW, *options)
    code, out, err = kit("download", "photos", "--split", "train", *more, *dry, *options)
    assert (code, out) == (2, "")
    told = f"no photo fits {' '.join(more)}"
    assert err == f"kit: photos train: {told}; choose others\n"
    code, out, err = kit("download", "photos", "--split", "train", "--split", "val", *more, *dry, *options)
    assert code in (0, 2)  # the others may have some
    assert re.search(f"photos train(, val)?: {told}(; choose others)?\n", err)
    assert err.count(told) == 1


def test_files_without_rows_and_no_photos_at_all_are_a_line(kit, published, options):
    for name in ("challenge-2019-train-vrd.csv", "challenge-2019-train-vrd-bbox.csv"):
        published.files[f"/{name}"] = published.files[f"/{name}"].split(b"\n")[0] + b"\n"
    published.files["/challenge-2019-validation-vrd.csv"] = b""
    code, out, err = kit("download", *options)
    assert code == 1
    assert "photos stack: 20 got, 0 there, 0 missing, 0 failed" in out
    assert "challenge-2019-validation-vrd.csv: the file that came is empty" in err
    assert "train-vrd.csv, line 2: no row below the header" in err
    for more in ([], ["--dry-run"], ["--classes", "Man"], ["--limit", "3"]):
        code, _, err = kit("download", "photos", "--split", "train", *more, *options)
        assert code in (1, 2)
        assert "no row below the header" in err
    code, _, err = kit("download", "photos", "--limit", "0", *options)
    assert code == 2
    assert "--limit" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", "a\x00b", "a\rb", "x" * 300, "é", "a b", "a?b", "\x1b[31m", "."]
)
def test_ids_that_can_be_no_files_are_refused(kit, published, options, tmp_path, name):
    published.files[SAMPLE] = f'ImageId,PredictionString\n"{name}",\n'.encode()
    code, out, err = kit("download", "test", *options)
    assert code in (1, 2)
    assert out.replace(f"{tmp_path}", "").count("\n") <= 1
    assert "\x1b" not in err
    assert "\x00" not in err
    assert err.count("\n") == 2
    assert max(map(len, err.split("\n"))) < 700
    assert not any("challenge2018" in path for path in published.seen)


def test_ids_in_upper_case_are_ids(kit, published, options, tmp_path):
    name = "ABCDEF0123456789"
    photo = next(data for path, data in published.files.items() if path.startswith("/challenge2018/"))
    published.files |= {
        SAMPLE: f"ImageId,PredictionString\n{name},\n".encode(),
        f"/challenge2018/{name}.jpg": photo,
    }
    code, out, _ = kit("download", "test", *options)
    assert (code, out.splitlines()[-1]) == (0, "photos test: 1 got, 0 there, 0 missing, 0 failed")
    (path,) = (tmp_path / "data").rglob(f"{name}.jpg")
    assert path.read_bytes() == photo
    assert kit("download", "test", "--verify", *options)[:2] == (
        0,
        out.splitlines()[-1].replace("1 got, 0", "0 got, 1") + "\n",
    )


def test_a_folder_of_photos_may_be_a_link(kit, published, options, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data/train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/validation").symlink_to(tmp_path / "nowhere")
    code, _, err = kit("download", *options)
    assert code == 1
    assert list((tmp_path / "elsewhere").rglob("*.jpg"))
    assert re.search("not got: photos val: .*validation: cannot be written", err)


def test_what_is_there_needs_no_right_to_write(kit, published, options, tmp_path):
    kit("download", *options)
    for path in (tmp_path / "data").glob(".*.lock"):
        path.unlink()
        path.mkdir()  # opening it to write fails, whoever one is
    code, out, err = kit("download", *options)
    assert (code, err) == (0, "")
    assert "photos train: 0 got" in out


def test_a_password_of_the_mirror_is_nowhere(kit, published, options, tmp_path):
    own = published.url.replace("http://", "http://me:s3cret@")
    setting = ["--set", f"data.download.mirror={own}"]
    code, out, err = kit("download", "annotations", *options, *setting)
    assert code == 0, err
    said = out + err
    published.tricks["/challenge-2019-validation-vrd-labels.csv"] = ["status 500"] * 4
    (tmp_path / "data/challenge-2019-validation-vrd-labels.csv").unlink()
    _, out, err = kit("download", "annotations", *options, *setting)
    shown = published.url.replace("://", "://***@")
    assert f"not got: {shown}/challenge-2019-validation-vrd-labels.csv: HTTP 500" in err
    said += out + err + kit("config", *options, *setting)[1]
    loaded = load_config(str(options[1]), setting[1:])
    Run(loaded, tmp_path / "run").write_config()
    assert loaded.data.download.address() == own
    said += repr(loaded) + json.dumps(loaded.model_dump(mode="json"))
    for wrong in ("data.download.mirror=[%s]", "data.download=%s", "data.download.mirrors=%s", "data.%s"):
        code, out, err = kit("config", *options, "--set", wrong % own)
        assert code == 2
        said += out + err
    for bad in (own.replace("://", ":/"), own.replace("http", "htp"), own.replace(":s3cret", ":s3/cret")):
        code, out, err = kit("download", "annotations", *options, "--set", f"data.download.mirror={bad}")
        assert code in (1, 2)
        said += (out + err).replace("s3/cret", "s3cret")
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".jpg"]
    assert files
    said += "".join(p.read_text(errors="replace") for p in files)
    assert "s3cret" not in said


def test_a_copy_of_the_config_takes_the_secrets_from_the_environment(
    kit, published, options, tmp_path, monkeypatch
):
    own = published.url.replace("http://", "http://me:s3cret@")
    Run(load_config(str(options[1]), [f"data.download.mirror={own}"]), tmp_path / "run").write_config()
    copy = ["--config", tmp_path / "run/config.yaml"]
    code, _, err = kit("download", NEW, *copy)
    assert code == 2
    assert "its secrets are not kept; KIT_MIRROR is not set; set KIT_MIRROR to the whole address" in err
    monkeypatch.setenv("KIT_MIRROR", "https://me:s3cret@other")
    code, _, err = kit("download", NEW, *copy)
    assert code == 2
    assert "KIT_MIRROR is another address" in err
    assert "s3cret" not in err
    monkeypatch.setenv("KIT_MIRROR", own)
    assert kit("download", NEW, *copy)[0] == 0
    assert kit("submissions", "--offline", *copy)[0] == 0  # what asks no mirror needs no secrets


@pytest.mark.parametrize("place", ["file", "folders", "nothing"])
def test_a_mirror_that_is_no_mirror_is_a_line_a_file(kit, options, tmp_path, place):
    mirror = tmp_path / "mirror"
    if place == "file":
        mirror.write_text("no folder")
    elif place == "folders":
        for remote in wanted_files(load_config(str(options[1])), "annotations"):
            (mirror / remote.path.name).mkdir(parents=True)
    code, out, err = kit("download", "annotations", *options, "--set", f"data.download.mirror={mirror}")
    assert (code, out) == (1, "")
    why = {"file": "Not a directory", "folders": "not a file", "nothing": "No such file or directory"}[place]
    assert all(why in line for line in err.splitlines()[:-1])
    assert len(err.splitlines()) == len(wanted_files(load_config(str(options[1])), "annotations")) + 1


@pytest.mark.parametrize("damage", ["x" * 300_000, "\x00\x01\n", "a,b,c\n,,\n", '"open\n'])
def test_damaged_notes_beside_the_photos_are_no_fault(kit, published, options, tmp_path, damage):
    kit("download", *options)
    folder = tmp_path / "data/validation"
    (folder / "missing.csv").write_text(damage)
    for path in folder.glob("*/digests.csv"):
        path.write_text(damage)
    (tmp_path / "data/downloads.json").write_text(damage)
    code, out, err = kit("download", "--verify", *options)
    assert (code, err) == (0, "")
    assert "photos val: 0 got, 60 there, 0 missing, 0 failed" in out
    (folder / "missing.csv").unlink()
    (folder / "missing.csv").mkdir()
    code, out, err = kit("download", "photos", *options)
    assert code == 1
    assert "missing.csv: cannot be read (Is a directory); take it away" in err
