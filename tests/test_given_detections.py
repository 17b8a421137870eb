"""Detections from elsewhere, for every split and in every form: they stand in place of detection and fusion."""

import json
from pathlib import Path

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.data.image_sizes import FolderSizes
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stages.evaluate_relations import read_evaluation
from kit.pipeline.stages.fused_detections import fused_detections
from kit.tables.detection_formats import load_detections, save_detections
from kit.tables.official import read_boxes
from kit.tables.side_files import SideFiles
from tests.conftest import FAST, TINY
from tests.imperfect import imperfect
from tests.stages import set_words

PRIOR = [*FAST, "relation.scorer=prior"]
FORMS = {"openimages": "val.csv", "kaggle": "val.csv", "coco": "val.json", "yolo": "val"}


@pytest.fixture(scope="module")
def found(tiny_folder):
    """What an imperfect detector sees in the validation split."""
    return imperfect(read_boxes([tiny_folder / "data/mini/challenge-2019-validation-vrd-bbox.csv"]), 5)


@pytest.fixture
def given(tiny, tmp_path, found):
    """The settings of a run on these detections, written in a form."""

    def settings(form, split="val"):
        path = tmp_path / form / FORMS[form]
        sizes = FolderSizes(Path("data/mini/validation"))
        described = save_detections(path, found, form, SideFiles(sizes=sizes))
        more = [f"data.{split}.detection_images={described}"] if described else []
        return [*PRIOR, f"data.{split}.detections={path}", *more]

    return settings


def made(settings, folder, *stages):
    run = Run(load_config("mini", settings), folder)
    Pipeline(run).make(["prior", *stages])
    return run


def test_every_form_gives_the_same_detections_and_score(given, tmp_path, found):
    scores = {}
    for form in FORMS:
        run = made(given(form), tmp_path / f"run-{form}", "evaluate-val")
        table = fused_detections(run.path / "fuse-val")
        order = np.lexsort((table.score, table.image))
        expected = found.of_images(table.images)
        other = np.lexsort((expected.score, expected.image))
        assert table.label[order].tolist() == expected.label[other].tolist()
        assert np.abs(table.box[order] - expected.box[other]).max() < 2e-5
        result = read_evaluation(run.path / "evaluate-val")
        scores[form] = (result["scores"]["final_score"], result["detection_mAP"])
    assert all(score == pytest.approx(scores["openimages"], abs=1e-3) for score in scores.values())
    assert 0.1 < scores["openimages"][1] < 1


def test_what_is_chosen_on_given_detections_counts_for_given_ones(given, tmp_path):
    settings = given("openimages")
    run = made(settings, tmp_path / "run", "predict-test", "predict-val")
    assert {"final"} <= set(Pipeline(run).closure(["predict-test"]))
    assert run.record("predict-test")["fingerprint"]["needs"]["final"] == run.record("final")["id"]
    alone = Pipeline(Run(load_config("mini", PRIOR), tmp_path / "other"))
    assert "final" not in alone.closure(
        ["predict-test"]
    )  # nothing is known of the validation split's detections


def test_own_and_given_detections_are_not_taken_for_one_another():
    """The hidden test's figures and the calibration are of the validation split's kind of detections alone."""
    own = [*TINY, "data.test.detections=[]"]
    for settings, chosen in (
        ([*own, "data.val.detections=x.csv"], False),
        ([*TINY, "data.val.detections=x.csv"], True),
        (own, True),
        (TINY, False),
    ):
        pipeline = Pipeline(Run(load_config("mini", settings)))
        assert ("final" in pipeline.stages["predict-test"].needs) == chosen, settings
    pipeline = Pipeline(Run(load_config("mini", [*own, "data.val.detections=x.csv"])))
    assert "attribute-fuse-val" not in pipeline.closure(["evaluate-val"])
    assert not any("detect-val" in name for name in pipeline.closure(["evaluate-val"]))
    assert "detect-test-resnext" in pipeline.closure(["predict-test"])


def test_relation_models_learn_from_given_detections(tiny, tmp_path):
    found = imperfect(read_boxes(["data/mini/challenge-2019-train-vrd-bbox.csv"]), 7)
    save_detections(tmp_path / "train.csv", found)
    save_detections(tmp_path / "stack.csv", imperfect(read_boxes(["data/mini/test-annotations-bbox.csv"]), 8))
    files = [f"data.{split}.detections={tmp_path / split}.csv" for split in ("train", "stack")]
    settings = [*PRIOR, *files, "relation.train_boxes=predicted"]
    run = made(settings, tmp_path / "run")
    plain = made(PRIOR, tmp_path / "plain")
    assert run.record("prior")["fingerprint"]["needs"] == {"fuse-train": run.record("fuse-train")["id"]}
    assert run.record("prior")["id"] != plain.record("prior")["id"]


def test_a_label_file_that_changes_makes_the_stage_stale(given, tmp_path):
    run = made(given("yolo"), tmp_path / "run", "fuse-val")
    pipeline = Pipeline(run)
    assert pipeline.is_fresh("fuse-val")
    file = next(p for p in sorted((tmp_path / "yolo" / "val").glob("*.txt")) if "0." in p.read_text())
    whole = file.read_text()
    file.write_text(whole.replace("0.", "0.0", 1))
    assert not Pipeline(Run(run.config, run.path)).is_fresh("fuse-val")
    file.write_text(whole)
    assert Pipeline(Run(run.config, run.path)).is_fresh("fuse-val")
    file.unlink()
    assert not Pipeline(Run(run.config, run.path)).is_fresh("fuse-val")


def test_images_of_another_split_are_refused(given, tmp_path):
    run = Run(load_config("mini", given("openimages", "stack")), tmp_path / "run")
    message = r"not in the stack split.*data\.stack\.detections and data\.stack\.relations must be"
    with pytest.raises(KitError, match=message):
        Pipeline(run).make(["fuse-stack"])
    settings = [*given("coco"), "data.val.detection_images=none.json"]
    pipeline = Pipeline(Run(load_config("mini", settings), tmp_path / "other"))
    with pytest.raises(KitError, match=r"none\.json: no such file"):
        pipeline.make(["fuse-val"])


def test_fuse_writes_a_splits_detections_in_any_form(kit, given, tmp_path, found):
    words = [*set_words(*given("openimages")), "--run", tmp_path / "run"]
    for form, name in FORMS.items():
        out = tmp_path / "out" / form / name
        code, said, err = kit("fuse", "--split", "val", "--out", out, "--format", form, *words)
        assert code == 0, err
        assert f"{len(found):,} boxes in {out}" in said
        described = out.with_name("images-val.json")
        again = load_detections([out], SideFiles(images=described if form == "coco" else None))
        assert len(again) == len(found)
    code, out, err = kit("fuse", "--split", "val", "--format", "coco", *words)
    assert (code, err) == (
        2,
        "kit: --format says how --out is written, which is not given; give --out FILE\n",
    )
    code, _, err = kit("fuse", "--split", "val", "--attributes", "--out", tmp_path / "a.csv", *words)
    assert (code, err.count("\n")) == (2, 1)


def test_fusing_and_scoring_files_of_different_forms(kit, given, tmp_path, found, tiny):
    for form in FORMS:
        given(form)
    photos = ("--images", tmp_path / "coco" / "images-val.json")
    files = [tmp_path / form / name for form, name in FORMS.items()]
    code, out, err = kit(
        "fuse", *files, "--out", tmp_path / "fused.json", "--format", "coco", *photos, "--json"
    )
    assert code == 0, err
    result = json.loads(out)
    assert result["boxes"] == 4 * len(found)
    truth = ("--truth", "data/mini/challenge-2019-validation-vrd-bbox.csv")
    scores = []
    for path in (*files, tmp_path / "fused.json"):
        code, out, err = kit("score", "detections", *truth, "--predictions", path, *photos, "--json")
        assert code == 0, err
        scores.append(json.loads(out)["mAP"])
    assert scores[:4] == pytest.approx([scores[0]] * 4, abs=1e-3)
    assert scores[4] == pytest.approx(scores[0], abs=0.05)


WRONG = [
    (
        ["--format", "yolo", "--out", "o.txt"],
        "--out: o.txt: YOLO labels are a folder of files; name a folder",
    ),
    (
        ["--format", "coco", "--out", "o.csv"],
        "--out: o.csv: the fused detections are JSON; end it in .json, .json.gz",
    ),
    (["--format", "kaggle", "--out", "o.json"], "are a CSV; end it in .csv"),
    (
        ["--format", "coco", "--out", "o.json"],
        "COCO results are in pixels, and the images' sizes are not known",
    ),
    (["--out", "o.csv", "--images", "none"], "--images: none: no such file or folder"),
    (["--out", "o.csv", "--classes", "none"], "--classes: none: no such file"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_options(kit, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(
        "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\na,/m/04yx4,0.9,0.1,0.5,0.1,0.9\n"
    )
    code, _, err = kit("fuse", "a.csv", *words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
