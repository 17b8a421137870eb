"""kit: from nothing to a scored submission in Open Images 2019 - Visual Relationship."""

from kit.base.version import __version__
from kit.session import Session, open_run

__all__ = ["Session", "__version__", "open_run"]
