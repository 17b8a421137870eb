from __future__ import annotations

import gc
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from kit import cli
from kit.base.log import configure_logging, warn_once
from kit.base.process import TRACEBACK
from kit.config import Config, load_config
from kit.data.mini import build_mini
from kit.download.remote import registry
from kit.download.selection import wanted_files
from kit.kaggle.client import Client
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.tables.official import read_boxes
from kit.tables.official_writer import write_detections
from tests.badserver import Answers, serving
from tests.fakekaggle import HASTY, SLUG, Kaggle, environment, kaggle_at_home
from tests.golden import unpack
from tests.imperfect import imperfect
from tests.s3 import Machines, serving_s3

settings.register_profile("kit", deadline=None)  # a slow machine is no fault
settings.load_profile("kit")
SAMPLE = "/VRD_sample_submission.csv"
TINY = (
    "data.mini={train: 150, stack: 20, val: 60, test: 30, source: 40, side: 96, seed: 3}",
    "data.test.detections=data/mini/test-detections.csv",
    "detector.models.hrnet.architecture=hrnet-mini",
    "relation.spatial.rounds=40",
    "relation.spatial.early_stopping_interval=20",
)
FAST = (  # without detectors
    *TINY,
    "detector.models={}",
    "attribute.models=[]",
    "relation.stack={rounds: 20, early_stopping_interval: 10, max_depth: 3, min_positives: 3}",
)
FEW = (
    "detector.source.training={iterations: 4, batch_size: 4, size: [96, 96], validate_every: 4, "
    "validate_images: 4}",
    "detector.training={iterations: 6, batch_size: 4, size: [96, 96], checkpoint_every: 2, validate_every: 3, "
    "validate_images: 8, warmup: 2}",
    "detector.inference={views: [{size: [96, 96]}, {size: [96, 96], flip: true}], max_detections: 20, shard: 25}",
    "detector.device=cpu",
    "detector.processes=1",
    "attribute.training={iterations: 3, batch_size: 4, size: [96, 96], validate_every: 3, validate_images: 8}",
    "relation.visual={crop_size: 32, hidden: 16, epochs: 1, negatives: 0.5}",
    "relation.stack={rounds: 20, early_stopping_interval: 10, max_depth: 3, min_positives: 3}",
    "relation.candidate_limits={boxes: 10, per_image: 20, per_pair: 5}",
)

ALONE = (  # one detector and nothing else
    "relation.visual=null",
    "attribute.models=[]",
    "detector.models={resnext: {architecture: resnext-mini}}",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Nothing looks for garbage while tests are found, nor among these later: many objects, and none is any."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    """Every test hears what a new process of the command line would say."""
    configure_logging()
    warn_once.cache_clear()


@pytest.fixture(autouse=True)
def no_bug_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is raised in tests, also by the processes they start."""
    monkeypatch.setenv(TRACEBACK, "1")


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the golden cases of the metrics: relations/CASE and detections/CASE."""
    folder = tmp_path_factory.mktemp("golden")
    unpack(folder)
    return folder


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """A folder that the first of the suite's processes builds, for all of them; tests copy what they change."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            part = factory.mktemp(name)
            build(part)
            part.rename(folder)
    return folder


def build_tiny(folder: Path) -> None:
    """Write the tiny mini challenge below a folder, with detections of its test split."""
    with chdir(folder):
        config = load_config("mini", TINY)
        build_mini(config.data.root, config.data.mini)
        hidden = read_boxes(["data/mini/hidden/test-vrd-bbox.csv"])
        write_detections("data/mini/test-detections.csv", imperfect(hidden, 3))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny mini challenge in it, below data/mini."""
    folder = tmp_path_factory.mktemp("tiny")
    built = built_once(tmp_path_factory, "challenge", build_tiny)
    return Path(shutil.copytree(built, folder, dirs_exist_ok=True))


@pytest.fixture
def tiny(tiny_folder: Path) -> Iterator[Path]:
    """Work inside the folder of the tiny challenge."""
    before = os.getcwd()
    os.chdir(tiny_folder)
    yield tiny_folder
    os.chdir(before)


def config(*more: str) -> Config:
    """The tiny challenge with detectors of few iterations."""
    return load_config("mini", [*TINY, *FEW, "data.test.detections=[]", *more])


@pytest.fixture(scope="session")
def trained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with both detectors trained; tests copy what they change."""

    def build(folder: Path) -> None:
        Pipeline(Run(config(), folder)).make(["detector-resnext", "detector-hrnet"])

    with chdir(tiny_folder):
        return Run(config(), built_once(tmp_path_factory, "detectors", build))


@pytest.fixture
def copied(trained: Run, tiny: Path, tmp_path: Path) -> Run:
    """A copy of the run with trained detectors."""
    shutil.copytree(trained.path, tmp_path / "run")
    return Run(trained.config, tmp_path / "run")


@pytest.fixture(scope="session")
def predicted(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose prior has scored given detections of the test split; tests copy what they change."""
    prior = load_config("mini", [*TINY, "relation.scorer=prior"])

    def build(folder: Path) -> None:
        pipeline = Pipeline(Run(prior, folder))
        pipeline.make(["prior"])
        pipeline.make(["evaluate-test"])

    with chdir(tiny_folder):
        return Run(prior, built_once(tmp_path_factory, "predictions", build))


@pytest.fixture(scope="session")
def whole(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with prior, spatial and stack trained, and the given test detections scored by the stack."""

    def build(folder: Path) -> None:
        pipeline = Pipeline(Run(load_config("mini", FAST), folder))
        pipeline.make(pipeline.training)
        pipeline.make(["predict-test"])

    with chdir(tiny_folder):
        return built_once(tmp_path_factory, "whole", build)


@pytest.fixture
def finished(whole: Path, tiny: Path, tmp_path: Path) -> Path:
    """A copy of the folder of that run."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def run(tiny: Path, tmp_path: Path) -> Run:
    """An empty run on the tiny challenge."""
    return Run(load_config("mini", TINY), tmp_path / "run")


@pytest.fixture
def clock(monkeypatch):
    """The clock of a rehearsal, which stands still unless it is turned; all else has its own."""

    class Clock:
        now = 100.0

        def turn(self, seconds):
            self.now += seconds

        def monotonic(self):
            return self.now

    clock = Clock()
    for module in ("work_clock", "loading"):
        monkeypatch.setattr(f"kit.rehearsal.{module}.time", clock)
    return clock


@pytest.fixture
def kit(capsys):
    """Call the command line: (exit code, stdout, stderr)."""

    def call(*words):
        code = cli.run([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(autouse=True)
def _local(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of the tests are asked without the proxy that the machine may have."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[str]:
    with serving_s3() as address:
        yield address


@pytest.fixture
def bucket(
    _s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> str:
    """The address of an empty bucket, which this process and those it starts may use."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "someone"),
        ("AWS_SECRET_ACCESS_KEY", "hidden-words"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", _s3_server),
        ("KIT_CACHE", str(tmp_path / "cache")),
    ):
        monkeypatch.setenv(name, value)
    import s3fs

    name = f"b{abs(hash(request.node.nodeid)):x}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def machines(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machines:
    """Several machines with a run in one bucket."""
    return Machines(f"{bucket}/runs/first", tmp_path, monkeypatch)


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kaggle]:
    """Kaggle on this machine, and an environment that leads the real client to it alone."""
    (tmp_path / "home").mkdir()
    with kaggle_at_home() as served:
        for name, value in environment(served, tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def slept() -> list[float]:
    """The seconds that `client` would have waited."""
    return []


@pytest.fixture
def client(kaggle: Kaggle, slept: list[float]) -> Client:
    """The real client, logged in; it does not wait."""
    return Client(SLUG, HASTY, slept.append)


@pytest.fixture
def published(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """A mirror: every file of the registry by its name; what the mini challenge lacks is made up."""
    rows = [
        row if row["what"] == "weights" else row | {"size": "", "sha256": "", "rows": ""}
        for row in registry()
    ]
    monkeypatch.setattr("kit.download.remote.registry", lambda: rows)
    with serving() as answers:
        config = load_config("layer6")
        names = [r.path.relative_to(config.data.root) for r in wanted_files(config, "all", every=True)]
        for name in names:
            path = tiny_folder / "data/mini" / name
            answers.files[f"/{name}"] = path.read_bytes() if path.exists() else b"made up\n"
        for folder in ("train", "test", "validation", "challenge2018"):
            for path in (tiny_folder / "data/mini" / folder).glob("*.jpg"):
                answers.files[f"/{folder}/{path.name}"] = path.read_bytes()
        yield answers


@pytest.fixture
def options(published: Answers, tmp_path: Path) -> list[object]:
    """Options of the command: everything below a folder of its own, from the mirror."""
    root = tmp_path / "data"
    values = load_config("layer6").model_dump(mode="json")
    moved = json.loads(json.dumps(values).replace("data/openimages", str(root)))
    moved["data"]["download"] |= {
        "mirror": published.url,
        "read_timeout": 0.5,
        "attempts": 2,
        "backoff": 0.01,
    }
    for model in moved["detector"]["models"].values():
        model["weights"] = None  # their hashes are known; the mirror's are made up
    (tmp_path / "config.yaml").write_text(json.dumps(moved))
    return ["--config", tmp_path / "config.yaml"]


LONGEST = (  # modules that take minutes, the longest first: with two processes none is left alone at the end
    "test_stages_detector",
    "test_reproduce",
    "test_training",
    "test_docs",
    "test_stages_pipeline",
    "test_stages_training",
    "test_halves",
    "test_cli",
    "test_ops",
    "test_end_to_end",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules come first."""
    rank = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))
