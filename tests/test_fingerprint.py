"""What a stage is made from: content and code count, names of places and releases do not."""

import json
import shutil
from contextlib import chdir
from dataclasses import replace

import pytest

import kit
from kit.base.errors import KitError
from kit.config import load_config
from kit.pipeline.changes import differences
from kit.pipeline.jobs import run_stages
from kit.pipeline.needed_images import needed_images
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.relation import features
from kit.relation.statistics import CooccurrenceStatistics
from tests.conftest import ALONE, FAST, TINY, config
from tests.stages import made, small_stage, state

SCORED = ("spatial", "stack", "scored-candidates-test")


@pytest.fixture(scope="module")
def whole(tiny_folder, tmp_path_factory):
    """A run on the tiny challenge, from the prior to the scored candidates of the test set."""
    with chdir(tiny_folder):
        run = Run(load_config("mini", FAST), tmp_path_factory.mktemp("whole") / "run")
        pipeline = Pipeline(run)
        run_stages(pipeline, pipeline.training, 1)
        pipeline.make(["scored-candidates-test"])
    return run


def reasons(run, stages=None):
    """Why each stage up to the scored candidates is stale."""
    found = Pipeline(run, stages).status(["scored-candidates-test"])
    return {s.stage.name: s.reasons for s in found if s.state != "finished"}


def test_nothing_is_stale_by_itself(whole, tiny):
    assert reasons(whole) == {}


@pytest.fixture
def signed_anew():
    """The features are looked at again, before a test and after it."""
    features.signature.cache_clear()
    yield
    features.signature.cache_clear()


def test_semantic_features_of_another_sign_make_what_they_reach_stale(whole, tiny, monkeypatch, signed_anew):
    plain = CooccurrenceStatistics.features
    monkeypatch.setattr(CooccurrenceStatistics, "features", lambda *arguments: -plain(*arguments))
    assert set(reasons(whole)) == set(SCORED)
    assert reasons(whole)["spatial"][0].startswith("settings: semantic_features ")


@pytest.mark.parametrize("column", ["dx_by_subject", "top_offset"])
def test_a_feature_of_another_sign_makes_what_it_reaches_stale(whole, tiny, monkeypatch, signed_anew, column):
    plain = features.pair_features

    def flipped(subject, object_):
        columns = plain(subject, object_)
        return {**columns, column: -columns[column]}

    monkeypatch.setattr("kit.relation.features.pair_features", flipped)
    assert set(reasons(whole)) == set(SCORED)
    pipeline = Pipeline(whole)
    for name in SCORED:  # each by itself, not only because an earlier one is
        own = differences(whole.record(name)["fingerprint"], pipeline.fingerprint(pipeline.stage(name)))
        assert any(text.startswith("settings: pair_features ") for text in own), (name, own)
        assert not pipeline.is_fresh(name)
    assert pipeline.is_fresh("prior")


def test_a_raised_version_makes_a_stage_stale(whole, tiny):
    for raised, stale in (
        ("spatial", set(SCORED)),
        ("stack", set(SCORED[1:])),
        ("prior", {"prior", "geometry-prior", *SCORED}),
    ):
        stages = Pipeline(whole).stages
        now = stages[raised].version
        changed = {**stages, raised: replace(stages[raised], version=now + 1)}
        found = reasons(whole, changed.values())
        assert set(found) == stale
        assert found[raised] == (f"version: {now} → {now + 1}",)


@pytest.mark.parametrize(
    ("base", "stage", "part", "setting", "default", "other", "neighbour"),
    [
        ("layer6", "detector-resnext", "training", "detector.training.scale_lr", "linear", "none", "lr"),
        ("layer6", "detector-resnext", "training", "detector.training.sync_batch_norm", True, False, "lr"),
        ("mini", "visual", None, "relation.visual.negatives_from", "all", "related", "negatives"),
    ],
)
def test_a_setting_that_came_later_counts_where_it_is_not_its_default(
    base, stage, part, setting, default, other, neighbour, tmp_path
):
    def settings(*changes):
        found = Pipeline(Run(load_config(base, changes), tmp_path / "run")).stage(stage).settings
        return found[part] if part else found

    name = setting.split(".")[-1]
    made_before = settings()
    assert neighbour in made_before
    assert name not in made_before
    assert settings(f"{setting}={default}") == made_before
    assert settings(f"{setting}={other}") == {**made_before, name: other}


def test_another_release_makes_nothing_stale(whole, tiny, monkeypatch):
    monkeypatch.setattr(kit, "__version__", "99.0")
    monkeypatch.setattr("kit.pipeline.manifest.__version__", "99.0")
    assert reasons(whole) == {}
    assert "0.1.0" not in str(whole.record("spatial")["fingerprint"])


def moved(run, root):
    """The run with all its files and images below another root."""
    data = run.config.model_dump(mode="json")["data"]
    changes = [
        f"data.{split}.{key}={json.dumps(value).replace('data/mini', str(root))}"
        for split in ("train", "stack", "val", "test")
        for key, value in data[split].items()
    ]
    config = load_config("mini", [*FAST, *changes])
    assert config.data.train.relations != run.config.data.train.relations
    return Run(config, run.path)


def test_another_spelling_and_the_same_files_elsewhere_change_nothing(whole, tiny, tmp_path):
    shutil.copytree("data/mini", tmp_path / "moved")
    for root in ("./data/../data/mini", tiny / "data/mini", tmp_path / "moved"):
        assert reasons(moved(whole, root)) == {}, root
    with (tmp_path / "moved/challenge-2019-train-vrd.csv").open("a") as file:
        file.write("\n")
    found = reasons(moved(whole, tmp_path / "moved"))
    assert found["prior"] == ("data.train.relations: other content",)
    assert set(found) == {"prior", "geometry-prior", *SCORED}


def test_training_images_count_by_what_is_there(copied, tmp_path):
    """Copies elsewhere are the same images; another size or one that is gone is another set, if it is drawn."""
    drawn = needed_images(config(*ALONE), "train")
    photos = tmp_path / "photos"
    shutil.copytree("data/mini/train", photos)
    for folder in (photos, "./data/mini/../mini/train"):
        assert (
            state(Run(config(f"data.train.images={folder}"), copied.path), "detector-resnext") == "finished"
        )
    elsewhere = Run(config(f"data.train.images={photos}"), copied.path)
    first, second = [path for path in sorted(photos.glob("*.jpg")) if path.stem in drawn][:2]
    next(path for path in photos.glob("*.jpg") if path.stem not in drawn).unlink()
    assert state(elsewhere, "detector-resnext") == "finished"
    with first.open("ab") as file:
        file.write(b"more")
    status = Pipeline(elsewhere).status(["detector-resnext"])[-1]
    assert (status.state, status.reasons) == ("stale", ("data.train.images: other content",))
    second.unlink()
    status = Pipeline(elsewhere).status(["detector-resnext"])[-1]
    fewer = f"data.train.images: {len(drawn)} → {len(drawn) - 1} images"
    assert (status.state, status.reasons) == ("stale", (fewer,))
    assert state(copied, "detector-resnext") == "finished"


def test_a_finished_stage_stands_where_its_images_are_gone(copied, tmp_path, capsys):
    gone = Run(config(f"data.train.images={tmp_path / 'none'}"), copied.path)
    record = copied.record("detector-resnext")
    assert made(gone, "detector-resnext") == record
    assert "none: no such folder of images: the finished detector-resnext is taken as it is" in (
        capsys.readouterr().err
    )
    assert state(gone, "detector-resnext") == "finished"
    changed = Run(config(f"data.train.images={tmp_path / 'none'}", "detector.training.lr=0.1"), copied.path)
    (status,) = Pipeline(changed).status(["detector-resnext"])[-1:]
    assert (status.state, status.reasons) == ("stale", ("settings: training.lr 0.003 → 0.1",))
    assert "none: no such folder of images" in status.missing[0]
    with pytest.raises(KitError, match="none: no such folder of images"):
        made(changed, "detector-resnext")
    assert copied.record("detector-resnext") == record


def test_the_differences_of_two_fingerprints_in_words(tmp_path):
    (tmp_path / "a.csv").write_text("a")
    run = Run(load_config("mini", TINY), tmp_path / "run")

    def fingerprint(*needs, **more):
        stage = small_stage("s", *needs, **more)
        return Pipeline(run, [*(small_stage(name) for name in needs), stage]).fingerprint(stage)

    first = fingerprint("one", settings={"depth": 3, "list": [1, 2]})
    assert differences(first, first) == ()
    second = fingerprint("two", settings={"depth": 4, "eta": 0.1}, inputs=[tmp_path / "a.csv"], version=3)
    assert differences(first, second) == (
        "version: 1 → 3",
        "settings: value.depth 3 → 4",
        "settings: value.list [1, 2] → (not set)",
        "settings: value.eta (not set) → 0.1",
        "data.file0 is read now",
        "one is needed no more",
        "needs two now",
    )
    Pipeline(run, [small_stage("one")]).make(["one"])
    assert differences(first, fingerprint("one", settings={"depth": 3, "list": [1, 2]})) == (
        "one has another result",
    )
