"""Settings of the data: files of the splits, the generated challenge, the download."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_serializer, field_validator

from kit.base.address import MARK, is_address, shown
from kit.base.errors import KitError
from kit.base.retry import RetryPolicy
from kit.config.model import Files, ImagesPath, Model, Seed, UserPath

MIRROR = "KIT_MIRROR"  # of the environment
MAX_PIXELS = 100_000_000  # of an image; decoded it takes three bytes a pixel


class SplitFiles(Model):
    """Files of one split. Without boxes those of the relations serve, without labels the relations' classes.

    detections: any detector's, which stand in place of those that kit's detectors make and fuse; files, or folders
    of YOLO labels; detection_images: a COCO file of images and categories that COCO results refer to, by default
    the images' files say their sizes; detection_classes: names of the classes of YOLO labels.
    """

    relations: Files = []
    boxes: Files = []
    labels: Files = []
    images: ImagesPath | None = None
    detections: Files = []
    detection_images: UserPath | None = None
    detection_classes: UserPath | None = None


class TestSet(SplitFiles):
    """Files of the test set: the sample submission (ids and order).

    Its truth is known for the mini challenge alone.
    """

    ids: UserPath | None = None


class Mini(Model):
    """The generated challenge: images per split and of the source set, their longer side, and the seed."""

    train: int = Field(1500, ge=1)
    stack: int = Field(400, ge=1)
    val: int = Field(400, ge=1)
    test: int = Field(300, ge=1)
    source: int = Field(1500, ge=0)
    side: int = Field(160, ge=32, le=2000)
    seed: Seed = 0


class Download(Model):
    """How the real data is downloaded, and how often Kaggle is asked.

    mirror: an address or folder that holds it instead of the published places; copies of the config hold
    `***` for name, password and query, and where that stands the environment's KIT_MIRROR is the address;
    concurrency: photos at a time; max_side: longest side (pixels) of a stored photo, null as they come;
    connect_timeout, read_timeout: seconds to wait for a connection and between two reads; attempts: of one
    call in all; backoff: seconds between the first two, doubled each time.
    """

    mirror: str | None = Field(None, repr=False)
    concurrency: int = Field(64, ge=1, le=512)
    max_side: int | None = Field(None, ge=64)
    connect_timeout: float = Field(20.0, gt=0)
    read_timeout: float = Field(60.0, gt=0)
    attempts: int = Field(6, ge=1)
    backoff: float = Field(1.0, ge=0)

    @field_validator("mirror")
    @classmethod
    def _folder(cls, value: str | None) -> str | None:
        return os.path.expanduser(value) if value else value

    @field_serializer("mirror")
    def _without_secrets(self, mirror: str | None) -> str | None:
        return mirror and shown(mirror)

    def address(self) -> str | None:
        """The mirror with its secrets. Raises KitError where these are not there, or it is no place."""
        mirror = self.mirror
        if mirror and MARK in mirror:
            mirror = os.environ.get(MIRROR)
            if not mirror or shown(mirror) != self.mirror:
                why = "is another address" if mirror else "is not set"
                hint = f"set {MIRROR} to the whole address, or give it by --set data.download.mirror"
                raise KitError(
                    f"data.download.mirror {self.mirror}: its secrets are not kept; {MIRROR} {why}", hint
                )
        if mirror and (
            shown(mirror) != mirror if not is_address(mirror) else not re.match("https?://", mirror, re.I)
        ):
            hint = "an address begins with http:// or https://"
            raise KitError(f"data.download.mirror {shown(mirror)}: neither a folder nor an address", hint)
        return mirror

    def retry_policy(self) -> RetryPolicy:
        """How long and how often a server is asked."""
        return RetryPolicy(self.connect_timeout, self.read_timeout, self.attempts, self.backoff)


class Decoding(Model):
    """How images are read: at most so many pixels; EXIF's orientation is applied or not."""

    max_pixels: int = Field(MAX_PIXELS, ge=1, le=1 << 30)
    exif_orientation: Literal["ignore", "apply"] = "ignore"


class Data(Model):
    """Where the data is; `source: mini` generates it into `root`.

    hierarchy: the class hierarchy (JSON) by which the detection metric copies boxes and labels to related classes,
    as the official one does; null scores every class by itself;
    max_pixels: a larger image is skipped, seen by its header; exif_orientation: boxes of Open Images refer to
    the stored pixels, so that EXIF's orientation is ignored; `apply` turns the images by it.
    """

    source: Literal["mini", "openimages"] = "openimages"
    root: UserPath = Path("data")
    hierarchy: UserPath | None = None
    max_pixels: int = Field(MAX_PIXELS, ge=1, le=1 << 30)
    exif_orientation: Literal["ignore", "apply"] = "ignore"
    mini: Mini = Mini()
    download: Download = Download()
    train: SplitFiles = SplitFiles()
    stack: SplitFiles = SplitFiles()
    val: SplitFiles = SplitFiles()
    test: TestSet = TestSet()

    def decoding(self) -> Decoding:
        """How images are read."""
        return Decoding(max_pixels=self.max_pixels, exif_orientation=self.exif_orientation)
