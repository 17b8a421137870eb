"""Mounts that only the commands under test see: in a process with a mount namespace of its own."""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
NEWNS, NEWUSER = 0x20000, 0x10000000  # of Linux' unshare


class MountError(Exception):
    """Mounting is not allowed here."""


def with_mounts(work: Callable[[], list[str]]) -> list[str]:
    """What `work` says in a process that may mount, and whose mounts go with it. Raises MountError."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        said: tuple[bool, list[str]] = False, ["it died"]
        try:
            _enter()
            said = True, work()
        except MountError as error:
            said = False, [str(error)]
        except BaseException:
            said = True, [traceback.format_exc()]
        finally:
            with open(writer, "wb") as pipe:
                pickle.dump(said, pipe)
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        able, lines = pickle.load(pipe)
    os.waitpid(pid, 0)
    if not able:
        raise MountError(lines[0])
    return list(lines)


def mount(*words: object) -> None:
    """Call mount. Raises MountError."""
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MountError(done.stderr.strip())


def read_only(folder: Path) -> None:
    """Let nothing be written below a folder. Raises MountError."""
    mount("--bind", folder, folder)
    mount("-o", "remount,ro,bind", folder)


def small_disk(folder: Path, size: int) -> None:
    """A file system of so many bytes, in memory, at a folder. Raises MountError."""
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)


def resize_disk(folder: Path, size: int) -> None:
    """Give `small_disk` another size. Raises MountError."""
    mount("-o", f"remount,size={size}", folder)


def _enter() -> None:
    if sys.platform != "linux":
        raise MountError("no mount namespaces but on Linux")
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None).unshare(NEWNS if user == 0 else NEWNS | NEWUSER):
        raise MountError("mounting is not allowed here (unshare)")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    mount("--make-rprivate", "/")
