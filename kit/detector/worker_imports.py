"""Imported by the server that forks the workers of a DataLoader: mmdet with kit's parts, once for all of them."""

from kit.detector.architecture import prepare

prepare()
