"""The trained relation models of a run, ready to score a split's objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.errors import KitError
from kit.base.log import logger
from kit.base.split_names import SplitName
from kit.config import SCORERS, Config
from kit.pipeline.splits import image_folder, relation_images
from kit.pipeline.stage import ImagesInput, StageContext
from kit.relation.scorers import (
    Ensemble,
    empty_ensemble,
    in_order,
    load_ensemble,
    scorer_names,
    stages_of,
    visual_is_there,
)

if TYPE_CHECKING:
    from kit.relation.visual_model import VisualScorer

SKIPPED_NOTE = "their pairs keep the prior's score"


class SplitModels:
    """What a stage has declared of the trained models, over the images of a split."""

    def __init__(
        self, context: StageContext, split: SplitName, scorer: str, also: Sequence[str] = ()
    ) -> None:
        """Load a scorer, others, and all that they use. Raises KitError where one is damaged."""
        self.config, self._context, self._split = context.config, context, split
        self.ensemble: Ensemble = empty_ensemble(self.config, scorer, context.result("prior"))
        for name in (scorer, *also):
            load_ensemble(self.config, name, self)

    def folder(self, stage: str) -> Path:
        """The folder of a training stage's results."""
        return self._context.result(stage)

    def visual(self) -> VisualScorer:
        """The visual model over the images of the split."""
        from kit.relation.spatial_model import SpatialScorer
        from kit.relation.visual_model import load_visual

        spatial = self.ensemble.spatial or SpatialScorer.load(self.folder("spatial"))
        folder = image_folder(self.config, self._split)
        device, decoding = self.config.detector.device, self.config.data.decoding()
        return load_visual(self.folder("visual"), spatial, folder, device, decoding)


def split_ensemble(
    context: StageContext, split: SplitName, scorer: str, also: Sequence[str] = ()
) -> Ensemble:
    """A scorer, others, and all that they use, over the images of a split."""
    return SplitModels(context, split, scorer, also).ensemble


def usable_scorers(config: Config) -> list[str]:
    """The scorers whose models the config has."""
    return [name for name in scorer_names(config) if _unusable(config, name) is None]


def check_scorer(config: Config, name: str) -> str:
    """The scorer's name. Raises KitError where there is none of this name, or the config lacks its models."""
    SCORERS[name]
    if (why := _unusable(config, name)) is not None:
        raise KitError(why, f"take another scorer: {', '.join(usable_scorers(config))}")
    return name


def _unusable(config: Config, name: str) -> str | None:
    if "visual" in in_order(config, name) and not visual_is_there(config):
        empty = "detector.models is empty" if config.relation.visual else "relation.visual is null"
        return f"the scorer {name} needs the visual model, but {empty}"
    return None


def scored_together(config: Config, name: str) -> tuple[str, ...]:
    """A scorer, and all whose scores cost no other model: those that read no stage which it does not read."""
    stages = set(stages_of(config, name))
    free = [other for other in usable_scorers(config) if stages.issuperset(stages_of(config, other))]
    return tuple(dict.fromkeys(used for other in (name, *free) for used in in_order(config, other)))


def scorer_option(config: Config, name: str) -> str:
    """The words of a command that name a scorer, where it is not the config's own."""
    return "" if name == config.relation.scorer else f" --scorer {name}"


def scorer_images(config: Config, name: str, split: SplitName) -> tuple[ImagesInput, ...]:
    """The images of a split, where the scorer's models look at them."""
    return (relation_images(config, split),) if "visual" in in_order(config, name) else ()


def unseen(scorer: VisualScorer | None, images: Sequence[str]) -> dict[str, str]:
    """Those of some images that the visual model could not see, with the reason, each told once."""
    skipped = scorer.skipped if scorer else {}
    return {name: skipped.pop(name) for name in images if name in skipped}


def note_unseen(scorer: VisualScorer | None, folder: Path) -> None:
    """Write down the images that the visual model could not see so far."""
    from kit.detector.annotated_images import SKIPPED, record_skipped

    for name in list(scorer.skipped if scorer else ()):
        if scorer and (why := scorer.skipped.pop(name, None)):  # else another thread has written it down
            record_skipped(folder / SKIPPED, name, why)


def say_unseen(stage: str, folder: Path, images: int) -> None:
    """One notice of the images that were written down."""
    from kit.detector.annotated_images import SKIPPED, left_out, tidy_skipped

    skipped = tidy_skipped(folder / SKIPPED)
    if skipped:
        logger.warning(f"{stage}: {left_out(skipped, images)}: {SKIPPED_NOTE}; see {SKIPPED}")


def named_reasons(what: str, reasons: dict[str, str]) -> None:
    """One notice of the predicates that stay with what they start from, and why."""
    if reasons:
        logger.warning(f"{what} {', '.join(f'{name} ({why})' for name, why in reasons.items())}")
