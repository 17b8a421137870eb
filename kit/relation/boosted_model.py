"""A boosted model: probabilities from features, files that are checked before XGBoost sees them."""

from __future__ import annotations

import ctypes
import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xgboost as xgb

from kit.base.errors import FileFault, KitError
from kit.base.files import atomic_write, reading, write_text
from kit.base.log import logger
from kit.base.threads import threads_used
from kit.relation.features import Features
from kit.tables.schema import Floats

AGAIN = "train it again with --force"


@dataclass(frozen=True, eq=False)
class BoostedModel:
    """A trained model. loss: held out (log loss, or one minus AP), by rounds; device: where it predicts."""

    booster: xgb.Booster
    rounds: int
    loss: dict[int, float]
    device: str = "cpu"

    def predict(self, features: Features, margin: Floats | None = None) -> Floats:
        """Probabilities, (n,) or (n, classes). Raises KitError where the features are not those trained on."""
        check_features(self.booster, features.names)
        if self.device != "cpu":
            rows = xgb.DMatrix(features.values, base_margin=margin, feature_names=list(features.names))
            return np.asarray(self.booster.predict(rows), np.float32)
        return np.asarray(
            self.booster.inplace_predict(features.values, base_margin=margin, validate_features=False),
            np.float32,
        )


def save(model: BoostedModel, path: Path) -> None:
    """Write a model as UBJ, and its SHA-256 beside it."""
    data = model.booster.save_raw("ubj")
    with atomic_write(path) as part:
        part.write_bytes(data)
    write_text(_digest_path(path), f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")


def load(path: Path, names: tuple[str, ...], threads: int = 0, device: str = "cpu") -> BoostedModel:
    """Read what `save` wrote. threads: 0 for as many as `use_threads` was given; device: the CPU without a GPU.

    Raises KitError where it is damaged or was trained on other features.
    XGBoost ends the process over some damaged models: it sees only those of the digest that was written.
    """
    threads = threads or threads_used()
    device = device if has_gpu() else "cpu"
    booster = xgb.Booster({"device": device, **({"nthread": threads} if threads else {})})
    with reading(path, "a model that XGBoost can read", AGAIN):
        data = path.read_bytes()
        if not _digest_path(path).exists():
            raise FileFault(path, "its SHA-256 is not beside it", hint=AGAIN)
        digest = _digest_path(path).read_text(encoding="ascii").partition(" ")[0]
        if hashlib.sha256(data).hexdigest() != digest:
            raise FileFault(path, "damaged: its SHA-256 is another one", hint=AGAIN)
        booster.load_model(bytearray(data))
    check_features(booster, names, str(path))
    return BoostedModel(booster, booster.num_boosted_rounds(), {}, device)


@lru_cache(maxsize=1)
def has_gpu() -> bool:
    """Whether XGBoost has a GPU to compute on."""
    if not xgb.build_info().get("USE_CUDA"):
        return False
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def check_features(booster: xgb.Booster, names: tuple[str, ...], path: str = "the model") -> None:
    """Raise KitError unless the booster was trained on exactly these features, in this order."""
    trained = tuple(booster.feature_names or ())
    if trained == names:
        return
    gone, new = sorted(set(trained) - set(names)), sorted(set(names) - set(trained))
    difference = [f"lacks {', '.join(gone[:3])}"] * bool(gone) + [f"adds {', '.join(new[:3])}"] * bool(new)
    raise KitError(
        f"{path} was trained on {len(trained)} other features than the {len(names)} given: "
        f"what is given {' and '.join(difference) or 'is in another order'}",
        "train it again with this version",
    )


@contextmanager
def warnings_as_notices() -> Iterator[None]:
    """XGBoost's warnings (no GPU found, say) as one line each, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(w.message).split(": ", 3)[-1] for w in caught):
        logger.warning(f"note: XGBoost: {' '.join(text.split())}")
