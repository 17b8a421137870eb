"""Settings of the detectors, of objects and of (object, attribute) pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from kit.base.registry import Registry
from kit.config.model import LATER, MOST_PROCESSES, MOST_THREADS, ImagesPath, Model, Name, UserPath

Precision = Literal["float32", "bfloat16", "float16"]
ARCHITECTURES: Registry[Callable[[], dict[str, Any]]] = Registry(
    "architecture",
    "kit.detector.architecture",
    ("resnext101-64x4d", "hrnet-w32", "resnext-mini", "hrnet-mini"),
)
Architecture = Annotated[str, AfterValidator(ARCHITECTURES.check)]
InitialWeights = Literal["pwt", "new-heads", "scratch"]
Size = tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]]  # longer and shorter side, pixels


class Training(Model):
    """How a detector is trained: iterations of `batch_size` images a process.

    scale_lr: processes that train together learn with lr times their number (linear) or with lr (none).
    sync_batch_norm: batch norms that learn see the images of all processes (true) or of their own (false: fewer
    messages between them, but not what one process of all the images learns; running statistics are the mean).
    milestones: shares of the iterations after which the learning rate falls to a tenth; grad_clip_norm: the
    largest norm of the gradient; warmup, validate_every, checkpoint_every: iterations; validate_images: how
    many of the validation split, 0 for all.
    """

    iterations: int = Field(100, ge=1)
    batch_size: int = Field(8, ge=1)
    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: float = Field(3e-3, gt=0)
    scale_lr: Annotated[Literal["linear", "none"], LATER] = "linear"
    weight_decay: float = Field(0.01, ge=0)
    warmup: int = Field(20, ge=0)
    milestones: list[Annotated[float, Field(gt=0, lt=1)]] = [0.8]
    grad_clip_norm: float = Field(10.0, gt=0)
    precision: Precision = "float32"
    size: Size = (160, 160)
    channels_last: bool = False
    sync_batch_norm: Annotated[bool, LATER] = True
    workers: int = Field(0, ge=0)
    checkpoint_every: int = Field(100, ge=1)
    validate_every: int = Field(100, ge=1)
    validate_images: int = Field(0, ge=0)

    def weights_key(self) -> dict[str, Any]:
        """The settings that the trained weights depend on."""
        return self.result_settings({"workers", "checkpoint_every", "validate_every", "validate_images"})


class DetectorModel(Model):
    """One detector: its architecture, and trained weights (.pth); without, the source set trains them.

    classes: coco or a file of the weights' class names, in their order; null takes what the weights say.
    unmatched: the head rows of classes without a source class under pwt: random, or those of a detector of this
    architecture that was fine-tuned on the 57 classes without pwt (.pth; paper 2.1).
    """

    architecture: Architecture
    weights: UserPath | None = None
    classes: Literal["coco"] | UserPath | None = None
    unmatched: Literal["random"] | UserPath = "random"

    @model_validator(mode="after")
    def _names_belong_to_weights(self) -> DetectorModel:
        if self.classes is not None and self.weights is None:
            raise ValueError("classes are the names of weights, but weights is not set")
        return self


class Source(Model):
    """The set that weights come from where none are given: COCO instances files and their images."""

    annotations: UserPath | None = None
    images: ImagesPath | None = None
    val_annotations: UserPath | None = None
    val_images: ImagesPath | None = None
    training: Training = Training()


class View(Model):
    """How an image is shown to a detector: sides at most `size`, mirrored or not."""

    size: Size
    flip: bool = False

    @property
    def name(self) -> str:
        """The view's name in tables."""
        return f"{self.size[0]}x{self.size[1]}{'-flip' if self.flip else ''}"


def _each_once(views: list[View]) -> list[View]:
    twice = next((view.name for i, view in enumerate(views) if view in views[:i]), None)
    if twice is not None:
        raise ValueError(f"the view {twice} is there twice: its boxes would count twice")
    return views


class Inference(Model):
    """Detection: views, images a batch, what is kept; shard: images a file."""

    views: Annotated[list[View], AfterValidator(_each_once)] = Field([View(size=(160, 160))], min_length=1)
    batch_size: int = Field(8, ge=1)
    workers: int = Field(0, ge=0)
    score_threshold: float = Field(1e-4, ge=0, lt=1)
    max_detections: int = Field(400, ge=1)
    precision: Precision = "float32"
    shard: int = Field(500, ge=1)


class Fusion(Model):
    """How boxes of models and views become one set (paper 3.1).

    weights: the values that the search tries for a model; rounds: how often it goes over the models.
    """

    method: Literal["wbf", "nms", "soft-nms", "nmw"] = "wbf"
    iou_threshold: float = Field(0.55, gt=0, lt=1)
    skip_box_threshold: float = Field(1e-4, ge=0)
    conf_type: Literal["avg", "max", "box_and_model_avg", "absent_model_aware_avg"] = "avg"
    weights: list[Annotated[float, Field(gt=0)]] = Field([0.5, 1.0, 2.0, 3.0], min_length=1)
    rounds: int = Field(2, ge=0)


def _without_null(models: Any) -> Any:
    """A model that is null is none: so a file drops one of the file that it extends."""
    return (
        {name: one for name, one in models.items() if one is not None} if isinstance(models, dict) else models
    )


class Detector(Model):
    """The detectors: Cascade R-CNN models, where their weights start, class-balanced sampling, views, fusion.

    models: by their names; null for one of a file that this one extends is none.
    initial_weights: by partial weight transfer (pwt); all weights but the heads' classification and regression
    layers (new-heads); none (scratch).
    class_map: a YAML file of `kit classmap`; null matches by name, synonym and kind.
    sampling_limit: N of p(k) = min(n_k, N) / sum of min(n_i, N); null is the plain distribution.
    processes: of this machine that train a detector together, a GPU each where it has as many, else they share
    them; each takes `batch_size` images. Under torchrun its number counts.
    """

    models: Annotated[dict[Name, DetectorModel], BeforeValidator(_without_null)] = {}
    initial_weights: InitialWeights = "pwt"
    class_map: UserPath | None = None
    source: Source = Source()
    training: Training = Training()
    sampling_limit: int | None = Field(10_000, ge=1)
    inference: Inference = Inference()
    fusion: Fusion = Fusion()
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: int = Field(0, ge=0, le=MOST_THREADS)
    processes: int = Field(1, ge=1, le=MOST_PROCESSES)

    @model_validator(mode="after")
    def _a_gpu_each(self) -> Detector:
        self.check_device(self.processes)
        return self

    def check_device(self, processes: int) -> None:
        """Raise ValueError where several processes would have one GPU that is named."""
        if processes > 1 and self.device.startswith("cuda:"):
            device = f"detector.device is {self.device}"
            raise ValueError(
                f"{processes} processes need a GPU each, but {device}; set it to cuda, or processes to 1"
            )


class Attribute(Model):
    """The "is" detector (paper 3.1): detectors of the (object, attribute) pairs.

    models: names of `detector.models`; each starts from that detector's weights, by partial weight transfer.
    fusion: null for that of the detectors; else whole: what it does not name is as by default. Views and what is
    kept are theirs. processes: as of the detectors, null for as many.
    """

    models: list[Name] = []
    training: Training = Training()
    sampling_limit: int | None = Field(10_000, ge=1)
    fusion: Fusion | None = None
    processes: int | None = Field(None, ge=1, le=MOST_PROCESSES)
