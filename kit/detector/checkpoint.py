"""Checkpoints in and out: weights and the names of their classes, no code."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from kit.base.errors import FileFault
from kit.base.files import atomic_write
from kit.detector.allowed import allowed, overlong_name
from kit.detector.finite import broken_weight
from kit.vocabulary.class_names import PICKLE, ZIP

State = dict[str, Tensor]

NESTED = ("state_dict", "model_state_dict", "model", "ema_state_dict", "ema", "module")  # where weights lie
WRAPPERS = ("module.", "_orig_mod.")  # what wrappers of a model put before its names
CHUNK = 1 << 20  # bytes read at a time
SAVE_AGAIN = "save the model's state_dict() with torch.save"
OTHER_FILES = (  # first bytes, what it is, what to do
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch it with git lfs pull"),
    (b"\x1f\x8b", "packed by gzip", "unpack it first"),
    (b"BZh", "packed by bzip2", "unpack it first"),
    (b"\xfd7zXZ", "packed by xz", "unpack it first"),
    (b"\x89HDF", "an HDF5 file", "give a checkpoint of torch"),
    (b"<", "a web page or XML", "look at it: the download may have failed"),
)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, read under torch's weights_only; objects on a list become empty ones.

    Nothing is mapped: a file that is written over while it is read would end the process. Raises FileFault for
    whatever is not a whole checkpoint.
    """
    head = _head(path)
    if not head:
        raise FileFault(path, "empty: not a checkpoint")
    if head.startswith(ZIP):
        _check_archive(path)
    else:
        with path.open("rb") as file:
            _refuse_overlong(path, file)
    try:
        with allowed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise whatever they lead to
        raise _why(path, head, error) from None
    if not isinstance(checkpoint, dict):
        raise FileFault(path, "not a checkpoint: it holds no weights", hint=SAVE_AGAIN)
    return checkpoint


def read_state(path: Path) -> State:
    """The weights of a checkpoint. Raises FileFault, also for weights that are not finite."""
    return weights_of(read_checkpoint(path), path)


def weights_of(checkpoint: Mapping[str, Any], path: Path) -> State:
    """The weights inside a checkpoint's content, wherever its training put them. Raises FileFault."""
    state = _innermost(checkpoint)
    if not state or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise FileFault(path, "not a checkpoint: it holds no weights", hint=SAVE_AGAIN)
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in state):
            state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise FileFault(path, f"{name} is not a plain tensor of numbers", hint=SAVE_AGAIN)
    broken = broken_weight(state)
    if broken is not None:
        raise FileFault(
            path, f"{broken} holds numbers that are not finite", hint="its training diverged: take another"
        )
    return {name: tensor.detach() for name, tensor in state.items()}


def names_in(checkpoint: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
    """The class names that a checkpoint of mmdet gives itself, None where it gives none. Raises FileFault."""
    meta = checkpoint.get("meta")
    if not isinstance(meta, dict):
        return None
    dataset_meta = meta.get("dataset_meta")
    dataset_meta = dataset_meta if isinstance(dataset_meta, dict) else {}
    found = [
        dataset_meta.get("classes"),
        dataset_meta.get("CLASSES"),
        meta.get("CLASSES"),
        meta.get("classes"),
    ]
    names = next((names for names in found if names), None)
    if names is None:
        return None
    if isinstance(names, str):  # mmdet writes a single class this way
        return (names,)
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise FileFault(path, "what it says of its classes is no list of names", hint="give a names file")
    return tuple(names)


def write_state(path: Path, state: State, classes: Sequence[str]) -> None:
    """Write weights with the names of their classes, loadable under torch's weights_only default."""
    content = {"meta": {"dataset_meta": {"classes": list(classes)}}, "state_dict": state}
    with (
        atomic_write(path) as part,
        part.open("wb") as file,
    ):  # given a path, torch would write its name into the file
        torch.save(content, file)


def _head(path: Path) -> bytes:
    """A file's first bytes. Raises FileFault."""
    try:
        with path.open("rb") as file:
            return file.read(64)
    except FileNotFoundError:
        raise FileFault(path, "no such file") from None
    except IsADirectoryError:
        raise FileFault(path, "a folder, not a checkpoint", hint="give the .pth file in it") from None
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise FileFault(path, f"cannot be read ({problem})") from None


def _check_archive(path: Path) -> None:
    """Raise FileFault where torch's archive is damaged, or is another kind of archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if not any(name.endswith("/data.pkl") for name in names):
                raise FileFault(path, "not a checkpoint: a zip archive of other files", hint=_first(names))
            if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
                raise FileFault(path, "a TorchScript archive, not a checkpoint", hint=SAVE_AGAIN)
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise FileFault(path, "a checkpoint that was packed again", hint="unpack it first")
            bad = [entry.filename for entry in entries if not _whole_entry(archive, entry)]
            if bad and len(bad) < len(entries):  # all: written without checksums
                raise FileFault(path, f"damaged: the checksum of {bad[0]} in it is wrong")
            for name in names:
                if name.endswith("/data.pkl"):
                    with archive.open(name) as file:
                        _refuse_overlong(path, file)
    except FileFault:
        raise
    except Exception:  # damaged bytes raise whatever they lead to
        raise FileFault(path, "cut short or damaged: not a whole checkpoint") from None


def _refuse_overlong(path: Path, stream: IO[bytes]) -> None:
    length = overlong_name(stream)
    if length:
        raise FileFault(path, f"not a checkpoint: it names a class of {length:,} characters", hint=SAVE_AGAIN)


def _whole_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    sum_, wanted, entry.CRC = 0, entry.CRC, None  # type: ignore[assignment]  # None: zipfile does not check
    with archive.open(entry) as file:
        while chunk := file.read(CHUNK):
            sum_ = zlib.crc32(chunk, sum_)
    return sum_ == wanted


def _why(path: Path, head: bytes, error: Exception) -> FileFault:
    """What is wrong with a file that torch does not read."""
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused or re.search("Trying to call|Can only (create|build)", str(error)):
        what = refused[1] if refused else "a call"
        return FileFault(
            path, f"holds {what}, which is not on the list of what kit unpickles", hint=SAVE_AGAIN
        )
    if isinstance(error, OSError):
        return FileFault(path, f"cannot be read ({error.strerror or error})")
    for first, what, hint in OTHER_FILES:
        if head.startswith(first):
            return FileFault(path, f"not a checkpoint: {what}", hint=hint)
    if head[8:9] == b"{":
        return FileFault(path, "not a checkpoint: a safetensors file", hint="give a checkpoint of torch")
    if not head.startswith((ZIP, PICKLE)):
        return FileFault(path, "not a checkpoint: neither an archive nor a pickle of torch.save")
    return FileFault(path, "cut short or damaged: not a whole checkpoint")


def _innermost(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The table of weights inside the tables that trainings put around it."""
    state = dict(checkpoint)
    while inner := next(
        (state[key] for key in NESTED if isinstance(state.get(key), dict) and state[key]), None
    ):
        state = dict(inner)
    return state


def _first(names: Sequence[str]) -> str:
    return f"it holds {names[0]}" if names else "it holds nothing"
