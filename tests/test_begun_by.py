"""What an interrupted training of one number of processes says to another number, by a stage's folder."""

import pytest

from kit.base.errors import KitError
from kit.config import load_config
from kit.pipeline.begun_by import FILE, check_begun_by, end_begun_by
from kit.pipeline.run import Run
from kit.pipeline.stage import StageContext
from tests.stages import small_stage


@pytest.fixture
def context(tmp_path):
    """A stage at work, alone."""
    (tmp_path / "part").mkdir()
    return StageContext(small_stage("spatial"), Run(load_config("mini"), tmp_path / "run"), tmp_path / "part")


def test_as_many_go_on_and_nothing_is_left_at_the_end(context):
    for _ in range(2):
        check_begun_by(context)
        assert (context.path / FILE).read_text() == "1"
    end_begun_by(context)
    end_begun_by(context)  # of a stage that was made of tasks
    assert not any(context.path.iterdir())


def test_another_number_is_refused_with_one_line(context):
    (context.path / FILE).write_text("4")
    text = "spatial: interrupted under 4 processes, now 1: its draws would be others; start it under 4 again"
    with pytest.raises(KitError, match=text):
        check_begun_by(context)
    assert (context.path / FILE).read_text() == "4"


@pytest.mark.parametrize("content", [b"", b"\xff\xb2", b"two"])
def test_a_damaged_note_tells_nothing(content, context):
    (context.path / FILE).write_bytes(content)
    check_begun_by(context)
    assert (context.path / FILE).read_text() == "1"
