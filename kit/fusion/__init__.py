"""Fusion: the detections of several models and views become one set."""
