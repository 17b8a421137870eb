"""A run, opened: what a notebook sees of it."""

import json

import numpy as np
import pandas as pd
import pytest

from kit.base.errors import KitError
from kit.metric.relations import evaluate
from kit.pipeline.stages.evaluate_relations import read_evaluation, read_scores
from kit.session import open_run
from kit.tables.official import read_image_labels, read_relations
from kit.tables.schema import Predictions
from kit.vocabulary import vocabulary
from tests.conftest import TINY
from tests.stages import set_words

SETTINGS = (
    *TINY,
    *("detector.models={}", "attribute.models=[]", "relation.scorer=spatial"),
    "relation.spatial={rounds: 4, early_stopping_interval: 2, folds: 1}",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def session(tiny, folder):
    """A run with the prior, the spatial model and the predictions of the test set."""
    opened = open_run("mini", SETTINGS, folder / "one")
    opened.make("spatial")
    opened.make("predict-test", "evaluate-val-gt-spatial", "evaluate-val-gt-prior")
    return opened


def test_stages_are_made_once_and_again_by_force(session):
    first = session.make("spatial", "prior")
    assert set(first) == {"spatial", "prior"}
    assert first["prior"]["metrics"]["images"] == 150
    assert session.make("spatial")["spatial"] == first["spatial"]
    written = (session.folder("prior") / "stage.json").stat().st_mtime_ns
    again = session.make("prior", force=True)["prior"]
    assert (session.folder("prior") / "stage.json").stat().st_mtime_ns > written
    assert again["id"] == first["prior"]["id"]
    with pytest.raises(KitError, match="stage stack is not there; run `kit train stack` first"):
        session.folder("stack")


def test_processes_make_what_one_makes(session, kit, tmp_path):
    beside = open_run("mini", SETTINGS, tmp_path / "beside")
    made = beside.make("spatial", "predict-test", jobs=2)
    assert {name: record["id"] for name, record in made.items()} == {
        name: (session.run.record(name) or {}).get("id") for name in ("spatial", "predict-test")
    }
    words = ["--scorer", "prior", "--run", beside.path, *set_words(*SETTINGS)]
    code, out, err = kit("evaluate", "--split", "val", "--gt-boxes", "--jobs", 2, "--json", *words)
    assert code == 0, err
    assert json.loads(out) == read_evaluation(session.folder("evaluate-val-gt-prior"))
    assert (beside.path / "logs" / "evaluate-val-gt-prior.txt").exists()


def test_the_stages_as_a_table(session):
    frame = session.stages().set_index("stage")
    assert list(frame.index) == ["prior", "spatial", "stack"]
    assert list(frame.state) == ["finished", "finished", "to do"]
    assert frame.headline["prior"] == f"pairs {session.run.record('prior')['metrics']['pairs']}"


def test_the_metrics_as_a_table(session):
    frame = session.metrics().set_index(["stage", "metric"]).value
    assert frame["prior", "images"] == 150
    scores = read_scores(session.folder("evaluate-val-gt-spatial"))
    assert frame["evaluate-val-gt-spatial", "final_score"] == scores.final_score
    assert not [name for name, _ in frame.index if name == "stack"]


def test_the_runs_beside_it(session, folder, tiny):
    other = open_run("mini", SETTINGS, folder / "two")
    other.make("evaluate-val-gt-prior")
    frame = other.runs().set_index(["run", "stage"]).final_score
    assert frame["one", "evaluate-val-gt-prior"] == frame["two", "evaluate-val-gt-prior"]
    assert frame["one", "evaluate-val-gt-spatial"] > frame["one", "evaluate-val-gt-prior"]
    (other.folder("evaluate-val-gt-prior") / "metrics.json").unlink()  # a damaged one is no run with a score
    assert "two" not in set(session.runs().run)


def test_no_runs_and_no_metrics(tiny, tmp_path):
    empty = open_run("mini", SETTINGS, tmp_path / "run")
    assert list(empty.runs().columns) == ["run", "stage", "final_score"]
    assert list(empty.metrics().columns) == ["stage", "metric", "value"]
    assert len(empty.runs()) == len(empty.metrics()) == 0
    assert not (tmp_path / "run").exists()


def test_a_table_of_a_stage(session):
    frame, table = session.table("predict-test"), session.read("predict-test")
    assert isinstance(table, Predictions)
    assert len(frame) == len(table) == session.run.record("predict-test")["metrics"]["predictions"]
    assert np.array_equal(frame.score.to_numpy(), table.score)
    assert set(frame.subject) <= set(vocabulary().names)
    candidates = session.table("scored-candidates-test")
    assert {"prior", "spatial", "stack"} <= set(candidates.columns)
    assert candidates["stack"].isna().any()
    assert candidates.spatial.notna().all()
    assert candidates.prior.notna().all()  # it costs no other model, and is compared with (table 3)
    with pytest.raises(KitError, match="stage prior makes no table"):
        session.table("prior")
    with pytest.raises(KitError, match="no stage none; stages: prior"):
        session.table("none")
    with pytest.raises(KitError, match=r"^no stage predict-val; stages: prior, spatial, stack$"):
        session.table("predict-val")


def test_the_score_of_a_frame_is_that_of_the_metric(session):
    frame = session.table("predict-test")
    files = session.config.data.test
    truth, labels = read_relations(files.relations), read_image_labels(files.labels)
    expected = evaluate(truth, session.read("predict-test"), labels)
    assert session.score(frame, "test").as_dict() == expected.as_dict()
    better = session.score(frame[frame.score > frame.score.median()], "test")
    assert better.final_score != expected.final_score
    with pytest.raises(KitError, match="DataFrame: no column score; it has: image_id, "):
        session.score(frame.drop(columns="score"), "test")
    assert isinstance(frame, pd.DataFrame)


def test_a_scorer_has_what_it_needs(tiny, tmp_path):
    """As long as models of the run's own scorer are not trained, another scorer has candidates of its own."""
    opened = open_run("mini", TINY, tmp_path / "run")
    same, chosen = opened.for_scorer(None)
    assert (same, chosen) == (opened, "stack")
    other, chosen = opened.for_scorer("spatial")
    assert (other.config.relation.scorer, chosen, other.path) == ("spatial", "spatial", opened.path)
    with pytest.raises(KitError, match="no scorer blend; there are: prior, spatial"):
        opened.for_scorer("blend")
    with pytest.raises(KitError, match=r"needs the visual model, but relation.visual is null; take another"):
        open_run("mini", [*TINY, "relation.visual=null"], tmp_path / "run").for_scorer("visual")


def test_a_wrong_config_is_one_line():
    with pytest.raises(KitError, match="no such config file"):
        open_run("none")
