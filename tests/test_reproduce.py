import json
from contextlib import chdir

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.base.errors import KitError
from kit.base.threads import threads_used, use_threads
from kit.config import Prior, load_config
from kit.data.mini import build_mini
from kit.data.split_tables import SplitTables
from kit.metric.relations import evaluate
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stages.evaluate_relations import read_evaluation
from kit.relation import features
from kit.relation.prior_model import PriorScorer, train_prior
from kit.relation.scoring import predict_relations
from kit.relation.statistics import CooccurrenceStatistics
from kit.reproduce import experiment as experiments
from kit.reproduce.ablation import kept, start_from, variants, worth
from kit.reproduce.cross_validation import OTHERS, cross_validate, mean_interval
from kit.reproduce.early_stopping import claim_of as early_stopping_claim
from kit.reproduce.early_stopping import rows_of as early_stopping_rows
from kit.reproduce.experiment import Experiment, draw_curves, mean_std, scored_splits
from kit.reproduce.learning_curves import claim_of as learning_curves_claim
from kit.reproduce.learning_curves import rows_of as learning_curves_rows
from kit.reproduce.learning_curves import run_learning_curves
from kit.reproduce.sampling import claims_of as sampling_claims
from kit.reproduce.sampling import class_thirds
from kit.reproduce.spatial_trials import drawn
from kit.reproduce.table1 import STARTS, reaches
from kit.reproduce.table1 import claims_of as table1_claims
from kit.reproduce.table3 import NAMES, SCORERS
from kit.reproduce.table3 import claims_of as claims
from kit.reproduce.whole_runs import whole_job
from tests.builders import drawn_split
from tests.conftest import FEW, TINY
from tests.stages import set_words, small_stage, writing


def test_spread():
    assert mean_std([1.0, 2.0, 3.0]) == "2.000 ± 1.000"
    assert mean_std([0.5]) == "0.500 ± 0.000"


def test_where_a_curve_reaches_a_value():
    iterations, ap = np.array([0.0, 100, 200]), np.array([0.1, 0.3, 0.7])
    assert reaches(iterations, ap, 0.2) == pytest.approx(50)
    assert reaches(iterations, ap, 0.5) == pytest.approx(150)
    assert reaches(iterations, ap, 0.05) == 0
    assert reaches(iterations, ap, 0.8) is None


def curves(pwt, heads, scratch=(0.0, 0.1, 0.2)):
    points = np.array([0.0, 50, 100])
    values = {"pwt": pwt, "new-heads": heads, "scratch": scratch}
    return {STARTS[k]: (points, np.tile(v, (3, 1))) for k, v in values.items()}


TABLE = {
    "val": [[{"detector": "a", "mAP": 0.4}, {"detector": "b", "mAP": 0.5}, {"detector": "blend", "mAP": 0.6}]]
}


def holds(result):
    return [claim.holds for claim in result]


def test_table1_says_yes_and_no():
    good = curves((0.3, 0.5, 0.6), (0.0, 0.4, 0.55))
    assert holds(table1_claims(good, TABLE, ["a", "b"])) == [True, True, True, True, True]
    bad = curves((0.3, 0.3, 0.5), (0.0, 0.4, 0.55))
    worse = {"val": [[*TABLE["val"][0][:2], {"detector": "blend", "mAP": 0.45}]]}
    assert holds(table1_claims(bad, worse, ["a", "b"])) == [False, False, False, False, True]
    easy = {"val": [[*TABLE["val"][0][:2], {"detector": "blend", "mAP": 0.95}]]}
    assert holds(table1_claims(good, easy, ["a", "b"]))[-1] is False


def test_sampling_says_yes_and_no():
    def values(all_, rare, middle, frequent):
        own = {"all": all_, "rare": rare, "middle": middle, "frequent": frequent}
        return {key: np.array([v]) for key, v in own.items()}

    plain = values(0.5, 0.2, 0.5, 0.8)
    assert holds(sampling_claims({10: values(0.6, 0.5, 0.55, 0.75), None: plain}, {})) == [True, True]
    assert holds(sampling_claims({10: values(0.6, 0.25, 0.75, 0.8), None: plain}, {})) == [True, False]
    assert holds(sampling_claims({10: values(0.4, 0.1, 0.5, 0.6), None: plain}, {})) == [False, False]
    chosen = {10: values(0.6, 0.5, 0.55, 0.75), 30: values(0.55, 0.3, 0.5, 0.8), None: plain}
    hidden = {10: values(0.4, 0.2, 0.4, 0.7), 30: values(0.9, 0.9, 0.9, 0.9), None: plain}
    ahead, rare = sampling_claims(chosen, hidden)
    assert ahead.figures == "N=10: +0.100; hidden test -0.100"
    assert rare.figures == (
        "rare +0.300, middle +0.050, frequent -0.050; hidden test rare +0.000, middle -0.100, frequent -0.100"
    )


def test_table3_says_yes_and_no():
    n = len(NAMES)
    counts = np.full(n, 100.0)
    ap = np.full((2, len(SCORERS), n), 0.3)
    put = {name: SCORERS.index(name) for name in SCORERS}
    ap[:, put["spatial"], 0], ap[:, put["visual"], 1] = 0.5, 0.5
    ap[:, put["average"]] = 0.4
    ap[:, put["stack"]] = 0.6
    assert holds(claims({"val": ap}, counts)) == [True, True, True, True]
    ap[:, put["stack"], 0] = 0.45
    assert holds(claims({"val": ap}, counts)) == [True, True, False, True]
    few = np.where(np.arange(n) == 0, 5.0, counts)
    assert holds(claims({"val": ap}, few)) == [False, True, True, True]
    hidden = ap.copy()
    ap[:, put["stack"]], hidden[:, put["stack"]] = 0.35, 0.43
    gain = claims({"val": ap, "test": hidden}, counts)[-1]
    assert (gain.holds, gain.figures) == (False, "-0.010; val -0.050, hidden test +0.030")


def test_every_fold_is_scored_by_models_of_the_others():
    split = drawn_split("train", 60)
    fold = np.random.default_rng(7).integers(0, 3, 60)
    seen = []

    def train(part, k):
        seen.append((k, part.objects.images))
        return PriorScorer(train_prior(part, Prior()))

    ap = cross_validate(split, train, 3, seed=7)
    assert ap.shape == (3, len(OTHERS))
    for k in range(3):
        held = [name for name, f in zip(split.objects.images, fold, strict=True) if f == k]
        assert seen[k] == (k, tuple(name for name in split.objects.images if name not in held))
        relations, objects = split.relations.of_images(held), split.objects.of_images(held)
        others = split.objects.of_images(seen[k][1])
        part = SplitTables(
            split.relations.of_images(others.images), others, split.labels.of_images(others.images)
        )
        found = predict_relations(PriorScorer(train_prior(part, Prior())), objects)
        expected = evaluate(relations, found, split.labels.of_images(held)).relationships["AP"]
        assert {n: v for n, v in zip(OTHERS, ap[k], strict=True) if not np.isnan(v)} == {
            n: v for n, v in expected.items() if n != "is"
        }


def test_an_interval_of_repeated_cross_validation():
    """By hand: mean 2, variance 1, n 3, five folds: 4.3027 (t of 2 degrees, 97.5%) × sqrt(1 / 3 + 1 / 4)."""
    assert mean_interval(np.array([1.0, np.nan, 2, 3]), 5) == pytest.approx((2, 3.28624), abs=1e-4)
    assert mean_interval(np.array([0.5]), 5) == (0.5, np.inf)
    assert np.isnan(mean_interval(np.array([np.nan]), 5)).all()


def test_early_stopping_says_yes_and_no():
    rng = np.random.default_rng(0)
    loss = rng.uniform(0.4, 0.6, (10, len(OTHERS)))
    loss[3:, 7] = np.nan  # "under" is in few folds
    for gain, expected, noise in ((0.02, True, False), (-0.02, False, False), (0.0, True, True)):
        claim = early_stopping_claim({"log_loss": loss, "average_precision": loss + gain})
        assert (claim.holds, "within the noise" in claim.figures) == (expected, noise)
    rows = early_stopping_rows({"log_loss": loss, "average_precision": loss + 0.02})
    assert [row["predicate"] for row in rows] == [*OTHERS, "mean"]
    assert rows[7]["folds"] == "3"
    assert {row["difference"] for row in rows} == {"+0.020 ± 0.000"}
    assert rows[0]["log_loss"] == f"{loss[:, 0].mean():.3f}"


def test_early_stopping_tells_no_figure_that_is_not_there():
    """One fold has no interval, a predicate of no fold no mean, a fold without truth none either."""
    loss = np.full((5, len(OTHERS)), np.nan)
    loss[0, 0] = 0.5
    ap = {"log_loss": loss, "average_precision": loss + 0.1}
    claim = early_stopping_claim(ap)
    assert (claim.holds, claim.figures) == (False, "too few folds with a truth to tell")
    rows = {row["predicate"]: row for row in early_stopping_rows(ap)}
    one = {"folds": "1", "log_loss": "0.500", "average_precision": "0.600", "difference": ""}
    none = {"folds": "0", "log_loss": "", "average_precision": "", "difference": ""}
    assert rows["mean"] == {"predicate": "mean", **one}
    assert rows[OTHERS[0]] == {"predicate": OTHERS[0], **one}
    assert rows[OTHERS[1]] == {"predicate": OTHERS[1], **none}


def test_learning_curves_say_yes_and_no():
    rng = np.random.default_rng(0)
    ap = rng.uniform(0.4, 0.6, (10, len(OTHERS)))
    ap[3:, 7] = np.nan  # "under" is in few folds
    curves = {n: {"binary": ap + gain, "multiclass": ap} for n, gain in ((10, 0.01), (100, 0.02))}
    claim = learning_curves_claim(curves)
    assert (claim.holds, claim.figures) == (True, "10%: +0.010 ± 0.000, 100%: +0.020 ± 0.000")
    curves[10]["binary"] = ap - 0.01
    assert not learning_curves_claim(curves).holds
    rows = learning_curves_rows(curves)
    assert [(row["predicate"], row["% of images"]) for row in rows] == [
        (name, n) for name in ("mean", *OTHERS) for n in ("10", "100")
    ]
    under = {"predicate": OTHERS[7], "% of images": "100", "folds": "3", "difference": "+0.020 ± 0.000"}
    means = {"binary": f"{ap[:3, 7].mean() + 0.02:.3f}", "multiclass": f"{ap[:3, 7].mean():.3f}"}
    assert rows[17] == under | means
    one = {n: {name: values[:1] for name, values in by.items()} for n, by in curves.items()}
    claim = learning_curves_claim(one)
    assert (claim.holds, claim.figures) == (False, "too few folds with a truth to tell")


@given(st.integers(0, 50), st.floats(0, 1), st.floats(0, 1), st.integers(0, 3))
def test_a_larger_share_has_the_images_of_a_smaller_one(images, one, other, fold):
    less, more = (drawn(images, share, 5, fold) for share in sorted((one, other)))
    assert less.sum() == round(min(one, other) * images)
    assert not (less & ~more).any()
    assert drawn(images, 1, 5, fold).all()


def test_a_part_within_the_noise():
    for loss, result, figures in [
        ([0.03, 0.04, 0.05], True, "+0.040 ± 0.010"),
        ([-0.002, 0.004, 0.010], False, "+0.004 ± 0.006, within the noise"),
        ([-0.03, -0.04, -0.05], False, "-0.040 ± 0.010"),
        ([0.1], True, "+0.100"),
    ]:
        claim = worth("fusion", {"val": np.array(loss)})
        assert (claim.holds, claim.figures) == (result, figures)


def test_what_a_part_is_worth_is_told_of_both_splits():
    losses = {"val": np.array([0.03, 0.05]), "test": np.array([-0.01, -0.03])}
    claim = worth("fusion", losses)
    assert claim.holds
    assert claim.figures == "+0.010 ± 0.000; val +0.040, hidden test -0.020"


def test_without_a_truth_of_the_test_there_is_one_split(tiny):
    assert scored_splits(load_config("mini")) == ("val", "test")
    for words in (["data.test.relations=[]"], ["data.test.detections=x.csv"]):
        config = load_config("mini", words)
        assert scored_splits(config) == ("val",)
        job = whole_job(config)
        assert "evaluate-val" in job
        assert not any(name.startswith("evaluate-test") for name in Pipeline(Run(config)).closure(job))


def test_thirds_of_the_classes(tiny, tmp_path):
    experiment = Experiment(load_config("mini", TINY), tmp_path, (0,))
    thirds = class_thirds(experiment)
    assert [len(names) for names in thirds.values()] == [19, 19, 19]
    assert "Man" in thirds["frequent"]


def test_a_variant_takes_over_what_is_finished(tmp_path):
    config = load_config("mini")
    base, done = Run(config, tmp_path / "full-0"), []

    def pipeline(run, value):
        work = writing(done=done)
        return Pipeline(
            run, [small_stage("prior", work=work), small_stage("spatial", settings=value, work=work)]
        )

    pipeline(base, 1).make(["prior", "spatial"])
    start_from(base.path, tmp_path / "other-0")
    other = Run(config, tmp_path / "other-0")
    assert other.record("prior") == base.record("prior")
    done.clear()
    pipeline(other, 2).make(["prior", "spatial"])
    assert done == ["spatial"]
    (tmp_path / "other-0" / "prior" / "result").write_text("changed")
    assert (base.path / "prior" / "result").read_text() == "x"
    start_from(base.path, tmp_path / "other-0")
    assert (tmp_path / "other-0" / "prior" / "result").read_text() == "changed"


def test_variants_are_valid_settings(tmp_path):
    experiment = Experiment(load_config("ensemble"), tmp_path, (0,))
    for name, changes in variants(experiment).items():
        given = {"detector.models.resnext.weights": "w.pth", "detector.models.hrnet.weights": "w.pth"}
        own = {key: value for key, value in given.items() if kept(key, changes)}
        job = experiment.job(name, 0, {**changes, **own}, ["prior", "final"], own_schedule=True)
        config = load_config(str(tmp_path / "configs" / f"{name}-0.yaml"))
        assert job.stages == ["prior", "final"]
        assert all(str(model.weights) == "w.pth" for model in config.detector.models.values())
        assert config.detector.training == experiment.config.detector.training
        assert set(whole_job(config)) <= set(Pipeline(Run(config, job.run)).stages)
    assert kept("detector.models.a.weights", {"detector.models": {"a": {}}})
    assert not kept("detector.models.b.weights", {"detector.models": {"a": {}}})


def test_one_detector_starts_its_unmatched_classes_at_random(tmp_path):
    words = ["relation.scorer=visual", "detector.models.resnext.unmatched=donor.pth"]
    experiment = Experiment(load_config("mini", words), tmp_path, (0,))
    job = experiment.job("x", 0, experiment.one_detector("resnext", tmp_path / "w.pth"), ["detector-resnext"])
    config = load_config(str(job.config))
    assert list(config.detector.models) == ["resnext"]
    assert config.detector.models["resnext"].unmatched == "random"
    assert "detector-resnext" in Pipeline(Run(config, job.run)).stages


def test_curves_of_two_detection_metrics_are_not_mixed(tmp_path):
    def metric(*words):
        return Experiment(load_config("mini", words), tmp_path / "runs", (0,)).keep_metric()

    hierarchy, moved = tmp_path / "a.json", tmp_path / "b.json"
    given, elsewhere = f"data.hierarchy={hierarchy}", f"data.hierarchy={moved}"
    with pytest.raises(KitError, match=r"a\.json: no such file; run `kit download`, or set data\.hierarchy"):
        metric(given)
    hierarchy.write_text("{}")
    moved.write_text("{}")
    assert metric(given) == "detection mAP at IoU 0.5, with the class hierarchy a.json"
    assert metric(elsewhere).endswith("b.json")
    with pytest.raises(
        KitError, match=r"of another detection metric \(data\.hierarchy\); give another folder"
    ):
        metric()
    moved.write_text("[]")
    with pytest.raises(KitError, match="of another detection metric"):
        metric(elsewhere)


def test_curves_are_drawn(tmp_path):
    points = np.arange(3.0)
    draw_curves(tmp_path / "c.png", "title", {"a": (points, np.random.default_rng(0).random((3, 3)))})
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


SMALL = "data.mini={train: 60, stack: 12, val: 12, test: 10, source: 12, side: 96, seed: 3}"
QUICK = set_words(
    SMALL,
    *FEW,
    "detector.source.training={iterations: 1, batch_size: 2, size: [96, 96], validate_images: 2}",
    "detector.training={iterations: 2, batch_size: 2, size: [96, 96], warmup: 0, validate_images: 2}",
    "attribute.training={iterations: 1, batch_size: 2, size: [96, 96], validate_images: 2}",
    "relation.spatial={rounds: 10, early_stopping_interval: 10}",
    "relation.visual.backbone=shared",
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a challenge of a few images."""
    folder = tmp_path_factory.mktemp("small")
    with chdir(folder):
        config = load_config("ensemble", [SMALL])
        build_mini(config.data.root, config.data.mini)
    return folder


@pytest.fixture
def reproduce(small, kit, monkeypatch):
    """Call `kit reproduce` on the small challenge; what it printed as JSON, and its folder."""
    monkeypatch.chdir(small)

    def call(name, folder, *words):
        given = (*QUICK, *set_words(*words))
        code, out, err = kit("reproduce", name, "--seeds", 1, "--out", folder, "--json", *given)
        assert code == 0, err
        result = json.loads(out)
        assert result == json.loads((small / folder / f"{name}.json").read_text())
        assert all(isinstance(claim["holds"], bool) for claim in result["claims"])
        return result

    return call


@pytest.fixture
def in_this_process(monkeypatch):
    """Jobs in no processes of their own: the imports of one cost more than a job of a few images."""

    def run(jobs, workers, text):
        for job in jobs:
            Pipeline(Run(load_config(str(job.config)), job.run)).make(job.stages)

    monkeypatch.setattr(experiments, "run_jobs", run)


def test_jobs_have_processes_of_their_own(small, monkeypatch):
    monkeypatch.chdir(small)
    config = load_config("ensemble", [SMALL])
    tried = Experiment(config, small / "zero", (0, 1), jobs=2)
    jobs = [tried.job("x", seed, {"relation.prior.smooth_pair": 3.0}, ["prior"]) for seed in tried.seeds]
    tried.run_all(jobs, "prior")
    records = [Run(config, tried.path("x", seed)).record("prior") for seed in tried.seeds]
    assert [record["fingerprint"]["settings"]["smooth_pair"] for record in records] == [3.0, 3.0]
    assert sorted(path.name for path in (small / "zero" / "logs").iterdir()) == ["x-0.txt", "x-1.txt"]


@pytest.mark.filterwarnings("ignore")
def test_table1(reproduce, small, in_this_process):
    """Whatever scorer and way of the unmatched classes the config has: their random start is a row of its own."""
    result = reproduce(
        "table1", "one", "relation.scorer=visual", "detector.models.resnext.unmatched=donor.pth"
    )
    assert len(result["claims"]) == 7
    assert [row["detector"] for row in result["rows"]][-1] == "PWT: blend + 2 views"
    assert all(row["hidden test"] for row in result["rows"])
    assert "(hidden test)" in result["claims"][-2]["text"]
    assert (small / "one" / "table1.png").exists()


def test_early_stopping(reproduce, small, monkeypatch):
    first = reproduce("early-stopping", "four")
    assert [row["predicate"] for row in first["rows"]] == [*OTHERS, "mean"]
    (models,) = (small / "four").glob("models-*")
    assert len(list(models.glob("*-0/*/is.json"))) == 2 * 5
    assert reproduce("early-stopping", "four") == first
    plain = CooccurrenceStatistics.features
    with monkeypatch.context() as patch:  # of the features' code another model
        patch.setattr(CooccurrenceStatistics, "features", lambda *arguments: -plain(*arguments))
        features.signature.cache_clear()
        reproduce("early-stopping", "four")
    features.signature.cache_clear()
    assert len(list((small / "four").glob("models-*"))) == 2


def test_learning_curves(small, monkeypatch):
    monkeypatch.chdir(small)
    config = load_config("mini", [*QUICK[1::2], "relation.spatial.folds=1", "threads=1"])
    result = run_learning_curves(Experiment(config, small / "five", (0,)), percent=(50, 100))
    assert [row["predicate"] for row in result["rows"][::2]] == ["mean", *OTHERS]
    (models,) = (small / "five").glob("models-*")
    assert len(list(models.glob("*-0/*/is.json"))) == 2 * 2 * 5
    assert (small / "five" / "learning-curves.png").exists()


def test_early_stopping_says_what_it_cannot_do(small, kit, monkeypatch):
    monkeypatch.chdir(small)

    def refused(*words):
        code, out, err = kit("reproduce", "early-stopping", "--out", "none", *words)
        assert (code, out) == (2, "")
        return err

    assert refused("--jobs", 2, *QUICK) == (
        "kit: --jobs does not go with early-stopping; it trains in one process: set threads\n"
    )
    missing = set_words("data.train.relations=none.csv")
    assert refused(*QUICK, *missing) == (
        "kit: none.csv: no such file; run `kit download`, or set data.train.relations\n"
    )
    lines = (small / "data/mini/challenge-2019-train-vrd.csv").read_text().splitlines(keepends=True)
    (small / "few.csv").write_text("".join(lines[:2]))
    few = set_words(
        "data.train.relations=few.csv", "data.train.boxes=[]", "data.train.labels=[]", "threads=2"
    )
    before = threads_used()
    assert refused(*QUICK, *few) == ("kit: data.train: 1 images, too few for 5 folds; give more images\n")
    assert threads_used() == 2
    use_threads(before)


@pytest.mark.filterwarnings("ignore")
def test_sampling(reproduce, small, in_this_process):
    result = reproduce("sampling", "two")
    assert result["metric"] == "detection mAP at IoU 0.5, without a class hierarchy"
    titles = ("10", "30", "100", "∞ (plain)")
    assert [row["N"] for row in result["rows"]] == [
        shown for title in titles for shown in (title, f"{title}, hidden test")
    ]
    assert (small / "two" / "sampling.png").exists()


@pytest.mark.filterwarnings("ignore")
def test_the_experiments_on_whole_runs(reproduce, small, in_this_process):
    names = [row["predicate"] for row in reproduce("table3", "three")["rows"]]
    assert sorted(names[:-3]) == sorted(NAMES)
    assert names[-3:] == ["mean", "mean, val", "mean, hidden test"]
    made = {path.parent.name for path in (small / "three" / "full-0").glob("*/stage.json")}
    attributes = reproduce("table4", "three")["rows"]
    assert attributes
    assert all({"val", "hidden test"} <= row.keys() for row in attributes)
    new = {path.parent.name for path in (small / "three" / "full-0").glob("*/stage.json")} - made
    assert new == {"evaluate-val-attributes", "evaluate-test-attributes"}
    rows = reproduce("ablation", "three")["rows"]
    assert [row["without"] for row in rows] == [
        "nothing",
        *variants(Experiment(load_config("mini"), small, (0,))),
    ]

    for split, title in (("val", "val"), ("test", "hidden test")):
        found = [
            read_evaluation(small / "three" / f"{v}-0" / f"evaluate-{split}") for v in ("full", "without-is")
        ]
        full, without = (one["scores"]["final_score"] for one in found)
        assert rows[-1][title] == f"{without:.3f} ± 0.000"
        assert rows[-1][f"loss, {title}"] == f"{full - without:.3f} ± 0.000"
