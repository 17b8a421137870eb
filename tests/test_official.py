import numpy as np
import pytest

from kit.base.errors import FileFault
from kit.tables import csvbatches, image_lists, official
from kit.tables.official_writer import (
    write_boxes,
    write_detections,
    write_image_labels,
    write_relations,
)
from kit.tables.schema import Boxes, Detections, Predictions, Relations, VerifiedLabels
from kit.vocabulary import vocabulary
from tests.builders import GOOD, submission
from tests.paths import OPENIMAGES, needs_openimages

MAN, GUITAR, WOODEN = "/m/04yx4", "/m/0342h", "/m/083vt"
HEADER = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel"
ROW = f"7,{MAN},{GUITAR},0.1,0.5,0.2,0.9,0.3,0.4,0.5,0.6,plays"


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_relation_row(tmp_path):
    table = official.read_relations(write(tmp_path / "r.csv", HEADER, ROW))
    words = vocabulary()
    assert table.images == ("7",)
    assert (table.subject[0], table.object[0]) == (words.label[MAN], words.label[GUITAR])
    assert words.predicates[table.predicate[0]] == "plays"
    assert np.allclose(table.subject_box, [[0.1, 0.2, 0.5, 0.9]])
    assert np.allclose(table.object_box, [[0.3, 0.5, 0.4, 0.6]])


def test_the_other_name_of_the_predicate_column(tmp_path):
    header = HEADER.replace("RelationshipLabel", "RelationLabel")
    assert len(official.read_relations(write(tmp_path / "r.csv", header, ROW))) == 1


FAULTS = [
    (ROW.replace(MAN, "/m/none"), "line 2, column LabelName1: unknown label '/m/none'"),
    (ROW.replace("plays", "eats"), "line 2, column RelationshipLabel: unknown predicate 'eats'"),
    (ROW.replace("0.1,0.5", "0.5,0.1"), "line 2, column XMin1: inverted box"),
    (ROW.replace("0.5,0.6", "0.6,0.5"), "line 2, column YMin2: inverted box"),
    (ROW.replace("0.1,0.5", "1e39,2e39"), "line 2, column XMin1: 1e+39 where a coordinate belongs"),
    (ROW.replace("7,", ",", 1), "line 2, column ImageID: empty where an image id belongs"),
    (ROW.replace("0.9", ""), "line 2, column YMax1: empty where a finite number belongs"),
]


@pytest.mark.parametrize(("row", "message"), FAULTS)
def test_faulty_relations(tmp_path, row, message):
    with pytest.raises(FileFault) as caught:
        official.read_relations(write(tmp_path / "r.csv", HEADER, row))
    assert message in str(caught.value)


def test_boxes_and_detections_of_other_classes_are_left_out(tmp_path):
    lines = [f"a,{MAN},0,1,0,1", "a,/m/other,0,1,0,1", f"a,{WOODEN},0,1,0,1"]
    path = write(tmp_path / "b.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax", *lines)
    boxes = official.read_boxes(path)
    assert len(boxes) == 1
    assert not boxes.is_group_of.any()
    scored = [f"{line},0.5" for line in lines]
    path = write(tmp_path / "d.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax,Score", *scored)
    assert len(official.read_detections(path)) == 1


def test_unknown_image_label(tmp_path):
    path = write(tmp_path / "l.csv", "ImageID,LabelName,Confidence", f"a,{MAN},1", "a,/m/other,0")
    with pytest.raises(FileFault, match="line 3, column LabelName: unknown label"):
        official.read_image_labels(path)


def test_rows_of_other_labels_can_be_left_out(tmp_path):
    rows = [ROW.replace(MAN, "/m/other"), ROW, ROW.replace("plays", "eats")]
    path = write(tmp_path / "r.csv", HEADER, *rows)
    assert len(official.read_relations(path, skip_unknown=True)) == 1
    labels = write(tmp_path / "l.csv", "ImageID,LabelName,Confidence", f"a,{MAN},1", "a,/m/other,0")
    assert official.read_verified_labels(labels).label.tolist() == [vocabulary().label[MAN]]
    with pytest.raises(FileFault, match="no row with the challenge's classes"):
        official.read_relations(write(tmp_path / "o.csv", HEADER, rows[0]), skip_unknown=True)


def test_predictions_in_the_long_form_keep_doubles_and_inverted_boxes(tmp_path):
    row = ROW.replace("0.1,0.5", "0.5,0.1") + ",0.123456789012345"
    table = official.read_predictions(write(tmp_path / "p.csv", HEADER + ",Score", row))
    assert table.score[0] == 0.123456789012345
    fault = official.prediction_fault(tmp_path / "p.csv", 0, "subject", "inverted")
    assert "line 2, column XMin1: inverted" in str(fault)


def test_predictions_in_parts_are_those_of_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(csvbatches, "PART", 1_000)
    lines = [ROW.replace("7,", f"{'cab'[i // 20]},", 1) + f",{i / 100}" for i in range(60)]
    path = write(tmp_path / "p.csv", HEADER + ",Score", *lines)
    parts, whole = list(official.prediction_parts(path)), official.read_predictions(path)
    assert len(parts) > 3
    assert whole.images == ("c", "a", "b")
    together = Predictions.concat(parts)
    assert together.images == whole.images
    for name in ("image", *Predictions.COLUMNS):
        assert np.array_equal(getattr(together, name), getattr(whole, name)), name


def test_predictions_in_parts_are_refused_before_a_row_is_asked_for(tmp_path):
    with pytest.raises(FileFault, match="no such file"):
        official.prediction_parts(tmp_path / "none.csv")
    with pytest.raises(FileFault, match="column Score: the header lacks this column"):
        official.prediction_parts(write(tmp_path / "p.csv", HEADER, ROW))


def test_unknown_labels_are_a_fault_of_parts_in_both_forms(tmp_path):
    long = write(tmp_path / "l.csv", HEADER + ",Score", ROW.replace(MAN, "/m/none") + ",0.5")
    kaggle = submission(tmp_path / "k.csv", "a," + GOOD, "b," + GOOD.replace(MAN, "/m/none"))
    for path, line in ((long, 2), (kaggle, 3)):
        with pytest.raises(FileFault, match=f"line {line}, .*unknown label '/m/none'"):
            list(official.prediction_parts(path))
    (table,) = official.prediction_parts(submission(tmp_path / "k.csv", "a," + GOOD))
    assert table.images == ("a",)


def random_relations(n, rng):
    triplets = vocabulary().triplets[rng.integers(0, 329, n)]
    sides = [np.sort(rng.random((n, 2, 2)), axis=1).reshape(n, 4).round(6) for _ in range(2)]
    return Relations(
        ("a", "b"), rng.integers(0, 2, n), triplets[:, 1], triplets[:, 2], triplets[:, 0], *sides
    )


def test_what_is_written_is_read_back(tmp_path):
    rng = np.random.default_rng(0)
    relations = random_relations(50, rng)
    write_relations(tmp_path / "r.csv", relations)
    assert (tmp_path / "r.csv").read_text().splitlines()[0] == HEADER
    back = official.read_relations(tmp_path / "r.csv")
    for name in Relations.COLUMNS:
        assert np.array_equal(getattr(back, name), getattr(relations, name)), name
    columns = {name: getattr(relations, name) for name in ("image", *Relations.COLUMNS)}
    scored = Predictions(relations.images, **columns, score=rng.random(50))
    write_relations(tmp_path / "p.csv.gz", scored)
    assert np.array_equal(official.read_predictions(tmp_path / "p.csv.gz").score, scored.score)


def test_boxes_labels_and_detections_are_read_back(tmp_path):
    box = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 1, 1]]
    boxes = Boxes(("a",), [0, 0], [3, 4], box, [True, False])
    write_boxes(tmp_path / "b.csv", boxes)
    back = official.read_boxes(tmp_path / "b.csv")
    assert np.array_equal(back.box, boxes.box)
    assert back.is_group_of.tolist() == [True, False]
    write_detections(tmp_path / "d.csv", Detections(("a",), [0, 0], [3, 4], [0.25, 0.5], box))
    assert official.read_detections(tmp_path / "d.csv").score.tolist() == [0.25, 0.5]
    write_image_labels(tmp_path / "l.csv", VerifiedLabels(("a",), [0, 0], [3, 60], [True, False]))
    assert official.read_image_labels(tmp_path / "l.csv").label.tolist() == [3, 60]
    assert official.read_verified_labels(tmp_path / "l.csv").present.tolist() == [True, False]
    path = write(tmp_path / "n.csv", "ImageID,LabelName", f"a,{MAN}")
    assert official.read_verified_labels(path).present.tolist() == [True]


def test_the_confidence_of_image_labels_is_a_number_or_a_word(tmp_path):
    values = ("1", "0.0", "true", "False", "0.5")
    rows = [f"a,{MAN},{value}" for value in values]
    path = write(tmp_path / "l.csv", "ImageID,LabelName,Confidence", *rows)
    assert official.read_verified_labels(path).present.tolist() == [True, False, True, False, True]


@pytest.mark.parametrize("value", ["", "sure"])
def test_a_confidence_that_is_none_is_a_fault_where_it_counts(tmp_path, value):
    path = write(tmp_path / "l.csv", "ImageID,LabelName,Confidence", f"a,{MAN},1", f"a,{GUITAR},{value}")
    with pytest.raises(FileFault, match="line 3, column Confidence"):
        official.read_verified_labels(path)
    assert official.read_verified_labels(path, judged=False).present.all()


def test_labels_without_a_confidence_are_told_where_it_counts(tmp_path, capsys):
    path = write(tmp_path / "l.csv", "ImageID,LabelName,confidence", f"a,{MAN},0")
    assert official.read_verified_labels(path, judged=False).present.tolist() == [True]
    assert capsys.readouterr().err == ""
    assert official.read_verified_labels(path).present.tolist() == [True]
    assert capsys.readouterr().err == f"{path}: no column Confidence: all its labels count as present\n"


@needs_openimages
@pytest.mark.parametrize(
    ("name", "rows"), [("train-subset-vrd.csv", 21019), ("validation-half-vrd.csv", 1881)]
)
def test_the_real_relations(name, rows):
    table = official.read_relations(OPENIMAGES / name)
    assert len(table) == rows
    allowed = vocabulary().allowed[table.predicate, table.subject, table.object]
    assert allowed.all()


BOXES = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"
SCORED = "ImageID,LabelName,XMin,XMax,YMin,YMax,Score"
OUTSIDE = [
    (
        f"a,{MAN},1.05,1.30,0.1,0.2,0",
        "line 3, column XMin: 1.05 is outside [0, 1]; coordinates are fractions",
    ),
    (f"a,{MAN},0.1,512,0.1,0.2,0", "line 3, column XMax: 512 is outside [0, 1]: pixels?"),
    (f"a,{MAN},0.1,0.5,-0.1,0.2,0", "line 3, column YMin: -0.1 is outside [0, 1]"),
    (f"a,{MAN},0.1,0.5,0.1,1.02,0", "line 3, column YMax: 1.02 is outside [0, 1]"),
    ("a,/m/other,0.1,0.5,0.1,99,0", "line 3, column YMax: 99 is outside [0, 1]: pixels?"),
    (f"a,{MAN},0.5,0.1,0.1,0.2,0", "line 3, column XMin: inverted box"),
    (f"a/b,{MAN},0.1,0.5,0.1,0.2,0", "line 3, column ImageID: 'a/b' cannot be an image's id"),
    (f"..,{MAN},0.1,0.5,0.1,0.2,0", "line 3, column ImageID: '..' cannot be an image's id"),
    (f"a\x1b[1m,{MAN},0.1,0.5,0.1,0.2,0", r"line 3, column ImageID: 'a\x1b[1m' cannot be an image's id"),
    (f"a\0,{MAN},0.1,0.5,0.1,0.2,0", r"line 3, column ImageID: 'a\x00' cannot be an image's id"),
    (
        f"{'a' * 300},{MAN},0.1,0.5,0.1,0.2,0",
        "line 3, column ImageID: an image id of 300 bytes (at most 250)",
    ),
    (f",{MAN},0.1,0.5,0.1,0.2,0", "line 3, column ImageID: empty where an image id belongs"),
]


@pytest.mark.parametrize(("row", "message"), OUTSIDE)
@pytest.mark.parametrize("kind", ["boxes", "detections", "relations"])
def test_what_cannot_be_right_is_refused(tmp_path, kind, row, message):
    path, good = tmp_path / "b.csv", f"b,{MAN},0,1,0,1,0"
    if kind == "relations":  # the box under test is the second, of the guitar
        if "/m/other" in row:
            return
        column = message.split("column ")[1].split(":")[0]
        message = message.replace(column, column if column == "ImageID" else f"{column}2", 1)
        message = message.replace("box: XMin is over XMax", "box: XMin2 is over XMax2")
        image, _, *box, _ = row.split(",")
        rows = [f"{i},{MAN},{GUITAR},0,1,0,1,{','.join(b)},plays" for i, b in (("b", "0101"), (image, box))]
        write(path, HEADER, *rows)
        with pytest.raises(FileFault) as caught:
            official.read_relations(path, skip_unknown=True)
    else:
        read = official.read_boxes if kind == "boxes" else official.read_detections
        write(path, BOXES if kind == "boxes" else SCORED, good, row)
        with pytest.raises(FileFault) as caught:
            read(path)
    assert message in str(caught.value)


def test_the_published_evaluator_takes_boxes_outside(tmp_path):
    path = write(tmp_path / "r.csv", HEADER, ROW.replace("0.1,0.5", "1.1,1.5"))
    assert official.read_relations(path).subject_box[0, 0] == np.float32(1.1)
    with pytest.raises(FileFault, match=r"1.1 is outside \[0, 1\]"):
        official.read_relations(path, strict=True)
    assert len(official.read_relations(path, skip_unknown=True, strict=False)) == 1


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ((0.5, 90, 3), r"line 3, column Score: score 90 is outside \[0, 1\]: percent\?"),
        ((0.5, 1.1, 0.4), r"line 3, column Score: score 1.1 is outside \[0, 1\];"),
        ((0.5, 0.4, -0.2), r"line 4, column Score: score -0.2 is outside \[0, 1\];"),
        ((-3.5, 70, 2), r"line 2, column Score: score -3.5 is outside \[0, 1\];"),
    ],
)
def test_scores_that_are_none(tmp_path, scores, message):
    path = write(tmp_path / "d.csv", SCORED, *(f"a,{MAN},0,1,0,1,{score}" for score in scores))
    with pytest.raises(FileFault, match=message):
        official.read_detections(path)


def test_a_score_by_its_other_name(tmp_path):
    path = write(tmp_path / "d.csv", SCORED.replace("Score", "Confidence"), f"a,{MAN},0,1,0,1,1.5")
    with pytest.raises(FileFault, match=r"column Confidence: score 1\.5"):
        official.read_detections(path)
    path = write(tmp_path / "d.csv", SCORED, f"a,{MAN},0,1,0,1,1.0000001")
    assert official.read_detections(path).score.tolist() == [1]


def test_rounding_is_clipped_and_boxes_without_area_are_told(tmp_path, capsys):
    rows = [f"a,{MAN},0,1,0,1,0", f"a,{MAN},-0.001,1.0001,0,1,1", f"a,{MAN},0.3,0.3,0,1,0"]
    path = write(tmp_path / "b.csv", BOXES, *rows, "a,/m/other,0,1.0001,0,1,0")
    boxes = official.read_boxes(path)
    assert np.array_equal(boxes.box[1], [0, 0, 1, 1])
    assert len(boxes) == 3
    assert boxes.is_group_of.tolist() == [False, True, False]
    assert capsys.readouterr().err == (
        f"{path}: 1 of 4 rows (25.0%) are left out: label outside the challenge's 57 classes, first at line 5 "
        "(/m/other); 1 of 3 boxes (33.3%) lie outside [0, 1] by at most 0.005 and are clipped, first at line 3; "
        "1 of 3 boxes (33.3%) have no area and count for nothing, first at line 4\n"
    )
    official.read_boxes(path)
    assert capsys.readouterr().err == ""


def test_is_group_of_in_words(tmp_path):
    rows = [f"a,{MAN},0,1,0,1,{flag}" for flag in ("True", "false", "FALSE", "1", "0", "TRUE")]
    boxes = official.read_boxes(write(tmp_path / "b.csv", BOXES, *rows))
    assert boxes.is_group_of.tolist() == [True, False, False, True, False, True]


def test_a_class_by_its_name_is_told(tmp_path, capsys):
    path = write(tmp_path / "d.csv", SCORED, "a,Man,0,1,0,1,0.5", f"a,{WOODEN},0,1,0,1,0.5")
    with pytest.raises(FileFault, match="no row with one of the challenge's 57 classes"):
        official.read_detections(path)
    assert f"{path}: 2 of 2 rows (100.0%) are left out: label outside" in (text := capsys.readouterr().err)
    assert f"first at line 2 (Man, whose MID is {MAN})" in text


def test_rows_left_out_of_relations_are_counted_by_reason(tmp_path, capsys):
    dog = vocabulary().mids[vocabulary().names.index("Dog")]
    wrong = ROW.replace(MAN, dog).replace(GUITAR, WOODEN).replace("plays", "is")
    rows = [ROW, ROW.replace(MAN, "/m/other"), ROW.replace("plays", "eats"), wrong, wrong]
    path = write(tmp_path / "r.csv", HEADER, *rows)
    assert len(official.read_relations(path, skip_unknown=True)) == 1
    assert capsys.readouterr().err == (
        f"{path}: 4 of 5 rows (80.0%) are left out: 1 LabelName1 outside the challenge's 57 classes and 5 "
        "attributes, first at line 3 (/m/other); 1 predicate outside the challenge's 10, first at line 4 (eats); "
        "2 triplet not among the challenge's 329, first at line 5 (Dog, is, Wooden)\n"
    )
    with pytest.raises(FileFault, match="line 3, column LabelName1: unknown label '/m/other'"):
        official.read_relations(path)


def test_a_wrong_triplet_is_the_published_evaluators_matter(tmp_path, capsys):
    path = write(tmp_path / "r.csv", HEADER, ROW, ROW.replace("plays", "under"))
    assert len(official.read_relations(path)) == 2
    assert capsys.readouterr().err == ""
    assert len(official.read_relations(path, skip_unknown=True)) == 1


def test_image_labels_left_out_are_counted(tmp_path, capsys):
    rows = [f"a,{MAN},1", f"a,{WOODEN},0", "b,/m/other,0", f"c,{GUITAR},1"]
    path = write(tmp_path / "l.csv", "ImageID,LabelName,Confidence", *rows)
    assert len(official.read_verified_labels(path)) == 3
    told = "1 of 4 rows (25.0%) are left out: label outside the challenge's 57 classes and 5 attributes"
    assert capsys.readouterr().err == f"{path}: {told}, first at line 4 (/m/other)\n"


READERS = [
    (official.read_boxes, BOXES, f"a,{MAN},0,1,0,1,0"),
    (official.read_detections, SCORED, f"a,{MAN},0,1,0,1,0.5"),
    (official.read_relations, HEADER, ROW),
    (lambda path: official.read_relations(path, skip_unknown=True), HEADER, ROW),
    (official.read_verified_labels, "ImageID,LabelName,Confidence", f"a,{MAN},1"),
    (official.read_predictions, HEADER + ",Score", ROW + ",0.5"),
    (image_lists.read_image_ids, "ImageId,PredictionString", "a,"),
    (lambda path: image_lists.distinct_images([path], [3]), BOXES, f"a,{MAN},0,1,0,1,0"),
]


@pytest.mark.parametrize("reader", range(len(READERS)))
@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_bytes_a_table_or_a_fault(tmp_path, reader, seed):
    read, header, row = READERS[reader]
    rng = np.random.default_rng([seed, reader])
    data = bytearray(f"{header}\n{row}\n{row}\n".encode())
    pieces = [
        b'"',
        b",",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"-",
        b"9e99",
        b"nan",
        b"",
        b"/",
        b"\x1b[1m",
        b"a" * 300,
    ]
    for _ in range(rng.integers(1, 6)):
        i = int(rng.integers(len(header) if seed % 3 else 0, len(data)))
        data[i : i + int(rng.integers(3))] = pieces[rng.integers(len(pieces))]
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    table, said = (), None
    try:
        table = read(path)
    except FileFault as fault:
        said = str(fault)
    assert len(table) <= len(bytes(data).splitlines())
    assert said is None or (said.startswith(f"{path}") and said.isprintable())


@pytest.mark.parametrize(
    ("reader", "header", "end"),
    [(official.read_boxes, BOXES, "0"), (official.read_detections, SCORED, "0.5")],
)
def test_names_instead_of_mids_leave_no_row_and_are_refused(reader, header, end, tmp_path):
    path = write(tmp_path / "a.csv", header, f"a,Man,0,1,0,1,{end}")
    with pytest.raises(FileFault, match="no row with one of the challenge's 57 classes"):
        reader(path)
