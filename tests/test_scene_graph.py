"""What scene-graph papers print, against plain loops over the golden inputs and drawn tables."""

import csv
import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.metric.scene_graph import evaluate
from kit.tables.official import read_predictions, read_relations
from kit.vocabulary import IS, PREDICATES
from tests.builders import A, B, C, predictions, relations
from tests.golden import RELATIONS
from tests.reference import average_precision


def iou(a, b):
    side = [max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    inter = side[0] * side[1]
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - inter
    return inter / union if union else 0.0


def around(a, b):
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]


def rows_of(table):
    columns = (table.subject, table.object, table.predicate, table.subject_box, table.object_box)
    out = defaultdict(list)
    for i, (s, o, p, one, two) in enumerate(zip(*columns, strict=True)):
        score = float(table.score[i]) if hasattr(table, "score") else None
        boxes = [[np.float32(x) for x in box] for box in (one, two)]
        out[table.images[table.image[i]]].append(((int(s), int(o), int(p)), *boxes, score))
    return out


def by_loops(truth, found, with_is):
    """The definitions, one image, one relation and one prediction at a time."""
    true, guess = rows_of(truth), rows_of(found)
    if not with_is:
        true, guess = (
            {image: [row for row in rows if row[0][2] != IS] for image, rows in table.items()}
            for table in (true, guess)
        )
    true = {image: rows for image, rows in true.items() if rows}
    lists = {image: sorted(guess.get(image, []), key=lambda row: -row[3])[:100] for image in truth.images}
    lists = {image: rows for image, rows in lists.items() if image in true}
    recalls, per_image, count = defaultdict(int), defaultdict(lambda: defaultdict(list)), 0
    for image, rows in true.items():
        for k in (20, 50, 100):
            hit = [
                any(
                    p[0] == t[0] and iou(p[1], t[1]) >= 0.5 and iou(p[2], t[2]) >= 0.5
                    for p in lists[image][:k]
                )
                for t in rows
            ]
            recalls[k] += sum(hit)
            for predicate in {t[0][2] for t in rows}:
                own = [h for h, t in zip(hit, rows, strict=True) if t[0][2] == predicate]
                per_image[k][predicate].append(sum(own) / len(own))
        count += len(rows)
    n = {p: sum(t[0][2] == p for rows in true.values() for t in rows) for p in range(10)}
    present = [p for p in range(10) if n[p]]
    whole = [(row, image) for image in truth.images for row in lists.get(image, [])]
    order = sorted(whole, key=lambda pair: -pair[0][3])
    ap = {}
    for task in ("rel", "phr"):
        visited, verdicts = set(), defaultdict(list)
        for row, image in order:
            best, place = -1.0, None
            for i, t in enumerate(true[image]):
                if t[0] == row[0]:
                    if task == "rel":
                        overlap = min(iou(row[1], t[1]), iou(row[2], t[2]))
                    else:
                        overlap = iou(around(row[1], row[2]), around(t[1], t[2]))
                    if overlap > best:
                        best, place = overlap, (image, i)
            verdicts[row[0][2]].append(best > 0.5 and place not in visited)
            if best > 0.5:
                visited.add(place)
        ap[task] = {p: average_precision(verdicts[p], n[p]) for p in present}
    weighted = {task: sum(ap[task][p] * n[p] / count for p in present) for task in ap}
    recall = {k: recalls[k] / count for k in (20, 50, 100)}
    return {
        "score_wtd": 0.2 * recall[50] + 0.4 * weighted["rel"] + 0.4 * weighted["phr"],
        "wmAP_rel": weighted["rel"],
        "wmAP_phr": weighted["phr"],
        **{f"R@{k}": recall[k] for k in recall},
        **{f"mR@{k}": np.mean([np.mean(per_image[k][p]) for p in present]) for k in recall},
        "predicates": {
            PREDICATES[p]: {
                "n": n[p],
                **{f"R@{k}": np.mean(per_image[k][p]) for k in recall},
                "AP_rel": ap["rel"][p],
                "AP_phr": ap["phr"][p],
            }
            for p in present
        },
    }


def assert_equal(ours, theirs, path=""):
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), path
        for key, value in theirs.items():
            assert_equal(ours[key], value, f"{path}/{key}")
    else:
        assert ours == pytest.approx(theirs, abs=1e-9, nan_ok=True), path


CASES = [case for case in RELATIONS if case not in ("ties", "all_tied")]


@pytest.mark.parametrize("with_is", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_equals_plain_loops_on_the_golden_inputs(golden, case, with_is):
    folder = golden / "relations" / case
    truth, found = read_relations(folder / "gt_vrd.csv"), read_predictions(folder / "pred.csv")
    rows = found.score[np.argsort(found.score)]
    if (rows[1:] == rows[:-1]).any():  # each score once: which of two comes first is nobody's definition
        found = type(found)(
            **{name: getattr(found, name) for name in ("images", "image", *found.COLUMNS) if name != "score"},
            score=found.score + np.random.default_rng(0).random(len(found)) * 1e-6,
        )
    if (truth.predicate != IS).any() or with_is:
        assert_equal(evaluate(truth, found, with_is).as_dict(), by_loops(truth, found, with_is))


@settings(max_examples=60)
@given(data=st.data())
def test_equals_plain_loops_on_drawn_tables(data):
    boxes = st.sampled_from([A, B, C, (0.0, 0.0, 0.4, 0.3), (0.05, 0.0, 0.4, 0.4)])
    row = st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 1),
        st.integers(0, 1),
        st.sampled_from([0, 1, IS]),
        boxes,
        boxes,
    )
    true = data.draw(st.lists(row, min_size=1, max_size=8))
    guessed = data.draw(st.lists(row, max_size=12))
    scores = data.draw(st.permutations(range(len(guessed))))
    truth, found = relations(true), predictions(guessed, [s / 20 for s in scores])
    assert_equal(evaluate(truth, found, True).as_dict(), by_loops(truth, found, True))


def test_by_hand():
    """Two images, two predicates: recall of "at" is 1/2 and 1, of "on" 0."""
    truth = relations(
        [("a", 0, 1, 0, A, B), ("a", 0, 1, 0, A, C), ("b", 0, 1, 0, A, B), ("b", 0, 1, 1, A, B)]
    )
    found = predictions([("a", 0, 1, 0, A, B), ("b", 0, 1, 0, A, B), ("c", 0, 1, 0, A, B)], [0.9, 0.8, 1.0])
    scores = evaluate(truth, found)
    assert scores.recall == {20: 0.5, 50: 0.5, 100: 0.5}
    assert scores.predicate_recall["at"][50] == 0.75
    assert scores.mean_recall[50] == 0.375
    assert scores.ap_rel == {"at": pytest.approx(2 / 3), "on": 0.0}
    assert scores.weighted_score == pytest.approx(0.2 * 0.5 + 0.8 * (2 / 3) * 0.75)


def test_nothing_and_everything():
    truth = relations([("a", 0, 1, 0, A, B), ("b", 0, 1, 1, A, C)])
    none = evaluate(truth, predictions([], []))
    assert (none.weighted_score, none.mean_recall[20]) == (0.0, 0.0)
    perfect = evaluate(truth, predictions([("a", 0, 1, 0, A, B), ("b", 0, 1, 1, A, C)], [0.5, 0.4]))
    assert (perfect.weighted_score, perfect.mean_recall[20]) == (pytest.approx(1), 1.0)
    empty = evaluate(relations([("a", 0, 57, IS, A, A)]), predictions([], []))
    assert np.isnan(empty.weighted_score)
    assert np.isnan(empty.mean_recall[50])
    assert empty.predicate_recall == {}


def test_only_the_best_of_an_image_count():
    truth = relations([("a", 0, 1, 0, A, B)])
    rows = [("a", 0, 1, 1, A, B)] * 100 + [("a", 0, 1, 0, A, B)]
    last = evaluate(truth, predictions(rows, [1.0] * 100 + [0.5]))
    assert (last.recall[100], last.ap_rel["at"]) == (0.0, 0.0)
    in_time = evaluate(truth, predictions(rows[30:], [1.0] * 70 + [0.5]))
    assert in_time.recall == {20: 0.0, 50: 0.0, 100: 1.0}


HEAD = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel"
MAN, GUITAR = "/m/04yx4", "/m/0342h"
BOXES = "0.1,0.5,0.1,0.9,0.3,0.4,0.5,0.6"
V6 = [  # as in oidv6-train-annotations-vrd.csv: 31 predicates, 601 classes
    f"a,{MAN},{GUITAR},{BOXES},plays",
    f"a,{MAN},/m/01g317,{BOXES},hug",
    f"b,/m/01bjv,{GUITAR},{BOXES},at",
    f"b,{MAN},{GUITAR},{BOXES},skateboard",
    f"b,{MAN},{GUITAR},{BOXES},wears",
]


@pytest.fixture
def v6(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, head, rows in (
        ("truth.csv", HEAD, V6),
        ("found.csv", f"{HEAD},Score", [f"{row},0.{9 - i}" for i, row in enumerate(V6)]),
        ("labels.csv", "ImageID,LabelName,Confidence", [f"a,{MAN},1", "a,/m/01bjv,0", f"b,{GUITAR},0"]),
    ):
        (tmp_path / name).write_text("\n".join([head, *rows]) + "\n")
    tokens = " ".join(
        f"0.{9 - i} {one} 0.1 0.1 0.5 0.9 {two} 0.3 0.5 0.4 0.6 {predicate}"
        for i, (_, one, two, *_, predicate) in enumerate(csv.reader(V6))
    )
    (tmp_path / "kaggle.csv").write_text(f"ImageId,PredictionString\na,{tokens}\n")
    return tmp_path


def test_the_words_of_v6_are_left_out_and_counted(kit, v6):
    words = ("score", "relations", "--truth", "truth.csv", "--labels", "labels.csv", "--json")
    code, _, err = kit(*words, "--predictions", "found.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert "truth.csv, line 4, column LabelName1: unknown label '/m/01bjv'" in err
    code, out, err = kit(*words, "--predictions", "found.csv", "--others", "skip")
    assert code == 0
    result = json.loads(out)
    assert result["counts"]["gt_per_predicate"] == {"plays": 1}
    assert result["relationships"]["AP"] == {"plays": 1.0}
    truth, found, labels = err.splitlines()[:3]
    assert truth == (
        "truth.csv: 4 of 5 rows (80.0%) are left out: 1 LabelName1 outside the challenge's 57 classes and 5 "
        "attributes, first at line 4 (/m/01bjv); 1 LabelName2 outside the challenge's 57 classes and 5 attributes, "
        "first at line 3 (/m/01g317); 1 predicate outside the challenge's 10, first at line 5 (skateboard); 1 "
        "triplet not among the challenge's 329, first at line 6 (Man, wears, Guitar)"
    )
    assert found.startswith("found.csv: 3 of 5 rows (60.0%) are left out: 1 LabelName1 outside")
    assert labels.startswith("labels.csv: 1 of 3 rows (33.3%) are left out: label outside")


def test_the_words_of_v6_in_kaggles_form(kit, v6):
    words = ("score", "relations", "--truth", "truth.csv", "--predictions", "kaggle.csv", "--others", "skip")
    code, out, err = kit(*words, "--json")
    assert code == 0
    assert json.loads(out)["counts"]["pred_rows"] == 2
    assert (
        "kaggle.csv: 3 of 5 predictions (60.0%) are left out: a label or predicate that is not the challenge's, "
        "first at line 2 (/m/01g317)\n"
    ) in err


@pytest.mark.parametrize(
    ("form", "old", "new", "place"),
    [
        (
            "found.csv",
            "0.1,0.5,0.1,0.9,0.3,0.4,0.5,0.6,wears",
            "0.5,0.1,0.1,0.9,0.3,0.4,0.5,0.6,plays",
            "line 6",
        ),
        ("kaggle.csv", "0.5 /m/04yx4 0.1 0.1 0.5", "0.5 /m/04yx4 0.5 0.1 0.1", "line 2"),
    ],
)
def test_a_fault_below_what_is_left_out_has_its_place(kit, v6, form, old, new, place):
    """The second row that counts is the fifth of the file."""
    text = (v6 / form).read_text()
    assert text.count(old) == 1
    (v6 / form).write_text(text.replace(old, new).replace("wears", "plays"))
    (v6 / "truth.csv").write_text((v6 / "truth.csv").read_text().replace("wears", "plays"))
    code, _, err = kit(
        "score", "relations", "--truth", "truth.csv", "--predictions", form, "--others", "skip"
    )
    column = "XMin1" if form == "found.csv" else "PredictionString"
    nth = "" if form == "found.csv" else "prediction 5 of the line: "
    assert code == 2
    assert f"{form}, {place}, column {column}: {nth}inverted subject box" in err


def test_all_metrics_stand_beside_the_official_ones(kit, golden):
    folder = golden / "relations" / CASES[0]
    words = ("score", "relations", "--truth", folder / "gt_vrd.csv", "--predictions", folder / "pred.csv")
    code, out, _ = kit(*words, "--metrics", "all", "--json")
    assert code == 0
    result = json.loads(out)
    truth, found = read_relations(folder / "gt_vrd.csv"), read_predictions(folder / "pred.csv")
    plain = evaluate(truth, found).as_dict()
    assert result["scene_graph"]["without_is"]["score_wtd"] == pytest.approx(plain["score_wtd"])
    assert result["final_score"] == json.loads(kit(*words, "--json")[1])["final_score"]
    table = kit(*words, "--metrics", "all")[1]
    for text in ("score_wtd", "wmAP_rel", "wmAP_phr", "mR@20", "mR@100", "R@50", "AP_phr", 'without "is"'):
        assert text in table
    assert "scene" not in kit(*words)[1]
