"""What all of layer6 takes: GPU hours by counted operations and by measured rates, and core-hours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks import core_hours, operations
from benchmarks.amounts import Pairs, chosen_pairs, crops_learned, photos_learned, true_pairs, validated
from benchmarks.measure import table
from kit.base.split_names import SplitName
from kit.config import Architecture, Config, Visual, load_config
from kit.pipeline.detector_task import ATTRIBUTES, TASKS
from kit.rehearsal.made_tables import SIZES

STATED = 27.0  # TFLOP/s of a GPU, taken as reached
PEAK = 989.0  # TFLOP/s of an H100's bfloat16, as its maker states
LEARNED = {"detector-resnext": 19.0, "detector-hrnet": 19.0, "attribute-detector-resnext": 19.9}
LOOKED = {"resnext": 62.0, "hrnet": 133.0}  # images a second and view
CROPS = {True: 906.0, False: 4_600.0}  # a second, learned from and scored; all on one H100: docs/full-size.md


@dataclass(frozen=True)
class Part:
    """A part of the run on a GPU. each: operations an item; rate: items a second that an H100 was measured at."""

    name: str
    each: float
    items: float
    rate: float

    @property
    def total(self) -> float:
        """Operations of all items."""
        return self.each * self.items

    @property
    def measured(self) -> float:
        """Hours by the measured rate."""
        return self.items / self.rate / 3600

    @property
    def reached(self) -> float:
        """TFLOP/s by the measured rate."""
        return self.each * self.rate / 1e12


def hours(each: float, items: float, tflops: float, share: float = 1.0) -> float:
    """Operations an item x items / (TFLOP/s x 10^12 x share of the peak reached) / 3600."""
    return each * items / (tflops * 1e12 * share) / 3600


def training_parts(config: Config) -> Iterator[Part]:
    """What `kit train all` and `kit evaluate --split val` do on a GPU."""
    yield from _detector_parts(config, "val")
    visual, architecture = _visual(config)
    each = operations.crop(architecture, visual, True)
    yield Part("visual networks: crops", each, sum(crops_learned(visual)), CROPS[True])
    yield _scoring(config, "stack", true_pairs("stack").networks)
    detected = SIZES["val"].images * _an_image(chosen_pairs(config))
    twice = 2 * true_pairs("val").networks  # for the average's weights, and for the score on true boxes
    yield _scoring(config, "val", detected + twice)


def test_parts(config: Config) -> Iterator[Part]:
    """What `kit submit` does on a GPU."""
    yield from _detector_parts(config, "test")
    yield _scoring(config, "test", SIZES["test"].images * _an_image(chosen_pairs(config)))


def _an_image(pairs: Pairs) -> float:
    return pairs.networks / pairs.images


def _detector_parts(config: Config, split: SplitName) -> Iterator[Part]:
    """A detector's training with a look at `val`, while it learns and after; or its look at `test`."""
    views, images = config.detector.inference.views, SIZES[split].images
    for task in TASKS:
        training = (config.attribute if task is ATTRIBUTES else config.detector).training
        for name in task.models(config):
            architecture = config.detector.models[name].architecture
            model = operations.detector(architecture, len(task.classes), config.detector.inference)
            stride = operations.model_stride(architecture)
            seen = [(images, view.size) for view in views]
            if split == "val":
                each = operations.drawn_image(model, training.batch_size, training.size, stride)
                stage = task.detector(name)
                yield Part(stage, each, photos_learned(training), LEARNED[stage])
                seen.append((validated(training, images), training.size))
            counts = [(n, operations.viewed_image(model, size, stride)) for n, size in seen]
            looks = sum(n for n, _ in counts)
            mean = sum(n * each for n, each in counts) / looks
            yield Part(f"{task.detect(split, name)}: views", mean, looks, LOOKED[name])


def _scoring(config: Config, split: SplitName, items: float) -> Part:
    visual, architecture = _visual(config)
    name = f"visual scores of {split}: crops x networks"
    return Part(name, operations.crop(architecture, visual, False), items, CROPS[False])


def _visual(config: Config) -> tuple[Visual, Architecture]:
    visual = config.relation.visual
    assert visual is not None
    return visual, config.detector.models[visual.model or next(iter(config.detector.models))].architecture


def mean_reached(parts: Iterable[Part]) -> float:
    """TFLOP/s that all parts together reach by their measured rates."""
    parts = list(parts)
    return sum(part.total for part in parts) / sum(part.measured for part in parts) / 3600 / 1e12


def main() -> None:
    """Print both tables, and what they come to."""
    config = load_config("layer6")
    training, test = list(training_parts(config)), list(test_parts(config))
    mean = mean_reached(training + test)
    rows = [_row(part, mean) for part in training]
    rows += [_sum("training", training, mean)] + [_row(part, mean) for part in test]
    rows += [_sum("test", test, mean), _sum("whole", training + test, mean)]
    columns = (
        "part",
        "GFLOP an item",
        "items",
        "EFLOP",
        f"hours at {STATED:g} TFLOP/s",
        "items a second, H100",
    )
    columns += ("TFLOP/s reached", "hours, measured", f"hours at {mean:.0f} TFLOP/s")
    table("GPU hours of layer6", columns, rows)
    print("\nhours = operations an item x items / (TFLOP/s x 10^12 x share of the peak reached) / 3600")
    print(f"{mean:.0f} TFLOP/s are what all parts reach on an H100: {mean / PEAK:.1%} of {PEAK:g}")
    core_hours.main()


def _row(part: Part, mean: float) -> list[str]:
    counts = [f"{part.each / 1e9:,.1f}", f"{part.items:,.0f}", f"{part.total / 1e18:.3f}"]
    measured = [f"{part.rate:,.4g}", f"{part.reached:.0f}", f"{part.measured:.2f}"]
    at = [f"{hours(part.each, part.items, tflops):.2f}" for tflops in (STATED, mean)]
    return [part.name, *counts, at[0], *measured, at[1]]


def _sum(name: str, parts: list[Part], mean: float) -> list[str]:
    total, measured = sum(part.total for part in parts), sum(part.measured for part in parts)
    at = [f"{hours(total, 1, tflops):.1f}" for tflops in (STATED, mean)]
    own = f"{mean_reached(parts):.0f}"
    return [f"**{name}**", "", "", f"{total / 1e18:.2f}", at[0], "", own, f"{measured:.1f}", at[1]]


if __name__ == "__main__":
    main()
