"""kit: from nothing to a scored submission in Open Images 2019 - Visual Relationship."""

__version__ = "0.1.0"

from kit.session import Session, open_run

__all__ = ["Session", "__version__", "open_run"]
