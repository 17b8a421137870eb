"""`kit compare` and `kit runs`."""

import json
import shutil

import pytest
import yaml

from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.report.run_list import list_runs, state_of
from tests.stages import small_stage

TRUTH = "data/mini/hidden/test-vrd.csv"


@pytest.fixture
def runs(predicted, tiny, tmp_path, capsys):
    """Two runs: the second keeps fewer pairs of an image."""
    shutil.copytree(predicted.path, tmp_path / "runs/first")
    shutil.copytree(predicted.path, tmp_path / "runs/second")
    limits = predicted.config.relation.candidate_limits.model_copy(update={"per_image": 3})
    relation = predicted.config.relation.model_copy(update={"candidate_limits": limits})
    run = Run(predicted.config.model_copy(update={"relation": relation}), tmp_path / "runs/second")
    Pipeline(run).make(["evaluate-test"])
    capsys.readouterr()
    return tmp_path / "runs"


def test_runs_against_each_other(kit, runs):
    words = ["compare", runs / "first", runs / "second", "--split", "test", "--resamples", 30]
    code, out, _ = kit(*words)
    assert code == 0
    assert "second against" in out
    assert "within the noise" in out
    code, out, _ = kit(*words, "--json")
    told = json.loads(out)
    (rows,) = told["after"].values()
    final = rows[0]
    scores = {row.run: row.test for row in list_runs(runs)}
    assert (final["name"], told["before"]) == ("final score", str(runs / "first"))
    assert (final["before"], final["after"]) == pytest.approx((scores["first"], scores["second"]))
    assert final["low"] <= final["difference"] <= final["high"]
    assert all(
        row["verdict"] in ("worse", "within the noise", "too few images")
        for row in rows
        if "Recall" in row["name"]
    )


def test_on_true_boxes_nothing_has_changed(kit, runs):
    words = ["compare", runs / "first", runs / "second", "--split", "test", "--gt-boxes", "--resamples", 5]
    code, out, _ = kit(*words, "--json")
    (rows,) = json.loads(out)["after"].values()
    assert code == 0
    assert {row["difference"] for row in rows} == {0}


def test_files_against_one_truth(kit, tiny, golden):
    folder = golden / "relations" / "mixed"
    words = [
        "--truth",
        folder / "gt_vrd.csv",
        "--labels",
        folder / "gt_labels.csv",
        "--resamples",
        5,
        "--json",
    ]
    code, out, _ = kit("compare", folder / "pred.csv", folder / "submission.csv", *words)
    rows = json.loads(out)["after"][str(folder / "submission.csv")]
    expected = json.loads((folder / "expected.json").read_text())["if_argsort_were_stable"]["final_score"]
    assert code == 0
    assert rows[0]["before"] == pytest.approx(expected)


def test_what_cannot_be_compared_is_one_line(kit, runs, tiny, tmp_path):
    words = (
        (["compare", runs / "first"], "nothing"),
        (["compare", runs / "first", tmp_path], "no run folder"),
        (["compare", runs / "first", runs / "second"], "predict-val"),
        (["compare", runs / "first", runs / "second", "--labels", TRUTH], "--labels goes with --truth"),
        (["compare", TRUTH, tmp_path / "none.csv", "--truth", TRUTH], ""),
    )
    for command, text in words:
        code, out, err = kit(*command)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert text in err


def test_runs_of_another_truth_are_refused(kit, runs, tmp_path):
    path = runs / "second/config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["data"]["test"]["relations"] = ["data/mini/challenge-2019-validation-vrd.csv"]
    path.write_text(yaml.safe_dump(settings))
    code, _, err = kit("compare", runs / "first", runs / "second", "--split", "test")
    assert (code, "another truth" in err) == (2, True)


def test_all_runs_of_a_folder(kit, runs, predicted):
    (runs / "broken").mkdir()
    (runs / "broken/config.yaml").write_text("relation: 3\n")
    (runs / "notes").mkdir()
    rows = {row.run: row for row in list_runs(runs)}
    assert rows.keys() == {"first", "second", "broken"}
    score = predicted.record("evaluate-test")["metrics"]["final_score"]
    assert (rows["first"].test, rows["first"].val) == (score, None)
    assert rows["first"].state.startswith("at source-resnext")
    assert rows["second"].changes == ("relation.candidate_limits.per_image 100 → 3",)
    assert rows["broken"].state.startswith("cannot be read")
    assert rows["first"].seconds == pytest.approx(
        sum(json.loads(path.read_text())["seconds"] for path in predicted.path.glob("*/stage.json"))
    )
    code, out, _ = kit("runs", runs)
    assert code == 0
    assert "relation.candidate_limits.per_image 100 → 3" in out
    code, out, _ = kit("runs", runs, "--json")
    assert json.loads(out)[0]["run"] == "first"


def test_a_folder_without_runs(kit, tmp_path):
    code, _, err = kit("runs", tmp_path)
    assert (code, err.count("\n"), "no run in it" in err) == (2, 1, True)


def test_states(run):
    def pipeline(value):
        stages = [small_stage("one", settings=value, trains=True), small_stage("two", "one", trains=True)]
        return Pipeline(run, stages)

    assert state_of(pipeline(1)) == "at one"
    pipeline(1).make(["one"])
    assert state_of(pipeline(1)) == "at two"
    pipeline(1).make(["two"])
    assert state_of(pipeline(1)) == "finished"
    assert state_of(pipeline(2)) == "stale: one (settings: value 1 → 2)"
    run.part_of("one").mkdir()
    shutil.rmtree(run.path / "one")
    assert state_of(pipeline(1)) == "at one (begun)"
