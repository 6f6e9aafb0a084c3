"""Engines that run a program for each calculation, in a folder of its own.

A calculation that fails is tried once more from its start with safer settings, and refused with
both reasons after that. A relaxation ends with a single point in its last cell, since it keeps
the basis and the k-points of the cell that it began with. Where the walltime leaves no time for
that, the relaxation counts as interrupted, and its last geometry is kept.
"""

import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyrite.documents import Crystal
from pyrite.errors import LabelError, PyriteError
from pyrite.machine import Keep, Machine
from pyrite.models.engines.makers import FMAX_TOLERANCE
from pyrite.models.machine_trouble import require_sound
from pyrite.models.reference import RelaxResult, StaticResult
from pyrite.models.taskdocs import Reading
from pyrite.models.text import one_line
from pyrite.models.walltime import seconds_left

# It begins from nothing, where steps of a relaxation begin from the last one's electrons.
_STEPS_OF_A_SINGLE_POINT = 3


@dataclass(frozen=True)
class Moves:
    """What a relaxation is asked for: ``fmax`` in eV/Å, and its largest number of steps."""

    fmax: float
    max_steps: int


@dataclass(frozen=True)
class Calculation:
    """One that gave an answer: what it says, and what :class:`StaticResult` says besides."""

    reading: Reading
    facts: dict[str, Any]
    interrupted: bool = False

    @property
    def numbers(self) -> dict[str, Any]:
        """Energy (eV), forces (eV/Å) and stress (eV/Å³)."""
        reading = self.reading
        return {"energy": reading.energy, "forces": reading.forces, "stress": reading.stress}

    def converged(self, fmax: float) -> bool:
        """Whether the program is content and no force is above ``fmax`` (eV/Å)."""
        largest = float(np.linalg.norm(self.reading.forces, axis=1).max())
        return self.reading.successful and largest <= FMAX_TOLERANCE * fmax

    def after(self, first: "Calculation | LabelError") -> dict[str, Any]:
        """The facts, with costs, repairs and folders of failures of both."""
        if isinstance(first, LabelError):
            cycles, seconds = first.details["scf_cycles"], first.details["seconds"]
            corrections = [f"{first}: safer settings"]
            folders = first.details["folders"]
            calls = first.calls
        else:
            cycles, seconds = first.facts["scf_cycles"], first.facts["seconds"]
            corrections = first.facts["details"]["corrections"]
            folders = first.facts["details"].get("folders", [])
            calls = first.facts["calls"]
        details = self.facts["details"]
        folders = [*folders, *details.get("folders", [])]
        return {
            **self.facts,
            "calls": self.facts["calls"] + calls,
            "scf_cycles": self.facts["scf_cycles"] + cycles,
            "seconds": self.facts["seconds"] + seconds,
            "details": {
                **details,
                "corrections": [*corrections, *details["corrections"]],
                **({"folders": folders} if folders else {}),
            },
        }


@dataclass(frozen=True)
class ProgramEngine(ABC):
    """Calculations by a program, each in a folder of its own inside one directory."""

    directory: Path
    machine: Machine

    @property
    @abstractmethod
    def name(self) -> str:
        """The program's name in messages."""

    @abstractmethod
    def run(
        self, crystal: Crystal, moves: Moves | None, folder: Path, *, safer: bool
    ) -> Calculation:
        """Run the program in ``folder``; a single point without ``moves``.

        Facts have all keys of :class:`StaticResult` but its numbers and ``seconds``; their
        details hold ``corrections``.
        """

    @abstractmethod
    def spent(self, folder: Path) -> tuple[int, int]:
        """Evaluations and electronic steps of whatever ran in ``folder``."""

    def corrections(self, _folder: Path) -> list[str]:
        """Repairs that were tried in ``folder``."""
        return []

    def static(self, crystal: Crystal) -> StaticResult:
        """See :meth:`pyrite.models.reference.ReferenceEngine.static`."""
        found = self._at_most_twice(crystal, None)
        return StaticResult(**found.numbers, **found.facts)

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        """See :meth:`pyrite.models.reference.ReferenceEngine.relax`."""
        moved = self._at_most_twice(crystal, Moves(fmax, max_steps))
        there = moved.reading.crystal
        if self._ends_here(moved, fmax):
            return RelaxResult(
                **moved.numbers, **moved.facts, crystal=there, converged=False, interrupted=True
            )
        try:
            last = self._at_most_twice(there, None)
        except LabelError as error:
            before = moved.facts["details"]
            raise LabelError(
                f"{error} (in the single point after a relaxation)",
                calls=error.calls + moved.facts["calls"],
                details={
                    "scf_cycles": moved.facts["scf_cycles"] + error.details["scf_cycles"],
                    "seconds": moved.facts["seconds"] + error.details["seconds"],
                    "corrections": [*before["corrections"], *error.details["corrections"]],
                    "folders": [*before.get("folders", []), *error.details["folders"]],
                },
            ) from error
        converged = moved.reading.successful and last.converged(fmax)
        return RelaxResult(**last.numbers, **last.after(moved), crystal=there, converged=converged)

    def _ends_here(self, moved: Calculation, fmax: float) -> bool:
        """Whether there is no time for more. After a single step, nothing would be lost."""
        if moved.interrupted and not moved.converged(fmax):
            return True
        left, steps = seconds_left(self.machine), moved.facts["calls"]
        step = moved.facts["seconds"] / steps
        return left is not None and steps > 1 and left < _STEPS_OF_A_SINGLE_POINT * step

    def _at_most_twice(self, crystal: Crystal, moves: Moves | None) -> Calculation:
        try:
            return self._once(crystal, moves, safer=False)
        except LabelError as first:
            try:
                second = self._once(crystal, moves, safer=True)
            except LabelError as error:
                raise LabelError(
                    f"{first}; with safer settings: {error}",
                    calls=first.calls + error.calls,
                    details={
                        name: first.details[name] + error.details[name] for name in first.details
                    },
                ) from error
            return Calculation(second.reading, second.after(first), second.interrupted)

    def _once(self, crystal: Crystal, moves: Moves | None, *, safer: bool) -> Calculation:
        started = time.perf_counter()
        self.directory.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{self.name.lower()}-", dir=self.directory))
        keep = self.machine.keep
        wanted = keep is not Keep.NONE
        try:
            found = self.run(crystal, moves, folder, safer=safer)
            wanted = keep is Keep.ALL
        except LabelError as error:
            require_sound(error, folder)
            raise self._explained(error, folder, started) from error
        except PyriteError:  # what the user has to mend: its message says it all
            wanted = False
            raise
        except Exception as error:
            require_sound(error, folder)
            reason = LabelError(f"{self.name} failed: {_said(error)}")
            raise self._explained(reason, folder, started) from error
        finally:
            if not wanted:
                shutil.rmtree(folder, ignore_errors=True)
        found.facts["seconds"] = time.perf_counter() - started
        return found

    def _explained(self, error: LabelError, folder: Path, started: float) -> LabelError:
        corrections = self.corrections(folder)
        text = str(error)
        if corrections:
            text += f" (custodian tried {', then '.join(corrections)})"
        calls, cycles = self.spent(folder)
        details = {
            "corrections": corrections,
            "folders": [] if self.machine.keep is Keep.NONE else [str(folder)],
            "scf_cycles": cycles,
            "seconds": time.perf_counter() - started,
        }
        return LabelError(text, calls, details)


def _said(error: Exception) -> str:
    """An error in words that are the same for all calculations of its kind."""
    for name in ("handler", "validator"):
        if hasattr(error, name):
            return f"{type(error).__name__} of {type(getattr(error, name)).__name__}"
    return one_line(error)
