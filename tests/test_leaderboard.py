import pytest
from matplotlib.axes import Axes

from kit.kaggle.records import Record
from kit.report.leaderboard import draw, expected_place, ordinal


@pytest.mark.parametrize(
    ("score", "place"),
    [
        (0.45, "1st"),
        (0.4076, "1st"),
        (0.4, "2nd"),
        (0.38818, "2nd"),
        (0.388, "3rd to 13th"),
        (0.30781, "3rd to 13th"),
        (0.2, "14th to 29th"),
        (0.1, "after 29th"),
    ],
)
def test_places(score, place):
    assert expected_place(score) == place


def test_ordinals():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
    )


def record(**more):
    return Record("a", "c", "f", "0" * 64, 1, "", "complete", "2026-01-01T00:00:00+00:00", **more)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_figure_has_a_point_a_submission_with_both_scores(tmp_path, monkeypatch, ending):
    records = [
        record(local=0.38, public=0.41, private=0.39),
        record(local=0.3, public=0.2),
        record(public=0.3),
    ]
    path = tmp_path / f"f{ending}"
    drawn = []
    monkeypatch.setattr(Axes, "scatter", lambda _, x, y, label: drawn.append((label, [*x], [*y])))
    assert draw(path, records) == 2
    assert drawn == [("public", [0.38, 0.3], [0.41, 0.2]), ("private", [0.38], [0.39])]
    assert path.stat().st_size > 1000
    assert draw(path, []) == 0
