"""`kit download` of the real challenge, from a local mirror that holds the mini one's files."""

import json
import shutil

import pytest

from kit.config import load_config
from kit.download.plan import Choice, wanted_files, wanted_photos
from kit.errors import KitError
from kit.tables.official import read_relations
from tests.badserver import serving

NEW = "annotations"


@pytest.fixture
def server(tiny_folder):
    """A mirror: every file of the registry by its name; what the mini challenge lacks is made up."""
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
    images = len(read_relations(tiny_folder / "data/mini/challenge-2019-train-vrd.csv").images)
    assert f"photos train: {images} got" in out
    root = tmp_path / "data"
    for name in ("challenge-2019-train-vrd.csv", "test-annotations-vrd.csv"):
        assert (root / name).read_bytes() == (tiny_folder / "data/mini" / name).read_bytes()
    assert len(list((root / "validation").glob("*.jpg"))) > 0
    before = sum(server.seen.values())
    code, out, _ = kit("download", *words, "--json")
    assert code == 0
    assert json.loads(out)["files"] == []
    assert sum(server.seen.values()) == before
    ids = "VRD_sample_submission.csv"
    shutil.copy(tiny_folder / "data/mini" / ids, root / ids)
    code, out, _ = kit("download", "test", *words)
    assert "photos test: 30 got" in out


def test_a_dry_run_gets_nothing_and_tells_sizes(kit, server, words, tmp_path):
    code, out, err = kit("download", "--dry-run", "--json", *words)
    assert code == 0
    rows = json.loads(out)
    assert sum(row["bytes"] for row in rows) == sum(
        len(d) for p, d in server.files.items() if p.count("/") == 1
    )
    assert "when the annotations are there" in err
    assert not (tmp_path / "data").exists()
    kit("download", NEW, *words)
    code, out, _ = kit("download", "photos", "--dry-run", *words)
    assert "photos train" in out
    assert "GB, free:" in out
    assert not (tmp_path / "data/train").exists()


def test_less_and_then_more(kit, server, words, tmp_path):
    kit("download", NEW, *words)
    _, out, _ = kit("download", "photos", "--split", "train", "--limit", 5, *words)
    assert out == "photos train: 5 got, 0 there, 0 missing, 0 failed\n"
    _, out, _ = kit("download", "photos", "--split", "train", "--limit", 9, *words)
    assert out == "photos train: 4 got, 5 there, 0 missing, 0 failed\n"
    config = load_config(str(words[1]))
    relations = read_relations(config.data.train.relations)
    for choice in (Choice(["train"], ["holds"]), Choice(["train"], ["holds"], ["Man"])):
        ((_, _, ids),) = wanted_photos(config, "photos", choice)
        assert 0 < len(ids) < len(relations.images)
    with pytest.raises(KitError, match="no predicate eats; one of: at, on"):
        wanted_photos(config, "photos", Choice(["train"], ["eats"]))


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
    assert "not got: 1 photos of train: HTTP 503" in err
    code, out, _ = kit("download", *words)
    assert code == 0
    assert "photos train: 1 got" in out


def test_verify_finds_and_mends_what_is_damaged(kit, server, words, tmp_path):
    kit("download", *words)
    root = tmp_path / "data"
    text = root / "challenge-2019-classes-vrd.csv"
    whole = text.read_bytes()
    text.write_bytes(whole[:-1] + b"X")
    photo = next((root / "train").glob("*.jpg"))
    photo.write_bytes(photo.read_bytes()[:200])
    code, _, err = kit("download", "--verify", *words)
    assert code == 0
    assert err.count("is damaged") == 2
    assert text.read_bytes() == whole
    assert photo.read_bytes() == server.files[f"/train/{photo.name}"]


def test_weights_are_those_of_the_config_and_hashed(kit, server, words, tmp_path):
    config = load_config("layer6")
    names = [r.path.name for r in wanted_files(config, "weights")]
    assert [n[:18] for n in names] == ["cascade_rcnn_x101_", "cascade_rcnn_hrnet"]
    model = f"detector.models.resnext.weights={tmp_path}/data/weights/{names[0]}"
    code, _, err = kit("download", "weights", *words, "--set", model)
    assert code == 1
    assert "another sha256" in err
    assert not (tmp_path / "data/weights" / names[0]).exists()
