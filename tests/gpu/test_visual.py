"""The visual model on the device: it learns, and scores as on the CPU."""

import math

import numpy as np
import pytest

from kit.relation.candidates import pair_candidates
from kit.relation.visual_model import load_visual
from kit.relation.visual_training import train_visual
from tests.test_visual_model import REGIONS, detector, examples, objects, photos, rows, spatial  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("features", ["crops", "regions"])
@pytest.mark.parametrize(("precision", "off"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_it_learns_and_scores_as_on_the_cpu(
    precision,
    off,
    features,
    device,
    rows,  # noqa: F811
    spatial,  # noqa: F811
    detector,  # noqa: F811
    objects,  # noqa: F811
    photos,  # noqa: F811
    tmp_path,
):
    own = {"backbone": "shared", "precision": precision, "workers": 1, "features": features}
    settings = REGIONS.model_copy(update=own)
    figures = train_visual(rows, "resnext-mini", detector, settings, 0, tmp_path, device)
    assert all(math.isfinite(f["loss"]) and f["loss"] < math.log(2) for f in figures.values())
    candidates = pair_candidates(objects)
    ours, cpu = (
        load_visual(tmp_path, spatial, photos, where).predict_pairs(objects, candidates)
        for where in (device, "cpu")
    )
    assert np.isfinite(ours).all()
    assert np.abs(ours - cpu).max() < off
