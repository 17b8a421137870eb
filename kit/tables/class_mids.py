"""Names of classes as other people's files have them, as MIDs where they are the challenge's."""

from __future__ import annotations

from collections.abc import Sequence

from kit.vocabulary import vocabulary


def class_mids(names: Sequence[str]) -> tuple[str, ...]:
    """The MIDs of the challenge's classes, whatever the case of their names; other names as they are."""
    vocab = vocabulary()
    known = {name.lower(): mid for name, mid in zip(vocab.names, vocab.mids, strict=True)}
    return tuple(known.get(name.lower(), name) for name in names)
