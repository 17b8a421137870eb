"""The short form of `make fuzz`: some damaged inputs for every reader, and damage that is known to be found."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from kit.base.errors import KitError
from tests.fuzzing.mutation import damaged
from tests.fuzzing.runner import run_target
from tests.fuzzing.targets import TARGETS, Target

INPUTS = 60


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_damaged_input_is_taken_or_refused_in_one_line(target, tmp_path):
    result = run_target(target, max(5, int(INPUTS * target.share)), seed=1, folder=tmp_path)
    assert result.failures == []
    assert result.taken + result.refused == result.inputs


def test_the_same_seed_gives_the_same_damage():
    seeds = [b"ImageID,LabelName\n0a,/m/1\n"]
    first, second = ([damaged(random.Random(7), seeds, ()) for _ in range(20)] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ValueError("x"), "ValueError"),
        (KitError(""), ""),
        (KeyboardInterrupt(), None),
    ],
)
def test_what_is_no_answer_is_a_failure(fault, said, tmp_path):
    seen = []

    def read(path):
        seen.append(path.read_bytes())
        if len(seen) > 1:
            raise fault

    target = Target("one", "t", lambda _folder: [b"whole"], read)
    if said is None:
        with pytest.raises(KeyboardInterrupt):
            run_target(target, 1, 0, tmp_path)
        return
    result = run_target(target, 1, 0, tmp_path, keep=tmp_path / "kept")
    assert [said in failure for _, failure in result.failures] == ([True] if said else [])
    assert len(list((tmp_path / "kept").glob("one-*"))) == (1 if said else 0)


def test_an_input_that_hangs_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzzing.runner.SECONDS", 0.1)
    seen = []

    def read(path):
        seen.append(path)
        while len(seen) > 1:
            pass

    result = run_target(Target("one", "t", lambda _folder: [b"whole"], read), 1, 0, tmp_path)
    assert [failure for _, failure in result.failures] == ["more than 0.1 s"]


def test_the_command_shares_the_inputs_out(tmp_path):
    command = [sys.executable, "-m", "tests.fuzzing", "--inputs", "40", "set", "record"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    rows = run.stdout.splitlines()
    assert sorted(row.split()[0] for row in rows[:-1]) == ["record", "set"]
    assert rows[-1].endswith(" inputs, 0 failures")
