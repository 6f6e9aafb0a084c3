"""Engines that are a pair of atomate2 Makers, run in this process."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyrite.documents import Crystal
from pyrite.errors import LabelError, PyriteError
from pyrite.models.machine_trouble import require_sound
from pyrite.models.quiet import quietly
from pyrite.models.reference import RelaxResult, StaticResult
from pyrite.models.taskdocs import Reading, read
from pyrite.models.text import one_line

# Optimizers compare fmax with generalised forces of a cell filter, not with those on atoms.
FMAX_TOLERANCE = 1.1


@dataclass(frozen=True)
class Makers:
    """The two Makers of an engine.

    Attributes
    ----------
    engine, engine_version : str
        What a label says about its origin.
    settings : Mapping
        What else determines the numbers.
    static : Maker
        For single points.
    relax : callable
        Gives the Maker of relaxations for (fmax in eV/Å, largest number of steps).
    run : callable
        ``run(maker, structure)`` runs a Maker in the working directory and returns its
        document and the number of evaluations, or None where the document knows it.
    single_point : bool
        Whether a relaxation is followed by a single point in its last cell.
    interrupted : callable
        Whether the walltime has ended the last relaxation.
    program : callable
        Gives name and version of what made a document, or None where ``engine_version`` says it.
    """

    engine: str
    engine_version: str
    settings: Mapping[str, Any]
    static: Any
    relax: Callable[[float, int], Any]
    run: Callable[[Any, Any], tuple[Any, int | None]]
    single_point: bool = False
    interrupted: Callable[[], bool] = lambda: False
    program: Callable[[Any], str | None] = lambda _document: None


@dataclass(frozen=True)
class MakerEngine:
    """Runs atomate2 Makers in this process, inside one directory, silently."""

    makers: Makers
    directory: Path

    def static(self, crystal: Crystal) -> StaticResult:
        """See :meth:`ReferenceEngine.static`."""
        reading, cost = self._run(self.makers.static, crystal, moves=False)
        return StaticResult(
            energy=reading.energy, forces=reading.forces, stress=reading.stress, **cost
        )

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        """See :meth:`ReferenceEngine.relax`."""
        moved, cost = self._run(self.makers.relax(fmax, max_steps), crystal, moves=True)
        interrupted = self.makers.interrupted()
        last = moved
        if self.makers.single_point:
            last, more = self._run(self.makers.static, moved.crystal, moves=False, spent=cost)
            for name in ("calls", "seconds", "scf_cycles"):
                if cost[name] is not None:
                    cost[name] += more[name] or 0
        cost["settings"] = {**cost["settings"], "fmax": fmax, "max_steps": max_steps}
        largest = np.linalg.norm(last.forces, axis=1).max()
        at_rest = bool(largest <= FMAX_TOLERANCE * fmax)
        return RelaxResult(
            energy=last.energy,
            forces=last.forces,
            stress=last.stress,
            crystal=moved.crystal,
            # Symmetry leaves no force on atoms whose cell is still on its way.
            converged=moved.successful and last.successful and at_rest and not interrupted,
            interrupted=interrupted,
            **cost,
        )

    def _run(
        self,
        maker: Any,
        crystal: Crystal,
        *,
        moves: bool,
        spent: Mapping[str, Any] | None = None,
    ) -> tuple[Reading, dict[str, Any]]:
        """What a Maker says, and what it cost; ``spent`` is what its failure costs besides."""
        started = time.perf_counter()
        try:
            with quietly(self.directory):
                document, calls = self.makers.run(maker, crystal.to_structure())
            reading = read(document, crystal, moves=moves)
        except LabelError as error:
            require_sound(error, self.directory)
            raise _after(spent, error) from error.__cause__
        except PyriteError:
            raise
        except Exception as error:
            require_sound(error, self.directory)
            failure = LabelError(f"{self.makers.engine} failed: {one_line(error)}")
            raise _after(spent, failure) from error
        if not moves and not reading.successful:
            cost = {} if reading.scf_cycles is None else {"scf_cycles": reading.scf_cycles}
            reason = f"{self.makers.engine} did not converge"
            raise _after(spent, LabelError(reason, reading.ionic_steps, cost))
        program = self.makers.program(document)
        version = self.makers.engine_version
        return reading, {
            "calls": reading.ionic_steps if calls is None else calls,
            "seconds": time.perf_counter() - started,
            "engine": self.makers.engine,
            "engine_version": f"{program}, {version}" if program else version,
            "settings": self.makers.settings,
            "scf_cycles": reading.scf_cycles,
        }


def _after(spent: Mapping[str, Any] | None, error: LabelError) -> LabelError:
    """A failure with what was spent before it."""
    if spent is not None:
        error.calls += spent["calls"]
        if spent["scf_cycles"] is not None:
            cycles = spent["scf_cycles"] + error.details.get("scf_cycles", 0)
            error.details["scf_cycles"] = cycles
    return error
