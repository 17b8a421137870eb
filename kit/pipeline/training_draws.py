"""Which images a detector's training draws: known from annotations and settings, before any image is there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.errors import KitError
from kit.config import Attribute, Config, Detector, Training
from kit.pipeline.stage import FileInput, ImagesInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.detector.class_balanced_sampling import DrawnImages
    from kit.tables.schema import Boxes


def training_draws(
    boxes: Boxes,
    classes: Sequence[str],
    training: Training,
    limit: int | None,
    seed: int,
    processes: int = 1,
) -> DrawnImages:
    """The draws of all iterations; limit: N of balanced sampling; processes: how many train together.

    Raises KitError where no box can be learned from.
    """
    from kit.detector.class_balanced_sampling import draw_images

    count = training.iterations * training.batch_size * processes
    try:
        return draw_images(boxes, len(classes), limit, seed, count)
    except ValueError:
        text = "no image has a box to learn from that is no group of objects"
        raise KitError(text, "look at the boxes file: labels and IsGroupOf") from None


def train_split_input(
    config: Config,
    named_by: Sequence[FileInput],
    draws: Callable[[Config, int, int], DrawnImages],
    settings: Detector | Attribute,
    processes: int,
    what: str = "",
) -> ImagesInput:
    """The images of the training split that a detector's training draws. draws: by config, seed and processes.

    processes: how many train it together.
    """
    folder, of_processes = config.data.train.images, partial(draws, config, config.seed)
    training, limit, seed = settings.training, settings.sampling_limit, config.seed
    return drawn_input(
        "data.train.images", folder, named_by, of_processes, training, limit, seed, processes, what
    )


def drawn_input(
    setting: str,
    folder: Path | None,
    named_by: Sequence[FileInput],
    draws: Callable[[int], DrawnImages],
    training: Training,
    limit: int | None,
    seed: int,
    processes: int,
    what: str = "",
) -> ImagesInput:
    """The images of a folder that a training draws.

    draws: of so many processes; processes: of the config; what: which of the annotations, where it takes not all.
    """

    def wanted(processes: int = processes) -> tuple[str, ...]:
        return draws(processes).boxes.images

    files = tuple(given.path for given in named_by if given.path)
    size = training.batch_size * processes
    choice = f"{what} {training.iterations} x {size} draws, limit {limit}, seed {seed}".strip()
    return ImagesInput(setting, folder, files, wanted, choice, wanted)
