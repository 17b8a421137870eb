import numpy as np
import pytest

from kit.metric.analysis import analyse
from kit.metric.error_analysis import KINDS, error_kinds
from kit.metric.matching import match_predictions
from kit.metric.relations import evaluate
from kit.metric.resample import Resampler, interval, leave_one_predicate_out
from kit.tables.schema import ImageLabels, Predictions, Relations
from kit.vocabulary import PREDICATES
from tests.builders import predictions, random_predictions, relations

LEFT, RIGHT, FAR = (0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 1.0, 1.0), (0.7, 0.2, 0.9, 0.4)
TRUE = ("a", 0, 1, 2, LEFT, RIGHT)


def a_case(seed=0, images=("a", "b", "c", "d", "e")):
    rng = np.random.default_rng(seed)
    table = random_predictions(300, rng, images)
    columns = {name: getattr(table, name) for name in ("image", *Relations.COLUMNS)}
    truth = Relations(images, **columns).take(rng.random(300) < 0.3)
    return truth, table


def times(table, counts):
    """The table with image i there counts[i] times, as images of their own."""
    parts = []
    for copy in range(max(counts)):
        ids = [name for name, n in zip(table.images, counts, strict=True) if n > copy]
        part = table.of_images(ids)
        columns = {name: getattr(part, name) for name in ("image", *type(part).COLUMNS)}
        parts.append(type(part)(tuple(f"{name}{copy}" for name in ids), **columns))
    return type(table).concat(parts)


@pytest.mark.parametrize("counts", [(1, 1, 1, 1, 1), (2, 0, 1, 3, 0), (0, 0, 5, 0, 0)])
def test_a_weighting_equals_the_metric_on_repeated_images(counts):
    truth, table = a_case()
    weighted = Resampler(match_predictions(truth, table)).score(np.array(counts))
    direct = evaluate(times(truth, counts), times(table, counts))
    assert weighted["final_score"] == pytest.approx(direct.final_score, abs=1e-12)
    for task in ("relationships", "phrases"):
        assert weighted[task]["AP"] == pytest.approx(getattr(direct, task)["AP"], abs=1e-12)


def test_without_a_predicate_is_the_mean_of_the_others():
    truth, table = a_case()
    scores = evaluate(truth, table)
    left_out = leave_one_predicate_out(Resampler(match_predictions(truth, table)))
    for name in scores.relationships["AP"]:
        others = [
            np.mean([ap for p, ap in part["AP"].items() if p != name])
            for part in (scores.relationships, scores.phrases)
        ]
        want = 0.4 * sum(others) + 0.2 * scores.relationships["Recall@50"]
        assert left_out[name] == pytest.approx(want)


def test_the_same_seed_draws_the_same():
    resampler = Resampler(match_predictions(*a_case()))
    first, second = (list(resampler.simulated_leaderboards(5, seed=1)) for _ in range(2))
    assert first == second
    assert first != list(resampler.simulated_leaderboards(5, seed=2))


@pytest.mark.parametrize("block", [1, 700, 1 << 18])
def test_weightings_scored_together_are_scored_as_each_by_itself(block, monkeypatch):
    monkeypatch.setattr("kit.metric.resample.BLOCK", block)
    resampler, rng = Resampler(match_predictions(*a_case())), np.random.default_rng(3)
    draws = [rng.choice(resampler.known, len(resampler.known)) for _ in range(20)]
    alone = [resampler.score(np.bincount(draw, minlength=resampler.images)) for draw in draws]
    assert list(resampler.bootstrap(20, seed=3)) == alone
    assert len(list(resampler.simulated_leaderboards(7, seed=3))) == 7


def ten_images(right):
    """One relation in each of ten images, found in the first `right`: every score is the share that was found."""
    images = tuple("abcdefghij")
    rows = [(name, *TRUE[1:]) for name in images]
    return relations(rows, images), predictions(rows[:right], [0.5] * right, images)


def test_boards_are_first_the_public_three_tenths_then_the_others():
    truth, found = ten_images(4)
    drawn = list(Resampler(match_predictions(truth, found)).simulated_leaderboards(200, seed=0))
    assert len(drawn) == 200
    for public, private in drawn:
        assert 3 * public == pytest.approx(round(3 * public))
        assert 3 * public + 7 * private == pytest.approx(4)
    assert {round(3 * public) for public, _ in drawn} == {0, 1, 2, 3}


def test_private_minus_public_is_what_it_says():
    truth, found = ten_images(4)
    boards = analyse(match_predictions(truth, found), truth, found, resamples=50, seed=1)["boards"]
    gain = boards["private"]["mean"] - boards["public"]["mean"]
    assert abs(gain) > 1e-3
    assert boards["private_minus_public"]["mean"] == pytest.approx(gain)
    # private = (4 - 3 public) / 7, so the difference is largest where the public board is lowest
    assert boards["private_minus_public"]["high"] == pytest.approx(4 / 7 - 10 / 7 * boards["public"]["low"])
    assert boards["private"]["mean"] == pytest.approx((4 - 3 * boards["public"]["mean"]) / 7)


def test_the_bootstrap_draws_as_many_images_as_are_known():
    """Of ten images n were drawn from the found four: the score is n / 10."""
    truth, found = ten_images(4)
    drawn = [
        scores["final_score"] * 10
        for scores in Resampler(match_predictions(truth, found)).bootstrap(200, seed=0)
    ]
    assert drawn == pytest.approx([round(score) for score in drawn])
    assert np.mean(drawn) == pytest.approx(4, abs=0.4)
    assert np.std(drawn) == pytest.approx(np.sqrt(10 * 0.4 * 0.6), abs=0.2)


def test_an_analysis_draws_a_thousand_times_from_seed_0_unless_told():
    truth, found = ten_images(4)
    plain = analyse(match_predictions(truth, found), truth, found)
    told = analyse(match_predictions(truth, found), truth, found, resamples=1000, seed=0)
    assert plain["bootstrap"] == told["bootstrap"]
    assert plain["boards"] == told["boards"]
    assert (plain["resamples"], plain["seed"]) == (1000, 0)


def test_only_the_first_fifty_of_an_image_are_recalled():
    for before, recalled in ((49, 1.0), (50, 0.0)):
        rows = [("a", 0, 1, 2, FAR, FAR)] * before + [TRUE]
        scores = [0.9] * before + [0.1]
        resampler = Resampler(match_predictions(relations([TRUE]), predictions(rows, scores)))
        assert resampler.score(np.ones(3, int))["relationships"]["Recall@50"] == recalled


def test_the_interval_leaves_nan_out():
    summary = interval([0.0, 1.0, float("nan")])
    assert summary["mean"] == 0.5
    assert (summary["low"], summary["high"]) == pytest.approx((0.025, 0.975))
    assert np.isnan(interval([float("nan")])["mean"])


def test_every_kind_of_error():
    rows = {
        "duplicate": TRUE,
        "predicate wrong": ("a", 0, 1, 3, LEFT, RIGHT),
        "label wrong": ("a", 0, 5, 2, LEFT, RIGHT),
        "subject box missed": ("a", 0, 1, 2, FAR, RIGHT),
        "object box missed": ("a", 0, 1, 2, LEFT, FAR),
        "not in the truth": ("a", 0, 1, 2, FAR, FAR),
    }
    table = predictions([TRUE, *rows.values()], np.linspace(1, 0.4, 7))
    matches = match_predictions(relations([TRUE]), table, ImageLabels(("a",), [0], [5]))
    kinds = error_kinds(matches, relations([TRUE]), table)
    assert [KINDS[k] if k >= 0 else "hit" for k in kinds.kind] == ["hit", *rows]
    listed = {row["kind"]: row for row in kinds.table()}
    assert all(listed[kind]["rows"] == 1 for kind in KINDS)
    assert listed["predicate wrong"]["per_predicate"] == {PREDICATES[3]: 1}
    assert listed["duplicate"]["score_gain_without"] == 0  # it stands below the hit


@pytest.mark.parametrize(("side", "kind"), [(0.5, "duplicate"), (0.4999, "subject box missed")])
def test_a_box_is_right_from_an_overlap_of_a_half_on(side, kind):
    whole = ("a", 0, 1, 2, (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0))
    box = (0.0, 0.0, side, 1.0)
    for part in ((*whole[:5], box), (*whole[:4], box, whole[5])):
        table = predictions([whole, part], [0.9, 0.5])
        kinds = error_kinds(match_predictions(relations([whole]), table), relations([whole]), table)
        missed = kind if part[5] == whole[5] else kind.replace("subject", "object")
        assert [KINDS[k] for k in kinds.kind[1:]] == [missed]


def test_a_kind_without_rows_costs_nothing():
    table = predictions([TRUE], [0.9])
    kinds = error_kinds(match_predictions(relations([TRUE]), table), relations([TRUE]), table)
    assert kinds.kind.tolist() == [-1]
    assert [(row["rows"], row["score_gain_without"], row["per_predicate"]) for row in kinds.table()] == [
        (0, 0.0, {})
    ] * len(KINDS)


def test_a_prediction_in_an_image_without_truth_is_not_in_the_truth():
    other = ("b", *TRUE[1:])
    table = predictions([TRUE, other], [0.5, 0.9])
    labels = ImageLabels(("b",), [0, 0], [0, 1])
    kinds = error_kinds(match_predictions(relations([TRUE]), table, labels), relations([TRUE]), table)
    assert [KINDS[k] for k in kinds.kind[1:]] == ["not in the truth"]


def test_what_a_kind_costs_is_the_score_without_its_rows():
    wrong_first = predictions([("a", 0, 1, 2, FAR, RIGHT), TRUE], [0.9, 0.5])
    matches = match_predictions(relations([TRUE]), wrong_first)
    rows = {r["kind"]: r for r in error_kinds(matches, relations([TRUE]), wrong_first).table()}
    # the phrase of the wrong box is wrong as well, so both APs rise from 1/2 to 1
    assert rows["subject box missed"]["score_gain_without"] == pytest.approx(0.4 * 0.5 + 0.4 * 0.5)


def test_the_whole_analysis_is_plain_data():
    truth, table = a_case()
    matches = match_predictions(truth, table)
    result = analyse(matches, truth, table, resamples=20, seed=1)
    assert set(result) == {"resamples", "seed", "bootstrap", "without", "boards", "errors"}
    final = result["bootstrap"]["final_score"]
    assert final["low"] <= evaluate(truth, table).final_score <= final["high"] or final["std"] == 0
    assert set(result["boards"]) == {"public", "private", "private_minus_public"}


def test_an_analysis_of_predictions_that_all_drop():
    truth, _ = a_case()
    nothing = Predictions.empty(truth.images)
    result = analyse(match_predictions(truth, nothing), truth, nothing, resamples=3)
    assert result["bootstrap"]["final_score"]["high"] == 0
