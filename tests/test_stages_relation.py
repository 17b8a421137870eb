import json

import pytest
from kit.run import Run
from kit.stages import pairs as pairs_module
from kit.stages.evaluate import gt_stage
from kit.stages.fusion import SHARDS
from kit.stages.predict import predict_stage, submission_stage
from kit.stages.relation import prior_stage, spatial_stage

from kit.base.errors import KitError
from kit.cli import show
from kit.config import load_config
from kit.metric.relations import evaluate
from kit.relation import boosting, scoring
from kit.tables.official import read_image_ids, read_image_labels, read_predictions, read_relations
from kit.tables.schema import Predictions
from kit.tables.shards import read_shards
from kit.vocabulary import PREDICATES
from tests.conftest import TINY


def test_from_annotations_to_a_checked_submission(run):
    assert prior_stage(run)["metrics"]["images"] == 150
    assert set(spatial_stage(run)["metrics"]["rounds"]) == set(PREDICATES)
    folder, prior = gt_stage(run, "val", "prior", show.scores)
    folder, spatial = gt_stage(run, "val", "spatial", show.scores)
    assert spatial.relationships["mAP"] > prior.relationships["mAP"]
    saved = json.loads((folder / "metrics.json").read_text())
    assert saved["final_score"] == spatial.final_score
    assert "Per predicate" in (folder / "table.txt").read_text()
    (table,) = read_shards(folder / "predictions", Predictions)
    val = run.config.data.val
    again = evaluate(read_relations(val.relations), table, read_image_labels(val.labels))
    assert again.final_score == pytest.approx(spatial.final_score, abs=1e-12)

    assert predict_stage(run, "test", "spatial")["metrics"]["images"] == 30
    path, report = submission_stage(run, "spatial")
    assert report.ok, report.faults
    assert read_image_ids(path) == read_image_ids("data/mini/VRD_sample_submission.csv")
    hidden = read_relations("data/mini/hidden/test-vrd.csv")
    labels = read_image_labels("data/mini/hidden/test-vrd-labels.csv")
    assert evaluate(hidden, read_predictions(path), labels).final_score > 0.2


def test_finished_stages_are_not_run_again(run):
    spatial_stage(run)
    records = {name: run.finished(name) for name in ("prior", "spatial")}
    spatial_stage(run)
    assert {name: run.finished(name) for name in records} == records
    gt_stage(run, "val", "prior", show.scores)
    again = Run(load_config("mini", [*TINY, "relation.spatial.max_depth=3"]), run.path)
    spatial_stage(again)
    assert run.finished("prior") == records["prior"]
    assert run.finished("spatial") != records["spatial"]
    spatial_stage(again, force=True)


def test_where_the_prior_stands_is_said_once_and_kept_in_the_metrics(run, capsys):
    standing = spatial_stage(run)["metrics"]["prior_stands"]
    said = [line for line in capsys.readouterr().err.splitlines() if "the prior stands" in line]
    assert standing
    assert len(said) == 1
    assert all(f"{name} ({why})" in said[0] for name, why in standing.items())
    kept = json.loads((run.path / "spatial" / "models.json").read_text())
    assert kept["standing"] == standing
    spatial_stage(run)
    assert "the prior stands" not in capsys.readouterr().err


def test_what_is_missing_is_said(run):
    with pytest.raises(KitError, match="stage spatial is not there; run `kit train spatial` first"):
        gt_stage(run, "val", "spatial", show.scores)
    with pytest.raises(KitError, match="stage stack is not there; run `kit train stack` first"):
        submission_stage(run)
    for key, message in (
        ("data.test.detections=[]", "stage fuse-test is not there; run `kit fuse --split test` first"),
        ("data.test.ids=null", "data.test.ids is not set"),
        ("data.test.detections=none.csv", "none.csv: no such file"),
    ):
        other = Run(load_config("mini", [*TINY, key]), run.path)
        prior_stage(other)
        with pytest.raises(KitError, match=message):
            predict_stage(other, "test", "prior")


def test_no_row_of_another_split_reaches_a_model(tiny, tmp_path):
    """Planting other relations into the validation and stack splits changes no byte of what is trained."""
    marked = {}
    for split, stem in (("val", "challenge-2019-validation-vrd"), ("stack", "test-annotations-vrd")):
        text = (tiny / f"data/mini/{stem}.csv").read_text()
        marked[split] = tmp_path / f"{split}.csv"
        marked[split].write_text(text.replace(",at\n", ",on\n").replace(",holds\n", ",hits\n"))
    plain = Run(load_config("mini", TINY), tmp_path / "plain")
    planted = [f"data.{split}.relations={path}" for split, path in marked.items()]
    other = Run(load_config("mini", [*TINY, *planted]), tmp_path / "planted")
    for run in (plain, other):
        spatial_stage(run)
    for path in sorted((plain.path / "spatial").glob("*.ubj")):
        assert path.read_bytes() == (other.path / "spatial" / path.name).read_bytes(), path.name
    assert (
        gt_stage(plain, "val", "spatial", show.scores)[1].final_score
        != gt_stage(other, "val", "spatial", show.scores)[1].final_score
    )


def test_an_interrupted_training_goes_on_with_the_models_it_has(run, monkeypatch):
    prior_stage(run)
    real, trained = boosting.fit, []

    def breaks_at_the_fourth(rows, settings, seed, classes=0):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(seed)
        return real(rows, settings, seed, classes)

    monkeypatch.setattr(boosting, "fit", breaks_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        spatial_stage(run)
    assert run.finished("spatial") is None
    monkeypatch.setattr(boosting, "fit", lambda *a, **k: trained.append(0) or real(*a, **k))
    spatial_stage(run)
    assert len(trained) == 10
    whole = Run(run.config, run.path.with_name("whole"))
    spatial_stage(whole)
    for path in (whole.path / "spatial").glob("*.ubj"):
        assert path.read_bytes() == (run.path / "spatial" / path.name).read_bytes()


def test_an_interrupted_prediction_goes_on_with_the_shards_it_has(run, monkeypatch):
    prior_stage(run)
    monkeypatch.setattr(scoring, "PAIRS_PER_SHARD", 300)
    real, done = pairs_module.write_shard, []

    def breaks_at_the_third(folder, i, table):
        if i == 2:
            raise KeyboardInterrupt
        return real(folder, i, table)

    monkeypatch.setattr(pairs_module, "write_shard", breaks_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        predict_stage(run, "test", "prior")
    written = {int(path.stem) for path in (run.path / ".pairs-test.part" / SHARDS).glob("*.parquet")}
    assert {0, 1} <= written
    assert 2 not in written
    monkeypatch.setattr(pairs_module, "write_shard", lambda f, i, t: done.append(i) or real(f, i, t))
    record = predict_stage(run, "test", "prior")
    shards = run.path / "pairs-test" / SHARDS
    assert sorted(done) == sorted({int(path.stem) for path in shards.glob("*.parquet")} - written)
    tables = list(read_shards(run.path / "predict-test" / "predictions", Predictions))
    assert sum(len(t) for t in tables) == record["metrics"]["predictions"]
    assert sum((t.images for t in tables), ()) == read_image_ids("data/mini/VRD_sample_submission.csv")
