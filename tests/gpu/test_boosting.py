"""XGBoost on the device: trees that predict as those of the CPU."""

import numpy as np
import pytest
import xgboost as xgb

from kit.config import Boosting
from kit.relation.boosted_model import load, save
from kit.relation.boosting import fit
from tests.test_boosting import SMALL, rows

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("classes", [0, 4])
@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_training_and_prediction(booster, classes, device, tmp_path):
    if device == "cuda" and not xgb.build_info()["USE_CUDA"]:
        pytest.skip("this XGBoost was built without CUDA")
    data = rows(n=4000, classes=classes)
    settings = Boosting(
        **SMALL, booster=booster, folds=1, subsample=1, colsample_bytree=1
    )  # no random number
    ours = fit(data, settings.model_copy(update={"device": device}), seed=0, classes=classes).model
    theirs = fit(data, settings, seed=0, classes=classes).model
    probability = ours.predict(data.features)
    assert np.abs(probability - theirs.predict(data.features)).mean() < 0.02
    save(ours, tmp_path / "model.ubj")
    again = load(tmp_path / "model.ubj", data.features.names, 1)
    again.booster.set_param({"device": "cpu"})
    assert np.allclose(again.predict(data.features), probability, atol=1e-5)
