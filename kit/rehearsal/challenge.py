"""The data of a rehearsal: what is there, and made stand-ins for what is not; splits cut short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.base.errors import KitError
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config, SplitFiles
from kit.data.mini import is_built
from kit.data.photos import list_photos
from kit.data.split_tables import load_split
from kit.pipeline.splits import split_ids, split_of
from kit.rehearsal.made_photos import link_photos, make_photos
from kit.rehearsal.made_tables import SIZES, made_ids, made_tables, write_split
from kit.tables.official_writer import write_sample_submission
from kit.tables.schema import Boxes

CUT: tuple[SplitName, ...] = ("stack", "val", "test")  # splits of which a part is always enough
ENOUGH = 0.5  # share of a split's photos from which its own folder is taken
DIFFERENT = 64  # photos at most that stand for all others


@dataclass
class Challenge:
    """What a rehearsal runs on. made: what stands in for something missing, in words.

    images: of every split in the whole run; cut: in the rehearsal.
    """

    folder: Path
    config: Config
    made: list[str] = field(default_factory=list)
    images: dict[SplitName, int] = field(default_factory=dict)
    cut: dict[SplitName, int] = field(default_factory=dict)
    _photos: list[Path] = field(default_factory=list)

    @classmethod
    def of(cls, config: Config, folder: Path) -> Challenge:
        """The whole challenge of a config; what is missing is made below `folder`. Raises KitError."""
        if config.data.source == "mini" and not is_built(config.data.root, config.data.mini):
            raise KitError(f"{config.data.root}: the mini challenge is not there", "run `kit download` first")
        found = cls(folder, config)
        hierarchy = config.data.hierarchy
        if hierarchy and not hierarchy.is_file():
            found.made.append(f"{hierarchy.name}: missing, the detection metric takes every class by itself")
            hierarchy = None
        found.config = found._with(**{split: found._files(split) for split in SPLITS}, hierarchy=hierarchy)
        found.images = {s: len(split_ids(found.config, s)) for s in SPLITS if found._is_used(s)}
        return found

    def shortened(self, images: dict[SplitName, int], wanted: Sequence[str] = ()) -> Config:
        """The config with so many images of each split, evenly spaced, and photos for them.

        The training split stays whole where it is not among `images`; wanted: those of it that need a photo then.
        """
        whole = "train" not in images
        splits: dict[str, SplitFiles] = {
            s: self._cut(s, min(images.get(s, n), n))
            for s, n in self.images.items()
            if s != "train" or not whole
        }
        if whole:
            splits["train"] = self._with_photos("train", split_of(self.config, "train"), wanted)
        return self._with(**splits)

    def scales(self) -> dict[SplitName, float]:
        """How many times the images of the whole are those of the rehearsal, of every split that was cut short."""
        return {s: self.images[s] / n for s, n in self.cut.items() if n < self.images[s]}

    def _with(self, **changes: SplitFiles | Path | None) -> Config:
        data = self.config.data.model_copy(update=changes)
        return self.config.model_copy(update={"data": data})

    def _is_used(self, split: SplitName) -> bool:
        files = split_of(self.config, split)
        return bool(getattr(files, "ids", None) if split == "test" else files.relations or files.boxes)

    def _files(self, split: SplitName) -> SplitFiles:
        """A split's files, or made ones where one of them is missing."""
        files = split_of(self.config, split)
        ids: Path | None = getattr(files, "ids", None)
        named = [*files.relations, *files.boxes, *files.labels, *([ids] if ids else [])]
        missing = [path for path in named if not path.is_file()]
        if not missing:
            return files
        size = SIZES[split]
        self.made.append(f"{split}: {', '.join(path.name for path in missing)}: made, {size.images:,} images")
        folder = self.folder / f"{split}-whole"
        folder.mkdir(parents=True, exist_ok=True)
        if ids is not None:
            path = folder / "ids.csv"
            write_sample_submission(path, made_ids(size.images, SPLITS.index(split)))
            return files.model_copy(update={"ids": path, "relations": [], "boxes": [], "labels": []})
        paths = write_split(folder, *made_tables(size, SPLITS.index(split)), None)
        names = ("relations", "boxes", "labels")
        given = {name: [path] for name, path in zip(names, paths, strict=True) if getattr(files, name)}
        return files.model_copy(update=given)

    def _cut(self, split: SplitName, n: int) -> SplitFiles:
        """A split of `n` of its images."""
        files, ids = split_of(self.config, split), split_ids(self.config, split)
        self.cut[split] = n
        if n < len(ids):
            chosen = [ids[i * len(ids) // n] for i in range(n)]
            files = self._written(split, files, chosen)
            ids = tuple(chosen)
        return self._with_photos(split, files, ids)

    def _written(self, split: SplitName, files: SplitFiles, ids: Sequence[str]) -> SplitFiles:
        folder = self.folder / f"{split}-{len(ids)}"
        folder.mkdir(parents=True, exist_ok=True)
        given: dict[str, object] = {}
        if getattr(files, "ids", None):
            write_sample_submission(folder / "ids.csv", ids)
            given["ids"] = folder / "ids.csv"
        if files.relations:
            whole = load_split(files, split, judged=self.config.data.hierarchy is not None)
            labels = whole.labels.of_images(ids) if whole.labels else None
            assert isinstance(whole.objects, Boxes)
            paths = write_split(folder, whole.relations.of_images(ids), whole.objects.of_images(ids), labels)
            names = ("relations", "boxes", "labels")
            given |= {name: [path] for name, path in zip(names, paths, strict=True)}
        return files.model_copy(update=given)

    def _with_photos(self, split: SplitName, files: SplitFiles, ids: Sequence[str]) -> SplitFiles:
        """The split's own folder where most of the photos are in it, else one of a few photos of many names."""
        if files.images is None:
            return files
        there = list_photos(files.images) if files.images.is_dir() else None
        missing = [name for name in ids if there is None or name not in there]
        if len(missing) <= (1 - ENOUGH) * len(ids):
            return files
        folder = self.folder / f"{split}-photos"
        photos = (
            [path for name in list(there.places)[:DIFFERENT] if (path := there.path(name))] if there else []
        )
        which = f"{len(photos)} real ones" if photos else "made ones"
        text = (
            f"{split}: {files.images} has not {len(missing):,} of {len(ids):,} photos: {which} stand for all"
        )
        self.made = [line for line in self.made if not line.startswith(f"{split}: {files.images} ")] + [text]
        link_photos(folder, ids, photos or self._made_photos())
        return files.model_copy(update={"images": folder})

    def _made_photos(self) -> list[Path]:
        if not self._photos:
            self._photos = make_photos(self.folder / "photos")
        return self._photos
