"""Figures of a data set and of a run."""
