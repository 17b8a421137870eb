"""One kill: a command is begun, killed, begun again until it ends; what it leaves equals an undisturbed one's."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.command import Command, HangError, start
from tests.faults.judges import Outcome, but_config, differences, finished_stages, outcome, untrue
from tests.faults.moments import Measured, Moment, measure
from tests.faults.victims import SetupError, Victim, World, timing_files, undisturbed

AGAIN = 0.3  # of the kills: the command that goes on is killed too
TRIES = 5  # to hit a command before its end
WORKERS = "ray::ShardWorker", "ray::do_here"  # of a command on Ray, which does again what they did


@dataclass
class Kill:
    """What became of a kill. struck: what was killed, empty where nothing was; faults: what went wrong."""

    victim: str
    number: int
    moments: list[str] = field(default_factory=list)
    struck: int = 0
    faults: list[str] = field(default_factory=list)


class Range:
    """Where commands are killed: below a folder, with what is known of the undisturbed ones."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        self.timing = timing_files()
        self._known: dict[str, tuple[Measured, Outcome]] = {}

    def known(self, victim: Victim) -> tuple[Measured, Outcome]:
        """How long a victim takes undisturbed, and what it leaves."""
        if victim.name not in self._known:
            folder = self._begun(victim, "undisturbed")
            command, measured = measure(victim.words(self.world), folder)
            undisturbed(command)
            found = outcome(folder, self.timing)
            if victim.local and (other := self._unlike(found, victim.local)):
                raise SetupError(f"not as {victim.local.name} makes it: {'; '.join(other)}")
            self._known[victim.name] = measured, found
            self._tidy(folder)
        return self._known[victim.name]

    def _unlike(self, found: Outcome, local: Victim) -> list[str]:
        """What differs from what a command leaves that is given to this machine alone."""
        return differences(but_config(found), but_config(self.known(local)[1]))

    def kill(self, victim: Victim, number: int) -> Kill:
        """Kill a victim once or twice, as the seed and the number say, and judge what it leaves in the end."""
        rng = random.Random(f"{self.seed} {number} {victim.name}")
        done = Kill(victim.name, number)
        try:
            measured, expected = self.known(victim)
            folder = self._begun(victim, str(number))
            done.faults += self._struck(victim, folder, rng, measured, expected, done)
            if not done.faults:
                done.faults += self._ended(victim, folder, expected)
        except (HangError, SetupError) as error:
            done.faults.append(str(error))
        if not done.faults:
            self._tidy(folder)
        return done

    def _struck(
        self,
        victim: Victim,
        folder: Path,
        rng: random.Random,
        measured: Measured,
        expected: Outcome,
        done: Kill,
    ) -> Iterator[str]:
        wanted = 2 if rng.random() < AGAIN else 1
        for _ in range(TRIES):
            kept = finished_stages(folder)
            moment = Moment.draw(rng, measured)
            command, struck = moment.strike(victim.words(self.world), folder, rng)
            done.moments.append(f"{moment} ({struck or 'came too late'})")
            yield from _after(command)
            if victim.local and struck.startswith(WORKERS) and command.code:
                yield f"the death of {struck} ended the command: {command.err[-1500:]}"
            _age(folder)
            yield from untrue(folder, expected, self.timing)
            yield from _lost(kept, folder)
            if not struck and not done.struck:  # it has ended: begin anew
                shutil.rmtree(folder)
                self._begun(victim, str(done.number))
            done.struck += bool(struck)
            if done.struck == wanted or (done.struck and not struck):
                return

    def _ended(self, victim: Victim, folder: Path, expected: Outcome) -> Iterator[str]:
        """The command once more, undisturbed."""
        kept = finished_stages(folder)
        command = start(victim.words(self.world), folder)
        code = command.wait()
        if code:
            yield f"exit code {code}: {command.err[-1500:]}"
        yield from _after(command)
        yield from _lost(kept, folder)
        yield from differences(outcome(folder, self.timing), expected)

    def _begun(self, victim: Victim, name: str) -> Path:
        folder = self.world.folder / "work" / f"{victim.name}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        victim.begin(self.world, folder)
        return folder

    def _tidy(self, folder: Path) -> None:
        shutil.rmtree(folder)
        for path in folder.parent.glob(f"{folder.name}.*"):
            path.unlink()


def _after(command: Command) -> Iterator[str]:
    """What is wrong with how a command ended: processes, or more than its lines."""
    if left := command.left():
        command.kill()
        yield f"processes are left: {left}"
    if "Traceback" in command.err or "internal error" in command.err:
        yield f"not one line: {command.err[-1500:]}"


def _age(folder: Path) -> None:
    """Let the minute pass after which what a killed writer left may be taken away."""
    for path in folder.rglob(".*.part"):
        if path.is_file():
            os.utime(path, (0, 0))


def _lost(kept: dict[str, str], folder: Path) -> Iterator[str]:
    """Finished stages that were made again, or are gone."""
    now = finished_stages(folder)
    for name, began in kept.items():
        if now.get(name) != began:
            yield f"{name}: was finished, and is {'made again' if name in now else 'gone'}"
