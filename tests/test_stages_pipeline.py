"""The whole job on the tiny challenge, by the commands a user gives; and that no split leaks into another."""

import json
import shutil

import numpy as np
import pytest

from kit.base.files import read_json
from kit.detector.checkpoint import read_state
from kit.metric.relations import evaluate
from kit.pipeline.jobs import run_stages
from kit.pipeline.models import split_ensemble
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.splits import CLASSES, split_tables
from kit.pipeline.stage import StageContext
from kit.pipeline.stages.attribute_detector import attribute_weights
from kit.pipeline.stages.evaluate_attributes import read_table as attributes_table
from kit.pipeline.stages.evaluate_detections import read_table as detections_table
from kit.pipeline.stages.evaluate_relations import gt_stage, read_scores
from kit.pipeline.stages.fused_detections import fused_detections
from kit.relation.calibration import ScoreCalibrator
from kit.relation.predicted import on_detections
from kit.relation.prior_model import train_prior
from kit.relation.scored import scored_candidates_table
from kit.relation.statistics import CooccurrenceStatistics
from kit.tables.attribute_classes import attribute_classes
from kit.tables.official import read_image_labels, read_predictions, read_relations
from kit.tables.schema import Predictions
from kit.tables.shards import SHARDS, read_shards
from kit.vocabulary import IS, vocabulary
from tests.conftest import FEW, TINY, config
from tests.stages import alone, made, set_words

pytestmark = pytest.mark.filterwarnings("ignore")
WORDS = set_words(*TINY, *FEW, "data.test.detections=[]")


@pytest.fixture(scope="module")
def whole(trained, tiny_folder, tmp_path_factory):
    """A run with every training stage finished."""
    from contextlib import chdir

    path = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(trained.path, path)
    run = Run(config(), path)
    with chdir(tiny_folder):
        pipeline = Pipeline(run)
        run_stages(pipeline, pipeline.training, 1)
    return run


def test_the_four_commands(whole, tiny, tmp_path, kit):
    path = tmp_path / "run"
    shutil.copytree(whole.path, path)
    code, out, err = kit("train", "all", "--run", path, *WORDS)
    assert code == 0, err
    assert out.count("finished") == len(Pipeline(whole).training)

    code, out, err = kit("evaluate", "--split", "val", "--run", path, "--json", *WORDS)
    assert code == 0, err
    result = json.loads(out)
    (table,) = [Predictions.concat(list(read_shards(path / "predict-val" / SHARDS, Predictions)))]
    val = whole.config.data.val
    again = evaluate(read_relations(val.relations), table, read_image_labels(val.labels))
    assert result["scores"]["final_score"] == pytest.approx(again.final_score, abs=1e-12)
    assert result["ground_truth_boxes"]["final_score"] > result["scores"]["final_score"]
    ceiling = result["ground_truth_boxes"]["relationships"]["AP"]
    plain = read_scores(path / gt_stage("val", "stack")).relationships["AP"]
    assert {p for p in plain if plain[p] != ceiling[p]} == {"is"}  # which has a detector of its own
    for name, shares in result["pair_recall"].items():  # "is" has detectors of its own
        assert name in ("all", "is") or 0 <= shares["candidate"] <= shares["detected"] <= 1
    interval = result["bootstrap"]["final_score"]
    assert interval["low"] <= interval["mean"] <= interval["high"]
    assert "AP, true boxes" in (path / "evaluate-val" / "table.txt").read_text()

    shards = {p.parent.name for p in path.glob("scored-candidates-*/stage.json")}
    code, out, err = kit("evaluate", "--split", "val", "--scorer", "spatial", "--run", path, "--json", *WORDS)
    assert code == 0, err
    assert json.loads(out)["scorer"] == "spatial"
    assert shards == {p.parent.name for p in path.glob("scored-candidates-*/stage.json")}
    code, out, err = kit("train", "all", "--dry-run", "--run", path, "--json", *WORDS)
    assert code == 0, err
    assert {row["state"] for row in json.loads(out)} == {"finished"}

    code, out, err = kit("submit", "--dry-run", "--run", path, *WORDS)
    assert code == 0, err
    assert "no fault" in out
    assert "would send" in out
    code, out, err = kit("evaluate", "--split", "test", "--run", path, "--json", *WORDS)
    assert code == 0, err
    hidden = read_relations("data/mini/hidden/test-vrd.csv")
    labels = read_image_labels("data/mini/hidden/test-vrd-labels.csv")
    sent = evaluate(hidden, read_predictions(path / "submission" / "submission.csv"), labels)
    on_test = json.loads(out)
    assert on_test["scores"]["final_score"] == pytest.approx(sent.final_score, abs=0.02)
    assert "hidden_test" not in on_test
    assert result["hidden_test"]["scores"] == on_test["scores"]
    assert "AP, hidden test" in (path / "evaluate-val" / "table.txt").read_text()

    code, out, err = kit("evaluate", "--attributes", "--run", path, "--json", *WORDS)
    assert code == 0, err
    rows = json.loads(out)
    truth = read_relations(val.relations)
    assert sum(row["n"] for row in rows) == (truth.predicate == IS).sum()
    assert all(row["worst AP"] <= row["best AP"] for row in rows)
    is_ap = {row["attribute"]: row["AP"] for row in attributes_table(path / "evaluate-test-attributes")}
    assert [row["hidden_test"] for row in rows] == [is_ap.get(row["attribute"]) for row in rows]
    code, out, err = kit("evaluate", "--detections", "--run", path, "--json", *WORDS)
    assert code == 0, err
    detectors = json.loads(out)
    assert len(detectors) == 6
    hidden = [row["mAP"] for row in detections_table(path / "evaluate-test-detections")]
    assert [row["hidden_test"] for row in detectors] == hidden

    code, out, err = kit("evaluate", "--choices", "--run", path, "--json", *WORDS)
    assert code == 0, err
    choices = {choice["choice"]: choice for choice in json.loads(out)}
    fusion = choices["fusion weights"]
    assert fusion["hidden_test"][fusion["chosen"]] == hidden[-1]
    assert fusion["val"][fusion["chosen"]] == max(fusion["val"]) == detectors[-1]["mAP"]
    calibration = choices["calibration"]
    recall = calibration["hidden_test"][calibration["chosen"]]
    assert recall == pytest.approx(on_test["scores"]["relationships"]["Recall@50"])
    assert calibration["val"][calibration["chosen"]] == max(calibration["val"])
    assert {"exponent of pairs", 'exponent of "is"', "weight of visual, at"} <= choices.keys()
    for choice in choices.values():
        assert choice["val"][choice["chosen"]] == max(choice["val"])
        assert len(choice["val"]) == len(choice["hidden_test"]) == len(choice["options"])
    assert "best there" in (path / "evaluate-choices" / "table.txt").read_text()

    untold = "data.test.relations=[]"
    code, out, err = kit("evaluate", "--choices", "--run", path, "--json", *WORDS, "--set", untold)
    assert code == 0, err
    shown = {choice["choice"]: (choice["val"], choice["hidden_test"]) for choice in json.loads(out)}
    assert shown == {name: (choice["val"], None) for name, choice in choices.items()}
    for words in ([], ["--gt-boxes"], ["--detections"], ["--attributes"], ["--choices"]):
        lacking = set_words("data.test.boxes=[]", untold) if words else set_words("data.test.ids=null")
        code, out, err = kit("evaluate", *words, "--run", path, *WORDS, *lacking)
        assert code == 0, err
        assert "no figures of a hidden test" in out
    lacking = set_words("data.test.ids=null", "data.test.images=nowhere")
    code, out, err = kit("evaluate", "--detections", "--run", path, *WORDS, *lacking, "--json")
    assert code == 0, err
    assert {row["hidden_test"] for row in json.loads(out)} == {None}
    code, out, err = kit("evaluate", "--gt-boxes", "--run", path, *WORDS, *lacking, "--json")
    assert code == 0, err
    assert json.loads(out)["hidden_test"] is None
    code, out, err = kit("evaluate", "--gt-boxes", "--scorer", "spatial", "--run", path, *WORDS, *lacking)
    assert code == 0, err
    assert "AP, hidden test" in out


def test_every_composite_class_starts_from_its_objects_rows(whole, tiny, tmp_path):
    base = whole.folder("detector-resnext") / "weights.pth"
    state = attribute_weights("resnext-mini", base, 0, tmp_path)
    source = read_state(base)
    for stage in range(3):
        for part in ("weight", "bias"):
            name = f"roi_head.bbox_head.{stage}.fc_cls.{part}"
            rows = [*attribute_classes()[:, 0], len(CLASSES)]
            assert all((state[name][i] == source[name][row]).all() for i, row in enumerate(rows))
    assert (state["backbone.conv1.weight"] == source["backbone.conv1.weight"]).all()
    report = json.loads((tmp_path / "transfer.json").read_text())
    assert report["rows"]["roi_head.bbox_head.0.fc_cls.weight"] == [43, 0]


def test_the_attribute_detector_learns_from_is_boxes_alone(whole, tiny, kit):
    """Every image that its iterations draw has all its "is" rows as boxes, and nothing else is there."""
    relations = read_relations(whole.config.data.train.relations)
    rows = relations.take(relations.predicate == IS)
    counts = dict(zip(rows.images, np.bincount(rows.image, minlength=len(rows.images)), strict=True))
    training = whole.config.attribute.training
    with np.load(whole.folder("attribute-detector-resnext") / "annotations.npz") as file:
        images, boxes = file["images"].tolist(), np.bincount(file["image"], minlength=len(file["images"]))
        assert boxes.tolist() == [counts[name] for name in images]
        assert boxes.min() > 0
        assert len(file["draws"]) == training.iterations * training.batch_size
        assert np.unique(file["draws"]).tolist() == list(range(len(images)))
        assert whole.record("attribute-detector-resnext")["metrics"]["images"] == len(images)
        assert file["label"].max() < len(vocabulary().attribute_classes)
    code, _, err = kit("train", "attribute", "hrnet", "--run", whole.path, *WORDS)
    assert (code, err) == (2, "kit: attribute.models has no hrnet; it has: resnext\n")


def test_the_confidence_is_the_best_that_was_tried(whole, tiny):
    record = read_json(whole.folder("final") / "final.json", dict)
    confidence = ScoreCalibrator.of_dict(record)
    assert confidence.exponent == max(record["tries"], key=lambda t: t["pairs"])["exponent"]
    shards = read_shards(whole.folder("scored-candidates-val") / SHARDS, scored_candidates_table())
    pairs = scored_candidates_table().concat(list(shards))
    assert np.isfinite(pairs.stack).all()
    val = whole.config.data.val
    truth, labels = read_relations(val.relations), read_image_labels(val.labels)
    plain = ScoreCalibrator(confidence.exponent, confidence.is_exponent)
    one, two = (evaluate(truth, c.predictions(pairs, "stack"), labels) for c in (confidence, plain))
    for name, ap in two.relationships["AP"].items():  # calibration leaves every AP as it is
        assert one.relationships["AP"][name] == pytest.approx(ap, abs=1e-9)
    assert one.relationships["Recall@50"] >= two.relationships["Recall@50"]


@pytest.mark.parametrize("scorer", ["visual", "average", "stack"])
def test_every_scorer_on_ground_truth_boxes(whole, tiny, scorer):
    name = gt_stage("val", scorer)
    made(whole, name)
    assert 0 < read_scores(whole.folder(name)).final_score < 1


def test_no_row_of_another_split_reaches_the_second_stage(whole, tiny, tmp_path):
    """Planting other relations into the validation and stack splits changes no weight of the visual model."""
    marked = {}
    for split, stem in (("val", "challenge-2019-validation-vrd"), ("stack", "test-annotations-vrd")):
        text = (tiny / f"data/mini/{stem}.csv").read_text()
        marked[split] = tmp_path / f"{split}.csv"
        marked[split].write_text(text.replace(",at\n", ",on\n").replace(",holds\n", ",hits\n"))
    planted = [f"data.{split}.relations={path}" for split, path in marked.items()]
    path = tmp_path / "run"
    shutil.copytree(whole.folder("source-resnext"), path / "source-resnext")
    other = Run(config(*planted), path)
    alone(other, "detector-resnext", "attribute-detector-resnext", "prior", "spatial", "visual")
    names = [f"visual/{p.name}" for p in whole.folder("visual").glob("*.pth")]
    assert names
    for name in (*names, "detector-resnext/weights.pth", "attribute-detector-resnext/weights.pth"):
        one, two = (read_state(run.path / name) for run in (whole, other))
        assert all((one[key] == two[key]).all() for key in one), name
    for stage in ("prior", "spatial"):
        one, two = (np.load(run.folder(stage) / "statistics.npz") for run in (whole, other))
        assert all(np.array_equal(one[key], two[key]) for key in one.files)
    alone(other, "stack")
    one, two = (json.loads((run.folder("stack") / "stack.json").read_text()) for run in (whole, other))
    assert one["models"] != two["models"]  # the marker is where the third stage does learn from


def test_without_a_visual_model_the_stack_learns_from_the_rest(whole, tiny, tmp_path, kit):
    path = tmp_path / "run"
    for name in ("source-resnext", "detector-resnext", "prior", "spatial"):
        shutil.copytree(whole.folder(name), path / name)
    run = Run(config("relation.visual=null"), path)
    made(run, "stack")
    pipeline = Pipeline(run)
    context = StageContext(pipeline.stage(gt_stage("val", "stack")), run, tmp_path)
    assert split_ensemble(context, "val", "stack").visual is None
    code, _, err = kit("train", "visual", "--run", path, *WORDS, "--set", "relation.visual=null")
    assert code == 2
    assert "relation.visual is null" in err


def test_training_on_predicted_boxes(whole, tiny, tmp_path, kit):
    run = Run(whole.config, tmp_path / "run")
    shutil.copytree(whole.path, run.path)
    one_view = "detector.inference.views=[{size: [96, 96]}]"

    def words(boxes):
        return [*WORDS, *set_words(f"relation.train_boxes={boxes}", one_view), "--run", run.path]

    def states(boxes):
        _, out, _ = kit("train", "all", "--dry-run", "--json", *words(boxes))
        return {row["stage"]: row["state"] for row in json.loads(out)}

    def train(boxes, *stages):
        for stage in stages:
            code, _, err = kit("train", "all", "--only", stage, *words(boxes))
            assert code == 0, err

    predicted, mixed = states("predicted"), states("mixed")
    assert predicted["detector-resnext"] == mixed["detector-resnext"] == "finished"
    assert predicted["fuse-train"] == mixed["fuse-train"] == "to do"
    assert predicted["prior"] == predicted["visual"] == predicted["spatial"] == mixed["spatial"] == "stale"
    assert mixed["prior"] == mixed["visual"] == "finished"

    train("mixed", "detect-train-resnext", "detect-train-hrnet", "fuse-train", "spatial")
    found, most = fused_detections(run.folder("fuse-train")), run.config.relation.candidate_limits.boxes
    counted = train_prior(
        on_detections(split_tables(run.config, "train"), found, most), run.config.relation.prior
    )
    used = CooccurrenceStatistics.load(run.folder("spatial") / "statistics.npz")
    assert np.array_equal(used.pair_counts, counted.pair_counts)  # those of `prior` are of true boxes

    train("predicted", "prior", "spatial")
    assert run.record("prior")["metrics"]["pairs"] != whole.record("prior")["metrics"]["pairs"]
    kept = CooccurrenceStatistics.load(run.folder("prior") / "statistics.npz")
    assert np.array_equal(kept.pair_counts, counted.pair_counts)
