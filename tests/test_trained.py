import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.base.errors import KitError
from kit.detector.checkpoint import read_state, write_state
from kit.detector.trained import own_names, read_trained, source_names
from kit.detector.weight_transfer import head_classes, resized, transfer_weights
from tests.heads import small, without

COCO = source_names("coco")
ODD = {**small(3), **{f"tail.{name}": tensor for name, tensor in small(4).items()}}


def checkpoint(path, classes=80, names=COCO, **options):
    write_state(path, small(classes, **options), names)
    return path


@pytest.mark.parametrize("place", [0, 80])
@pytest.mark.parametrize("word", ["__background__", "background", "BG"])
def test_a_background_among_the_names_is_refused_and_named(tmp_path, place, word):
    names = [*COCO[:place], word, *COCO[place:]]
    path = checkpoint(tmp_path / "w.pth")
    files = {
        "names.txt": "\n".join(names),
        "names.json": json.dumps(names),
        "labels.txt": "\n".join(f"{i}: {name}" for i, name in enumerate(names)),
    }
    wanted = rf"81 names, the checkpoint has 80 classes.*; name {place + 1} is {word}: .* take it out"
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(KitError, match=wanted):
            read_trained(path, tmp_path / name)
    own = checkpoint(tmp_path / "own.pth", names=names)
    for read in (lambda: read_trained(own, None), lambda: own_names(own), lambda: source_names(own)):
        with pytest.raises(KitError, match=wanted):
            read()


@pytest.mark.parametrize("count", [1, 79, 82, 600])
def test_another_number_of_names_is_refused(tmp_path, count):
    path = checkpoint(tmp_path / "w.pth")
    (tmp_path / "names.txt").write_text("".join(f"thing {i}x\n" for i in range(count)))
    with pytest.raises(
        KitError, match=rf"names.txt: {count} names, the checkpoint has 80 classes \(.*w.pth\)"
    ):
        read_trained(path, tmp_path / "names.txt")
    with pytest.raises(KitError, match="coco: 80 names, the checkpoint has 57 classes"):
        read_trained(checkpoint(tmp_path / "own.pth", 57), "coco")


def test_a_class_that_is_called_background_may_be_one(tmp_path):
    names = ["background", *COCO]
    assert read_trained(checkpoint(tmp_path / "w.pth", 81, names), None).names == tuple(names)


def test_names_that_fit(tmp_path, capsys):
    path = checkpoint(tmp_path / "w.pth")
    assert read_trained(path, None).names == COCO
    assert read_trained(path, "coco").names == COCO
    assert capsys.readouterr().err == ""
    nameless = checkpoint(tmp_path / "nameless.pth", names=())
    assert read_trained(nameless, "coco").names == COCO
    assert read_trained(nameless, None, named=False).names == ()
    with pytest.raises(
        KitError, match=r"nameless.pth: the checkpoint does not name its classes; give a names file"
    ):
        read_trained(nameless, None)


def test_given_names_that_are_not_the_checkpoints_own_are_one_notice(tmp_path, capsys):
    path = checkpoint(tmp_path / "w.pth")
    (tmp_path / "names.txt").write_text("\n".join(sorted(COCO)))
    assert read_trained(path, tmp_path / "names.txt").names == tuple(sorted(COCO))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "of 80 names (" in said
    assert "first name 1 (airplane, there person)" in said


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (ODD, r"its heads disagree: head.fc_cls.weight has 4 rows, tail.head.fc_cls.weight 5"),
        (
            {**small(3), "head.fc_reg.bias": torch.zeros(16)},
            "has 16 rows, but 3 classes need 12, or 4 for all",
        ),
        ({**small(3), "head.fc_cls.bias": torch.tensor(1.0)}, "head.fc_cls.bias is a single number"),
        ({"bbox_head.gfl_cls.weight": torch.zeros(3)}, "not a detector's checkpoint: it has no fc_cls layer"),
        ({"head.fc_reg.weight": torch.zeros(4, 3)}, "not a detector's checkpoint: it has no fc_cls layer"),
    ],
)
def test_heads_that_cannot_be_are_refused(tmp_path, state, message):
    write_state(tmp_path / "w.pth", state, ["a", "b", "c"])
    with pytest.raises(KitError, match=rf"w.pth: .*{message}"):
        read_trained(tmp_path / "w.pth", None)


def test_the_classes_of_heads():
    assert head_classes(small(3)) == 3
    assert head_classes(small(3, agnostic=False)) == 3
    assert head_classes(small(1)) == 1
    assert head_classes({"a": torch.zeros(1)}) is None


def test_names_twice_in_a_checkpoint(tmp_path):
    with pytest.raises(KitError, match=r"it names the class cat twice; give a names file"):
        own_names(checkpoint(tmp_path / "w.pth", 2, ["cat", "cat"]))


def test_another_architecture_names_the_checkpoint(tmp_path):
    path = tmp_path / "w.pth"
    write_state(path, without(small(80), "backbone.conv.weight"), COCO)
    with pytest.raises(KitError, match=r"w.pth: .*another architecture: it lacks backbone.conv.weight"):
        read_trained(path, None).transferred(small(2), np.array([0, 1]))


def test_weights_of_half_precision_take_the_targets(tmp_path):
    half = {name: tensor.half() for name, tensor in small(3).items()}
    state, _ = transfer_weights(half, small(2, seed=1), np.array([2, 0]))
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert torch.equal(state["head.fc_cls.weight"][0], half["head.fc_cls.weight"][2].float())


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_rows_of_any_map_are_the_rows_of_the_mapped_classes(data):
    agnostic = data.draw(st.booleans())
    theirs = data.draw(st.integers(1 if agnostic else 2, 9))  # one class's regression is one for all
    ours = data.draw(st.integers(1, 9))
    mapped = np.array(data.draw(st.lists(st.integers(-1, theirs - 1), min_size=ours, max_size=ours)))
    source = small(theirs, agnostic, seed=1)
    target = resized(source, ours, seed=data.draw(st.integers(0, 5)))
    state, report = transfer_weights(source, target, mapped)
    assert head_classes(state) == ours
    for part in ("weight", "bias"):
        name = f"head.fc_cls.{part}"
        for k, g in enumerate(mapped):
            assert torch.equal(state[name][k], source[name][g] if g >= 0 else target[name][k])
        assert torch.equal(state[name][-1], source[name][-1])
        assert report.rows[name] == ((mapped >= 0).sum() + 1, (mapped < 0).sum())
        name = f"head.fc_reg.{part}"
        if agnostic:
            assert torch.equal(state[name], source[name])
            continue
        for k, g in enumerate(mapped):
            want = source[name][4 * g : 4 * g + 4] if g >= 0 else target[name][4 * k : 4 * k + 4]
            assert torch.equal(state[name][4 * k : 4 * k + 4], want)


def test_the_command_line(kit, tmp_path):
    path, out = checkpoint(tmp_path / "w.pth"), tmp_path / "deep" / "o.pth"
    (tmp_path / "names.txt").write_text("__background__\n" + "\n".join(COCO))
    (tmp_path / "strange.txt").write_text("".join(f"Ding {i}x\n" for i in range(80)))
    (tmp_path / "numbered.txt").write_text("".join(f"{i}: {name}\n" for i, name in enumerate(COCO)))
    (tmp_path / "empty.pth").touch()
    for words, message in [
        ([path, "--classes", tmp_path / "names.txt"], "81 names, the checkpoint has 80 classes"),
        ([path, "--classes", tmp_path / "strange.txt"], "0 of 57 classes matched; its names are Ding 0x"),
        ([tmp_path / "empty.pth"], "empty: not a checkpoint"),
        ([tmp_path / "empty.pth", "--classes", "coco"], "empty: not a checkpoint"),
        ([tmp_path], "a folder, not a checkpoint"),
    ]:
        code, said, err = kit("transfer", *words, "--out", out)
        assert (code, said, err.count("\n")) == (2, "", 1)
        assert message in err
        assert not out.exists()
    for target, message in [
        (path, "--out is an input"),
        (tmp_path, "a folder: --out is a file"),
        (path / "x.pth", "is not a folder"),
    ]:
        code, _, err = kit("transfer", path, "--out", target)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
    assert read_state(path)
    code, _, err = kit("classmap", tmp_path / "strange.txt", "--out", tmp_path / "map.yaml")
    assert (code, err.count("\n")) == (2, 1)
    assert "0 of 57 classes matched" in err
    assert not (tmp_path / "map.yaml").exists()
    code, _, err = kit("classmap", tmp_path / "numbered.txt", "--out", tmp_path / "numbered.txt")
    assert code == 2
    assert "--out is an input" in err
    assert kit("transfer", path, "--classes", tmp_path / "numbered.txt", "--out", out)[0] == 0
    assert torch.equal(read_state(out)["head.fc_cls.weight"][-1], read_state(path)["head.fc_cls.weight"][-1])
