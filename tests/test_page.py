import math

import pytest

from kit.report.blocks import (
    Code,
    Column,
    Gallery,
    Interval,
    Matrix,
    Paragraph,
    Picture,
    Plots,
    Section,
    Table,
)
from kit.report.page import Tile, render, shown, sort_key
from kit.report.plots import lines
from kit.report.sections.importance import gain_shares


@pytest.mark.parametrize(
    ("cell", "kind", "text"),
    [
        (None, "number", "–"),
        (math.nan, "bar", "–"),
        ("", "text", "–"),
        ("Dog", "text", "Dog"),
        (0.12345, "number", "0.123"),
        (-0.0001, "number", "0.000"),
        (1234.5, "number", "1234"),
        (12345, "count", "12,345"),
        (0.5, "share", "50.0%"),
        (Interval(0.5, 0.4, 0.6), "bar", "0.500"),
        (5.04, "seconds", "5.0 s"),
        (125, "seconds", "2 min 05 s"),
        (7325, "seconds", "2 h 02 min"),
        (2.5e6, "bytes", "2.5 MB"),
        (3.21e9, "bytes", "3.21 GB"),
    ],
)
def test_cells_as_text(cell, kind, text):
    assert shown(cell, kind) == text


def test_what_cells_are_sorted_by():
    assert [sort_key(cell) for cell in (0.5, Interval(0.25, 0, 1), "a", None, math.nan)] == [
        "0.5",
        "0.25",
        "a",
        "",
        "",
    ]


def test_every_kind_of_block_and_nothing_of_a_user_is_markup():
    nasty = "<script>alert('&')</script>"
    blocks = (
        Table(
            nasty,
            (Column(nasty, "text", nasty), Column("b", "bar")),
            [(nasty, 0.5), (nasty, Interval(0.1, 0, 1))],
        ),
        Table("b", (Column("a", "text"), Column("b", "bar")), [(None, Interval(0.1, 0, 1)), ("b", None)]),
        Table("nothing", (Column("a"),), []),
        Matrix(nasty, [nasty], [nasty, "none"], [[0, 0]]),
        Plots(nasty, [lines(nasty, {nasty: ([0, 1], [0, 1]), "b": ([0], [1])}, nasty, "y")]),
        Gallery(nasty, [Picture("data:image/jpeg;base64,", nasty)]),
        Code(nasty, nasty),
        Paragraph(nasty),
    )
    page = render(
        nasty, nasty, [Tile(nasty, nasty, nasty)], [Section("a", nasty, blocks), Section("b", "b", (), nasty)]
    )
    assert "alert" in page
    assert nasty not in page
    assert page.count("<script>") == 1  # its own


def test_plots_take_the_colour_of_the_page():
    svg = lines("a", {"b": ([0, 1], [0, 1])}, "x", "y").svg
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "#000000" not in svg
    assert "<metadata" not in svg
    assert ">x</text>" in svg


def test_gain_of_a_feature_that_says_all(tmp_path):
    import numpy as np
    import xgboost as xgb

    x = np.random.default_rng(0).normal(size=(200, 2))
    rows = xgb.DMatrix(x, label=x[:, 1] > 0, feature_names=["noise", "signal"])
    booster = xgb.train({"max_depth": 2, "objective": "binary:logistic"}, rows, 5)
    booster.save_model(tmp_path / "model.ubj")
    shares = gain_shares(tmp_path / "model.ubj")
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["signal"] > 0.95
