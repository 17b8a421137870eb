import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.base.errors import FileFault
from kit.metric.detection import LabeledBoxes, evaluate
from kit.metric.detection_files import score_detection_files
from kit.metric.hierarchy import read_hierarchy
from tests import reference_detection
from tests.golden import DETECTIONS
from tests.paths import OPENIMAGES, needs_openimages

NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int64))
NAMES = ("x", "y")


def test_no_golden_case_is_left_out(golden):
    assert sorted(path.name for path in (golden / "detections").iterdir()) == sorted(DETECTIONS)


@pytest.mark.parametrize("case", DETECTIONS)
def test_golden_case_to_1e9(golden, case):
    folder = golden / "detections" / case
    expected = json.loads((folder / "expected.json").read_text())
    result = score_detection_files(
        [folder / "gt_boxes.csv"], folder / "pred.csv", [folder / "gt_labels.csv"]
    ).as_dict()
    assert result["mAP"] == pytest.approx(expected["mAP"], abs=1e-9)
    assert result["AP"] == pytest.approx(expected["AP"], abs=1e-9)
    assert result["num_gt"] == expected["num_gt"]


def objects(rows, score=None, group=None):
    return LabeledBoxes(
        np.array([r[0] for r in rows], np.int64),
        np.array([r[1] for r in rows], np.int64),
        np.array([r[2] for r in rows], np.float64).reshape(-1, 4),
        None if score is None else np.array(score, np.float64),
        None if group is None else np.array(group, bool),
    )


LEFT, RIGHT = (0, 0, 0.4, 1), (0.6, 0, 1, 1)
WHOLE, CROWD = (0, 0, 1, 1), (0, 0, 0.5, 0.5)


def test_right_wrong_and_ignored():
    truth = objects([(0, 0, LEFT)])
    found = objects([(0, 0, LEFT), (0, 0, RIGHT), (0, 1, LEFT)], [0.5, 0.9, 0.99])
    result = evaluate(truth, found, NOTHING, NAMES)
    assert result.ap == {"x": 0.5}  # class y is not verified there: ignored, and absent from the mean
    verified = (np.array([0]), np.array([1]))
    assert evaluate(truth, found, verified, NAMES).counts["pred_kept"] == 3


def test_group_of_absorbs_and_gives_one_hit():
    truth = objects([(0, 0, WHOLE)], group=[True])
    inside = objects([(0, 0, CROWD), (0, 0, LEFT)], [0.3, 0.6])
    assert evaluate(truth, inside, NOTHING, NAMES).ap == {"x": 1.0}
    worthless = objects([(0, 0, CROWD)], [0.0])
    assert evaluate(truth, worthless, NOTHING, NAMES).ap == {"x": 0.0}


def test_of_equal_scores_the_later_image_comes_first_and_in_it_the_earlier_row():
    truth = objects([(0, 0, LEFT), (1, 0, LEFT)])
    found = objects([(0, 0, LEFT), (1, 0, RIGHT), (1, 0, LEFT)], [0.5, 0.5, 0.5])
    # in this order: wrong (image 1, first row), right, right (image 0)
    assert evaluate(truth, found, NOTHING, NAMES).ap["x"] == pytest.approx(2 / 3)
    truth = objects([(0, 0, LEFT)])
    found = objects([(0, 0, LEFT), (0, 0, RIGHT)], [0.5, 0.5])
    assert evaluate(truth, found, NOTHING, NAMES).ap["x"] == 1
    found = objects([(0, 0, RIGHT), (0, 0, LEFT)], [0.5, 0.5])
    assert evaluate(truth, found, NOTHING, NAMES).ap["x"] == 0.5


def test_of_equal_boxes_and_scores_the_last_row_finds_the_object():
    """It stands behind the other in the curve, where rows are in the order of the file again."""
    found = objects([(0, 0, LEFT), (0, 0, LEFT)], [0.5, 0.5])
    assert evaluate(objects([(0, 0, LEFT)]), found, NOTHING, NAMES).ap["x"] == 0.5


def test_the_credit_of_a_group_has_its_best_score_and_comes_before_equal_predictions():
    truth = objects([(0, 0, CROWD), (0, 0, RIGHT)], group=[True, False])
    inside = [(0, 0, (0.1, 0.1, 0.2, 0.2)), (0, 0, (0.2, 0.2, 0.3, 0.3))]
    wrong = (0, 0, (0, 0.6, 0.5, 1))
    for score, ap in ((0.5, 1 / 2), (0.51, 1 / 4), (0.49, 1 / 2)):
        result = evaluate(truth, objects([*inside, wrong], [0.5, 0.4, score]), NOTHING, NAMES)
        assert result.ap["x"] == pytest.approx(ap)
    assert result.num_gt == {"x": 2}


def test_groups_of_equal_score_stand_together_before_the_predictions_of_their_image():
    truth = objects([(0, 0, CROWD), (0, 0, (0.5, 0.5, 1, 1)), (1, 0, LEFT)], group=[True, True, False])
    rows = [
        (0, 0, (0.6, 0, 0.9, 0.4)),
        (0, 0, (0.1, 0.1, 0.2, 0.2)),
        (0, 0, (0.6, 0.6, 0.7, 0.7)),
        (1, 0, RIGHT),
    ]
    # wrong (image 1), both groups, wrong
    result = evaluate(truth, objects(rows, [0.5] * 4), NOTHING, NAMES)
    assert result.ap["x"] == pytest.approx(2 / 3 * 2 / 3)


SIDES = st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.8, 1.0])
ANY_BOX = st.tuples(SIDES, SIDES, SIDES, SIDES)
LEGAL = ANY_BOX.map(lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])))
KEY = (st.integers(0, 2), st.integers(0, 1))
FOUND = st.tuples(*KEY, st.one_of(LEGAL, ANY_BOX), st.sampled_from([0.5, 0.25, 0.9, 0.0, -1.0, -10.0]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(*KEY, LEGAL, st.booleans()), max_size=8),
    st.lists(FOUND, max_size=25),
    st.lists(st.tuples(*KEY), max_size=4),
)
def test_equals_the_plain_loops_on_any_input(truth, found, verified):
    ours = evaluate(
        objects(truth, group=[row[3] for row in truth]),
        objects(found, score=[row[3] for row in found]),
        (np.array([i for i, _ in verified], np.int64), np.array([c for _, c in verified], np.int64)),
        NAMES,
    )
    theirs = reference_detection.class_aps(truth, found, verified)
    assert ours.ap == pytest.approx({NAMES[label]: ap for label, ap in theirs.items()}, abs=1e-12)
    mean = sum(theirs.values()) / len(theirs) if theirs else float("nan")
    assert ours.mean_ap == pytest.approx(mean, abs=1e-12, nan_ok=True)


def test_predictions_without_scores_are_refused():
    with pytest.raises(ValueError, match="predictions need a score"):
        evaluate(objects([(0, 0, LEFT)]), objects([(0, 0, LEFT)]), NOTHING, NAMES)


def test_degenerate_boxes_and_low_scores_are_removed():
    truth = objects([(0, 0, LEFT)])
    found = objects([(0, 0, (0.5, 0, 0.5, 1)), (0, 0, (0.6, 0, 0.5, 1)), (0, 0, LEFT)], [1, 1, -10])
    result = evaluate(truth, found, NOTHING, NAMES)
    assert result.counts["pred_kept"] == 0
    assert result.mean_ap == 0


def test_at_most_so_many_boxes_of_a_class_in_an_image():
    """The published evaluator keeps 10,000, the likeliest."""
    truth = objects([(0, 0, LEFT)])
    for before, ap in ((9_999, 1 / 10_000), (10_000, 0)):
        rows = [(0, 0, LEFT), (0, 1, LEFT), (1, 0, LEFT)] + [(0, 0, RIGHT)] * before
        scores = [0.1, 0.1, 0.05] + [0.9] * before
        verified = (np.array([0, 1]), np.array([1, 0]))
        result = evaluate(truth, objects(rows, scores), verified, NAMES)
        assert result.counts["pred_kept"] == 10_002
        assert result.ap["x"] == pytest.approx(ap)


def write(path, header, *lines):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


TREE = {
    "LabelName": "/m/root",
    "Subcategory": [
        {"LabelName": "/m/animal", "Subcategory": [{"LabelName": "/m/cat"}, {"LabelName": "/m/dog"}]},
        {"LabelName": "/m/car"},
    ],
}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "tree.json").write_text(json.dumps(TREE))
    write(tmp_path / "truth.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax", "1,/m/cat,0,0.4,0,1")
    write(tmp_path / "labels.csv", "ImageID,LabelName,Confidence", "1,/m/cat,1", "2,/m/animal,0")
    write(
        tmp_path / "pred.csv",
        "ImageID,LabelName,Score,XMin,XMax,YMin,YMax",
        "1,/m/cat,0.9,0,0.4,0,1",
        "1,/m/animal,0.8,0,0.4,0,1",
        "2,/m/dog,0.95,0,0.4,0,1",
    )
    return tmp_path


def test_hierarchy_expands_truth_and_labels_but_not_predictions(files):
    tree = read_hierarchy(files / "tree.json")
    result = score_detection_files([files / "truth.csv"], files / "pred.csv", [files / "labels.csv"], tree)
    assert result.ap == {"/m/animal": 1.0, "/m/cat": 1.0}
    assert result.counts == {
        "gt_boxes": 2,
        "pred_rows": 3,
        "pred_kept": 3,
    }  # dog of image 2: absent, so wrong


def test_a_present_label_verifies_its_ancestors_and_an_absent_one_its_descendants(files):
    tree = read_hierarchy(files / "tree.json")
    head = "ImageID,LabelName,Score,XMin,XMax,YMin,YMax"
    write(
        files / "pred.csv", head, *[f"2,/m/{name},0.9,0,0.4,0,1" for name in ("cat", "dog", "animal", "car")]
    )
    for row, kept in (("2,/m/cat,1", 2), ("2,/m/animal,1", 1), ("2,/m/cat,0", 1), ("2,/m/animal,0", 3)):
        write(files / "labels.csv", "ImageID,LabelName,Confidence", row)
        found = score_detection_files([files / "truth.csv"], files / "pred.csv", [files / "labels.csv"], tree)
        assert found.counts["pred_kept"] == kept, row


@pytest.mark.parametrize(("group", "ap"), [(None, 0.5), ("0", 0.5), ("1", 1.0)])
def test_boxes_are_single_objects_unless_they_are_said_to_be_groups(files, group, ap):
    head, row = "ImageID,LabelName,XMin,XMax,YMin,YMax", "1,/m/cat,0,0.4,0,1"
    more = ("", "") if group is None else (",IsGroupOf", f",{group}")
    write(files / "truth.csv", head + more[0], row + more[1])
    write(
        files / "pred.csv",
        "ImageID,LabelName,Score,XMin,XMax,YMin,YMax",
        "1,/m/cat,0.9,0,0.1,0,0.1",
        "1,/m/cat,0.8,0,0.4,0,1",
    )
    assert score_detection_files([files / "truth.csv"], files / "pred.csv").ap == {"/m/cat": ap}


@pytest.mark.parametrize("corners", ["0.4,0.4,0,1", "0.4,0,0,1", "0,0.4,0.5,0.5", "0,0.4,1,0.5"])
def test_a_box_without_area_is_left_out_whichever_side_it_lacks(files, corners, capsys):
    head = "ImageID,LabelName,Score,XMin,XMax,YMin,YMax"
    write(files / "pred.csv", head, "1,/m/cat,0.9,0,0.4,0,1", f"1,/m/cat,0.95,{corners}")
    result = score_detection_files([files / "truth.csv"], files / "pred.csv")
    assert (result.ap, result.counts["pred_kept"]) == ({"/m/cat": 1.0}, 1)
    assert "1 of 2 rows (50.0%) are left out: box inverted or without area" in capsys.readouterr().err


def test_a_class_outside_the_hierarchy_is_a_fault(files):
    rows = ["1,/m/cat,0,0.4,0,1", "1,/m/boat,0,0.4,0,1"]
    write(files / "truth.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax", *rows)
    with pytest.raises(FileFault, match=r"line 3, column LabelName: '/m/boat' is not in the hierarchy"):
        score_detection_files(
            [files / "truth.csv"], files / "pred.csv", hierarchy=read_hierarchy(files / "tree.json")
        )


def test_a_hierarchy_file_that_is_none(tmp_path):
    with pytest.raises(FileFault, match="no such file"):
        read_hierarchy(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(FileFault, match="line 1: not a JSON file"):
        read_hierarchy(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(FileFault, match="not a class hierarchy"):
        read_hierarchy(tmp_path / "list.json")


@needs_openimages
def test_the_real_hierarchy():
    tree = read_hierarchy(OPENIMAGES / "bbox_labels_600_hierarchy.json")
    assert "/m/0bl9f" not in tree  # the virtual root
    person, man = "/m/01g317", "/m/04yx4"
    assert person in tree.ancestors[man]
    assert man in tree.descendants[person]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not a JSON file"),
        ("null", "not a class hierarchy: LabelName and Subcategory expected"),
        ("1" * 5000, "not a JSON file"),
        ('{"Subcategory": 5}', "not a class hierarchy"),
        ('{"Subcategory": [{"LabelName": ["a"]}]}', "not a class hierarchy"),
        ('{"Subcategory": ["a"]}', "not a class hierarchy"),
        ("[" * 100_000, "nested too deeply"),
        (
            '{"Subcategory": [{"LabelName": "a", "Subcategory": [{"LabelName": "a"}]}]}',
            "'a' is its own ancestor",
        ),
        (
            '{"Subcategory": [{"LabelName": "a", "Subcategory": [{"LabelName": "b"}]}, '
            '{"LabelName": "b", "Subcategory": [{"LabelName": "a"}]}]}',
            "is above '[ab]' in one place and below it in another",
        ),
        (" " * (17 << 20), "larger than 16 MB: not a class hierarchy"),
    ],
)
def test_hierarchies_that_cannot_be(tmp_path, text, message):
    (tmp_path / "h.json").write_text(text)
    with pytest.raises(FileFault, match=message):
        read_hierarchy(tmp_path / "h.json")
    with pytest.raises(FileFault, match="a folder, not a class hierarchy"):
        read_hierarchy(tmp_path)


def test_a_deep_hierarchy_and_a_label_in_several_places(tmp_path):
    deep = "".join(f'{{"LabelName": "m{i}", "Subcategory": [' for i in range(200))
    (tmp_path / "h.json").write_text('{"Subcategory": [' + deep + "]}" * 200 + "]}")
    assert len(read_hierarchy(tmp_path / "h.json").ancestors["m199"]) == 199
    twice = [{"LabelName": x, "Subcategory": [{"LabelName": "c"}]} for x in "ab"]
    (tmp_path / "h.json").write_text(json.dumps({"Subcategory": twice}))
    assert read_hierarchy(tmp_path / "h.json").ancestors["c"] == ("a", "b")


def test_an_inverted_truth_box_is_refused(files):
    write(files / "truth.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax", "1,x,0,0.4,0,1", "1,x,0,0.4,1,0.5")
    with pytest.raises(FileFault, match=r"truth.csv, line 3, column YMin: inverted box: YMin is over YMax"):
        score_detection_files([files / "truth.csv"], files / "pred.csv")


def test_predictions_without_a_part_are_told(files, capsys):
    """Boxes without area are removed, as in the published evaluator; unknown images and labels do not count."""
    write(
        files / "pred.csv",
        "ImageID,LabelName,Score,XMin,XMax,YMin,YMax",
        "1,/m/cat,0.9,0,0.4,0,1",
        "1,Man,0.8,0,0.4,0,1",
        "1.0,/m/cat,0.95,0,0.4,0,1",
        "1,/m/cat,0.95,0.4,0,0,1",
    )
    assert score_detection_files([files / "truth.csv"], files / "pred.csv").ap == {"/m/cat": 1.0}
    said = capsys.readouterr().err.splitlines()
    assert [line.partition("pred.csv: ")[2] for line in said] == [
        "1 of 2 images of the predictions (50.0%) are in neither truth nor labels and do not count, "
        "the first 1.0: it would be 1 but for its form of a number (ids are text, not numbers)",
        "1 of 4 rows (25.0%) are left out: label in neither truth nor labels ('Man'; the MID of Man is "
        "/m/04yx4), first at line 3",
        "1 of 4 rows (25.0%) are left out: box inverted or without area, which the metric removes, first at line 5",
    ]


def test_labels_of_other_images_and_a_truth_in_pixels_are_told(files, capsys):
    write(files / "pred.csv", "ImageID,LabelName,Score,XMin,XMax,YMin,YMax", "1,/m/cat,0.9,0,0.4,0,1")
    write(files / "labels.csv", "ImageID,LabelName,Confidence", "01,/m/cat,1")
    write(files / "truth.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax", "1,/m/cat,0,400,0,300")
    score_detection_files([files / "truth.csv"], files / "pred.csv", [files / "labels.csv"])
    labels, truth = capsys.readouterr().err.splitlines()
    assert "labels.csv: 1 of 1 images of the labels (100.0%) are not in the truth, the first 01" in labels
    assert truth.startswith("1 of 1 boxes of the truth (100.0%) reach beyond [0, 1] (pixels?), those of ")


def test_nothing_is_said_of_what_fits(files, capsys):
    score_detection_files([files / "truth.csv"], files / "pred.csv", [files / "labels.csv"])
    assert "rows" in capsys.readouterr().err  # /m/dog
    write(files / "pred.csv", "ImageID,LabelName,Score,XMin,XMax,YMin,YMax", "1,/m/cat,0.9,0,0.4,0,1")
    score_detection_files([files / "truth.csv"], files / "pred.csv", [files / "labels.csv"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("row", "column"), [(",/m/cat,0,1,0,1,0", "ImageID"), ("a,,0,1,0,1,0", "LabelName")])
def test_an_empty_id_or_label_is_refused(tmp_path, row, column):
    header = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"
    write(tmp_path / "truth.csv", header, "a,/m/cat,0,1,0,1,0", row)
    write(tmp_path / "found.csv", header.replace("IsGroupOf", "Score"), "a,/m/cat,0,1,0,1,0.5")
    with pytest.raises(FileFault, match=f"line 3, column {column}: empty where"):
        score_detection_files([tmp_path / "truth.csv"], tmp_path / "found.csv")
