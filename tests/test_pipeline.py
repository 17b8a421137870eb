"""The stages in order, their states, and making them."""

import json
import shutil
from contextlib import chdir

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.base.files import write_json
from kit.config import load_config
from kit.pipeline.detector_task import ATTRIBUTES, OBJECTS
from kit.pipeline.jobs import run_stages
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stage import FileInput, Stage, Together
from kit.tables.schema import ViewDetections
from kit.tables.shards import SHARDS, write_shard
from tests.conftest import FAST, TINY
from tests.stages import in_a_process, made, set_words, small_stage, without_model_libraries, writing

WORDS = set_words(*FAST)
HEAVY = ("numpy", "pyarrow", "rich")  # what a look at a run does not wait for


@pytest.fixture(scope="module")
def whole(tiny_folder, tmp_path_factory):
    """A run with prior, spatial and stack trained, and the given test detections scored by the stack."""
    path = tmp_path_factory.mktemp("whole") / "run"
    with chdir(tiny_folder):
        run = Run(load_config("mini", FAST), path)
        pipeline = Pipeline(run)
        run_stages(pipeline, pipeline.training, 1)
        pipeline.make(["predict-test"])
    return path


@pytest.fixture
def path(whole, tiny, tmp_path):
    """A copy of that run."""
    return shutil.copytree(whole, tmp_path / "run")


def names(*overrides, config="mini"):
    return Pipeline(Run(load_config(config, overrides))).training


def changed(path, before):
    """The stages that were made anew since `before`."""
    now = written(path)
    return {name for name in now if now[name] != before.get(name)}


def written(path):
    """When every stage of a run was written."""
    return {record.parent.name: record.stat().st_mtime_ns for record in path.glob("*/stage.json")}


def test_the_order_of_the_whole_job():
    pipeline = Pipeline(Run(load_config("mini")))
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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_missing_input_of_a_later_stage_is_told_before_any_work(tmp_path, workers):
    done = []
    stages = [
        small_stage("long", work=writing(done=done)),
        small_stage("last", "long", inputs=[tmp_path / "none"], work=writing(done=done)),
        small_stage("folder", "long", inputs=[tmp_path], work=writing(done=done)),
    ]
    pipeline = Pipeline(Run(load_config("mini", TINY), tmp_path / "run"), stages)
    for name, problem in (("last", "none: no such file"), ("folder", "a folder, not a file")):
        with pytest.raises(KitError, match=problem):
            run_stages(pipeline, ["long", name], workers)
        with pytest.raises(KitError, match=problem):
            pipeline.make([name])
    assert done == []


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


def test_a_stage_reads_nothing_that_it_did_not_declare(tmp_path):
    def work(context):
        return {"there": str(context.result("first"))}

    run = Run(load_config("mini"), tmp_path / "run")
    pipeline = Pipeline(run, [small_stage("first"), small_stage("second", work=work)])
    pipeline.make(["first"])
    with pytest.raises(KitError, match=r"^stage second reads first, which is not among its needs$"):
        pipeline.make(["second"])
    assert run.record("second") is None
    declared = Pipeline(run, [small_stage("first"), small_stage("second", "first", work=work)])
    assert declared.make(["second"])["second"]["metrics"] == {"there": str(run.path / "first")}


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


def test_what_the_user_has_to_ask_for_is_told_before_any_work(tmp_path):
    run, log = Run(load_config("mini"), tmp_path / "run"), []
    stages = [
        small_stage("first", work=writing(done=log)),
        small_stage("long", "first", implicit=False, command="train long", work=writing(done=log)),
        small_stage("last", "first", "long", work=writing(done=log)),
    ]
    pipeline = Pipeline(run, stages)
    with pytest.raises(KitError, match="stage long is not there; run `kit train long` first"):
        pipeline.make(["last"])
    assert log == []
    pipeline.make(["long"])
    pipeline.make(["last"])
    assert log == ["first", "long", "last"]


def test_a_missing_input_is_told_before_any_work(tmp_path):
    run, log = Run(load_config("mini"), tmp_path / "run"), []
    stages = [
        small_stage("first", work=writing(done=log)),
        small_stage("last", "first", inputs=[tmp_path / "a.csv"], work=writing(done=log)),
    ]
    pipeline = Pipeline(run, stages)
    with pytest.raises(KitError, match=r"a.csv: no such file; run `kit download`, or set data.file0"):
        pipeline.make(["last"])
    assert log == []
    (tmp_path / "a.csv").write_text("x")
    pipeline.make(["last"])
    assert log == ["first", "last"]


def test_the_relation_stages_in_processes(tiny, tmp_path, kit):
    words = set_words(*FAST)
    code, out, err = kit("train", "all", "--jobs", 2, "--run", tmp_path / "run", *words)
    assert code == 0, err
    for name in ("prior", "spatial", "stack"):
        assert (tmp_path / "run" / name / "stage.json").exists()
        assert f"{name} " in out
    assert out.count("finished") == 3
    code, out, _ = kit("train", "all", "--dry-run", "--json", "--run", tmp_path / "run", *words)
    assert code == 0
    assert out.count('"finished"') == 3


def test_a_failed_stage_ends_the_job(tiny, tmp_path, kit):
    (tmp_path / "broken.csv").write_text("ImageID\n1\n")
    words = set_words(*FAST, f"data.train.relations={tmp_path / 'broken.csv'}")
    code, _, err = kit("train", "all", "--jobs", 2, "--run", tmp_path / "run", *words)
    assert code == 2
    assert f"prior failed: {tmp_path / 'broken.csv'}" in err
    assert not (tmp_path / "run" / "spatial").exists()


def test_from_a_stage_means_it_and_what_needs_it(path, kit):
    before = written(path)
    code, _, err = kit("train", "all", "--from", "spatial", "--run", path, *WORDS)
    assert code == 0, err
    assert changed(path, before) == {"spatial", "stack"}
    code, out, _ = kit("train", "all", "--from", "stack", "--dry-run", "--json", "--run", path, *WORDS)
    rows = {row["stage"]: (row["state"], row["why"]) for row in json.loads(out)}
    assert rows == {"stack": ("stale", ["asked for"])}


def test_only_one_stage_is_done_or_what_it_lacks_is_told(path, kit, tmp_path):
    before = written(path)
    more = set_words("relation.prior.smooth_pair=20", "relation.stack.eta=0.2")
    code, _, err = kit("train", "all", "--only", "stack", "--run", path, *WORDS, *more)
    assert code == 0, err
    assert changed(path, before) == {"stack"}
    assert "note: prior is stale (settings: smooth_pair 50.0 → 20.0)" in err
    shutil.rmtree(path / "spatial")
    code, _, err = kit("train", "all", "--only", "stack", "--run", path, *WORDS)
    assert (code, err.count("\n")) == (2, 1)
    assert "stage spatial is not there; run `kit train spatial` first" in err
    code, _, err = kit("train", "all", "--only", "spatial", "--run", tmp_path / "new", *WORDS)
    assert (code, err.count("\n")) == (2, 1)
    assert "stage prior is not there; run `kit train prior` first" in err


def test_another_scorer_uses_the_same_scored_candidates(path, kit):
    """All scores of a pair lie in one table; nothing that was trained becomes stale by evaluating another."""
    before = written(path)
    code, out, err = kit(
        "evaluate", "--split", "test", "--scorer", "spatial", "--json", "--run", path, *WORDS
    )
    assert code == 0, err
    spatial = json.loads(out)
    assert spatial["scorer"] == "spatial"
    made_anew = changed(path, before)
    assert made_anew == {"predict-test-spatial", "evaluate-test-gt-spatial", "evaluate-test-spatial"}
    code, out, _ = kit("train", "all", "--dry-run", "--json", "--run", path, *WORDS)
    assert code == 0
    assert {row["state"] for row in json.loads(out)} == {"finished"}
    code, out, _ = kit("evaluate", "--split", "test", "--json", "--run", path, *WORDS)
    assert json.loads(out)["scores"] != spatial["scores"]


def test_given_detections_are_the_ones_that_are_judged(path, kit):
    """What an earlier fusion left in the run is not read where the test set's detections are given."""
    words = ["evaluate", "--split", "test", "--force", "--json", "--run", path, *WORDS]
    code, out, err = kit(*words)
    assert code == 0, err
    Pipeline(Run(load_config("mini", FAST), path), [small_stage("fuse-test")]).make(["fuse-test"])
    assert kit(*words)[:2] == (0, out)
    assert "detection_mAP" in json.loads(out)
    assert (
        "fuse-test" not in json.loads((path / "evaluate-test/stage.json").read_text())["fingerprint"]["needs"]
    )


def test_equal_results_leave_what_comes_after_fresh(path, kit):
    before = written(path)
    code, _, err = kit("train", "prior", "--force", "--run", path, *WORDS)
    assert code == 0, err
    assert changed(path, before) == {"prior"}
    run = Run(load_config("mini", FAST), path)
    assert {s.state for s in Pipeline(run).status(["predict-test"])} == {"finished"}
    before = written(path)
    made(run, "spatial")
    assert changed(path, before) == set()


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


def test_a_dry_run_says_why_a_stage_is_stale(path, kit):
    deep = set_words("relation.spatial.max_depth=10")
    assert kit("train", "spatial", "--run", path, *WORDS, *deep)[0] == 0
    more = set_words("relation.spatial.max_depth=8")
    code, out, err = kit("train", "all", "--dry-run", "--run", path, *WORDS, *more)
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.lstrip().startswith("spatial"))
    assert "stale" in line
    assert line.endswith("settings: max_depth 10 → 8")
    (line,) = (line for line in out.splitlines() if line.lstrip().startswith("stack"))
    assert line.endswith("after spatial")
    assert "2 stages to do; 2 of them took" in err


def test_a_look_at_a_finished_run_needs_no_numpy(path, tiny):
    words = ("train", "all", "--dry-run", "--json", "--run", path, *WORDS)
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


def together(log, key):
    """How small stages with this key are made by one work, which is noted."""

    def work(contexts):
        log.append([context.stage.name for context in contexts])
        for context in contexts:
            (context.path / "out.txt").write_text(context.stage.name)
        return [{"figure": i} for i in range(len(contexts))]

    return Together(key, work)


def test_what_can_be_made_together_is_once_its_needs_are_there(tmp_path):
    log = []
    own = {"together": together(log, "photos"), "work": lambda _: log.append("alone") or {}}

    def stage(name, *needs, **more):
        work = more.pop("work", lambda _: log.append(name) or {})
        return Stage(name, work, needs=needs, **more)

    stages = [
        stage("model"),
        stage("a", "model", **own),
        stage("after-a", "a"),
        stage("other-model"),
        stage("b", "other-model", **own),
        stage("c", "after-a", **own),
        stage("fresh", "model", **own),
    ]
    pipeline = Pipeline(Run(load_config("mini"), tmp_path / "run"), stages)
    pipeline.make(["model"])
    pipeline.make(["fresh"])
    log.clear()
    names = list(pipeline.stages)
    run_stages(pipeline, names, 1)
    assert log == ["other-model", ["a", "b"], "after-a", "alone"]
    assert [s.state for s in pipeline.status(names)] == ["finished"] * len(names)
    assert [pipeline.run.record(name)["metrics"] for name in "ab"] == [{"figure": 0}, {"figure": 1}]
    assert (pipeline.folder("b") / "out.txt").read_text() == "b"
    run_stages(pipeline, names, 1, force=["b", "c"])
    assert log[4:] == ["alone"] * 2


def test_what_was_made_together_is_kept_when_it_is_cut_off(tmp_path):
    def broken(contexts):
        (contexts[0].path / "half.txt").write_text("half")
        raise KeyboardInterrupt

    stages = [Stage(name, lambda _: {}, together=Together("k", broken)) for name in "ab"]
    pipeline = Pipeline(Run(load_config("mini"), tmp_path / "run"), stages)
    with pytest.raises(KeyboardInterrupt):
        pipeline.make(["a", "b"])
    assert [s.state for s in pipeline.status(["a", "b"])] == ["started"] * 2
    assert (pipeline.run.part_of("a") / "half.txt").read_text() == "half"


def test_a_gpu_without_memory_is_one_line_that_says_what_to_lower(tmp_path):
    import torch

    def work(context):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    pipeline = Pipeline(Run(load_config("mini"), tmp_path / "run"), [Stage("detect-x", work)])
    with pytest.raises(KitError) as caught:
        pipeline.make(["detect-x"])
    line = str(caught.value)
    assert line.startswith(
        "detect-x: the GPU is out of memory (CUDA out of memory. Tried to allocate 2.00 GiB.)"
    )
    assert all(word in line for word in ("batch_size", "size", "max_detections"))
    assert "\n" not in line


@pytest.mark.parametrize(
    ("settings", "objects", "attributes"),
    [
        ("attribute.fusion=null", 1, 1),
        ("attribute.fusion={iou_threshold: 0.7}", 1, 2),
        ("attribute.fusion={iou_threshold: 0.7, method: nmw}", 1, 2),
    ],
)
def test_the_is_detectors_may_fuse_in_another_way(tmp_path, settings, objects, attributes):
    """Two boxes of one object with an IoU of 0.6: one at a threshold of 0.5, two at 0.7."""
    changed = load_config("mini", ["detector.fusion={iou_threshold: 0.5}", settings])
    stages = Pipeline(Run(changed)).stages
    box = np.array([[0, 0, 1, 1], [0, 0, 0.6, 1]], np.float32)

    def detect(context):
        name = context.stage.name.rpartition("-")[2]
        two = ViewDetections(("a",), [0, 0], [3, 3], [0.9, 0.8], box, np.full(2, name), np.full(2, "160x160"))
        return {"rows": write_shard(context.path / SHARDS, 0, two)}

    def weigh(context):
        write_json(context.path / "weights.json", dict.fromkeys(("resnext", "hrnet"), 1.0))
        return {}

    for task, left in ((OBJECTS, objects), (ATTRIBUTES, attributes)):
        fuse = stages[task.fuse("val")]
        made = [Stage(name, weigh if name == task.weights else detect) for name in fuse.needs]
        pipeline = Pipeline(Run(changed, tmp_path / task.fuse("val")), [*made, fuse])
        assert pipeline.make([fuse.name])[fuse.name]["metrics"]["fused"] == left
        fusion = task.fusion(changed)
        for name in (task.weights, fuse.name):
            assert stages[name].settings.items() >= fusion.model_dump(exclude={"weights", "rounds"}).items()
