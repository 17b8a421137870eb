"""The stages in order, what state each is in and why, dry runs."""

import json

import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.pipeline.jobs import run_stages
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stage import FileInput, Stage
from tests.conftest import FAST, TINY
from tests.stages import (
    changed,
    in_a_process,
    made,
    set_words,
    small_stage,
    without_model_libraries,
    writing,
    written,
)

WORDS = set_words(*FAST)
HEAVY = ("numpy", "pyarrow", "rich")  # what a look at a run does not wait for


def names(*overrides, config="ensemble"):
    return Pipeline(Run(load_config(config, overrides))).training


def test_the_order_of_the_whole_job():
    pipeline = Pipeline(Run(load_config("ensemble")))
    order = pipeline.training
    assert order == [
        "prior", "geometry-prior", "source-resnext", "detector-resnext", "source-hrnet", "detector-hrnet",
        "detect-val-resnext", "detect-val-hrnet", "fusion-weights", "fuse-val",
        "attribute-detector-resnext", "attribute-detect-val-resnext", "attribute-fusion-weights",
        "attribute-fuse-val", "spatial", "visual", "stack", "scored-candidates-val", "final",
    ]  # fmt: skip
    every = list(pipeline.stages)
    for i, name in enumerate(every):
        assert set(pipeline.stage(name).needs) <= set(every[:i])


def test_what_a_config_leaves_out():
    assert names(config="relations") == ["prior", "spatial", "stack"]
    assert "visual" not in names("relation.visual=null")
    assert not [n for n in names("attribute.models=[]") if n.startswith("attribute")]
    predicted = names("relation.train_boxes=predicted")
    assert predicted.index("fuse-train") < predicted.index("prior") < predicted.index("spatial")
    assert predicted.index("fuse-stack") < predicted.index("stack")
    mixed = names("relation.train_boxes=mixed")
    assert mixed.index("prior") < mixed.index("spatial") > mixed.index("fuse-train")
    assert "fuse-stack" not in mixed


def test_an_attribute_detector_needs_its_base():
    with pytest.raises(KitError, match=r"detector.models has no vgg; it has: resnext, hrnet"):
        names("attribute.models=[vgg]")


def test_a_stage_and_what_needs_it():
    pipeline = Pipeline(Run(load_config("relations")))
    assert pipeline.descendants("prior", pipeline.training) == ["prior", "spatial", "stack"]
    assert pipeline.descendants("spatial", pipeline.training) == ["spatial", "stack"]
    assert pipeline.descendants("spatial", ["prior"]) == ["spatial"]
    assert pipeline.closure(["spatial"]) == ["prior", "spatial"]
    with pytest.raises(KitError, match="no stage vgg; stages: prior, spatial, stack"):
        pipeline.descendants("vgg", pipeline.training)


def test_a_name_that_no_stage_has_is_one_line(tmp_path, kit):
    pipeline = Pipeline(Run(load_config("mini"), tmp_path / "run"), [small_stage("a", trains=True)])
    for call in (lambda: pipeline.make(["b"]), lambda: pipeline.status(["b"]), lambda: pipeline.folder("b")):
        with pytest.raises(KitError, match=r"^no stage b; stages: a$"):
            call()
    for option in ("--only", "--from"):
        code, _, err = kit("train", "all", option, "none", "--run", tmp_path / "run", *WORDS)
        assert (code, err.count("\n")) == (2, 1)
        assert "no stage none; stages: prior, spatial, stack" in err


def test_one_stage_alone_is_judged_as_it_is_made(tmp_path):
    run = Run(load_config("mini", TINY), tmp_path / "run")
    pipeline = Pipeline(
        run, [small_stage("a"), small_stage("b", "a", command="train b"), small_stage("c", "b")]
    )
    (status,) = pipeline.status(["b"], alone=True)
    assert (status.state, status.missing) == ("to do", ("stage a is not there; run `kit train all` first",))
    pipeline.make(["b"])
    changed = Pipeline(run, [small_stage("a", settings=2), small_stage("b", "a"), small_stage("c", "b")])
    assert [(s.stage.name, s.state) for s in changed.status(["b"])] == [("a", "stale"), ("b", "stale")]
    assert [(s.stage.name, s.state) for s in changed.status(["b"], alone=True)] == [("b", "finished")]
    statuses = changed.status(["b", "c"], alone=True)
    assert [(s.stage.name, s.state, s.missing) for s in statuses] == [
        ("b", "finished", ()),
        ("c", "to do", ()),
    ]


def test_a_damaged_stage_says_so(tmp_path):
    run = Run(load_config("mini", TINY), tmp_path / "run")
    pipeline = Pipeline(run, [small_stage("a")])
    pipeline.make(["a"])
    (run.path / "a" / "result").write_text("another length")
    (status,) = pipeline.status(["a"])
    assert status.state == "stale"
    assert "result" in status.reasons[0]


def test_an_empty_word_is_no_stage(tmp_path, kit):
    code, _, err = kit("train", "all", "--from", "", "--dry-run", "--run", tmp_path / "run", *WORDS)
    assert (code, err.split(";")[0].rstrip()) == (2, "kit: no stage")


def test_what_is_watched_must_be_there_and_makes_nothing_stale(tmp_path):
    file = tmp_path / "val.csv"
    watched = (FileInput("data.val.relations", file),)
    run = Run(load_config("mini", TINY), tmp_path / "run")
    pipeline = Pipeline(run, [small_stage("a", watched=watched)])
    with pytest.raises(KitError, match=r"val.csv: no such file"):
        pipeline.make(["a"])
    file.write_text("1")
    pipeline.make(["a"])
    file.write_text("2")
    assert pipeline.is_fresh("a")


def test_states_are_told_without_doing_anything(tmp_path):
    run, log = Run(load_config("mini"), tmp_path / "run"), []

    def pipeline(value=1):
        work = writing(str(value), log)
        return Pipeline(
            run, [small_stage("prior", settings=value, work=work), small_stage("spatial", "prior")]
        )

    both = ["prior", "spatial"]
    assert [s.state for s in pipeline().status(both)] == ["to do", "to do"]
    assert log == []
    assert not run.path.exists()
    run_stages(pipeline(), both, 1)
    assert log == ["prior"]
    found = pipeline().status(both)
    assert [s.state for s in found] == ["finished", "finished"]
    assert [pipeline().headline(name) for name in both] == ["figure 7", "figure 7"]
    assert all(pipeline().seconds(name) is not None for name in both)
    found = pipeline(2).status(both)
    assert [(s.state, s.reasons) for s in found] == [
        ("stale", ("settings: value 1 → 2",)),
        ("stale", ("after prior",)),
    ]
    run_stages(pipeline(), both, 1)
    assert log == ["prior"]
    run_stages(pipeline(), both, 1, force=both)
    assert log == ["prior"] * 2


def test_an_interrupted_stage_is_started_and_a_run_beside_tells_the_time(tmp_path):
    def broken(context):
        raise KeyboardInterrupt

    pipeline = Pipeline(Run(load_config("mini"), tmp_path / "run"), [small_stage("prior", work=broken)])
    with pytest.raises(KeyboardInterrupt):
        pipeline.make(["prior"])
    assert [s.state for s in pipeline.status(["prior"])] == ["started"]
    assert pipeline.seconds("prior") is None
    Pipeline(Run(load_config("mini"), tmp_path / "other"), [small_stage("prior")]).make(["prior"])
    assert pipeline.seconds("prior") is not None


def test_equal_results_leave_what_comes_after_fresh(finished, kit):
    before = written(finished)
    code, _, err = kit("train", "prior", "--force", "--run", finished, *WORDS)
    assert code == 0, err
    assert changed(finished, before) == {"prior"}
    run = Run(load_config("mini", FAST), finished)
    assert {s.state for s in Pipeline(run).status(["predict-test"])} == {"finished"}
    before = written(finished)
    made(run, "spatial")
    assert changed(finished, before) == set()


def test_a_dry_run_names_what_is_missing_and_needs_no_library(tmp_path):
    words = ("train", "all", "--dry-run", "--run", tmp_path / "run")
    done = without_model_libraries(tmp_path, *words, also=HEAVY)
    assert done.returncode == 1, done.stderr
    missing = [line for line in done.stderr.splitlines() if line.startswith("missing: ")]
    config = load_config("mini")
    for split in (config.data.train, config.data.stack, config.data.val):
        for file in (*split.relations, *split.boxes, *split.labels):
            assert f"missing: {file}: no such file; run `kit download`, or set " in done.stderr
        assert (
            f"missing: {split.images}: no such folder of images; run `kit download`, or set " in done.stderr
        )
    assert len(missing) == len(set(missing))
    assert not (tmp_path / "run").exists()
    done = without_model_libraries(tmp_path, *words, *set_words("data.train.relations=[]"))
    cure = "data.train.relations is not set; give it with --set data.train.relations=FILE"
    assert f"missing: {cure}\n" in done.stderr


def test_a_dry_run_says_why_a_stage_is_stale(finished, kit):
    deep = set_words("relation.spatial.max_depth=10")
    assert kit("train", "spatial", "--run", finished, *WORDS, *deep)[0] == 0
    more = set_words("relation.spatial.max_depth=8")
    code, out, err = kit("train", "all", "--dry-run", "--run", finished, *WORDS, *more)
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.lstrip().startswith("spatial"))
    assert "stale" in line
    assert line.endswith("settings: max_depth 10 → 8")
    (line,) = (line for line in out.splitlines() if line.lstrip().startswith("stack"))
    assert line.endswith("after spatial")
    assert "2 stages to do; 2 of them took" in err


def test_a_look_at_a_finished_run_needs_no_numpy(finished, tiny):
    words = ("train", "all", "--dry-run", "--json", "--run", finished, *WORDS)
    for again in range(2):  # the first look remembers the signature of the features
        done = without_model_libraries(tiny, *words, also=HEAVY if again else HEAVY[1:])
        assert done.returncode == 0, done.stderr
        assert [row["state"] for row in json.loads(done.stdout)] == ["finished"] * 3


def test_a_stage_is_frozen():
    stage = small_stage("a")
    with pytest.raises(AttributeError):
        stage.name = "b"
    assert Stage("a", stage.work) == Stage("a", stage.work)


def test_the_table_of_the_whole_job_without_a_run(tiny, tmp_path):
    done = in_a_process("train", "all", "--dry-run", "--json", "--run", tmp_path / "run", *WORDS, folder=tiny)
    assert done.returncode == 0, done.stderr
    assert [row["state"] for row in json.loads(done.stdout)] == ["to do"] * 3
