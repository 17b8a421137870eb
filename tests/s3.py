"""An S3 server on this machine, started once for all tests that want one, and machines that share it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.base.remote_place import CACHE, local_place
from kit.config import Config
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from tests.stages import small_stage


@contextmanager
def serving_s3() -> Iterator[str]:
    """The address of a server without any bucket."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class Machines:
    """Machines by name, each with a cache of its own; they share a store."""

    def __init__(self, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address, self.folder, self.monkeypatch = address, folder, monkeypatch

    def on(self, name: str) -> None:
        """Be at work on a machine."""
        self.monkeypatch.setenv(CACHE, str(self.folder / name))

    def run(self, name: str, address: str | None = None, expiry: float | None = None) -> Run:
        """Open the run on a machine."""
        self.on(name)
        run = Run(Config(), local_place(address or self.address, "runs"))
        if expiry is not None and run.remote:
            run.remote.expiry = expiry
        return run


def write_two(text: str) -> Callable[..., dict[str, str]]:
    """The work of a stage that writes files of a text, one of them in a folder."""

    def work(context) -> dict[str, str]:  # type: ignore[no-untyped-def]
        (context.path / "result").write_text(text)
        (context.path / "shards").mkdir(exist_ok=True)
        for i in range(3):
            (context.path / "shards" / f"{i}.txt").write_text(f"{i} {text}")
        return {"text": text}

    return work


def do(run: Run, text: str, name: str = "s") -> None:
    """Bring a stage up to date that is made from a text."""
    Pipeline(run, [small_stage(name, settings=text, work=write_two(text))]).do(name)


def found(run: Run, name: str = "s") -> str | None:
    """The text that a stage was made from, after a look at all its files; None where it is not finished."""
    record = run.record(name)
    if record is None:
        return None
    folder = run.folder(name)
    text = (folder / "result").read_text()
    assert record["metrics"]["text"] == text
    assert [(folder / "shards" / f"{i}.txt").read_text() for i in range(3)] == [
        f"{i} {text}" for i in range(3)
    ]
    return text
