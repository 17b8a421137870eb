"""A split of files in the form of Open Images' own annotations: all 600 classes, thirteen columns."""

import numpy as np
import pytest

from kit.config import SplitFiles
from kit.data.split_tables import load_split
from kit.relation.prior_model import pair_examples
from kit.vocabulary import vocabulary

MAN, GUITAR, TREE, WOODEN = "/m/04yx4", "/m/0342h", "/m/07j7r", "/m/083vt"
RELATIONS = (
    "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationLabel",
    f"aaaa000000000001,{MAN},{GUITAR},0.1,0.5,0.2,0.9,0.3,0.6,0.4,0.7,plays",
    f"aaaa000000000001,{GUITAR},{WOODEN},0.3,0.6,0.4,0.7,0.3,0.6,0.4,0.7,is",
)
BOXES = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside",
    f"aaaa000000000001,xclick,{MAN},1,0.1,0.5,0.2,0.9,0,0,0,0,0",
    f"aaaa000000000001,xclick,{GUITAR},1,0.3,0.6,0.4,0.7,1,0,0,0,0",
    f"aaaa000000000001,activemil,{TREE},1,0,1,0,0.999375,0,1,0,0,0",
    f"aaaa000000000002,xclick,{MAN},1,0.2,0.4,0.2,0.9,0,0,0,0,0",
    f"aaaa000000000002,xclick,{GUITAR},1,0.6,0.8,0.4,0.7,0,0,1,0,0",
    f"aaaa000000000003,xclick,{MAN},1,0.2,0.4,0.2,0.9,0,0,0,0,0",
    f"aaaa000000000003,xclick,{GUITAR},1,0.6,0.8,0.4,0.7,0,0,0,0,0",
    f"aaaa000000000004,xclick,{TREE},1,0.6,0.8,0.4,0.7,0,0,0,0,0",
)
LABELS = (
    "ImageID,Source,LabelName,Confidence",
    f"aaaa000000000001,verification,{MAN},1",
    f"aaaa000000000001,verification,{TREE},1",
    f"aaaa000000000002,verification,{MAN},1",
    f"aaaa000000000002,verification,{GUITAR},1",
    f"aaaa000000000003,verification,{MAN},1",
    "aaaa000000000003,verification,/m/0199g,0",
    f"aaaa000000000005,verification,{TREE},0",
)


@pytest.fixture
def files(tmp_path):
    paths = {}
    for name, lines in (("relations", RELATIONS), ("boxes", BOXES), ("labels", LABELS)):
        paths[name] = [tmp_path / f"{name}.csv"]
        paths[name][0].write_text("\n".join(lines) + "\n")
    return SplitFiles(**paths)


def test_of_all_classes_those_of_the_challenge_stay_and_the_rest_is_counted(files, capsys):
    split = load_split(files, "stack")
    told = capsys.readouterr().err
    assert (
        "boxes.csv: 2 of 8 rows (25.0%) are left out: label outside the challenge's 57 classes, first" in told
    )
    assert "labels.csv: 2 of 7 rows (28.6%) are left out: label outside" in told
    names = vocabulary().names
    assert [names[label] for label in split.objects.label] == ["Man", "Guitar"] * 3
    assert split.objects.is_group_of.tolist() == [False, False, False, True, False, False]
    assert np.allclose(split.objects.box[0], [0.1, 0.2, 0.5, 0.9])


def test_a_label_that_was_verified_absent_is_verified_too(files):
    split = load_split(files, "stack")
    bicycle, place = vocabulary().label["/m/0199g"], split.objects.images.index("aaaa000000000003")
    assert split.verified()[place].nonzero()[0].tolist() == sorted([vocabulary().label[MAN], bicycle])


def test_pairs_count_where_both_labels_are_verified_also_in_images_without_a_relation(files):
    """The first image has a relation, the second one none; of the third one nobody verified the guitar."""
    examples = pair_examples(load_split(files, "stack"))
    images = [examples.candidates.images[i] for i in examples.candidates.image]
    assert images == ["aaaa000000000001", "aaaa000000000002"]
    assert examples.positive.any(axis=1).tolist() == [True, False]
