import collections
import datetime
import io
import os
import pathlib
import pickle
import zipfile
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.base.errors import FileFault, KitError
from kit.detector.checkpoint import names_in, read_checkpoint, read_state, write_state
from kit.detector.ops import install_ops

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(4)}


def saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def fault(path):
    with pytest.raises(FileFault) as caught:
        read_state(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert "\x1b" not in text
    return text.removeprefix(f"{path}: ")


def same(state, wanted=STATE):
    return list(state) == list(wanted) and all(torch.equal(state[name], wanted[name]) for name in wanted)


def archive(names, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as packed:
        for name in names:
            packed.writestr(name, "x" * 100)
    return file.getvalue()


WHOLE = saved({"state_dict": STATE})
OLD = saved({"state_dict": STATE}, _use_new_zipfile_serialization=False)
DAMAGED = [
    (b"", "empty: not a checkpoint"),
    (WHOLE[:-30], "cut short or damaged"),
    (WHOLE[: len(WHOLE) // 2], "cut short or damaged"),
    (WHOLE.replace(STATE["a.weight"].numpy().tobytes(), bytes(24)), "damaged: the checksum of "),
    (bytes(len(WHOLE)), "neither an archive nor a pickle"),
    (OLD[:-3], "cut short or damaged"),
    (OLD[:-20], "cut short or damaged"),
    (b"hello\n", "neither an archive nor a pickle"),
    (b"<!DOCTYPE html>", "a web page"),
    (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    (b"\x1f\x8b" + bytes(20), "packed by gzip"),
    (b"\x10\0\0\0\0\0\0\0{}", "a safetensors file"),
    (archive(["a.csv"]), "a zip archive of other files; it holds a.csv"),
    (archive([]), "a zip archive of other files; it holds nothing"),
    (archive(["a/data.pkl"], compression=zipfile.ZIP_DEFLATED), "packed again; unpack it first"),
    (archive(["a/data.pkl", "a/code/x.py"]), "a TorchScript archive"),
    (archive(["a/data.pkl"]), "cut short or damaged"),
    (pickle.dumps({"a": 1}), "cut short or damaged"),
    (saved([1]), "it holds no weights"),
    (saved({}), "it holds no weights"),
    (saved({"state_dict": {}}), "it holds no weights"),
    (saved({"state_dict": {"a": 1}}), "it holds no weights"),
    (saved({0: torch.zeros(1)}), "it holds no weights"),
    (saved(torch.zeros(1)), "it holds no weights"),
    (saved({"b": torch.tensor([1.0, float("nan")])}), "b holds numbers that are not finite"),
    (saved({"b": torch.tensor([float("inf")], dtype=torch.float16)}), "b holds numbers that are not finite"),
    (saved({"b": torch.zeros(2, 2).to_sparse()}), "b is not a plain tensor"),
    (saved({"b": torch.zeros(2, device="meta")}), "b is not a plain tensor"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED)
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_a_whole_checkpoint_is_one_line(tmp_path, content, message):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    assert message in fault(path)


def test_no_file_a_folder_and_one_that_cannot_be_read(tmp_path):
    assert fault(tmp_path / "none.pth") == "no such file"
    assert "a folder, not a checkpoint" in fault(tmp_path)
    assert "cannot be read" in fault(tmp_path / ("x" * 300 + ".pth"))


WRAPPED = [
    STATE,
    {"state_dict": STATE, "optimizer": {"state": {}}},
    {"model": STATE},
    {"model": {"state_dict": STATE}},
    {"ema": {"module": STATE}, "epoch": 3},
    {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}},
    {f"_orig_mod.{name}": tensor for name, tensor in STATE.items()},
    {
        "state_dict": {
            name: torch.nn.Parameter(t, requires_grad=t.is_floating_point()) for name, t in STATE.items()
        }
    },
    {"state_dict": STATE, "meta": None},
]


@pytest.mark.parametrize("content", WRAPPED)
@pytest.mark.parametrize("form", [True, False])
def test_weights_are_found_wherever_a_training_put_them(tmp_path, content, form):
    path = tmp_path / "x.pth"
    path.write_bytes(saved(content, _use_new_zipfile_serialization=form))
    state = read_state(path)
    assert same(state)
    assert not any(tensor.requires_grad for tensor in state.values())


def test_an_archive_that_was_stored_again_is_read_though_its_tensors_lie_anywhere(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    (tmp_path / "x.pth").write_bytes(file.getvalue())
    assert same(read_state(tmp_path / "x.pth"))


def test_an_archive_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert same(read_state(tmp_path / "x.pth"))


def test_what_was_read_does_not_change_its_file(tmp_path):
    write_state(tmp_path / "x.pth", STATE, ["cat"])
    before = (tmp_path / "x.pth").read_bytes()
    state = read_state(tmp_path / "x.pth")
    for tensor in state.values():
        tensor.zero_()
    assert (tmp_path / "x.pth").read_bytes() == before
    assert same(read_state(tmp_path / "x.pth"))


def test_a_checkpoint_as_mmengines_own_training_leaves_it(tmp_path):
    install_ops()
    from mmengine.model import BaseModel
    from mmengine.runner import Runner
    from torch.utils.data import DataLoader, Dataset

    class Images(Dataset):
        metainfo: ClassVar = {"classes": ("cat", "dog"), "palette": [(1, 2, 3), (4, 5, 6)]}

        def __len__(self):
            return 4

        def __getitem__(self, i):
            return {"inputs": torch.full((2,), float(i))}

    class Line(BaseModel):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, inputs, mode="loss"):
            return {"loss": self.layer(inputs).mean()}

    runner = Runner(
        model=Line(),
        work_dir=str(tmp_path),
        train_dataloader=DataLoader(Images(), batch_size=2),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1)),
        experiment_name="x",
        log_level="ERROR",
    )
    runner.train()
    wanted = runner.model.state_dict()
    path = tmp_path / "epoch_1.pth"
    with pytest.raises(pickle.UnpicklingError):  # torch alone refuses it
        torch.load(path, weights_only=True)
    content = read_checkpoint(path)
    assert same(read_state(path), wanted)
    assert names_in(content, path) == ("cat", "dog")


class Metric:
    """A class of nobody's list."""


def test_objects_on_the_list_are_passed_over_and_nothing_is_made_of_them(tmp_path):
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    meta = {
        "dataset_meta": ConfigDict(classes=("cat",)),
        "best": np.float64(0.5),
        "curve": np.arange(3),
        "types": [np.float32, np.dtype("f4")],
        "time": datetime.datetime.now(datetime.UTC),
        "path": pathlib.Path("x"),
        "count": collections.defaultdict(list, {1: [2]}),
        "sizes": frozenset([1]),
    }
    hub = {"log_scalars": {"loss": HistoryBuffer([1.0], [1])}}
    for form in (True, False):
        (tmp_path / "x.pth").write_bytes(
            saved(
                {"meta": meta, "state_dict": STATE, "message_hub": hub}, _use_new_zipfile_serialization=form
            )
        )
        content = read_checkpoint(tmp_path / "x.pth")
        assert names_in(content, tmp_path) == ("cat",)
        assert content["meta"]["count"] == {1: [2]}
        assert not isinstance(content["meta"]["curve"], np.ndarray)
        assert same(read_state(tmp_path / "x.pth"))
    with pytest.raises(pickle.UnpicklingError):  # the list holds inside read_checkpoint alone
        torch.load(tmp_path / "x.pth", weights_only=True)


class Runs:
    """Pickled, it is a call."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


@pytest.mark.parametrize("form", [True, False])
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda path: Runs(os.system, f"touch {path}"), "posix.system"),
        (lambda path: Runs(eval, f"open({str(path)!r}, 'w')"), "eval"),
        (lambda path: Runs(pathlib.Path.touch, pathlib.Path(path)), "a call"),
        (lambda path: Metric(), "tests.test_checkpoint.Metric"),
        (lambda path: torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    ],
)
def test_code_in_a_checkpoint_does_not_run_and_its_name_is_said(tmp_path, form, call, name):
    made = tmp_path / "made"
    path = tmp_path / "x.pth"
    content = {"state_dict": STATE, "meta": call(made)}
    path.write_bytes(saved(content, _use_new_zipfile_serialization=form))
    assert f"holds {name}, which is not on the list of what kit unpickles" in fault(path)
    assert not made.exists()
    path.write_bytes(pickle.dumps(content["meta"], protocol=2))
    assert f"holds {name}, which" in fault(path)
    assert not made.exists()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_a_fault_or_leaves_the_weights_as_they_were(tmp_path, data):
    content = bytearray(data.draw(st.sampled_from([WHOLE, OLD])))
    zipped = content[:2] == b"PK"
    kind = data.draw(st.sampled_from(["cut", "flip", "zeros"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if kind == "cut":
        del content[place:]
    elif kind == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    try:
        state = read_state(path)
    except KitError:
        return
    if zipped:  # an archive has checksums, the old form has none
        assert same(state)


def test_names_in_every_form_of_mmdet(tmp_path):
    for content, names in [
        ({"meta": {"dataset_meta": {"classes": ["cat", "dog"]}}}, ("cat", "dog")),
        ({"meta": {"dataset_meta": {"CLASSES": ("cat",)}}}, ("cat",)),
        ({"meta": {"CLASSES": ("cat", "dog")}}, ("cat", "dog")),
        ({"meta": {"CLASSES": "cat"}}, ("cat",)),
        ({"meta": {"CLASSES": None}}, None),
        ({"meta": 3}, None),
        ({}, None),
    ]:
        assert names_in(content, tmp_path) == names
    for wrong in ({"a": 1}, [1, 2], 5):
        with pytest.raises(FileFault, match="no list of names; give a names file"):
            names_in({"meta": {"CLASSES": wrong}}, tmp_path / "x.pth")


def test_weights_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(KitError, match="cannot be written"):
        write_state(tmp_path / "folder", STATE, [])
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError, match="cannot be written"):
        write_state(tmp_path / "file" / "x.pth", STATE, [])


@pytest.mark.parametrize("packed", [True, False])
def test_a_class_name_of_any_length_is_refused_at_once(tmp_path, packed):
    """torch would look at it for minutes."""
    path = tmp_path / "w.pth"
    whole = saved({"state_dict": STATE}, _use_new_zipfile_serialization=packed)
    long = b"ctorch._utils\n_rebuild_tensor_v2" + b".x" * 200_000
    if packed:
        with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                data = old.read(name).replace(b"ctorch._utils\n_rebuild_tensor_v2", long)
                new.writestr(name, data)
    else:
        path.write_bytes(whole.replace(b"ctorch._utils\n_rebuild_tensor_v2", long))
    assert fault(path).startswith("not a checkpoint: it names a class of 400,0")
