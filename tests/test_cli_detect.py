"""`kit detect --out`: what each detector sees under each view, as files that `kit fuse` takes."""

import json

from kit.tables.detection_formats import load_detections
from kit.tables.side_files import SideFiles
from tests.conftest import FEW, TINY
from tests.stages import set_words

WORDS = set_words(*TINY, *FEW, "data.test.detections=[]")


def test_a_file_of_every_detector_and_view(copied, kit, tmp_path):
    words = ["--split", "val", "--run", copied.path, *WORDS]
    code, out, err = kit("detect", *words, "--out", tmp_path / "f.json", "--format", "coco", "--json")
    assert code == 0, err
    for line in out.split("\n}\n{"):
        assert '"stage"' in line  # what was written is said on stderr
    views = [view.name for view in copied.config.detector.inference.views]
    files = [tmp_path / f"f-{name}-{view}.json" for name in ("resnext", "hrnet") for view in views]
    described = tmp_path / f"images-f-resnext-{views[0]}.json"
    assert sorted(tmp_path.glob("*.json")) == sorted([*files, described])
    assert len(json.loads(described.read_text())["images"]) == 60
    stage = json.loads((copied.path / "detect-val-resnext" / "stage.json").read_text())
    read = [load_detections([file], SideFiles(images=described)) for file in files[: len(views)]]
    assert sum(map(len, read)) == stage["metrics"]["detections"]
    code, _, err = kit("detect", "resnext", *words, "--out", tmp_path / "f.csv", "--attributes")
    assert (code, err.count("\n")) == (2, 1)
    assert kit("detect", "resnext", *words, "--format", "yolo")[0] == 2
