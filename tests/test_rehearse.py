"""A rehearsal of the tiny challenge from end to end, and what it says of things that are missing or fail."""

import itertools
import json
import re
import subprocess
import sys
import time

import pytest

from kit.base.errors import KitError
from kit.base.locks import exclusive_lock
from kit.cli.rehearse import seconds_of, time_text
from kit.config import load_config
from kit.data.photos import list_photos
from kit.data.split_tables import load_split
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.splits import TABLES, split_ids
from kit.rehearsal import memory
from kit.rehearsal.challenge import Challenge
from kit.rehearsal.conduct import rehearse
from kit.rehearsal.measuring import Measuring
from kit.rehearsal.plan import (
    commands,
    detections_to_learn_from,
    split_of_stage,
    whole_run,
    with_test_photos,
)
from kit.rehearsal.schedule import Command
from kit.rehearsal.shared_memory import needed_shared_memory, shared_memory_fault
from tests.conftest import FEW, TINY, config
from tests.waiting import wait_for

ONE = "detector.models={resnext: {architecture: resnext-mini}}"
SETTINGS = [word for value in [*TINY, *FEW, "data.test.detections=[]", ONE] for word in ("--set", value)]


def test_a_whole_rehearsal_knows_every_stage(kit, tiny, tmp_path):
    run = tmp_path / "run"
    code, out, err = kit("rehearse", *SETTINGS, "--run", run, "--minutes", 0.5, "--budget", "9h", "--json")
    found = json.loads(out)
    assert code == 0, err
    stages = {stage["stage"]: stage for stage in found["stages"]}
    assert list(stages) == whole_run(Pipeline(Run(config(ONE), tmp_path / "other")))
    assert all(stage["seconds"] > 0 and not stage["failed"] for stage in stages.values())
    spans = sorted((stage["begins"], stage["begins"] + stage["seconds"]) for stage in stages.values())
    assert all(begin >= end - 1e-6 for (_, end), (begin, _) in itertools.pairwise(spans))
    assert found["seconds"] == pytest.approx(spans[-1][1])
    assert stages["detector-resnext"]["unit"] == "images"
    assert stages["detector-resnext"]["ram"] > 100_000_000
    assert "within" in err
    assert sorted(path.name for path in run.iterdir()) == [
        *(".rehearsal.lock", "logs", "rehearsal.json"),
    ]

    code, out, _ = kit("train", "all", "--dry-run", *SETTINGS, "--run", run, "--json")
    rows = {row["stage"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["detector-resnext"]["seconds"] == stages["detector-resnext"]["seconds"]
    assert rows["detector-resnext"]["state"] == "to do"


def test_missing_files_photos_and_weights_are_made_and_named(tiny, tmp_path):
    wanted = load_config(
        "mini",
        [
            *TINY,
            "data.source=openimages",
            f"data.val.relations={tmp_path}/gone.csv",
            f"data.val.images={tmp_path}/no-photos",
            "data.test.relations=[]",
            "data.test.boxes=[]",
            "data.test.labels=[]",
            f"data.hierarchy={tmp_path}/tree.json",
        ],
    )
    challenge = Challenge.of(wanted, tmp_path / "made")
    assert challenge.images["val"] > 1000
    short = challenge.shortened({"stack": 2, "val": 7, "test": 5}, split_ids(wanted, "train"))
    assert {split: len(split_ids(short, split)) for split in ("stack", "val", "test")} == {
        "stack": 2,
        "val": 7,
        "test": 5,
    }
    assert short.data.train.images == wanted.data.train.images
    assert set(list_photos(short.data.val.images).places) == set(split_ids(short, "val"))
    assert load_split(short.data.val, "val").labels is not None
    assert [line.split(":")[0] for line in challenge.made] == ["tree.json", "val", "val"]
    assert challenge.config.data.hierarchy is None
    assert "gone.csv: made" in challenge.made[1]
    assert "made ones stand for all" in challenge.made[2]


def test_the_mini_challenge_is_asked_for(tmp_path):
    with pytest.raises(KitError, match="run `kit download` first"):
        Challenge.of(load_config("mini", [f"data.root={tmp_path}"]), tmp_path / "made")


def test_unreadable_weights_are_found_and_stop_only_what_needs_them(kit, tiny, tmp_path):
    bad = tmp_path / "weights.pth"
    bad.write_bytes(b"no weights")
    one = f"detector.models={{resnext: {{architecture: resnext-mini, weights: {bad}}}}}"
    more = ["--set", one, "--set", "attribute.models=[]"]
    words = ("--run", tmp_path / "run", "--minutes", 0.5, "--jobs", 2, "--json")
    code, out, _err = kit("rehearse", *SETTINGS, *more, *words)
    stages = {stage["stage"]: stage for stage in json.loads(out)["stages"]}
    assert code == 1
    assert "weights.pth" in stages["detector-resnext"]["failed"]
    assert stages["prior"]["seconds"] > 0
    assert stages["spatial"]["seconds"] > 0
    assert stages["detect-val-resnext"]["failed"] == "not measured: after detector-resnext"
    assert json.loads(out)["jobs"] == 2
    logs = {path.name for path in (tmp_path / "run" / "logs").iterdir()}
    assert {"rehearsal-detector-resnext.txt", "rehearsal-prior.txt", "rehearsal-spatial.txt"} <= logs


PLUGIN = """
import os
import signal
from kit.base.errors import KitError
from kit.pipeline.stage import Stage
from kit.pipeline.stage_registry import register_stages

def before(context):
    if context.config.extra != {"small": 1e-5}:
        raise KitError(repr(context.config.extra))
    return {}

def dies(context):
    for lines in context.path.parents[1].glob("measuring/*.jsonl"):
        if '"dies"' in lines.read_text():
            with lines.open("a") as file:
                file.write('{"stage": "di')  # as if it were killed while a line is written
    os.kill(os.getpid(), signal.SIGKILL)

@register_stages
def stages(config):
    yield Stage("before", before, trains=True)
    yield Stage("dies", dies, needs=("before",), trains=True)
    yield Stage("after", lambda context: {}, needs=("dies",), trains=True)
    yield Stage("beside", lambda context: {}, needs=("before",), trains=True)
"""
ANNOTATIONS_ALONE = (
    "detector.models={}",
    "attribute.models=[]",
    "relation.scorer=prior",
    "data.test.ids=null",
)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_dies_takes_only_the_stage_at_work_along(tiny, tmp_path, jobs):
    (tmp_path / "dying.py").write_text(PLUGIN)
    logs = tmp_path / "run" / "logs"
    logs.mkdir(parents=True)
    (logs / "rehearsal-training-7.txt").write_text("of another rehearsal")
    (logs / "spatial.txt").write_text("of the run")
    wanted = config(*ANNOTATIONS_ALONE, f"plugins=[{tmp_path}/dying.py]", "extra={small: 1.0e-05}")
    found = rehearse(wanted, tmp_path / "run", 0.05, jobs)
    stages = {stage.stage: stage for stage in found.stages}
    assert "killed" in stages["dies"].failed
    log = "rehearsal-training.txt" if jobs == 1 else "rehearsal-dies.txt"
    assert str(logs / log) in stages["dies"].failed
    names = {path.name for path in logs.iterdir()}
    assert names >= {log, "spatial.txt"}
    assert "rehearsal-training-7.txt" not in names
    assert ("rehearsal-training-2.txt" in names) == (jobs == 1)
    assert stages["after"].failed == "not measured: after dies"
    assert all(stages[name].seconds is not None for name in ("before", "beside", "prior"))


ENDS = """
import os
import sys

if "kit.rehearsal.worker" in sys.orig_argv:
    print("no library", flush=True)
    os._exit(3)
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_fails_before_any_stage_fails_all_of_its_stages(tiny, tmp_path, jobs):
    (tmp_path / "ends.py").write_text(ENDS)
    found = rehearse(
        config(*ANNOTATIONS_ALONE, f"plugins=[{tmp_path}/ends.py]"), tmp_path / "run", 0.05, jobs
    )
    assert found.unmeasured == len(found.stages) > 2
    failed = {stage.stage: stage.failed for stage in found.stages}
    name = "the rehearsal" if jobs == 1 else "prior"  # that takes a process of its own
    assert failed["prior"].startswith(f"{name} failed: no library (see ")


def test_a_second_rehearsal_of_a_run_is_one_line_and_leaves_the_first_alone(tiny, tmp_path):
    file = tmp_path / "run" / ".rehearsal" / "file"
    file.parent.mkdir(parents=True)
    file.touch()
    with (
        exclusive_lock(tmp_path / "run" / ".rehearsal.lock", "busy"),
        pytest.raises(KitError, match="another kit is rehearsing this run; wait, or give --run"),
    ):
        rehearse(config(), tmp_path / "run", 0.05)
    assert file.exists()


def test_what_is_ended_after_its_time_says_so_and_what_it_said_itself(run, tmp_path):
    measuring = Measuring(tmp_path / "scratch", tmp_path, 0.5)
    measuring.deadline = time.monotonic() + 1.0
    with measuring.command(Command([]), 1, 1):
        measuring.measure(Pipeline(run), run.config, ["prior"], "training")
    text = r"not at its end after 5 minutes in all; give more --minutes \(the rehearsal failed: .+"
    assert re.match(text, measuring.failed["prior"])


@pytest.mark.parametrize("loads", [(), ("kit.tables.submission_check",)])
def test_what_a_command_has_loaded_before_is_not_counted_with_its_stage(run, tmp_path, loads):
    measuring = Measuring(tmp_path / "scratch", tmp_path, 0.5)
    with measuring.command(Command([], loads=loads), 1, 1):
        measuring.measure(Pipeline(run), run.config, ["prior"], "training")
    prior = measuring.measured["prior"]
    assert ("pyarrow.lib" in {*prior.before, *prior.modules}) == (not loads)


def test_the_commands_share_the_stages_and_the_last_has_loaded_what_checks_its_file(tiny, tmp_path):
    pipeline = Pipeline(Run(config(ONE), tmp_path / "run"))
    names = whole_run(pipeline)
    train, evaluate, submit = commands(pipeline, names, 2)
    assert sorted([*train.stages, *evaluate.stages, *submit.stages]) == sorted(names)
    assert (train.jobs, evaluate.jobs, submit.jobs) == (2, 2, 1)
    assert "final" in train.stages
    assert "evaluate-val" in evaluate.stages
    assert submit.stages[-1] == "submission"
    assert submit.loads == ["kit.tables.submission_check"]


def test_no_job_is_one_line(tiny, tmp_path):
    with pytest.raises(KitError, match="0 jobs; give at least one"):
        rehearse(config(), tmp_path / "run", 0.05, 0)


def test_training_on_detections_looks_at_a_part_of_the_training_images(tiny, tmp_path):
    words = (
        *("relation.train_boxes=predicted", "attribute.models=[]", "data.test.relations=[]"),
        "relation.visual.backbone=shared",
    )
    found = rehearse(config(ONE, *words), tmp_path / "run", 0.05)
    assert "relation models learn from true boxes here: no detector is trained yet" in found.made
    stages = {stage.stage: stage for stage in found.stages}
    assert {"detect-train-resnext", "fuse-train", "prior", "spatial", "visual"} <= stages.keys()
    assert not any(stage.failed for stage in stages.values())
    assert all(stage.seconds for stage in stages.values())


def test_detections_that_models_learn_from_are_told_from_the_others(tiny, tmp_path):
    pipeline = Pipeline(Run(config(ONE, "relation.train_boxes=predicted"), tmp_path / "run"))
    assert detections_to_learn_from(pipeline, whole_run(pipeline)) == [
        *("detect-train-resnext", "detect-stack-resnext", "fuse-train", "fuse-stack"),
    ]
    assert {split_of_stage(pipeline, name) for name in ("detect-train-resnext", "fuse-train")} == {"train"}
    truth = Pipeline(Run(config(ONE), tmp_path / "run"))
    assert detections_to_learn_from(truth, whole_run(truth)) == []


def test_the_run_scores_the_hidden_test_whether_its_photos_are_there_yet(tiny, tmp_path):
    names = whole_run(Pipeline(Run(config(), tmp_path)))
    assert "evaluate-test" in names
    later = config("data.test.images=nowhere")
    assert "evaluate-test" not in whole_run(Pipeline(Run(later, tmp_path)))
    assert whole_run(Pipeline(Run(with_test_photos(later, tiny), tmp_path))) == names


def test_a_training_split_is_cut_where_it_is_asked_for(tiny, tmp_path):
    challenge = Challenge.of(config(), tmp_path / "made")
    short = challenge.shortened({"train": 7, "val": 3})
    assert [len(split_ids(short, split)) for split in ("train", "val", "stack")] == [7, 3, 20]
    assert set(split_ids(short, "train")) < set(split_ids(challenge.config, "train"))
    assert challenge.scales() == {"train": 150 / 7, "val": 20}
    short = challenge.shortened({"val": 3})
    assert short.data.train == challenge.config.data.train


def test_every_stage_has_the_split_that_it_works_on(run):
    pipeline = Pipeline(run)
    found = {name: split_of_stage(pipeline, name) for name in pipeline.stages}
    expected = {
        "prior": "train",
        "detector-hrnet": "train",
        "visual": "train",
        "stack": "stack",
        "detect-test-hrnet": "test",
        "fusion-weights": "val",
        "fuse-test": "test",
        "final": "val",
        "submission": "test",
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "seconds"), [("48h", 172_800), ("2d", 172_800), ("90m", 5400), ("0.5h", 1800)]
)
def test_a_budget_is_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "48", "h", "-1h", "two days"])
def test_what_is_no_budget_is_one_line(kit, text):
    code, out, err = kit("rehearse", "--budget", text or " ")
    assert (code, out) == (2, "")
    assert "write it as 48h, 2d or 90m" in err


def test_times_for_people():
    assert [time_text(s) for s in (3.2, 300, 40_000)] == ["3 s", "5 min", "11.1 h"]


BLOCK = """
import time
from kit.rehearsal.memory import PeakMemory, used_memory
with PeakMemory() as memory:
    block = bytearray(80_000_000)
    block[::4096] = b"x" * len(block[::4096])
    before, end = used_memory(), time.monotonic() + 30
    while memory.bytes < before and time.monotonic() < end:  # until it is looked at
        time.sleep(0.01)
    del block
print(memory.bytes, before, used_memory())
"""


CHILD = """
import subprocess, sys
from kit.rehearsal.memory import used_memory
words = "block = b'x' * 80_000_000; print('there', flush=True); input()"
before = used_memory()
child = subprocess.Popen(
    [sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
)
child.stdout.readline()
print(used_memory(), used_memory(), before)
child.communicate(b"over")
"""


@pytest.mark.parametrize("code", [BLOCK, CHILD])
def test_memory_is_measured_with_that_of_processes_that_were_started(code):
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    most, before, after = map(int, out.split())
    assert most > 80_000_000
    assert before > 80_000_000
    assert before - after > 70_000_000


def test_memory_is_counted_where_it_may_be_larger_and_else_left_alone(monkeypatch):
    """A count stops the process that is measured."""
    looks, counts = [100, 100, 100, 101, 101, 101, 150, 150, 140, 150], []
    monkeypatch.setattr(memory, "EVERY", 0.001)
    monkeypatch.setattr(memory, "SHARED", 10**9)
    monkeypatch.setattr(memory, "_processes", lambda: [1] if len(looks) > 1 else [1, 2])
    monkeypatch.setattr(memory, "_resident", lambda _: looks.pop(0) if looks else 150)
    monkeypatch.setattr(memory, "used_memory", lambda: counts.append(len(looks)) or 7)
    with memory.PeakMemory() as peak:
        wait_for(lambda: not looks)
    assert counts[:4] == [9, 5, 3, 0]  # the first look; 101, at rest; 150; another process
    assert len(counts) <= 6  # and one at the end
    assert peak.bytes == 7


def test_memory_of_several_processes_is_counted_now_and_then(monkeypatch):
    """One that writes to a page that it shares takes memory, and none is resident that was not."""
    used = iter(range(1, 10**9))
    monkeypatch.setattr(memory, "EVERY", 0.001)
    monkeypatch.setattr(memory, "_processes", lambda: [1, 2])
    monkeypatch.setattr(memory, "_resident", lambda _: 100)
    monkeypatch.setattr(memory, "used_memory", lambda: next(used))
    with memory.PeakMemory() as peak:
        wait_for(lambda: peak.bytes > 3)


def test_what_is_measured_reads_the_files_of_the_training_split_as_a_run_does(tiny, tmp_path, monkeypatch):
    """The look at the whole challenge before it has kept their tables."""
    kept = {}

    def measure(_measuring, pipeline, _config, _names, text, *_more):
        kept[text] = [path.name for path in (pipeline.run.path / TABLES).glob("train-*")]

    monkeypatch.setattr(Measuring, "measure", measure)
    monkeypatch.setattr(Measuring, "prepare", lambda *_: None)
    rehearsal = rehearse(config(ONE), tmp_path / "run", minutes=1)
    assert kept["training"] == []
    assert set(kept) == {"training", "use", "use-2", "use-3"}
    assert rehearsal.unmeasured == len(rehearsal.stages)


def test_the_visual_model_loads_crops_or_cells():
    alone = [
        *(f"{part}.workers=0" for part in ("detector.training", "detector.inference", "attribute.training"))
    ]
    visual = [f"relation.visual.{key}" for key in ("workers=1", "batch_size=4096", "crop_size=100")]
    crops = load_config("layer6", [*alone, *visual])
    assert needed_shared_memory(crops) == 2 * 4096 * 100 * 100 * 3
    regions = load_config("layer6", [*alone, *visual, "relation.visual.features=regions"])
    assert needed_shared_memory(regions) == 2 * 4096 * (3 * 256 + 2) * 7 * 7 * 4  # float32 cells
    few = load_config(
        "layer6", [*alone, *visual, "relation.visual.features=regions", "relation.visual.batch_size=1"]
    )
    assert needed_shared_memory(few) == 2 * 1333 * 800 * 3  # scoring is given whole images


def test_small_shared_memory_is_told(monkeypatch):
    layer6 = load_config("layer6")
    assert needed_shared_memory(load_config("mini", TINY)) == 0
    assert needed_shared_memory(layer6) > 64_000_000
    training = ("detector.inference.workers=0", "relation.visual=null")
    one, two = (load_config("layer6", [*training, f"detector.processes={n}"]) for n in (1, 2))
    assert needed_shared_memory(two) == 2 * needed_shared_memory(one) > 0
    usage = type("Usage", (), {"free": 64_000_000})
    monkeypatch.setattr("kit.rehearsal.shared_memory.shutil.disk_usage", lambda place: usage)
    assert "docker run --shm-size" in (shared_memory_fault(layer6) or "")
    usage.free = 10**12
    assert shared_memory_fault(layer6) is None
