import pytest

from kit.base.errors import FileFault
from kit.tables import image_lists
from kit.tables.official_writer import write_sample_submission
from kit.vocabulary import vocabulary
from tests.paths import OPENIMAGES, needs_openimages


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_image_ids_in_order_and_only_once(tmp_path):
    path = tmp_path / "s.csv"
    write_sample_submission(path, ["b", "a", "01"])
    assert image_lists.read_image_ids(path) == ("b", "a", "01")
    with pytest.raises(FileFault, match="line 4, column ImageId: image b is there twice"):
        image_lists.read_image_ids(write(path, "ImageId", "b", "a", "b"))


@needs_openimages
def test_the_real_test_ids():
    ids = image_lists.read_image_ids(OPENIMAGES / "test-image-ids.csv.gz")
    assert len(ids) == 99_999
    assert ids[0] == "00000b4dcff7f799"


def test_images_that_files_name(tmp_path):
    boxes = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"
    rows = [("b", "/m/04yx4"), ("a", "/m/0342h"), ("b", "/m/0342h"), ("c", "/m/04yx4")]
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text(boxes + "".join(f"{image},{label},0,1,0,1,0\n" for image, label in rows))
    b.write_text(boxes + "d,/m/0342h,0,1,0,1,0\na,/m/01940j,0,1,0,1,0\n")
    assert image_lists.distinct_images([a, b]).to_pylist() == ["a", "b", "c", "d"]
    man = vocabulary().names.index("Man")
    assert image_lists.distinct_images([a, b], [man]).to_pylist() == ["b", "c"]
    assert image_lists.distinct_images([]).to_pylist() == []
    assert image_lists.distinct_images([b], [man]).to_pylist() == []


def test_an_id_that_is_empty_or_there_twice(tmp_path):
    path = tmp_path / "ids.csv"
    path.write_text("ImageId,PredictionString\nb,\na,\nc,\na,\nb,\n")
    with pytest.raises(FileFault, match="line 5, column ImageId: image a is there twice"):
        image_lists.image_id_array(path)
    path.write_text("ImageId,PredictionString\nb,\n,\n")
    with pytest.raises(FileFault, match="line 3, column ImageId: empty where an image id belongs"):
        image_lists.image_id_array(path)


def test_ids_of_a_list_can_be_names_of_files(tmp_path):
    for name in ("x/../../y", "a\tb", "é" * 126):
        path = write(tmp_path / "ids.csv", "ImageId", "good", name)
        with pytest.raises(FileFault, match="line 3, column ImageId"):
            image_lists.read_image_ids(path)
    assert image_lists.read_image_ids(write(path, "ImageId", "é" * 125)) == ("é" * 125,)
