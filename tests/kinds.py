"""A class hierarchy of the 57 alone, in which some are kinds of others, as in the published one."""

import json

from kit.vocabulary import vocabulary

CLASSES = vocabulary().names[: vocabulary().classes]
MIDS = dict(zip(vocabulary().names, vocabulary().mids, strict=True))
KINDS = {"Car": ["Van"], "Table": ["Coffee table"], "Racket": ["Tennis racket", "Table tennis racket"]}
HIERARCHY = "challenge-2019-label500-hierarchy.json"  # the published name


def hierarchy_json():
    """The hierarchy as the text of a file."""
    lower = [name for names in KINDS.values() for name in names]
    nodes = [
        {"LabelName": MIDS[name], "Subcategory": [{"LabelName": MIDS[kind]} for kind in KINDS.get(name, [])]}
        for name in CLASSES
        if name not in lower
    ]
    return json.dumps({"LabelName": "/m/0bl9f", "Subcategory": nodes})
