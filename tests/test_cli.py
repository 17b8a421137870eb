import json
import subprocess
import sys

import pytest

from kit import __version__
from kit.cli.app import COMMANDS
from kit.cli.reproduce import EXPERIMENTS
from tests.conftest import FEW, TINY
from tests.paths import OPENIMAGES, needs_openimages
from tests.stages import set_words, without_model_libraries

SET = set_words(*TINY)


@pytest.mark.parametrize(
    "module", ["kit.cli.app", "kit.tables.official", "kit.metric.analysis", "kit.tables.submission_check"]
)
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    code = (
        f"import sys, {module}; "
        "heavy = {'torch', 'xgboost', 'mmdet', 'pandas', 'numba', 'kaggle'} & set(sys.modules); "
        "print(*heavy); sys.exit(bool(heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scoring_files_needs_no_model_library(tmp_path):
    header = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel"
    row = "a,/m/04yx4,/m/0342h,0.1,0.5,0.2,0.9,0.3,0.4,0.5,0.6,plays"
    (tmp_path / "t.csv").write_text(f"{header}\n{row}\n")
    (tmp_path / "p.csv").write_text(f"{header},Score\n{row},0.5\n")
    words = ["score", "relations", "--truth", "t.csv", "--predictions", "p.csv", "--json", "--analysis"]
    done = without_model_libraries(tmp_path, *words, "--resamples", 5)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["final_score"] == pytest.approx(1)


def test_a_dry_run_needs_no_model_library(copied, tiny):
    settings = set_words(*TINY, *FEW, "data.test.detections=[]")
    done = without_model_libraries(
        tiny, "train", "all", "--dry-run", "--json", "--run", copied.path, *settings
    )
    assert done.returncode == 0, done.stderr
    found = {row["stage"]: row["state"] for row in json.loads(done.stdout)}
    assert found["detector-hrnet"] == "finished"
    assert found["detect-val-hrnet"] == found["visual"] == "to do"


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


GROUPS = {"train": ("all", "prior", "spatial", "visual", "stack", "detector", "attribute")}
GROUPS |= {"score": ("relations", "detections"), "reproduce": tuple(EXPERIMENTS)}
HELPS = [
    (),
    *((name,) for name, *_ in COMMANDS),
    *((g, name) for g, names in GROUPS.items() for name in names),
]


@pytest.mark.parametrize("words", HELPS)
def test_every_help_has_an_example_whole_summaries_and_words_for_values(kit, words):
    code, out, _ = kit(*words, "--help")
    assert code == 0
    assert "Example: kit" in out
    assert "..." not in out.partition("\nCommands:")[2]
    options = [line for line in out.split("Options:")[-1].splitlines() if line.lstrip().startswith("-")]
    assert not [line for line in options if "<" in line]


def test_the_main_job(kit, tiny, tmp_path):
    run = ["--run", tmp_path / "run", *SET]
    assert "already" in kit("download", *SET)[2]
    assert kit("train", "prior", *run)[0] == 0
    code, out, _ = kit("train", "spatial", *run, "--json")
    assert json.loads(out)["stage"] == "spatial"
    code, out, _ = kit("evaluate", "--split", "val", "--gt-boxes", "--scorer", "prior", *run, "--json")
    prior = json.loads(out)
    assert set(prior) == {"final_score", "relationships", "phrases", "counts", "hidden_test"}
    spatial = ["--scorer", "spatial", *run]
    code, out, err = kit("evaluate", "--split", "val", "--gt-boxes", *spatial)
    assert "final score" in out
    assert "saved in" in err
    _, _, err = kit("evaluate", "--gt-boxes", *spatial, "--set", "seed=9", "--force")
    assert "note: spatial is stale (settings: seed 0 → 9); `kit train spatial` would make it again" in err
    assert kit("predict", "--split", "test", *spatial)[0] == 0
    code, out, _ = kit("submit", "--dry-run", *spatial)
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
    assert "1 kind of faults; mend them" in err


def test_download_builds_the_mini_challenge_once(kit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = kit("download", *SET)
    assert code == 0
    assert "data/mini/VRD_sample_submission.csv" in out.splitlines()
    assert kit("download", *SET)[1] == ""
    assert kit("download", *SET, "--force")[1] == out


VAL, MODELS_EMPTY = "data/mini/challenge-2019-validation-vrd.csv", "detector.models is empty"
USER_ERRORS = [
    (["nonsense"], "No such command 'nonsense'"),
    (["score", "relations"], "Missing option '--truth'"),
    (["evaluate", "--split", "half"], "'half' is not one of"),
    (["evaluate", "--split", "val"], "run `kit train detector resnext` first"),
    (
        ["evaluate", "--gt-boxes", "--detections"],
        "give one of --gt-boxes, --detections, --attributes, --choices",
    ),
    (["evaluate", "--split", "test", "--set", "data.test.relations=[]"], "data.test.relations is not set"),
    (["evaluate", "--choices", "--set", "data.val.images=null"], "data.val.images is not set"),
    (["evaluate", "--choices", "--config", "relations", "--set", f"data.val.relations={VAL}"], MODELS_EMPTY),
    (
        ["evaluate", "--choices", "--split", "test", "--set", "data.test.relations=[]"],
        "--choices tells of what the run chose on its validation split",
    ),
    (["train", "prior", "--set", "data.train.relations=data"], "data: a folder, not a file"),
    (["train", "detector", "--set", "detector.models={}"], MODELS_EMPTY),
    (["detect", "--set", "detector.models={}"], "the config names no such detectors"),
    (["train", "all", "--only", "prior", "--from", "spatial"], "--only and --from exclude each other"),
    (["reproduce", "table1", "--config", "relations"], MODELS_EMPTY),
    (["reproduce", "sampling", "--config", "relations"], MODELS_EMPTY),
    (["config", "--set", "relation.visual.precision=float16"], "input should be 'float32' or 'bfloat16'"),
    (["submit"], "Kaggle does not score the mini challenge; give --dry-run"),
    (["submit", "--check", "none.csv"], "no such file"),
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
    """docs/results.md: prior and spatial model on the real files; mean AP over the predicates other than "is"."""
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


UNFORESEEN = [
    (TypeError("two\nlines"), "internal error: TypeError: two lines (set KIT_TRACEBACK=1 for details)"),
    (
        RecursionError("too deep"),
        "internal error: RecursionError: too deep (set KIT_TRACEBACK=1 for details)",
    ),
    (EOFError("no more"), "internal error: EOFError: no more (set KIT_TRACEBACK=1 for details)"),
    (
        MemoryError(),
        "out of memory (MemoryError); close other programs, or lower batch_size, workers or shard",
    ),
    (OSError(24, "Too many open files", "a.csv"), "a.csv: Too many open files"),
    (OSError(5, "Input/output error"), "Input/output error"),
    (OSError(28, "No space left on device"), "stdout: No space left on device"),
    (
        ModuleNotFoundError(name="torch.x"),
        "torch.x is not installed; install kit with it: pip install 'kit[detect]'",
    ),
]


@pytest.mark.parametrize(("error", "line"), UNFORESEEN)
def test_what_nobody_foresaw_is_a_line_for_users_and_a_traceback_for_us(kit, monkeypatch, error, line):
    def call(words):
        raise error

    monkeypatch.setattr("kit.cli.app.call", call)
    monkeypatch.delenv("KIT_TRACEBACK")
    assert kit("config") == (2, "", f"kit: {line}\n")
    monkeypatch.setenv("KIT_TRACEBACK", "1")
    if "internal" in line:
        with pytest.raises(type(error)):
            kit("config")


def test_home_in_options_that_no_shell_has_seen(kit, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text("seed: 5")
    assert "seed: 5" in kit("config", "--config=~/c.yaml")[1]
    assert "seed: 5" in kit("config", "-c", "~/c.yaml")[1]
    assert f"{tmp_path}/c.yaml, line 1" in kit("submit", "--check=~/none.csv", "--ids=~/c.yaml")[2]
