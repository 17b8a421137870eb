import json
import os
import subprocess
import sys

import numpy as np
import pytest

from kit.config import Prior, Spatial, Stack
from kit.relation import external_memory, spatial_model
from kit.relation.external_memory import end_choice, is_external
from kit.relation.feature_tables import choose, join, store_pair_features
from kit.relation.features import features_of_pairs
from kit.relation.model_names import spatial_models
from kit.relation.prior_model import pair_examples, train_prior
from kit.relation.spatial_model import train_spatial
from kit.relation.spatial_rows import SpatialRows
from kit.relation.stacking import train_stack
from tests.builders import drawn_split


@pytest.fixture(scope="module")
def split():
    return drawn_split("train", 60)


def test_under_a_limit_four_times_the_rows_are_trained_on_from_disk(tmp_path):
    """Of a limit that fewer than 70,000 rows fit into in memory, 280,000 from disk leave a fifth."""
    alone = {  # what threads and a heap keep for themselves would count
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "131072",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "ARROW_IO_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    small_stacks = ["sh", "-c", 'ulimit -s 1024; exec "$@"', "sh"]
    words = [*small_stacks, sys.executable, "-m", "tests.boosting_under_limit", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **alone}, check=True)
    ended = json.loads(done.stdout)
    assert set(ended["fits"]) == set(ended["disk"]) == set(ended["free"]) == {"ap"}, ended
    assert "died" in ended["too many"], ended
    assert "alloc" in ended["too many"]["died"], ended
    assert ended["disk"]["ap"] == pytest.approx(ended["free"]["ap"], abs=0.015)
    assert ended["free"]["ap"] > 0.35  # of a fifth of positives: something is learnt


def test_stored_features_are_those_in_memory(split, tmp_path):
    candidates = pair_examples(split).candidates
    stored = store_pair_features(split.objects, candidates, tmp_path, block=50)
    usual = features_of_pairs(split.objects, candidates)
    assert len(stored.files) > 3
    assert stored.names == usual.names
    rows = np.random.default_rng(0).permutation(len(candidates))
    for some in (rows, np.sort(rows)[::3], rows[:0], rows[:1]):
        assert np.array_equal(stored.take(some), usual.take(some), equal_nan=True)
    written = [path.stat().st_mtime_ns for path in stored.files]
    stored.files[1].unlink()
    again = store_pair_features(split.objects, candidates, tmp_path, block=50)
    assert [p.stat().st_mtime_ns for p in again.files][2:] == written[2:]  # kept
    assert np.array_equal(again.take(rows), usual.take(rows), equal_nan=True)


def test_another_table_at_the_same_path_is_read_anew(split, tmp_path):
    candidates = pair_examples(split).candidates
    rows = np.arange(5)
    first = store_pair_features(split.objects, candidates, tmp_path)
    before = first.take(rows)
    first.files[0].unlink()
    others = candidates.take(np.flatnonzero(candidates.image > candidates.image[5]))
    second = store_pair_features(split.objects, others, tmp_path)
    assert second.files == first.files[:1]
    found, expected = second.take(rows), features_of_pairs(split.objects, others).take(rows)
    assert np.array_equal(found, expected, equal_nan=True)
    assert not np.array_equal(found, before, equal_nan=True)


@pytest.mark.parametrize("kind", ["binary", "pooled", "multiclass"])
def test_training_rows_from_disk_are_those_in_memory(split, tmp_path, kind):
    examples, statistics = pair_examples(split), train_prior(split, Prior())
    tables = [
        features_of_pairs(split.objects, examples.candidates),
        store_pair_features(split.objects, examples.candidates, tmp_path, block=50),
    ]
    made = [SpatialRows(split, examples, t, statistics, Spatial()) for t in tables]
    usual, stored = ((r.binary(1) if kind == "binary" else getattr(r, kind)()) for r in made)
    rows = np.arange(len(usual.label))
    assert usual.features.names == stored.features.names
    assert np.array_equal(usual.features.take(rows), stored.features.take(rows), equal_nan=True)
    assert np.array_equal(usual.features.take(rows[::-7]), stored.features.take(rows[::-7]), equal_nan=True)


def test_tables_are_joined_in_order(split, tmp_path):
    candidates = pair_examples(split).candidates
    stored = store_pair_features(split.objects, candidates, tmp_path)
    parts = [choose(stored, np.arange(n), ("n",), lambda i, n=n: np.full((len(i), 1), n)) for n in (3, 0, 5)]
    joined = join(parts, [3, 0, 5])
    assert joined.take(np.arange(8))[:, -1].tolist() == [3] * 3 + [5] * 5
    assert joined.take(np.asarray([7, 0]))[:, -1].tolist() == [5, 3]


def test_the_spatial_models_are_as_good_from_disk(split, tmp_path):
    statistics, settings = (
        train_prior(split, Prior()),
        Spatial(rounds=10, early_stopping_interval=5, folds=1, threads=1),
    )
    found = {}
    for how in ("never", "always"):
        folder = tmp_path / how
        folder.mkdir()
        own = settings.model_copy(update={"external_memory": how})
        train_spatial(split, statistics, own, 0, folder)
        assert not (folder / external_memory.FOLDER).exists()  # removed
        records = [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]
        found[how] = [ap for record in records for ap in record["held_out_ap"].values()]
    usual, disk = (np.asarray(found[how]) for how in ("never", "always"))
    assert usual.shape == disk.shape
    assert usual[:, 1] == pytest.approx(disk[:, 1])  # the prior's
    assert usual[:, 0].mean() == pytest.approx(disk[:, 0].mean(), abs=0.05)


def test_a_killed_training_goes_on_from_its_rows_to_the_same_models(split, tmp_path, monkeypatch):
    statistics = train_prior(split, Prior())
    settings = Spatial(rounds=4, early_stopping_interval=2, folds=1, threads=1, external_memory="always")
    (tmp_path / "whole").mkdir()
    train_spatial(split, statistics, settings, 0, tmp_path / "whole")
    killed = tmp_path / "killed"
    pages = killed / external_memory.FOLDER / "pages"
    pages.mkdir(parents=True)
    (pages / "left").touch()
    (killed / external_memory.FOLDER / "pairs").mkdir()
    store_pair_features(
        split.objects, pair_examples(split).candidates, killed / external_memory.FOLDER / "pairs"
    )
    monkeypatch.setattr("kit.relation.feature_tables.pq.write_table", None)  # nothing is computed anew
    train_spatial(split, statistics, settings, 0, killed)
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in killed.iterdir())
    for name in names:
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize("how", ["never", "always"])
def test_models_trained_apart_in_any_order_are_those_of_one_training(split, tmp_path, how, monkeypatch):
    """Each as a process of its own trains it; what one of a killed try left is gone at the end."""
    statistics = train_prior(split, Prior())
    settings = Spatial(
        rounds=2, early_stopping_interval=2, folds=1, threads=1, pooled_weight=0.2, external_memory=how
    )
    whole, apart = tmp_path / "whole", tmp_path / "apart"
    for folder in (whole, apart / f"{external_memory.FOLDER}-holds"):
        folder.mkdir(parents=True)
    train_spatial(split, statistics, settings, 0, whole)
    for name in reversed(spatial_models(settings)):
        train_spatial(split, statistics, settings, 0, apart, only=name)
        assert (apart / f"{name}.json").exists()
    monkeypatch.setattr("kit.relation.boosting.fit", None)  # nothing is trained again
    (apart / "spatial-plays.final.npz").touch()  # of a process that was killed once its model was whole
    train_spatial(split, statistics, settings, 0, apart)
    one, other = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in (whole, apart))
    assert one == other


def test_the_stack_is_trained_from_disk(split, tmp_path):
    examples, statistics = pair_examples(split), train_prior(split, Prior())
    scores = {"spatial": np.random.default_rng(0).random(examples.positive.shape).astype(np.float32)}
    fold = examples.candidates.image % 10
    out = []
    for how in ("never", "always"):
        settings = Stack(
            rounds=4, early_stopping_interval=2, folds=1, min_positives=3, threads=1, external_memory=how
        )
        weights = np.full(examples.positive.shape[1], 0.5, np.float32)
        stacker = train_stack(
            examples, split.objects, fold, scores, weights, statistics, settings, 0, tmp_path
        )
        assert not (tmp_path / external_memory.FOLDER).exists()
        out.append(stacker.scores(split.objects, examples.candidates, scores))
    assert np.abs(out[0] - out[1]).mean() < 0.05


def test_rows_go_to_disk_where_memory_does_not_hold_them(tmp_path, monkeypatch):
    auto = Spatial(folds=3)
    needed = 1000 * 60 * (external_memory.HELD + 3 * external_memory.A_FOLD)
    for total, external in ((2 * needed, False), (2 * needed - 1, True), (None, False)):
        monkeypatch.setattr(external_memory, "total_memory", lambda total=total: total)
        scratch = tmp_path / str(total) / "rows"
        scratch.parent.mkdir()
        assert is_external(auto, 1000, 60, scratch) is external
        assert end_choice(scratch.parent) == ("disk" if external else "memory")
        assert not is_external(auto, 1000, 60, None)
        for how in ("always", "never"):
            own = auto.model_copy(update={"external_memory": how})
            assert is_external(own, 1000, 60, scratch) is (how == "always")
            end_choice(scratch.parent)
        assert not list(scratch.parent.iterdir())


def test_what_was_begun_goes_on_where_its_rows_lay(tmp_path, monkeypatch, caplog):
    auto = Spatial(folds=3)
    for total, total_later, external in ((1 << 40, 1, False), (1, 1 << 40, True)):
        folder = tmp_path / str(total)
        folder.mkdir()
        monkeypatch.setattr(external_memory, "total_memory", lambda total=total: total)
        assert is_external(auto, 1000, 60, folder / "rows") is external
        names = {"spatial-at.trial.npz", "spatial-at.final.npz", "on.json", "statistics.npz"}
        for name in names:
            (folder / name).touch()
        monkeypatch.setattr(external_memory, "total_memory", lambda total=total_later: total)
        assert is_external(auto, 1000, 60, folder / "rows") is external  # another machine changes nothing
        assert names < {path.name for path in folder.iterdir()}
        assert "begin anew" not in caplog.text
        other = auto.model_copy(update={"external_memory": "never" if external else "always"})
        assert is_external(other, 1000, 60, folder / "rows") is not external
        assert "unfinished models begin anew" in caplog.text
        assert is_external(auto, 1000, 60, folder / "rows") is not external
        assert end_choice(folder) == ("disk, then memory" if external else "memory, then disk")
        assert {path.name for path in folder.iterdir()} == {"on.json", "statistics.npz"}
        caplog.clear()


def test_where_rows_lie_makes_nothing_stale():
    from kit.config import load_config
    from kit.pipeline.pipeline import Pipeline
    from kit.pipeline.run import Run

    def settings(how):
        config = load_config("relations", [f"relation.spatial.external_memory={how}"])
        return Pipeline(Run(config, config.run)).stage("spatial").settings

    assert settings("auto") == settings("always")
    assert spatial_model  # imported as the stage imports it
