"""Making stages: one, several, together, in processes, those that are not fresh."""

import json
import shutil

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.base.files import write_json
from kit.config import load_config
from kit.pipeline.detector_task import ATTRIBUTES, OBJECTS
from kit.pipeline.jobs import run_stages
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stage import Stage, Together
from kit.tables.schema import ViewDetections
from kit.tables.shards import SHARDS, write_shard
from tests.conftest import FAST, TINY
from tests.stages import (
    changed,
    set_words,
    small_stage,
    writing,
    written,
)

WORDS = set_words(*FAST)


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


def test_from_a_stage_means_it_and_what_needs_it(finished, kit):
    before = written(finished)
    code, _, err = kit("train", "all", "--from", "spatial", "--run", finished, *WORDS)
    assert code == 0, err
    assert changed(finished, before) == {"spatial", "stack"}
    code, out, _ = kit("train", "all", "--from", "stack", "--dry-run", "--json", "--run", finished, *WORDS)
    rows = {row["stage"]: (row["state"], row["why"]) for row in json.loads(out)}
    assert rows == {"stack": ("stale", ["asked for"])}


def test_only_one_stage_is_done_or_what_it_lacks_is_told(finished, kit, tmp_path):
    before = written(finished)
    more = set_words("relation.prior.smooth_pair=20", "relation.stack.eta=0.2")
    code, _, err = kit("train", "all", "--only", "stack", "--run", finished, *WORDS, *more)
    assert code == 0, err
    assert changed(finished, before) == {"stack"}
    assert "note: prior is stale (settings: smooth_pair 50.0 → 20.0)" in err
    shutil.rmtree(finished / "spatial")
    code, _, err = kit("train", "all", "--only", "stack", "--run", finished, *WORDS)
    assert (code, err.count("\n")) == (2, 1)
    assert "stage spatial is not there; run `kit train spatial` first" in err
    code, _, err = kit("train", "all", "--only", "spatial", "--run", tmp_path / "new", *WORDS)
    assert (code, err.count("\n")) == (2, 1)
    assert "stage prior is not there; run `kit train prior` first" in err


def test_another_scorer_uses_the_same_scored_candidates(finished, kit):
    """All scores of a pair lie in one table; nothing that was trained becomes stale by evaluating another."""
    before = written(finished)
    code, out, err = kit(
        "evaluate", "--split", "test", "--scorer", "spatial", "--json", "--run", finished, *WORDS
    )
    assert code == 0, err
    spatial = json.loads(out)
    assert spatial["scorer"] == "spatial"
    made_anew = changed(finished, before)
    assert made_anew == {"predict-test-spatial", "evaluate-test-gt-spatial", "evaluate-test-spatial"}
    code, out, _ = kit("train", "all", "--dry-run", "--json", "--run", finished, *WORDS)
    assert code == 0
    assert {row["state"] for row in json.loads(out)} == {"finished"}
    code, out, _ = kit("evaluate", "--split", "test", "--json", "--run", finished, *WORDS)
    assert json.loads(out)["scores"] != spatial["scores"]


def test_given_detections_are_the_ones_that_are_judged(finished, kit):
    """What an earlier fusion left in the run is not read where the test set's detections are given."""
    words = ["evaluate", "--split", "test", "--force", "--json", "--run", finished, *WORDS]
    code, out, err = kit(*words)
    assert code == 0, err
    Pipeline(Run(load_config("mini", FAST), finished), [small_stage("fuse-test")]).make(["fuse-test"])
    assert kit(*words)[:2] == (0, out)
    assert "detection_mAP" in json.loads(out)
    fused = json.loads((finished / "fuse-test/stage.json").read_text())
    assert set(fused["fingerprint"]["inputs"]) == {"data.test.detections", "data.test.ids"}
    assert fused["fingerprint"]["needs"] == {}


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
