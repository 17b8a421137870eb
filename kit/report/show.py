"""What `kit show` draws: images of a split, examples of errors, disagreements; written as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kit.base.errors import KitError
from kit.base.log import logger
from kit.base.progress import track
from kit.data.decode import UnreadableError
from kit.relation.scored import ScoredCandidates
from kit.report.disagreement import Disagreement, disagreement_panel, disagreements
from kit.report.drawing import Pixels
from kit.report.error_examples import KINDS, Example, SplitErrors, error_kinds
from kit.report.error_panels import error_panel
from kit.report.panels import contact_sheet, save_png, thumbnail
from kit.report.split_images import SplitImages
from kit.report.split_results import split_candidates
from kit.tables.image_ids import share

SHEET = "sheet.png"


@dataclass(frozen=True)
class Drawing:
    """An image to draw. stem: of its file; pixels: draws it, or raises UnreadableError."""

    stem: str
    pixels: Callable[[], Pixels]


def split_drawings(
    shown: SplitImages, names: Sequence[str], layers: Sequence[str], most: int
) -> list[Drawing]:
    """Images of the split. names: ids or files; default the first ones, those with relations where these are known.

    Raises KitError for a name that is neither.
    """
    layers = list(layers) or shown.layers()
    chosen = [_image(shown, name) for name in names] or [(name, None) for name in shown.first(most)]
    return [Drawing(name, partial(shown.drawn, name, layers, path)) for name, path in chosen]


def error_drawings(shown: SplitImages, kind: str, most: int) -> list[Drawing]:
    """Examples of a kind of error ("all": of each), so many of a kind. Raises KitError for no such kind."""
    kind = kind.replace("-", " ").replace("_", " ")
    errors = error_kinds(shown.pipeline, shown.split, shown.scorer)
    drawings = []
    for name in KINDS if kind == "all" else (kind,):
        for i, example in enumerate(errors.examples(name, most)):
            stem = f"{name.replace(' ', '-')}-{i + 1:02}-{example.image_id}"
            drawings.append(Drawing(stem, partial(_error, shown, example, errors)))
    if not drawings:
        raise KitError(f"{shown.split} has no {kind}", f"kinds: {', '.join(KINDS)}, all")
    return drawings


def disagreement_drawings(shown: SplitImages, most: int) -> list[Drawing]:
    """The pairs on which both models are farthest apart. Raises KitError where there is none."""
    candidates = split_candidates(shown.pipeline, shown.split, shown.scorer)
    known = "truth" in shown.layers()
    truth, labels = (shown.truth, shown.tables.labels) if known else (None, None)
    found = disagreements(candidates, truth, labels, most)
    if not found:
        raise KitError(f"{shown.split} has no pair that both models have scored")
    return [
        Drawing(f"disagree-{i + 1:02}-{one.image_id}", partial(_disagreement, shown, one, candidates))
        for i, one in enumerate(found)
    ]


def write_drawings(drawings: Sequence[Drawing], out: Path, sheet: bool) -> list[Path]:
    """Draw and write; the files, a contact sheet of them first where that is wanted.

    What cannot be read is left out and told. Raises KitError where nothing can be.
    """
    written: list[Path] = []
    tiles: list[Pixels] = []
    unread: dict[str, str] = {}
    for drawing in track(drawings, len(drawings), "draw"):
        try:
            image = drawing.pixels()
        except UnreadableError as error:
            unread[drawing.stem] = str(error)
            continue
        written.append(out / f"{drawing.stem}.png")
        save_png(written[-1], image)
        if sheet:
            tiles.append(thumbnail(image))
    if unread:
        name, why = next(iter(unread.items()))
        text = f"{share(len(unread), len(drawings), 'images')} cannot be drawn, the first {name} ({why})"
        if not written:
            raise KitError(text, "run `kit download`, or set data.*.images")
        logger.warning(f"{text}; left out")
    if sheet:
        written.insert(0, out / SHEET)
        save_png(written[0], contact_sheet(tiles))
    return written


def _image(shown: SplitImages, given: str) -> tuple[str, Path | None]:
    """Id, and file where it was given by that."""
    if given in shown.names:
        return given, None
    path = Path(given)
    if not path.is_file():
        example = ", ".join(shown.first(1))
        raise KitError(
            f"{given}: neither an image of split {shown.split} nor a file", f"an id of it: {example}"
        )
    if path.stem not in shown.names:
        raise KitError(
            f"{given}: not an image of split {shown.split}",
            f"`kit predict {given}` finds relations in any photo",
        )
    return path.stem, path


def _error(shown: SplitImages, example: Example, errors: SplitErrors) -> Pixels:
    return error_panel(shown.pixels(example.image_id), example, errors)


def _disagreement(shown: SplitImages, one: Disagreement, candidates: ScoredCandidates) -> Pixels:
    return disagreement_panel(shown.pixels(one.image_id), one, candidates)
