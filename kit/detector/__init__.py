"""Detectors: mmcv's operators, class maps, and partial weight transfer."""
