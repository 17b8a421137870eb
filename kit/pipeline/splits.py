"""What the stages read of a split: its files and images as inputs, its ids, its ground-truth boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.errors import KitError
from kit.base.hashes import HASHES, FileHashes
from kit.base.split_names import SplitName
from kit.config import Config, SplitFiles
from kit.data.photos import is_photo_folder
from kit.pipeline.stage import FileInput, FolderInput, ImagesInput, Input
from kit.vocabulary import vocabulary

if TYPE_CHECKING:
    from kit.data.split_cache import SplitCache
    from kit.data.split_tables import SplitTables
    from kit.tables.image_index import ImageIndex
    from kit.tables.schema import Boxes, ImageLabels

TABLES = ".tables"  # in a run's folder: the splits' tables, kept
LABEL_FILES = "*.txt"  # of YOLO, in a folder of detections
CLASSES = vocabulary().names[: vocabulary().classes]


def split_of(config: Config, split: SplitName) -> SplitFiles:
    """The files of a split."""
    files: SplitFiles = getattr(config.data, split)
    return files


def shows_hidden_test(
    config: Config,
    split: SplitName,
    truth: Sequence[Path] | None = None,
    reads: Sequence[Input] | None = None,
) -> bool:
    """Whether the hidden test's figures stand beside a split's.

    Beside the validation split's, as much is chosen by these, where the test set has a truth, what its report reads
    besides, and detections from elsewhere where the validation split has them. truth: default the relations; reads:
    default what detection does.
    """
    test = config.data.test
    truth = test.relations if truth is None else truth
    default = given_inputs if test.detections else detection_inputs
    reads = default(config, "test") if reads is None else reads
    there = not any(given.missing() for given in reads)
    alike = bool(test.detections) == bool(config.data.val.detections)
    return split == "val" and bool(truth) and there and alike


def given_detections(config: Config, split: SplitName) -> list[Path]:
    """Files and folders of another detector's detections, which stand in place of kit's own."""
    return split_of(config, split).detections


def has_detections(config: Config, split: SplitName) -> bool:
    """Whether a split has detections of objects: given ones, or those of the config's detectors."""
    return bool(given_detections(config, split) or config.detector.models)


def given_inputs(config: Config, split: SplitName) -> tuple[Input, ...]:
    """The detections that a split was given, what stands beside them, and what says which images it has."""
    annotations, key = split_of(config, split), f"data.{split}"
    given = [
        FolderInput(i.setting, i.path, LABEL_FILES) if i.path and i.path.is_dir() else i
        for i in file_inputs(f"{key}.detections", annotations.detections)
    ]
    beside = {
        f"{key}.detection_images": annotations.detection_images,
        f"{key}.detection_classes": annotations.detection_classes,
    }
    more = [FileInput(setting, path) for setting, path in beside.items() if path]
    return (*given, *more, *id_inputs(config, split))


def file_inputs(setting: str, files: Sequence[Path], hint: str = "") -> tuple[FileInput, ...]:
    """The files of a setting; one that is missing where there is none."""
    if len(files) < 2:
        return (FileInput(setting, files[0] if files else None, hint),)
    return tuple(FileInput(f"{setting}[{i}]", path, hint) for i, path in enumerate(files))


def split_inputs(config: Config, split: SplitName) -> tuple[FileInput, ...]:
    """The annotations of a split: its relations, and its boxes and labels where they are set."""
    annotations, key = split_of(config, split), f"data.{split}"
    more = [
        (name, files)
        for name, files in (("boxes", annotations.boxes), ("labels", annotations.labels))
        if files
    ]
    inputs = file_inputs(f"{key}.relations", annotations.relations)
    return (*inputs, *(given for name, files in more for given in file_inputs(f"{key}.{name}", files)))


def box_inputs(config: Config, split: SplitName) -> tuple[FileInput, ...]:
    """The files that a split's ground-truth boxes come from."""
    annotations, key = split_of(config, split), f"data.{split}"
    if annotations.boxes or not annotations.relations:
        return file_inputs(f"{key}.boxes", annotations.boxes)
    return file_inputs(f"{key}.relations", annotations.relations)


def id_inputs(config: Config, split: SplitName) -> tuple[FileInput, ...]:
    """The files that say which images a split has."""
    if split == "test":
        hint = "give the sample submission with --set data.test.ids=FILE"
        return (FileInput("data.test.ids", config.data.test.ids, hint if not config.data.test.ids else ""),)
    return box_inputs(config, split)


def images_input(
    config: Config,
    split: SplitName,
    named_by: Sequence[FileInput],
    wanted: Callable[[], Sequence[str]],
    choice: str = "",
) -> ImagesInput:
    """The images of a split that some files name."""
    files = tuple(given.path for given in named_by if given.path)
    return ImagesInput(f"data.{split}.images", split_of(config, split).images, files, wanted, choice)


def detection_inputs(config: Config, split: SplitName) -> tuple[Input, ...]:
    """What detectors read of a split: the files that say which images it has, and these."""
    files = id_inputs(config, split)
    return (*files, images_input(config, split, files, lambda: split_ids(config, split)))


def relation_images(config: Config, split: SplitName) -> ImagesInput:
    """The images of a split that a model of pairs looks at: those with relations or boxes, or the test set's."""
    if split == "test" and not split_of(config, split).relations:
        return images_input(config, split, id_inputs(config, split), lambda: split_ids(config, split))
    return images_input(
        config,
        split,
        split_inputs(config, split),
        lambda: split_tables(config, split).objects.images,
    )


def split_tables(config: Config, split: SplitName) -> SplitTables:
    """A split as tables; read from its files once, and kept in the run's folder."""
    from kit.data.split_tables import load_split

    return load_split(split_of(config, split), split, _cache(config), config.data.hierarchy is not None)


def split_boxes(config: Config, split: SplitName) -> Boxes:
    """The ground-truth boxes of a split, or of its relations where it has no boxes file; kept likewise."""
    from kit.data.split_tables import load_boxes

    return load_boxes(split_of(config, split), split, _cache(config))


def split_labels(config: Config, split: SplitName) -> ImageLabels | None:
    """The verified image labels of a split; kept likewise."""
    from kit.data.split_tables import load_labels

    return load_labels(split_of(config, split), split, _cache(config), config.data.hierarchy is not None)


def _cache(config: Config) -> SplitCache:
    """Tables are kept in the folder of a run that is there: a look at one that is not makes none."""
    from kit.data.split_cache import SplitCache

    if not config.run.is_dir():
        return SplitCache()
    return SplitCache(config.run / TABLES, FileHashes(config.run / HASHES).of)


def split_ids(config: Config, split: SplitName) -> tuple[str, ...]:
    """The images of a split: the test's by the sample submission, the others' by their annotations."""
    from kit.tables.image_lists import read_image_ids

    if split == "test":
        return read_image_ids(ids_file(config))
    return split_boxes(config, split).images


def split_index(config: Config, split: SplitName) -> ImageIndex:
    """`split_ids` in a fifth of the memory, for millions."""
    from kit.tables.image_index import ImageIndex
    from kit.tables.image_lists import image_id_array

    if split == "test":
        return ImageIndex(image_id_array(ids_file(config)))
    return ImageIndex(split_ids(config, split))


def ids_file(config: Config) -> Path:
    """The sample submission. Raises KitError where it is not set."""
    if config.data.test.ids is None:
        raise KitError("data.test.ids is not set", "give the sample submission with --set data.test.ids=FILE")
    return config.data.test.ids


def image_folder(config: Config, split: SplitName) -> Path:
    """Where a split's images are. Raises KitError where that is not set or not there."""
    folder: Path | None = split_of(config, split).images
    if folder is None:
        raise KitError(f"data.{split}.images is not set", f"give it with --set data.{split}.images=FOLDER")
    if not is_photo_folder(folder):
        raise KitError(
            f"{folder}: no such folder of images", f"run `kit download`, or set data.{split}.images"
        )
    return folder
