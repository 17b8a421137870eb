"""Named things, and plugins: a stage, a scorer, an architecture, each one file."""

import json
import subprocess
import sys
from importlib.resources import files

import pytest

from kit.base.errors import KitError
from kit.base.registry import Registry
from kit.config import ARCHITECTURES, SCORERS, load_config
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stage_registry import MODULES
from tests.conftest import TINY
from tests.stages import in_a_process, set_words

STAGE = """
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stage import Stage

def count(context):
    statistics = context.result("prior") / "statistics.npz"
    (context.path / "size.txt").write_text(str(statistics.stat().st_size))
    return {"answer": context.config.extra["answer"]}

@register_stages
def stages(config):
    yield Stage("mine", count, needs=("prior",), settings=config.extra, trains=True, headline="answer")
"""
SCORER = """
import numpy as np
from kit.config import SCORERS
from kit.relation.scorers import Scorer

def load(models):
    prior = models.ensemble.prior
    return lambda objects, candidates, scores: scores["prior"] ** 0.5

SCORERS.register("mine", Scorer(lambda config: ("prior",), lambda config: ("prior",), load))
"""
ARCHITECTURE = """
from kit.config import ARCHITECTURES

def wide():
    config = ARCHITECTURES["resnext-mini"]()
    config["backbone"]["base_width"] = 8
    return config

ARCHITECTURES.register("wide", wide)
"""
NOT_AN_IMAGE = ("detector.models={}", "attribute.models=[]")


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin; the words that name it."""

    def write(text, name="plugin.py"):
        (tmp_path / name).write_text(text)
        return set_words(*TINY, *NOT_AN_IMAGE, f"plugins=[{tmp_path / name}]")

    return write


def test_every_module_of_stages_is_in_the_list():
    folder = files("kit.pipeline.stages")
    found = {path.name.removesuffix(".py") for path in folder.iterdir() if path.name.endswith(".py")}
    assert found - {"__init__", "training_tables"} == set(MODULES)  # what two of them share
    assert len(MODULES) == len(set(MODULES))


def test_every_module_declares_stages(tmp_path):
    pipeline = Pipeline(Run(load_config("mini"), tmp_path / "run"))
    work = [getattr(stage.work, "func", stage.work) for stage in pipeline.stages.values()]
    assert {own.__module__ for own in work} == {f"kit.pipeline.stages.{name}" for name in MODULES}


def test_things_are_found_by_their_names():
    things = Registry("thing", "tests.paths", ("own",))
    assert things.register("other", 3) == things["other"] == 3
    assert things.names == ("own", "other")
    assert things.check("other") == "other"
    with pytest.raises(KitError, match=r"^there is already a thing other$"):
        things.register("other", 4)
    with pytest.raises(KitError, match=r"^no thing none; there are: own, other$"):
        things["none"]
    with pytest.raises(
        ValueError, match=r"^no thing of this name; did you mean other\? There are: own, other$"
    ):
        things.check("othr")
    with pytest.raises(ValueError, match=r"^no thing of this name\. There are: own, other$"):
        things.check("xyz")


@pytest.mark.parametrize("registry", [SCORERS, ARCHITECTURES])
def test_what_is_named_is_there(registry):
    for name in registry.names:
        assert registry[name] is not None


@pytest.mark.parametrize(
    ("setting", "known"),
    [
        ("relation.scorer=blend", SCORERS),
        ("detector.models={a: {architecture: resnet}}", ARCHITECTURES),
    ],
)
def test_an_unknown_name_is_one_line_with_those_that_there_are(setting, known, kit):
    code, out, err = kit("config", "--set", setting)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"There are: {', '.join(known.names)}" in err


def test_an_unknown_scorer_of_a_command_is_one_line(kit, tiny, tmp_path):
    code, _, err = kit("evaluate", "--gt-boxes", "--scorer", "blend", "--run", tmp_path, *set_words(*TINY))
    assert (code, err) == (2, f"kit: no scorer blend; there are: {', '.join(SCORERS.names)}\n")


def test_a_stage_from_a_file(plugin, tiny, tmp_path):
    words = [*plugin(STAGE), *set_words("extra.answer=42"), "--run", tmp_path / "run"]
    done = in_a_process("train", "all", *words, folder=tiny)
    assert done.returncode == 0, done.stderr
    assert "answer 42" in done.stdout
    size = (tmp_path / "run/prior/statistics.npz").stat().st_size
    assert (tmp_path / "run/mine/size.txt").read_text() == str(size)
    more = [*words, *set_words("extra.answer=43")]
    done = in_a_process("train", "all", "--dry-run", "--json", *more, folder=tiny)
    rows = {row["stage"]: row for row in json.loads(done.stdout)}
    assert (rows["mine"]["state"], rows["mine"]["why"]) == ("stale", ["settings: answer 42 → 43"])
    done = in_a_process("train", "all", "--jobs", 2, *more, folder=tiny)
    assert done.returncode == 0, done.stderr
    assert "answer 43" in done.stdout


def test_a_scorer_from_a_file(plugin, tiny, tmp_path):
    words = [*plugin(SCORER), "--run", tmp_path / "run"]
    assert in_a_process("train", "prior", *words, folder=tiny).returncode == 0
    found = {}
    for scorer in ("prior", "mine"):
        done = in_a_process("evaluate", "--gt-boxes", "--scorer", scorer, "--json", *words, folder=tiny)
        assert done.returncode == 0, done.stderr
        found[scorer] = json.loads(done.stdout)
    assert (
        found["mine"]["relationships"]["AP"] == found["prior"]["relationships"]["AP"]
    )  # the order is the same
    assert (tmp_path / "run/evaluate-val-gt-mine/stage.json").exists()
    done = in_a_process("evaluate", "--split", "test", "--scorer", "mine", "--json", *words, folder=tiny)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scorer"] == "mine"


def test_an_architecture_from_a_file(plugin, tmp_path):
    words = plugin(ARCHITECTURE)
    settings = [*words[1::2], "detector.models={a: {architecture: wide}}"]
    code = (
        "from kit.config import load_config\n"
        "from kit.detector.architecture import build, model_config, prepare\n"
        f"config = load_config('mini', {settings!r})\n"
        "prepare()\n"
        "made = model_config(config.detector.models['a'].architecture, 57, 1e-4, 100)\n"
        "plain = model_config('resnext-mini', 57, 1e-4, 100)\n"
        "assert made['backbone']['base_width'] == 8\n"
        "count = lambda c: sum(p.numel() for p in build(c).parameters())\n"
        "assert count(made) > count(plain)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "plugin.py: no such file; plugins names Python files"),
        ("import nothing_of_this_name", "plugin.py: the plugin cannot be loaded (No module named"),
        ("1 +", "plugin.py: the plugin cannot be loaded ("),
        ('raise RuntimeError("two\\nlines")', "plugin.py: the plugin cannot be loaded (two"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_line(kit, tmp_path, text, message):
    if text is not None:
        (tmp_path / "plugin.py").write_text(text)
    code, out, err = kit("config", "--set", f"plugins=[{tmp_path / 'plugin.py'}]")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_plugins_stages_belong_to_the_configs_that_name_it(tmp_path):
    (tmp_path / "p.py").write_text(STAGE)
    named = load_config("relations", [f"plugins=[{tmp_path / 'p.py'}]", "extra.answer=1"])
    assert "mine" in Pipeline(Run(named, tmp_path / "run")).stages
    assert "mine" not in Pipeline(Run(load_config("relations"), tmp_path / "run")).stages
