import json
import subprocess
import sys

import pytest
import torch

from kit import __version__
from kit.cli import main
from kit.detector.checkpoint import read_state, write_state
from kit.detector.classmap import source_names
from kit.tables.official import read_detections
from kit.vocabulary import vocabulary
from tests.conftest import TINY
from tests.paths import GOLDEN, OPENIMAGES, needs_golden, needs_openimages
from tests.test_transfer import small

SET = [word for override in TINY for word in ("--set", override)]


@pytest.fixture
def kit(capsys, monkeypatch):
    """Call the command line: (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["kit", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


@pytest.mark.parametrize(
    "module", ["kit.cli", "kit.tables.official", "kit.metric.analysis", "kit.tables.submission_check"]
)
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    code = (
        f"import sys, {module}; "
        "heavy = {'torch', 'xgboost', 'mmdet', 'pandas', 'numba', 'kaggle'} & set(sys.modules); "
        "print(*heavy); sys.exit(bool(heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scoring_files_needs_no_model_library(tmp_path):
    """The metric and the submission tools run where torch, xgboost, pandas and mmdet cannot be imported."""
    code = (
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'xgboost', 'mmdet', 'pandas', 'numba', 'kaggle', 'scipy'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        "from kit.cli import main\n"
        "main()\n"
    )
    header = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel"
    row = "a,/m/04yx4,/m/0342h,0.1,0.5,0.2,0.9,0.3,0.4,0.5,0.6,plays"
    (tmp_path / "t.csv").write_text(f"{header}\n{row}\n")
    (tmp_path / "p.csv").write_text(f"{header},Score\n{row},0.5\n")
    words = ["score", "relations", "--truth", "t.csv", "--predictions", "p.csv", "--json", "--analysis"]
    run = subprocess.run(
        [sys.executable, "-c", code, *words, "--resamples", "5"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["final_score"] == pytest.approx(1)


def test_python_m_kit_is_the_same():
    run = subprocess.run(
        [sys.executable, "-m", "kit", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"kit {__version__}\n"


def test_help(kit):
    code, out, _ = kit("--help")
    assert code == 0
    for command in ("download", "train", "evaluate", "submit", "score", "predict"):
        assert command in out
    code, _, err = kit("score")
    assert code == 2
    assert err.startswith("Usage:")


@needs_golden
@pytest.mark.parametrize("form", ["pred", "submission"])
def test_score_relations_as_json_has_the_golden_keys(kit, form):
    folder = GOLDEN / "mixed"
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


@needs_golden
@pytest.mark.parametrize("case", ERRORS)
def test_a_faulty_file_is_one_line_with_its_place(kit, case):
    folder = GOLDEN / case
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


@needs_golden
def test_predictions_of_other_images_are_noticed(kit, tiny):
    truth = "data/mini/challenge-2019-validation-vrd.csv"
    words = ["--truth", truth, "--predictions", GOLDEN / "mixed" / "pred.csv"]
    code, _, err = kit("score", "relations", *words)
    assert code == 0
    assert "no image of the predictions is in the truth" in err


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


def test_the_main_job(kit, tiny, tmp_path):
    run = ["--run", tmp_path / "run", *SET]
    assert "already" in kit("download", *SET)[2]
    assert kit("train", "prior", *run)[0] == 0
    code, out, _ = kit("train", "spatial", *run, "--json")
    assert json.loads(out)["stage"] == "spatial"
    code, out, _ = kit("evaluate", "--split", "val", "--gt-boxes", "--scorer", "prior", *run, "--json")
    prior = json.loads(out)
    assert set(prior) == {"final_score", "relationships", "phrases", "counts"}
    code, out, err = kit("evaluate", "--split", "val", "--gt-boxes", *run)
    assert "final score" in out
    assert "saved in" in err
    assert (
        "trained with other settings" in kit("evaluate", "--gt-boxes", *run, "--set", "seed=9", "--force")[2]
    )
    assert kit("predict", "--split", "test", *run)[0] == 0
    code, out, _ = kit("submit", "--dry-run", *run)
    assert code == 0
    assert "no fault" in out
    assert "would send" in out
    sent = tmp_path / "run/submission/submission.csv"
    code, out, _ = kit("submit", "--check", sent, "--json", *SET)
    assert json.loads(out)["ok"] is True
    sent = tmp_path / "changed.csv"
    sent.write_text((tmp_path / "run/submission/submission.csv").read_text().replace(" holds", " eats"))
    code, out, err = kit("submit", "--check", sent, *SET)
    assert code == 2
    assert "RelationshipLabel unknown" in out
    assert "kinds of faults" in err


def test_download_builds_the_mini_challenge_once(kit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = kit("download", *SET)
    assert code == 0
    assert "data/mini/VRD_sample_submission.csv" in out.splitlines()
    assert kit("download", *SET)[1] == ""
    assert kit("download", *SET, "--force")[1] == out


USER_ERRORS = [
    (["nonsense"], "No such command 'nonsense'"),
    (["score", "relations"], "Missing option '--truth'"),
    (["evaluate", "--split", "half"], "'half' is not one of"),
    (["evaluate", "--split", "val"], "add --gt-boxes"),
    (["submit"], "give --dry-run, or --check FILE"),
    (["submit", "--check", "none.csv"], "no such file"),
    (["download", "--config", "layer6"], "generates the mini challenge only"),
    (["config", "--set", "sede=1"], "did you mean seed?"),
    (["train", "prior", "--config", "none"], "no such config file"),
    (["score", "detections", "--truth", "none.csv", "--predictions", "x"], "none.csv: no such file"),
]


@pytest.mark.parametrize(("words", "message"), USER_ERRORS)
def test_a_users_error_is_one_line_and_exit_code_2(kit, tiny, words, message):
    code, out, err = kit(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_the_resolved_config(kit):
    code, out, _ = kit("config", "--set", "seed=7", "--json")
    assert code == 0
    assert json.loads(out)["seed"] == 7
    assert "seed: 7" in kit("config", "--set", "seed=7")[1]


@needs_openimages
def test_real_annotations_reach_the_goal(kit, tmp_path):
    """README: prior and spatial model on the real files; mean AP over the predicates other than "is"."""
    files = {"train": "train-subset-vrd.csv", "val": "validation-half-vrd.csv"}
    words = ["--config", "relations", "--run", tmp_path / "run"]
    words += [w for s, name in files.items() for w in ("--set", f"data.{s}.relations={OPENIMAGES / name}")]
    assert kit("train", "prior", *words)[0] == 0
    assert kit("train", "spatial", *words)[0] == 0
    mean = {}
    for scorer in ("prior", "spatial"):
        _, out, _ = kit("evaluate", "--split", "val", "--gt-boxes", "--scorer", scorer, "--json", *words)
        ap = json.loads(out)["relationships"]["AP"]
        mean[scorer] = sum(v for p, v in ap.items() if p != "is") / (len(ap) - 1)
    assert mean["spatial"] >= 0.95
    assert mean["spatial"] > mean["prior"] + 0.05


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
    code, _, err = kit("transfer", tmp_path / "none.pth", "--out", tmp_path / "x.pth")
    assert (code, err.count("\n")) == (2, 1)


def test_doctor(kit):
    code, out, _ = kit("doctor", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["kit"] == __version__
    assert facts["torch"] == torch.__version__.split("+")[0]
    assert facts["mmcv operators"] in ("by torchvision", "by mmcv")
    assert "mmcv operators" in kit("doctor")[1]


def test_report_sampling(kit, tiny, tmp_path):
    code, out, _ = kit("report", "sampling", "--out", tmp_path / "s.png", "--limit", 5)
    assert code == 0
    assert "N = ∞" in out
    assert "N = 5" in out
    assert (tmp_path / "s.png").exists()
    code, _, err = kit("report", "sampling", "--out", tmp_path / "s.txt")
    assert (code, err.count("\n")) == (2, 1)
