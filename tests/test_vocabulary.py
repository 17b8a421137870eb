import csv

from kit.vocabulary import IS, PREDICATES, vocabulary
from tests.golden import LABEL_IDS
from tests.paths import OPENIMAGES, needs_openimages


def test_counts_of_the_challenge():
    words = vocabulary()
    assert (words.classes, words.labels, len(PREDICATES), len(words.triplets)) == (57, 62, 10, 329)
    assert int(words.allowed[IS].sum()) == 42


def test_attributes_only_follow_is():
    allowed = vocabulary().allowed
    assert allowed[IS, :57, :57].sum() == 0
    assert allowed[:IS, :, 57:].sum() == 0
    assert allowed[:, 57:].sum() == 0


def test_lookups_are_inverse():
    words = vocabulary()
    assert [words.mids[words.label[mid]] for mid in words.mids] == list(words.mids)
    assert [words.predicate[name] for name in words.predicates] == list(range(10))


@needs_openimages
def test_equals_the_published_tables():
    words = vocabulary()
    published = {}
    for name in ("challenge-2019-classes-vrd.csv", "challenge-2019-attributes-description.csv"):
        with (OPENIMAGES / name).open(newline="") as file:
            published |= {r[0]: r[1].replace("(made of)", "") for r in csv.reader(file) if r}
    assert dict(zip(words.mids, words.names, strict=True)) == published
    with (OPENIMAGES / "challenge-2019-relationship-triplets.csv").open(newline="") as file:
        triplets = {(r["RelationshipLabel"], r["LabelName1"], r["LabelName2"]) for r in csv.DictReader(file)}
    ours = {(PREDICATES[p], words.mids[s], words.mids[o]) for p, s, o in words.triplets}
    assert ours == triplets


def test_labels_ascend_by_official_id():
    with LABEL_IDS.open() as file:
        ids = {r["LabelName"]: int(r["Id"]) for r in csv.DictReader(file)}
    assert list(vocabulary().mids) == sorted(ids, key=ids.__getitem__)
