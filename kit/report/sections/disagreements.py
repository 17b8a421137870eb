"""Pairs on which spatial and visual model disagree (the paper's figure 3)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from kit.report.blocks import Block, Gallery
from kit.report.disagreement import disagreement_views, disagreements
from kit.report.examples import pictures
from kit.report.results import RunResults

MOST = 3


def disagreement_blocks(results: RunResults) -> Iterator[Block]:
    """The pairs whose scores by both models are farthest apart, with what the visual model sees."""
    tables, candidates = results.tables, results.candidates
    found = disagreements(candidates, tables.relations, tables.labels, MOST)
    shown = [
        picture
        for one in found
        for picture in pictures(
            results, one.image_id, partial(disagreement_views, shown=one, candidates=candidates)
        )
    ]
    if shown:
        yield Gallery("Where both scores are farthest apart", shown, "Among pairs that were detected surely.")
