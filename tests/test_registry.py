"""Named things, and plugins: a stage, a scorer, an architecture, each one file."""

import json
import sys
from importlib.resources import files

import pytest

from kit.base.errors import KitError
from kit.base.registry import Registry, forget
from kit.config import ARCHITECTURES, SCORERS, load_config
from kit.config.plugins import plugin_module
from kit.detector.architecture import build, model_config, prepare
from kit.pipeline.models import usable_scorers
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
NO_DETECTOR = ("detector.models={}", "attribute.models=[]")


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin; the words that name it. Afterwards nothing of it is left in this process."""
    file = tmp_path / "plugin.py"

    def write(text):
        file.write_text(text)
        return set_words(*TINY, *NO_DETECTOR, f"plugins=[{file}]")

    yield write
    forget(plugin_module(file))
    sys.modules.pop(plugin_module(file), None)


def test_every_module_of_stages_is_in_the_list():
    folder = files("kit.pipeline.stages")
    found = {path.name.removesuffix(".py") for path in folder.iterdir() if path.name.endswith(".py")}
    assert found - {"__init__", "training_tables"} == set(MODULES)  # what two of them share
    assert len(MODULES) == len(set(MODULES))


def test_every_module_declares_stages(tmp_path):
    """Detections from elsewhere stand in place of the project's own of a split: both are there here."""
    pipeline = Pipeline(Run(load_config("mini", ["data.test.detections=own.csv"]), tmp_path / "run"))
    works = [stage.work for stage in pipeline.stages.values()]  # of shards, of tasks, or whole
    work = [getattr(work, "count", getattr(work, "finish", work)) for work in works]
    own = [getattr(function, "func", function) for function in work]
    assert {function.__module__ for function in own} == {f"kit.pipeline.stages.{name}" for name in MODULES}


def test_things_are_found_by_their_names():
    things = Registry("thing", "tests.paths", ("own",))
    assert things.register("other", 3) == things["other"] == 3
    assert things.names == ("own", "other")
    assert things.check("other") == "other"
    with pytest.raises(KitError, match=r"^there is already a thing other; give another name$"):
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


def test_a_stage_from_a_file(plugin, tiny, tmp_path, kit):
    words = [*plugin(STAGE), *set_words("extra.answer=42"), "--run", tmp_path / "run"]
    done = in_a_process("train", "all", *words, folder=tiny)
    assert done.returncode == 0, done.stderr
    assert "answer 42" in done.stdout
    size = (tmp_path / "run/prior/statistics.npz").stat().st_size
    assert (tmp_path / "run/mine/size.txt").read_text() == str(size)
    more = [*words, *set_words("extra.answer=43")]
    rows = {row["stage"]: row for row in json.loads(kit("train", "all", "--dry-run", "--json", *more)[1])}
    assert (rows["mine"]["state"], rows["mine"]["why"]) == ("stale", ["settings: answer 42 → 43"])
    done = in_a_process("train", "all", "--jobs", 2, *more, folder=tiny)
    assert done.returncode == 0, done.stderr
    assert "answer 43" in done.stdout


def test_a_scorer_from_a_file(plugin, tiny, tmp_path, kit):
    words = [*plugin(SCORER), "--run", tmp_path / "run"]
    assert kit("train", "prior", *words)[0] == 0
    found = {}
    for scorer in ("prior", "mine"):
        code, out, err = kit("evaluate", "--gt-boxes", "--scorer", scorer, "--json", *words)
        assert code == 0, err
        found[scorer] = json.loads(out)
    assert (
        found["mine"]["relationships"]["AP"] == found["prior"]["relationships"]["AP"]
    )  # the order is the same
    assert (tmp_path / "run/evaluate-val-gt-mine/stage.json").exists()
    done = in_a_process("evaluate", "--split", "test", "--scorer", "mine", "--json", *words, folder=tiny)
    assert done.returncode == 0, done.stderr  # by a process that has heard of it for the first time
    assert json.loads(done.stdout)["scorer"] == "mine"


@pytest.fixture
def loaded(tmp_path):
    """Load the config with a plugin in this process; afterwards nothing of it is left."""
    files = []

    def load(text, name="plugin.py", *settings):
        files.append(tmp_path / name)
        files[-1].write_text(text)
        return load_config("mini", [*TINY, *NO_DETECTOR, f"plugins=[{files[-1]}]", *settings])

    yield load
    for file in files:
        forget(plugin_module(file))
        sys.modules.pop(plugin_module(file), None)


def test_a_plugin_is_known_to_its_config_alone(loaded, tmp_path):
    with_it = loaded(SCORER)
    plain = load_config("mini", [*TINY, *NO_DETECTOR])
    assert "mine" in usable_scorers(with_it)
    assert "mine" not in usable_scorers(plain)
    stages = Pipeline(Run(plain, tmp_path / "run")).stages
    assert not [name for name in stages if "mine" in name]
    assert "mine" not in str(stages["scored-candidates-test"].settings)


def test_a_plugin_of_other_code_or_settings_makes_scores_stale(loaded, tmp_path):
    def settings(text, answer):
        config = loaded(text, "plugin.py", f"extra.answer={answer}")
        stage = Pipeline(Run(config, tmp_path / "run")).stages["scored-candidates-test"]
        return stage.settings["plugins"], stage.settings["extra"]

    first, other_answer = settings(SCORER, 1), settings(SCORER, 2)
    other_code = settings(SCORER.replace("0.5", "0.6"), 1)
    assert first[0] == other_answer[0] != other_code[0]
    assert first[1] == other_code[1] != other_answer[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SCORER.replace("mine", "stack"), "there is already a scorer stack"),
        (SCORER.replace("mine", "my-scorer"), "scorer my-scorer: not a name of letters"),
        (SCORER.replace("mine", "subject"), "scorer subject: a word that columns or stages have already"),
        (ARCHITECTURE.replace('"wide"', '"hrnet-mini"'), "there is already an architecture hrnet-mini"),
    ],
)
def test_a_name_that_is_taken_or_cannot_be_is_one_line(loaded, text, message):
    with pytest.raises(KitError) as error:
        loaded(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_plugin_that_failed_can_be_mended(loaded):
    with pytest.raises(KitError, match="division by zero"):
        loaded(f"{SCORER}\n1 / 0\n")
    assert "mine" in usable_scorers(loaded(SCORER))


def test_scorers_that_use_each_other(loaded, tmp_path):
    config = loaded(SCORER.replace('lambda config: ("prior",), load', 'lambda config: ("mine",), load'))
    with pytest.raises(KitError, match=r"^scorers use each other in a circle: mine -> mine$"):
        Pipeline(Run(config, tmp_path / "run"))


@pytest.mark.filterwarnings("ignore")
def test_an_architecture_from_a_file(loaded):
    config = loaded(ARCHITECTURE, "plugin.py", "detector.models={a: {architecture: wide}}")
    prepare()
    made = model_config(config.detector.models["a"].architecture, 57, 1e-4, 100)
    plain = model_config("resnext-mini", 57, 1e-4, 100)
    assert made["backbone"]["base_width"] == 8
    ours, theirs = (sum(p.numel() for p in build(c).parameters()) for c in (made, plain))
    assert ours > theirs


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
