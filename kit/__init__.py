"""kit: from nothing to a scored submission in Open Images 2019 - Visual Relationship."""

from kit.base.threads import wait_passively
from kit.base.version import __version__
from kit.session import Session, open_run

__all__ = ["Session", "__version__", "open_run"]

wait_passively()  # before any library of OpenMP is loaded
