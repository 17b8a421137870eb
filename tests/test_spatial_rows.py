import numpy as np
import pytest
from pydantic import ValidationError

from kit.config import Prior, Spatial
from kit.relation.features import features_of_pairs
from kit.relation.model_names import POOLED
from kit.relation.prior_model import pair_examples, train_prior
from kit.relation.spatial_rows import PAIRWISE, SpatialRows, model_features
from tests.builders import drawn_split


@pytest.mark.parametrize("base_margin", ["mean", "prior"])
def test_pooled_rows_are_those_of_all_predicates(base_margin):
    split = drawn_split("train", 40)
    examples = pair_examples(split)
    features = features_of_pairs(split.objects, examples.candidates)
    settings = Spatial(base_margin=base_margin)
    rows = SpatialRows(split, examples, features, train_prior(split, Prior()), settings)
    pooled, parts = rows.pooled(), {p: rows.binary(p) for p in PAIRWISE}
    assert pooled.features.names == model_features(POOLED)
    most = max(int(part.label.sum()) for part in parts.values())
    assert most > 1
    at = 0
    for p, part in parts.items():
        i = slice(at, at := at + len(part.label))
        assert np.array_equal(pooled.features.values[i, :-1], part.features.values, equal_nan=True)
        assert (pooled.features.values[i, -1] == p).all()
        for name in ("label", "image", "fold", "rival"):
            assert np.array_equal(getattr(pooled, name)[i], getattr(part, name))
        assert (pooled.margin is None) == (part.margin is None) == (base_margin == "mean")
        if part.margin is not None:
            assert np.array_equal(pooled.margin[i], part.margin)
        assert np.allclose(pooled.weight[i], (most / max(part.label.sum(), 1)) ** 0.5)
    assert at == len(pooled.label)
    kept = pooled.label.astype(bool)
    assert np.array_equal(pooled.matrix(kept).get_weight(), pooled.weight[kept])


def test_a_pooled_model_goes_with_binary_ones():
    with pytest.raises(ValidationError, match="pooled_weight goes with objective: binary"):
        Spatial(objective="multiclass", pooled_weight=0.4)
    assert "pooled_weight" not in Spatial().result_settings(set())
    assert Spatial(pooled_weight=0.4).result_settings(set())["pooled_weight"] == 0.4
