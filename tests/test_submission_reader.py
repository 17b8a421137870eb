import numpy as np
import pytest

from kit.base.errors import FileFault
from kit.metric.relations import evaluate
from kit.tables.image_lists import read_image_ids
from kit.tables.official import prediction_fault, read_predictions
from kit.tables.schema import Predictions, Relations
from kit.tables.submission_check import check_submission
from kit.tables.submission_writer import write_submission
from kit.vocabulary import vocabulary
from tests.builders import GOOD, IS_GOOD, random_predictions, submission

HEADER = "ImageId,PredictionString"


def test_reading(tmp_path):
    table = read_predictions(submission(tmp_path / "s.csv", f"x,{GOOD} {IS_GOOD}", "y,", f"z,  {GOOD} "))
    assert [table.images[i] for i in table.image] == ["x", "x", "z"]
    assert table.score.tolist() == [0.5, 0.25, 0.5]
    assert np.allclose(table.object_box[0], [0.3, 0.5, 0.4, 0.6])


READ_FAULTS = [
    (
        "y," + GOOD.replace("0.9", "1e39"),
        "prediction 1 of the line, YMax1: 1e39 where a finite number belongs",
    ),
    (
        "y,0.5 /m/04yx4 0.1 0.2 0.5 0.9",
        "token count is not a multiple of 12 (6); the detection track's form has 6 tokens a box",
    ),
    (
        "y,0.5 /m/04yx4 0.1 0.2 0.5 0.9 0.4 /m/0342h 0.1 0.2 0.5 0.9",
        "LabelName2: '0.4' where a label belongs (the detection track's form",
    ),
    (f"y,{GOOD} 0.5", "line 3, column PredictionString: token count is not a multiple of 12"),
    (
        "y," + GOOD.replace("0.9", "O.9"),
        "line 3, column PredictionString: prediction 1 of the line, YMax1: 'O.9'",
    ),
    (
        f"y,{GOOD} " + GOOD.replace("0.5 /m", "nan /m"),
        "prediction 2 of the line, Confidence: nan where a finite",
    ),
    ("y," + GOOD.replace("0342h", "x"), "prediction 1 of the line, LabelName2: unknown label '/m/x'"),
    ("y," + GOOD.replace("plays", "eats"), "prediction 1 of the line, RelationshipLabel: unknown predicate"),
]


@pytest.mark.parametrize(("line", "message"), READ_FAULTS)
def test_reading_a_faulty_one(tmp_path, line, message):
    with pytest.raises(FileFault) as caught:
        read_predictions(submission(tmp_path / "s.csv", f"x,{GOOD}", line))
    assert message in str(caught.value)


def test_reading_one_without_predictions(tmp_path):
    with pytest.raises(FileFault, match="no prediction in the whole file"):
        read_predictions(submission(tmp_path / "s.csv", "x,", "y,"))


def test_the_place_of_a_prediction(tmp_path):
    path = submission(tmp_path / "s.csv", f"x,{GOOD} {GOOD}", "y,", f"z,{GOOD} {GOOD}")
    assert "line 4, column PredictionString: prediction 2 of the line: bad" in str(
        prediction_fault(path, 3, "subject", "bad")
    )


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz", "s.csv.zip"])
def test_written_ones_are_without_fault_and_read_back(tmp_path, name):
    table = random_predictions(400, np.random.default_rng(0))
    written = write_submission(tmp_path / name, ("c", "empty", "a", "b"), [table])
    assert (written.images, written.filled, written.predictions) == (4, 3, 400)
    assert read_image_ids(tmp_path / name) == ("c", "empty", "a", "b")
    report = check_submission(tmp_path / name, ("a", "b", "c", "empty"))
    assert report.ok, report.faults
    back = read_predictions(tmp_path / name)
    for image in "abc":
        want = table.take(table.image == table.images.index(image))
        got = back.take(back.image == back.images.index(image))
        order = np.argsort(-want.score)
        assert np.allclose(got.score, want.score[order], rtol=1e-5)
        assert np.abs(got.subject_box - want.subject_box[order]).max() <= 0.5e-5 + 1e-7
        assert np.array_equal(got.predicate, want.predicate[order])


def test_the_best_of_each_image_and_any_order_of_shards(tmp_path):
    rng = np.random.default_rng(1)
    table = random_predictions(300, rng, images=tuple("abcdef"))
    parts = [table.take(table.image == i) for i in rng.permutation(6)]
    write_submission(tmp_path / "parts.csv", tuple("abcdef"), parts, top=7)
    write_submission(tmp_path / "whole.csv", tuple("abcdef"), [table], top=7)
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    back = read_predictions(tmp_path / "whole.csv")
    for i in range(6):
        best = np.sort(table.score[table.image == i])[::-1][:7]
        assert np.allclose(back.score[back.image == back.images.index("abcdef"[i])], best, rtol=1e-5)


def test_the_score_survives_writing(tmp_path):
    rng = np.random.default_rng(2)
    table = random_predictions(200, rng)
    columns = {name: getattr(table, name) for name in ("image", *Relations.COLUMNS)}
    truth = Relations(table.images, **columns).take(rng.random(200) < 0.4)
    write_submission(tmp_path / "s.csv", table.images, [table], digits=6)
    before, after = evaluate(truth, table), evaluate(truth, read_predictions(tmp_path / "s.csv"))
    assert after.final_score == pytest.approx(before.final_score, abs=0.01)


def test_thin_boxes_outside_boxes_and_tiny_scores_stay_legal(tmp_path, capsys):
    box = np.array([[0.1234567, 0.99999, 0.1234571, 1], [-0.1, -3, 1.2, 1.00001]], np.float32)
    table = Predictions(
        ("a",), [0, 0], *vocabulary().triplets[[0, 1]][:, [1, 2, 0]].T, box, box, score=[1e-12, 1.0]
    )
    write_submission(tmp_path / "s.csv", ("a",), [table], digits=4)
    assert check_submission(tmp_path / "s.csv", ("a",)).ok
    back = read_predictions(tmp_path / "s.csv")
    assert back.score.tolist() == [1.0, 1e-12]
    assert back.subject_box[1] == pytest.approx([0.1234, 0.9999, 0.1235, 1])
    said = capsys.readouterr().err
    assert (
        "boxes of 1 of 2 predictions (50.0%) reach beyond [0, 1] and are cut (pixels?), first image a" in said
    )
    assert said.count("\n") == 1


def test_boxes_that_collapse_are_faults(tmp_path, capsys):
    """Detections in pixels, all cut to 1 1 1 1."""
    triplets = vocabulary().triplets[[0, 1]][:, [1, 2, 0]].T
    box = np.array([[102, 77, 512, 691], [3, 4, 50, 60]], np.float32)
    table = Predictions(("a",), [0, 0], *triplets, box, box, score=[0.5, 1.0])
    write_submission(tmp_path / "s.csv", ("a",), [table])
    assert "boxes of 2 of 2 predictions (100.0%)" in capsys.readouterr().err
    (fault,) = check_submission(tmp_path / "s.csv", ("a",)).faults
    assert (fault.kind, fault.count, fault.taken) == ("box without area", 4, True)
    assert fault.first == "line 2, image a, prediction 1"


def test_what_cannot_be_written(tmp_path):
    table = random_predictions(5, np.random.default_rng(3), images=("a",))
    with pytest.raises(Exception, match="image a has predictions but is not in the list"):
        write_submission(tmp_path / "s.csv", ("b",), [table])
    with pytest.raises(Exception, match="image a has predictions but is not in the list"):
        write_submission(tmp_path / "s.csv", (), [table])
    with pytest.raises(Exception, match="image a has predictions in two shards"):
        write_submission(tmp_path / "s.csv", ("a",), [table, table])
    table.score[0] = np.nan
    with pytest.raises(Exception, match="not a finite number"):
        write_submission(tmp_path / "s.csv", ("a",), [table])
    assert list(tmp_path.iterdir()) == []


def test_nothing_predicted_at_all(tmp_path):
    write_submission(tmp_path / "s.csv", ("a", "b"), [])
    assert (tmp_path / "s.csv").read_text() == f"{HEADER}\na,\nb,\n"
    assert [f.kind for f in check_submission(tmp_path / "s.csv", ("a", "b")).faults] == [
        "no prediction in the whole file"
    ]


CHECKS = {
    "image id not in the test list": (["w," + GOOD], 1, "line 4, image w"),
    "image id twice": ([f"x,{GOOD}", "x,"], 2, "line 4, image x"),
    "token count is not a multiple of 12, but of 6: the detection track's form?": (
        ["z,0.5 /m/04yx4 0.1 0.2 0.5 0.9"],
        1,
        "line 4, image z",
    ),
    "box without area": (["z," + GOOD.replace("0.3 0.5 0.4 0.6", "0.4 0.5 0.4 0.6")], 1, "line 4, image z"),
    "token count is not a multiple of 12": ([f"z,{GOOD} 1"], 1, "line 4, image z"),
    "YMax1 is not a number": (["z," + GOOD.replace("0.9", "O.9")], 1, "line 4, image z, prediction 1"),
    "Confidence is not finite": ([f"z,{GOOD} " + GOOD.replace("0.5 /m", "inf /m")], 1, "prediction 2"),
    "score outside [0, 1]": (["z," + GOOD.replace("0.5 /m", "1.5 /m")] * 2, 2, "prediction 1: percent?"),
    "coordinate outside [0, 1]": (["z," + GOOD.replace("0.9", "1.1")], 1, "line 4"),
    "inverted box": (["z," + GOOD.replace("0.1 0.2", "0.6 0.2")], 1, "line 4"),
    "LabelName2 unknown": (["z," + GOOD.replace("/m/0342h", "/m/x")], 1, "line 4"),
    "RelationshipLabel unknown": (["z," + GOOD.replace("plays", "eats")], 1, "line 4"),
    "triplet not allowed": (["z," + GOOD.replace("plays", "under")], 1, "line 4"),
    '"is" with two different boxes': (["z," + IS_GOOD.replace("0.9 is", "0.8 is")], 1, "line 4"),
    "image missing": (["w,"], 1, "z"),
}


@pytest.mark.parametrize("kind", CHECKS)
def test_the_checker_says_kind_count_and_first_place(tmp_path, kind):
    lines, count, first = CHECKS[kind]
    path = submission(tmp_path / "s.csv", f"x,{GOOD} {IS_GOOD}", "y,", *lines)
    faults = {f.kind: f for f in check_submission(path, ("x", "y", "z")).faults}
    assert faults[kind].count == count
    assert first in faults[kind].first


def test_the_checker_names_pixels(tmp_path):
    for corner, told in (("1.1", False), ("900", True)):
        path = submission(tmp_path / "s.csv", "x," + GOOD.replace("0.9", corner))
        (fault,) = check_submission(path, ("x",)).faults
        assert fault.first.endswith(": pixels?") == told


def test_the_checker_on_a_good_file_and_on_its_size(tmp_path):
    path = submission(tmp_path / "s.csv", f"x,{GOOD}", "y,")
    report = check_submission(path, ("x", "y"))
    assert report.ok
    assert report.as_dict() == {
        "path": str(path),
        "ok": True,
        "bytes": path.stat().st_size,
        "images": 2,
        "filled": 1,
        "predictions": 1,
        "faults": [],
    }
    assert [f.kind for f in check_submission(path, ("x", "y"), largest=10).faults] == [
        "file larger than 10 bytes"
    ]


def test_the_checker_wants_the_header(tmp_path):
    (tmp_path / "s.csv").write_text("ImageID,PredictionString\nx,\n")
    with pytest.raises(
        FileFault, match="line 1: the header is 'ImageID,PredictionString', not ImageId,PredictionString"
    ):
        check_submission(tmp_path / "s.csv", ("x",))


HEADERS = {
    "ImageID,PredictionString": "ImageID for ImageId, as in the detection track",
    ",ImageId,PredictionString": "an index column in front: pandas writes none with index=False",
    "Unnamed: 0,ImageId,PredictionString": "an index column in front",
    "ImageId;PredictionString": "semicolons where commas belong",
    "ImageId\tPredictionString": "tabs where commas belong",
    "imageid,predictionstring": "upper and lower case",
    "ImageId, PredictionString": "spaces or quotes that belong to the names",
    '"""ImageId""",PredictionString': "spaces or quotes that belong to the names",
    "PredictionString,ImageId": "the columns in the other order",
    "ImageId,PredictionString,": "more columns than two",
    "ImageID,LabelName1,LabelName2,RelationshipLabel,Score": "the long form, a row a prediction",
    "\ufeff\ufeffImageId,PredictionString": "a byte order mark in it",
    f"x,{GOOD}": "no header: a first line of data",
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_wrong_header_is_quoted_with_its_likely_cause(tmp_path, header):
    (tmp_path / "s.csv").write_text(f"{header}\nx,\n", encoding="utf-8")
    with pytest.raises(FileFault, match="line 1: the header is ") as caught:
        check_submission(tmp_path / "s.csv", ("x",))
    assert f"not ImageId,PredictionString ({HEADERS[header]}" in str(caught.value)
    assert repr(header.removeprefix("\ufeff")[:40])[1:-1] in str(caught.value)


@pytest.mark.parametrize("header", ["\ufeffImageId,PredictionString", '"ImageId","PredictionString"'])
def test_headers_that_are_read_as_the_right_one(tmp_path, header):
    (tmp_path / "s.csv").write_text(f"{header}\nx,{GOOD}\n", encoding="utf-8")
    assert check_submission(tmp_path / "s.csv", ("x",)).ok


def test_ids_of_another_form_and_of_another_list(tmp_path):
    path = submission(tmp_path / "s.csv", f"12.0,{GOOD}", "y,")
    faults = {f.kind: f for f in check_submission(path, ("0000000000000012", "y")).faults}
    first = faults["image id not in the test list"].first
    assert first.startswith("line 2, image 12.0; 12.0 would be 0000000000000012 but for its form of a number")
    faults = {f.kind: f for f in check_submission(path, ("other",)).faults}
    assert (
        "no image is: another list of test images (--ids)?" in faults["image id not in the test list"].first
    )
    assert not faults["image missing"].taken
