import numpy as np

from kit.config import SplitFiles, load_config
from kit.data.split_tables import load_split
from tests.halves import aps, halves, models
from tests.paths import OPENIMAGES, needs_openimages


@needs_openimages
def test_on_the_real_files_the_stack_is_not_worse_than_the_spatial_model():
    whole = load_split(SplitFiles(relations=[OPENIMAGES / "train-subset-vrd.csv"]), "train")
    val = load_split(SplitFiles(relations=[OPENIMAGES / "validation-half-vrd.csv"]), "val")
    config = load_config("relations")
    means = {"spatial": [], "stack": []}
    for one, two in halves(whole):
        assert not set(one.objects.images) & set(two.objects.images)
        for name, scorer in models(one, two, config).items():
            means[name].append(np.nanmean(aps(scorer, val)))
    assert np.mean(means["stack"]) >= np.mean(means["spatial"])
    assert np.mean(means["stack"]) > 0.95
