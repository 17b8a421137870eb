"""The stages of a run, one module a kind. The list of them is in `kit.pipeline.stage_registry`."""
