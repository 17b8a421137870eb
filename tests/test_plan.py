import pytest
from kit.jobs import run_steps
from kit.run import Run
from kit.stages.plan import Step, chosen, states, training_steps

from kit.base.errors import KitError
from kit.config import load_config

NO_PICTURES = ("detector.models={}", "attribute.models=[]")


def names(*overrides, config="mini"):
    return [step.name for step in training_steps(load_config(config, overrides))]


def test_the_order_of_the_whole_job():
    steps = training_steps(load_config("mini"))
    order = [step.name for step in steps]
    assert order == [
        "prior", "detector-resnext", "detector-hrnet", "detect-val-resnext", "detect-val-hrnet", "fuse-val",
        "attribute-resnext", "attribute_detect-val-resnext", "attribute_fuse-val", "spatial", "visual", "stack",
        "pairs-val", "final",
    ]  # fmt: skip
    for i, step in enumerate(steps):
        assert set(step.after) <= set(order[:i])


def test_what_a_config_leaves_out():
    assert names(config="relations") == ["prior", "spatial", "stack"]
    assert "visual" not in names("relation.visual=null")
    assert not [n for n in names("attribute.models=[]") if n.startswith("attribute")]
    predicted = names("relation.train_boxes=predicted")
    assert predicted.index("fuse-train") < predicted.index("prior") < predicted.index("spatial")
    assert predicted.index("fuse-stack") < predicted.index("stack")


def test_an_attribute_detector_needs_its_base():
    with pytest.raises(KitError, match=r"detector.models has no vgg; it has: resnext, hrnet"):
        names("attribute.models=[vgg]")


def test_some_of_the_steps():
    steps = training_steps(load_config("relations"))
    assert [s.name for s in chosen(steps, [], None)] == ["prior", "spatial", "stack"]
    assert [s.name for s in chosen(steps, [], "spatial")] == ["spatial", "stack"]
    assert [s.name for s in chosen(steps, ["stack", "prior"], None)] == ["prior", "stack"]
    with pytest.raises(KitError, match="no stage vgg; stages: prior, spatial, stack"):
        chosen(steps, ["vgg"], None)


def step(name, *after, log=None, value=1):
    def work(run, force):
        with run.stage(name, run.key({"value": value}), force=force) as stage:
            if stage:
                if log is not None:
                    log.append(name)
                stage.metrics = {"figure": 7}

    return Step(name, work, after, "figure")


def test_states_are_told_without_doing_anything(tmp_path):
    run, log = Run(load_config("mini"), tmp_path / "run"), []
    steps = [step("prior", log=log), step("spatial", "prior", log=log)]
    assert [s.state for s in states(run, steps)] == ["to do", "to do"]
    assert log == []
    run_steps(run, steps, 1)
    assert log == ["prior", "spatial"]
    found = states(run, steps)
    assert [s.state for s in found] == ["finished", "finished"]
    assert [s.figure for s in found] == ["figure 7", "figure 7"]
    assert all(s.seconds is not None for s in found)
    changed = [step("prior", log=log, value=2), steps[1]]
    assert [s.state for s in states(run, changed)] == ["to do", "to do"]
    run_steps(run, steps, 1)
    assert log == ["prior", "spatial"]
    run_steps(run, steps, 1, force=True)
    assert log == ["prior", "spatial"] * 2


def test_an_interrupted_step_is_started_and_a_run_beside_tells_the_time(tmp_path):
    run = Run(load_config("mini"), tmp_path / "run")

    def broken(run, force):
        with run.stage("prior", run.key({})):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken(run, False)
    assert [s.state for s in states(run, [Step("prior", broken)])] == ["started"]
    run_steps(Run(load_config("mini"), tmp_path / "other"), [step("prior")], 1)
    assert states(run, [Step("prior", broken)])[0].seconds is not None


def test_the_relation_stages_in_processes(tiny, tmp_path, kit):
    from tests.conftest import TINY

    words = [w for setting in (*TINY, *NO_PICTURES) for w in ("--set", setting)]
    code, out, err = kit("train", "all", "--jobs", 2, "--run", tmp_path / "run", *words)
    assert code == 0, err
    for name in ("prior", "spatial", "stack"):
        assert (tmp_path / "run" / name / "stage.json").exists()
        assert f"{name} " in out
    assert out.count("finished") == 3
    code, out, _ = kit("train", "all", "--dry-run", "--json", "--run", tmp_path / "run", *words)
    assert code == 0
    assert out.count('"finished"') == 3
    code, _, err = kit("train", "all", "--only", "none", "--run", tmp_path / "run", *words)
    assert code == 2
    assert "no stage none" in err


def test_a_failed_step_ends_the_job(tiny, tmp_path, kit):
    from tests.conftest import TINY

    words = [w for s in (*TINY, *NO_PICTURES, "data.train.relations=[]") for w in ("--set", s)]
    code, _, err = kit("train", "all", "--jobs", 2, "--run", tmp_path / "run", *words)
    assert code == 2
    assert "prior failed: data.train.relations is not set" in err
    assert not (tmp_path / "run" / "spatial").exists()
