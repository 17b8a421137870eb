"""Settings of the data: files of the splits, the generated challenge, the download."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from kit.config.base import Files, Model, Seed
from kit.patience import Patience


class Split(Model):
    """Files of one split. Without boxes those of the relations serve, without labels the relations' classes."""

    relations: Files = []
    boxes: Files = []
    labels: Files = []
    images: Path | None = None


class TestSet(Split):
    """Files of the test set: the sample submission (ids and order), and detections of any detector.

    Its truth is known for the mini challenge alone.
    """

    ids: Path | None = None
    detections: Files = []


class Mini(Model):
    """The generated challenge: pictures per split and of the source set, their longer side, and the seed."""

    train: int = Field(1500, ge=1)
    stack: int = Field(400, ge=1)
    val: int = Field(400, ge=1)
    test: int = Field(300, ge=1)
    source: int = Field(1500, ge=0)
    side: int = Field(160, ge=32, le=2000)
    seed: Seed = 0


class Download(Model):
    """How the real data comes, and how patiently Kaggle is asked.

    mirror: an address or folder that holds it instead of the published places;
    at_once: photos at a time; longest: stored with this longest side at most, null as they come; connect,
    read: seconds to wait for a connection and between two reads; tries, and the first wait between them.
    """

    mirror: str | None = None
    at_once: int = Field(64, ge=1, le=512)
    longest: int | None = Field(None, ge=64)
    connect: float = Field(20.0, gt=0)
    read: float = Field(60.0, gt=0)
    tries: int = Field(6, ge=1)
    wait: float = Field(1.0, ge=0)

    @field_validator("mirror")
    @classmethod
    def _folder(cls, value: str | None) -> str | None:
        return os.path.expanduser(value) if value else value

    def patience(self) -> Patience:
        """How long and how often a server is asked."""
        return Patience(self.connect, self.read, self.tries, self.wait)


class Data(Model):
    """Where the data is; `source: mini` generates it into `root`."""

    source: Literal["mini", "openimages"] = "openimages"
    root: Path = Path("data")
    mini: Mini = Mini()
    download: Download = Download()
    train: Split = Split()
    stack: Split = Split()
    val: Split = Split()
    test: TestSet = TestSet()
