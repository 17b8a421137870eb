"""From nothing to a scored submission: a recorded session against local servers that behave badly.

`tests/end_to_end.txt` holds the commands and what they print, numbers as #; KIT_RECORD=1 writes it anew.
"""

import hashlib
import json
import os
import re
from pathlib import Path

import pytest

from kit.config import load_config
from kit.data.photos import photo_names
from kit.download.photo_store import read_missing
from kit.download.remote import registry
from kit.kaggle.records import read_records
from kit.metric.relations import evaluate
from kit.tables.image_lists import read_image_ids
from kit.tables.official import read_boxes, read_image_labels, read_predictions, read_relations
from tests.badserver import serving
from tests.conftest import FEW, TINY
from tests.kinds import HIERARCHY, hierarchy_json

pytestmark = pytest.mark.filterwarnings("ignore")
RECORDED = Path(__file__).with_suffix("").with_name("end_to_end.txt")
SAMPLE = "VRD_sample_submission.csv"
SESSION = """
kit download --dry-run
kit download
kit download --verify
kit train all
kit evaluate --split val
kit submit --dry-run
kit submit -m first --yes
kit submit -m again --yes
kit submissions
"""


@pytest.fixture
def weights(trained, tmp_path):
    """Weights of the source set, named as published ones are: the start of the sha256 at the end."""
    data = (trained.path / "source-resnext/weights.pth").read_bytes()
    path = tmp_path / f"cascade_rcnn_mini_coco-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    path.write_bytes(data)
    return path


@pytest.fixture
def mirror(tiny_folder, weights, monkeypatch):
    """What the world offers: the registry's files, the mini challenge in them, over a bad line."""
    name = f"weights/{weights.name}"
    rows = [r | {"size": "", "sha256": "", "rows": ""} for r in registry() if r["what"] != "weights"]
    own = {"what": "weights", "name": name, "url": "", "size": "", "sha256": weights.stem[-8:], "rows": ""}
    monkeypatch.setattr("kit.download.remote.registry", lambda: [*rows, own])
    with serving() as answers:
        answers.files[f"/{name}"] = weights.read_bytes()
        for row in rows:
            path = tiny_folder / "data/mini" / row["name"]
            if row["what"] == "annotations":
                answers.files[f"/{row['name']}"] = path.read_bytes() if path.exists() else b"a,b\n"
            for photo in path.glob("*.jpg") if row["what"] == "photos" else ():
                answers.files[f"/{row['name']}/{photo.name}"] = photo.read_bytes()
        answers.files[f"/{HIERARCHY}"] = hierarchy_json().encode()
        photos = sorted(p for p in answers.files if p.startswith("/train/"))
        del answers.files[photos[3]]
        answers.tricks |= {photos[5]: ["cut 300"], photos[6]: ["status 503"], photos[7]: ["page"]}
        answers.tricks["/challenge-2019-train-vrd.csv"] = ["", "", "cut 5000", "reset"]
        answers.tricks[f"/{name}"] = ["", "", "cut 100000", "slow 1"]
        yield answers


@pytest.fixture
def place(mirror, kaggle, weights, tiny_folder, tmp_path, monkeypatch):
    """An empty folder with nothing but the configuration of a real run: layer6's files, detectors for a laptop."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr("kit.kaggle.send.FIRST_POLL", 0.01)
    values = json.loads(load_config("mini", [*TINY, *FEW]).model_dump_json())
    data = json.loads(load_config("layer6").data.model_dump_json())
    data["download"] |= {"mirror": mirror.url, "read_timeout": 0.5, "backoff": 0.01, "concurrency": 8}
    values |= {"data": data, "run": "runs/first"}
    path = f"{data['root']}/weights/{weights.name}"
    values["detector"]["models"] = {"resnext": {"architecture": "resnext-mini", "weights": path}}
    (place / "first.yaml").write_text(json.dumps(values))
    kaggle.files[SAMPLE] = (tiny_folder / "data/mini" / SAMPLE).read_bytes()
    kaggle.tricks = {"PUT": ["cut 1000"], "CreateSubmission": ["lost"], "GetSubmission": ["status 502"]}
    return place


def plain(text, place, mirror):
    """A session's text without what differs from run to run, or may from machine to machine."""
    text = text.replace(str(place), "WORK").replace(mirror.url, "MIRROR")
    kept = [line for line in text.splitlines() if not re.match("stack .*stands|.* s left$", line)]
    return "".join(f"{line if line.startswith('photos ') else _plain_line(line)}\n" for line in kept)


def _plain_line(line):
    line = re.sub(r"(?<!\S)-(?=\d)|(?<=-)[0-9a-f]{8}(?=\.pth)", "", line)
    line = re.sub(r"\b[0-9a-f]{8}\b|\d[\d,]*(\.\d+)?(e-\d+)?", "#", line)
    line = re.sub(r"after #th|#\w\w to #\w\w|#(st|nd|rd|th)\b", "PLACE", line)
    line = re.sub(r"# (h|min|s)\b", "# s", re.sub(r"# (bytes|kB|MB|GB)\b", "# B", line))
    return re.sub(r"[ ─]{2,}", "  ", line).rstrip()


def truth(tiny_folder):
    hidden = tiny_folder / "data/mini/hidden"
    return read_relations(hidden / "test-vrd.csv"), read_image_labels(hidden / "test-vrd-labels.csv")


def test_from_nothing_to_a_scored_submission(kit, place, mirror, kaggle, tiny_folder, tmp_path):
    relations, labels = truth(tiny_folder)

    def score(data):
        (tmp_path / "sent.csv").write_bytes(data)
        value = evaluate(relations, read_predictions(tmp_path / "sent.csv"), labels).final_score
        return f"{value:.5f}", f"{value:.5f}"

    kaggle.score = score
    session = []
    for command in SESSION.split("\n")[1:-1]:
        words = [*command.split()[1:], "--config", "first.yaml"]
        code, out, err = kit(*words)
        session.append(f"$ {command}\n{out}{err}" + (f"(exit code {code})\n" if code else ""))
    text = plain("".join(session), place, mirror)
    if os.environ.get("KIT_RECORD"):
        RECORDED.write_text(text)
    assert text == RECORDED.read_text()

    data = place / "data/openimages"
    gone = list(read_missing(data / "train"))
    assert len(gone) == 1
    images = set(read_boxes(data / "challenge-2019-train-vrd-bbox.csv").images)
    assert photo_names(data / "train") == images - set(gone)
    for name in ("challenge-2019-train-vrd.csv", "challenge-2019-validation-vrd-bbox.csv", SAMPLE):
        assert (data / name).read_bytes() == (tiny_folder / "data/mini" / name).read_bytes()
    assert len(read_boxes(data / "challenge-2019-validation-vrd-bbox.csv")) > 0

    (sent,) = kaggle.submissions  # one, though its answer was lost and it was asked for twice
    written = place / "runs/first/submission/submission.csv"
    assert sent["data"] == written.read_bytes()
    read_back = read_predictions(written)
    assert set(read_back.images) <= set(read_image_ids(data / SAMPLE))
    (record,) = read_records(place / "submissions")
    assert (record.state, record.ref, record.run, record.message) == ("complete", 1000, "runs/first", "first")
    assert record.private == pytest.approx(evaluate(relations, read_back, labels).final_score, abs=5e-6)
    score_of_val = json.loads((place / "runs/first/evaluate-val/metrics.json").read_text())
    assert record.local == score_of_val["scores"]["final_score"]
    assert record.config["data"]["source"] == "openimages"
