"""What a checkpoint may hold besides tensors and plain values: a list, and nothing outside it is unpickled.

Trainings leave objects in their checkpoints that no weights depend on: histories of losses, numpy's scalars, times.
Nothing of numpy or mmengine is called for them: an empty object stands in for each, a plain dict for their tables.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from torch.serialization import safe_globals

TABLES = (
    "collections.defaultdict",
    "addict.addict.Dict",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
)
BUILTINS = ("slice", "frozenset", "list", "dict", "tuple", "int", "float", "str", "bool")
LEFT_OUT = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",  # its methods: getattr(HistoryBuffer, "mean"); nothing is looked up
    *(f"{package}.Config" for package in ("mmengine.config.config", "mmcv.utils.config")),
    *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath")),
    *(f"pathlib._local.{name}" for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath")),
    *("argparse.Namespace", "types.SimpleNamespace", "torch.torch_version.TorchVersion"),
    *(f"builtins.{name}" for name in BUILTINS),
    *(f"numpy.{name}" for name in ("ndarray", "dtype", "str_", "bytes_", "bool_", "bool")),
    *(f"numpy.{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *(f"numpy.float{bits}" for bits in (16, 32, 64)),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    *(f"numpy.random._pickle.__{name}_ctor" for name in ("randomstate", "bit_generator", "generator")),
    *("numpy.random._mt19937.MT19937", "numpy.random._pcg64.PCG64"),
)

LONGEST = 500  # characters of a class's module and name
PICKLES = 5  # in a file of torch's old form, before the numbers


def overlong_name(stream: IO[bytes]) -> int | None:
    """The length of a class's name in pickles that is longer than any; None where there is none.

    torch looks at a name that it refuses with patterns whose time grows faster than the name.
    """
    with suppress(Exception):  # damaged bytes: torch says so
        for _ in range(PICKLES):
            for operation, value, _place in pickletools.genops(stream):
                if operation.name in ("GLOBAL", "INST") and len(str(value)) > LONGEST:
                    return len(str(value))
    return None


class LeftOut:
    """Stands for an object that is not read; whatever it is made from is let go."""

    __slots__ = ()

    def __new__(cls, *_: Any) -> LeftOut:
        """An empty object, whatever it should be made from."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


class Table:
    """Stands for a kind of dict: making one gives a plain dict."""

    def __new__(cls, *start: Any) -> dict[Any, Any]:  # type: ignore[misc]
        """A plain dict, filled from the first argument where that is one."""
        return dict(start[0]) if start and isinstance(start[0], dict) else {}


@contextmanager
def allowed() -> Iterator[None]:
    """Inside, torch's weights_only reading takes the listed classes too, each by its stand-in."""
    stand_ins: list[Any] = [(LeftOut, name) for name in LEFT_OUT] + [(Table, name) for name in TABLES]
    with safe_globals(stand_ins):
        yield
