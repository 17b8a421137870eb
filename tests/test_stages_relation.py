import json

import numpy as np
import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.metric.relations import evaluate
from kit.pipeline.engine import sharded
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stages.evaluate_relations import gt_stage, read_scores
from kit.pipeline.stages.scored_candidates import scored_candidates_stages
from kit.pipeline.stages.submission import file_name
from kit.relation import boosting, scoring
from kit.tables.image_lists import read_image_ids
from kit.tables.official import read_image_labels, read_predictions, read_relations
from kit.tables.schema import Predictions
from kit.tables.shards import SHARDS, read_shards
from kit.tables.submission_check import check_submission
from kit.vocabulary import PREDICATES
from tests.conftest import TINY
from tests.stages import made, set_words


def on_truth(run, scorer, split="val"):
    """The folder and the scores of a split's ground-truth boxes."""
    name = gt_stage(split, scorer)
    made(run, name)
    return run.path / name, read_scores(run.path / name)


def test_from_annotations_to_a_checked_submission(run):
    assert made(run, "prior")["metrics"]["images"] == 150
    assert set(made(run, "spatial")["metrics"]["rounds"]) == set(PREDICATES)
    folder, prior = on_truth(run, "prior")
    folder, spatial = on_truth(run, "spatial")
    assert spatial.relationships["mAP"] > prior.relationships["mAP"]
    saved = json.loads((folder / "metrics.json").read_text())
    assert saved["final_score"] == spatial.final_score
    (table,) = read_shards(folder / SHARDS, Predictions)
    val = run.config.data.val
    again = evaluate(read_relations(val.relations), table, read_image_labels(val.labels))
    assert again.final_score == pytest.approx(spatial.final_score, abs=1e-12)

    by_spatial = Run(load_config("mini", [*TINY, "relation.scorer=spatial"]), run.path)
    assert made(by_spatial, "predict-test")["metrics"]["images"] == 30
    made(by_spatial, "submission")
    path = run.path / "submission" / file_name(run.config)
    ids = read_image_ids("data/mini/VRD_sample_submission.csv")
    report = check_submission(path, ids)
    assert report.ok, report.faults
    assert read_image_ids(path) == ids
    hidden = read_relations("data/mini/hidden/test-vrd.csv")
    labels = read_image_labels("data/mini/hidden/test-vrd-labels.csv")
    assert evaluate(hidden, read_predictions(path), labels).final_score > 0.2


def test_finished_stages_are_not_run_again(run, monkeypatch):
    made(run, "spatial")
    records = {name: run.record(name) for name in ("prior", "spatial")}
    made(run, "spatial")
    assert {name: run.record(name) for name in records} == records
    on_truth(run, "prior")
    again = Run(load_config("mini", [*TINY, "relation.spatial.max_depth=3"]), run.path)
    made(again, "spatial")
    assert run.record("prior") == records["prior"]
    other = run.record("spatial")
    assert other != records["spatial"]
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    assert made(again, "spatial") == other
    assert made(again, "spatial", force=True)["seconds"] == 0
    assert run.record("prior") == records["prior"]


def test_where_the_prior_stands_is_said_once_and_kept_in_the_metrics(run, capsys):
    standing = made(run, "spatial")["metrics"]["prior_stands"]
    said = [line for line in capsys.readouterr().err.splitlines() if "the prior stands" in line]
    assert standing
    assert len(said) == 1
    assert all(f"{name} ({why})" in said[0] for name, why in standing.items())
    kept = json.loads((run.path / "spatial" / "models.json").read_text())
    assert kept["standing"] == standing
    assert run.record("spatial")["metrics"]["rows_in"] == "memory"
    assert "external.txt" not in run.record("spatial")["files"]
    made(run, "spatial")
    assert "the prior stands" not in capsys.readouterr().err


def test_what_is_missing_is_said(run):
    with pytest.raises(KitError, match="stage spatial is not there; run `kit train spatial` first"):
        on_truth(run, "spatial")
    with pytest.raises(KitError, match="stage stack is not there; run `kit train stack` first"):
        Pipeline(run).folder("stack")
    with pytest.raises(KitError, match="stage fuse-test is not there; run `kit fuse --split test` first"):
        Pipeline(Run(load_config("mini", [*TINY, "data.test.detections=[]"]), run.path)).folder("fuse-test")
    assert not run.path.exists()  # nothing was begun
    for key, message in (
        ("relation.scorer=spatial", "stage spatial is not there; run `kit train spatial` first"),
        ("data.test.detections=[]", "detector-resnext is not there; run `kit train detector resnext` first"),
        ("data.test.ids=null", "data.test.ids is not set"),
        ("data.test.detections=none.csv", "none.csv: no such file"),
    ):
        other = Run(load_config("mini", [*TINY, "relation.scorer=prior", key]), run.path)
        made(other, "prior")
        with pytest.raises(KitError, match=message):
            made(other, "predict-test")


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
        made(run, "spatial")
    for path in sorted((plain.path / "spatial").glob("*.ubj")):
        assert path.read_bytes() == (other.path / "spatial" / path.name).read_bytes(), path.name
    one, two = (on_truth(run, "spatial")[1].final_score for run in (plain, other))
    assert one != two


def test_an_interrupted_training_goes_on_with_the_models_it_has(run, monkeypatch):
    made(run, "prior")
    real, trained = boosting.fit, []

    def breaks_at_the_fourth(rows, settings, seed, classes=0, **more):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(seed)
        return real(rows, settings, seed, classes, **more)

    monkeypatch.setattr(boosting, "fit", breaks_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        made(run, "spatial")
    assert run.record("spatial") is None
    monkeypatch.setattr(boosting, "fit", lambda *a, **k: trained.append(0) or real(*a, **k))
    made(run, "spatial")
    assert len(trained) == 10
    whole = Run(run.config, run.path.with_name("whole"))
    made(whole, "spatial")
    for path in (whole.path / "spatial").glob("*.ubj"):
        assert path.read_bytes() == (run.path / "spatial" / path.name).read_bytes()


def test_an_interrupted_prediction_goes_on_with_the_shards_it_has(run, monkeypatch):
    run = Run(load_config("mini", [*TINY, "relation.scorer=prior"]), run.path)
    made(run, "prior")
    monkeypatch.setattr(scoring, "PAIRS_PER_SHARD", 300)
    real, done = sharded.write_shard_bytes, []

    def breaks_at_the_third(folder, i, content):
        if i == 2:
            raise KeyboardInterrupt
        return real(folder, i, content)

    monkeypatch.setattr(sharded, "write_shard_bytes", breaks_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        made(run, "predict-test")
    written = {
        int(path.stem) for path in (run.path / ".scored-candidates-test.part" / SHARDS).glob("*.parquet")
    }
    assert {0, 1} <= written
    assert 2 not in written
    monkeypatch.setattr(sharded, "write_shard_bytes", lambda f, i, c: done.append((f, i)) or real(f, i, c))
    part = run.part_of("scored-candidates-test") / SHARDS
    record = made(run, "predict-test")
    shards = run.path / "scored-candidates-test" / SHARDS
    left = {int(path.stem) for path in shards.glob("*.parquet")} - written
    assert sorted(i for folder, i in done if folder == part) == sorted(left)
    tables = list(read_shards(run.path / "predict-test" / SHARDS, Predictions))
    assert sum(len(t) for t in tables) == record["metrics"]["predictions"]
    assert sum((t.images for t in tables), ()) == read_image_ids("data/mini/VRD_sample_submission.csv")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_the_table_is_kept_beside_the_scores(run, kit, more):
    made(run, "prior")
    words = ["evaluate", "--gt-boxes", "--scorer", "prior", "--run", run.path, *set_words(*TINY), *more]
    assert kit(*words)[0] == 0
    assert "Per predicate" in (run.path / "evaluate-val-gt-prior" / "table.txt").read_text()


def limits(*settings):
    return "relation.candidate_limits={boxes: 150, per_image: 12, per_pair: 9, " + ", ".join(settings) + "}"


def test_candidates_are_ranked_by_geometry_where_the_config_says_so(run, tmp_path):
    def stages(ranking):
        return Pipeline(
            Run(load_config("layer6", [f"relation.candidate_limits.ranking={ranking}"]), tmp_path)
        )

    before, after = stages("prior"), stages("geometry")
    name = "scored-candidates-val"
    assert "geometry-prior" not in before.stages
    assert "ranking" not in before.stage(name).settings["candidate_limits"]  # as it was before there was one
    assert after.training == [before.training[0], "geometry-prior", *before.training[1:]]
    assert set(after.stage(name).needs) == {*before.stage(name).needs, "geometry-prior"}
    assert after.stage(name).settings["candidate_limits"]["ranking"] == "geometry"

    rows, pairs = {}, {}
    for ranking in ("prior", "geometry"):
        words = [*TINY, "relation.scorer=prior", limits(f"ranking: {ranking}")]
        by_it = Run(load_config("mini", words), run.path)
        made(by_it, "scored-candidates-test")
        table = scored_candidates_stages(by_it.config)
        kind = next(stage.table() for stage in table if stage.name == "scored-candidates-test")
        (found,) = read_shards(run.path / "scored-candidates-test" / SHARDS, kind)
        rows[ranking] = found.take(found.predicate != PREDICATES.index("is"))
        boxes = np.column_stack([rows[ranking].image, rows[ranking].subject_box, rows[ranking].object_box])
        pairs[ranking] = np.unique(boxes, axis=0)
        assert np.bincount(pairs[ranking][:, 0].astype(int)).max() <= 12
    assert len(pairs["prior"]) == len(pairs["geometry"])
    assert not np.array_equal(pairs["prior"], pairs["geometry"])
