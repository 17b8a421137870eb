"""How many processes began a training that several can do together: others do not go on from what it left."""

from __future__ import annotations

from kit.base.errors import KitError
from kit.base.files import write_text
from kit.pipeline.stage import StageContext

FILE = "processes.txt"  # in the stage's folder, as long as the training


def check_begun_by(context: StageContext) -> None:
    """Raise KitError where an interrupted try was one of more or fewer processes; note how many there are."""
    from kit.detector.team import Team

    team = Team.here()
    team.of_first(lambda: _check(context, team.count))


def _check(context: StageContext, count: int) -> None:
    path = context.path / FILE
    before = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else ""
    before = before if before.isascii() and before.isdigit() else str(count)  # new, or damaged
    if before != str(count):
        text = (
            f"{context.stage.name}: interrupted under {before} process{'es' * (before != '1')}, now {count}"
        )
        raise KitError(
            f"{text}: its draws would be others",
            f"start it under {before} again, or give --force to begin anew",
        )
    write_text(path, before)


def end_begun_by(context: StageContext) -> None:
    """The training has come to its end."""
    (context.path / FILE).unlink(missing_ok=True)
