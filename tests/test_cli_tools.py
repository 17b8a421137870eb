import json
from pathlib import Path

import pytest
import torch

from kit.detector.checkpoint import read_state, write_state
from kit.detector.trained import source_names
from kit.tables import csvbatches
from kit.tables.official import read_detections
from kit.vocabulary import vocabulary
from tests.conftest import TINY
from tests.golden import FAULTY
from tests.heads import small

SET = [word for override in TINY for word in ("--set", override)]


@pytest.mark.parametrize("form", ["pred", "submission"])
def test_score_relations_as_json_has_the_golden_keys(kit, golden, form):
    folder = golden / "relations" / "mixed"
    code, out, err = kit(
        "score",
        "relations",
        "--truth",
        folder / "gt_vrd.csv",
        "--labels",
        folder / "gt_labels.csv",
        "--predictions",
        folder / f"{form}.csv",
        "--json",
    )
    expected = json.loads((folder / "expected.json").read_text())
    result = json.loads(out)
    assert code == 0
    assert set(result) == {"final_score", "relationships", "phrases", "counts"}
    assert result["counts"].keys() == expected["counts"].keys()
    assert result["final_score"] == pytest.approx(expected["if_argsort_were_stable"]["final_score"], abs=1e-9)
    assert "rows tie in score" in err


ERRORS = {
    "err_empty_pred": ("pred.csv, line 2", "no row below the header"),
    "err_invalid_box": ("pred.csv, line 3, column XMin1", "inverted subject box"),
    "err_missing_object_box": ("pred.csv, line 2, column XMin2", "empty where a finite number belongs"),
    "err_no_gt_relation": ("gt_vrd.csv, line 2", "no row below the header"),
    "err_unknown_label": ("pred.csv, line 3, column LabelName1", "unknown label '/m/doesnotexist'"),
    "err_unknown_label_in_labels": ("gt_labels.csv, line 4, column LabelName", "unknown label"),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_faulty_file_is_one_line_with_its_place(kit, golden, case):
    folder = golden / "relations" / case
    code, out, err = kit(
        "score",
        "relations",
        "--truth",
        folder / "gt_vrd.csv",
        "--labels",
        folder / "gt_labels.csv",
        "--predictions",
        folder / "pred.csv",
    )
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    for text in ERRORS[case]:
        assert text in err


def test_a_fault_of_the_file_comes_before_an_inverted_box_above_it(kit, golden, tmp_path, monkeypatch):
    monkeypatch.setattr(csvbatches, "PART", 300)
    folder = golden / "relations" / "err_invalid_box"
    lines = (folder / "pred.csv").read_text().splitlines()
    path = tmp_path / "pred.csv"
    path.write_text("\n".join([*lines, *lines[1:2] * 9, lines[1].rpartition(",")[0] + ",nan"]) + "\n")
    files = ["--truth", folder / "gt_vrd.csv", "--labels", folder / "gt_labels.csv", "--predictions", path]
    code, out, err = kit("score", "relations", *files)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"pred.csv, line {len(lines) + 10}, " in err
    assert "nan where a finite number belongs" in err


def test_predictions_of_other_images_are_noticed(kit, golden, tiny):
    truth = "data/mini/challenge-2019-validation-vrd.csv"
    words = ["--truth", truth, "--predictions", golden / "relations" / "mixed" / "pred.csv"]
    code, _, err = kit("score", "relations", *words)
    assert code == 0
    assert "141 of 141 images of the predictions (100.0%) are in neither truth nor labels" in err


ROW = "{id},/m/04yx4,/m/0342h,0.1,{x},0.1,0.9,0.2,0.6,0.4,0.8,plays"
HEADER = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel"


def test_predictions_that_cannot_count_are_told_and_scored_as_published(kit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a, b = "0a1b2c3d4e5f6071", "0000000000000012"
    rows = [ROW.format(id=i, x=0.5) for i in (a, b)]
    (tmp_path / "truth.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    found = [f"{rows[0]},0.9", f"{ROW.format(id='12.0', x=512)},0.8"]
    (tmp_path / "p.csv").write_text("\n".join([f"{HEADER},Score", *found]) + "\n")
    words = ["score", "relations", "--truth", "truth.csv", "--predictions", "p.csv", "--json"]
    code, out, err = kit(*words)
    assert code == 0
    assert json.loads(out)["relationships"]["AP"] == {"plays": 0.5}
    assert err.splitlines() == [
        "p.csv: 1 of 2 images of the predictions (50.0%) are in neither truth nor labels and do not count, the "
        "first 12.0: it would be 0000000000000012 but for its form of a number, lost zeros in front (ids are "
        "text, not numbers)",
        "p.csv: 1 of 2 rows (50.0%) have boxes beyond [0, 1] (pixels?), first at line 3",
    ]
    code, _, err = kit(*words, "--truth", "./truth.csv")
    assert (code, err) == (2, "kit: --truth: truth.csv is given twice; give every file once\n")


def test_a_file_of_an_odd_name_is_shown_as_it_is(kit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel"
    row = "a,/m/04yx4,/m/0342h,0.1,0.5,0.2,0.9,0.3,0.4,0.5,0.6,plays"
    Path("t.csv").write_text(f"{header}\n{row}\n")
    name = "p[red][x\x1b[31m].csv"
    Path(name).write_text(f"{header},Score\n{row},0.5\n")
    code, out, _ = kit("score", "relations", "--truth", "t.csv", "--predictions", name)
    assert code == 0
    assert out.splitlines()[0].strip() == r"p[red][x\x1b[31m].csv"


def test_labels_of_other_images_and_a_truth_in_pixels_are_told(kit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a = "0a1b2c3d4e5f6071"
    (tmp_path / "truth.csv").write_text(f"{HEADER}\n{ROW.format(id=a, x=512)}\n")
    (tmp_path / "p.csv").write_text(f"{HEADER},Score\n{ROW.format(id=a, x=0.5)},0.9\n")
    (tmp_path / "l.csv").write_text(f"ImageID,LabelName,Confidence\n{a.upper()},/m/04yx4,1\n")
    words = ["score", "relations", "--truth", "truth.csv", "--labels", "l.csv", "--predictions", "p.csv"]
    code, _, err = kit(*words)
    assert code == 0
    assert err.splitlines() == [
        f"l.csv: 1 of 1 images of the labels (100.0%) are not in the truth, the first {a.upper()}: it would be "
        f"{a} but for upper and lower case",
        "1 of 1 rows of the truth (100.0%) have boxes beyond [0, 1] (pixels?), those of p.csv have not",
    ]


def test_score_tables_and_analysis(kit, tiny):
    boxes = "data/mini/challenge-2019-validation-vrd"
    truth = ["--truth", f"{boxes}.csv", "--labels", f"{boxes}-labels.csv"]
    text = (tiny / f"{boxes}.csv").read_text().splitlines()
    (tiny / "p.csv").write_text(
        "\n".join([f"{text[0]},Score", *(f"{t},0.{i}" for i, t in enumerate(text[1:], 10))])
    )
    code, out, _ = kit("score", "relations", *truth, "--predictions", "p.csv", "--analysis", "--resamples", 5)
    assert code == 0
    for title in ("final score", "Per predicate", "95% intervals", "Simulated boards", "false positives"):
        assert title in out


def test_score_detections(kit, tiny):
    stem = "data/mini/hidden/test-vrd"
    words = ["score", "detections", "--truth", f"{stem}-bbox.csv", "--labels", f"{stem}-labels.csv"]
    code, out, _ = kit(*words, "--predictions", "data/mini/test-detections.csv", "--json")
    result = json.loads(out)
    assert code == 0
    assert 0 < result["mAP"] < 1
    assert set(result["AP"]) == set(result["num_gt"])
    code, out, _ = kit(*words, "--predictions", "data/mini/test-detections.csv")
    assert f"mAP {result['mAP']:.4f}" in out


def test_fuse_detection_files(kit, tiny, tmp_path):
    source, out = "data/mini/test-detections.csv", tmp_path / "fused.csv"
    code, text, _ = kit("fuse", source, source, "--weight", 1, "--weight", 2, "--out", out)
    assert code == 0
    assert "of 2 files" in text
    fused, one = read_detections(out), read_detections(source)
    assert set(fused.images) == set(one.images)
    assert len(fused) <= len(one)
    code, _, err = kit("fuse", source, "--weight", 1, "--weight", 2, "--out", out)
    assert (code, err) == (2, "kit: weights: expected 1, one a source, given 2\n")


def test_class_map_and_transfer(kit, tmp_path):
    code, out, _ = kit("classmap", "coco", "--out", tmp_path / "map.yaml")
    assert code == 0
    assert out.splitlines()[-1].startswith("44 of 57 classes matched")
    assert json.loads(kit("classmap", "coco", "--json")[1])["matched"] == 44
    write_state(tmp_path / "coco.pth", small(80), source_names("coco"))
    words = ["transfer", tmp_path / "coco.pth", "--out", tmp_path / "start.pth"]
    code, out, _ = kit(*words, "--map", tmp_path / "map.yaml")
    assert code == 0
    assert "head.fc_cls.weight: 45 rows copied, 13 initialised" in out
    assert "44 of 57 classes have a source class" in out
    state = read_state(tmp_path / "start.pth")
    man, person = vocabulary().names.index("Man"), source_names("coco").index("person")
    assert torch.equal(state["head.fc_cls.weight"][man], small(80)["head.fc_cls.weight"][person])
    assert source_names(str(tmp_path / "start.pth")) == vocabulary().names[:57]
    assert json.loads(kit(*words, "--classes", "coco", "--json")[1])["unused"] == []
    write_state(tmp_path / "tuned.pth", small(57, seed=4), vocabulary().names[:57])
    code, out, _ = kit(*words, "--unmatched", tmp_path / "tuned.pth")
    assert (code, "45 rows copied, 13 of " in out, "tuned.pth" in out) == (0, True, True)
    mixed, row = read_state(tmp_path / "start.pth"), "head.fc_cls.weight"
    guitar = vocabulary().names.index("Guitar")  # COCO has none
    assert torch.equal(mixed[row][guitar], small(57, seed=4)[row][guitar])
    assert torch.equal(mixed[row][man], state[row][man])
    code, _, err = kit(*words, "--unmatched", tmp_path / "coco.pth")
    assert (code, "a detector of 80 classes, but 57 are wanted" in err) == (2, True)
    code, _, err = kit("transfer", tmp_path / "none.pth", "--out", tmp_path / "x.pth")
    assert (code, err.count("\n")) == (2, 1)


def test_the_figure_of_sampling_alone(kit, tiny, tmp_path):
    code, out, err = kit("report", "--sampling", tmp_path / "s.png", "--limit", 5)
    assert (code, err) == (0, "")
    assert "N = ∞" in out
    assert "N = 5" in out
    assert (tmp_path / "s.png").exists()
    code, _, err = kit("report", "--sampling", tmp_path / "s.txt")
    assert (code, err.count("\n")) == (2, 1)
    code, same, err = kit("report", "sampling", "--out", tmp_path / "t.png", "--limit", 5)
    assert code == 0
    assert same == out.replace("s.png", "t.png")
    assert "is now `kit report --sampling FILE`" in err
