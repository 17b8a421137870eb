"""The stages of a run, one module a kind; this is the one list of them, in the order of the work."""

MODULES = (
    "prior",
    "detector",
    "detect",
    "fuse",
    "attribute_detector",
    "spatial",
    "visual",
    "stack",
    "scored_candidates",
    "final",
    "predict",
    "evaluate",
    "evaluate_detections",
    "evaluate_attributes",
    "submission",
)
