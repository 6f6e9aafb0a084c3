"""Engines that are a pair of atomate2 Makers, run in this process."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyrite.documents import Crystal
from pyrite.errors import LabelError, PyriteError
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
    """

    engine: str
    engine_version: str
    settings: Mapping[str, Any]
    static: Any
    relax: Callable[[float, int], Any]
    run: Callable[[Any, Any], tuple[Any, int | None]]


@dataclass(frozen=True)
class MakerEngine:
    """Runs atomate2 Makers in this process, inside one directory, silently."""

    makers: Makers
    directory: Path

    def static(self, crystal: Crystal) -> StaticResult:
        """See :meth:`ReferenceEngine.static`."""
        reading, cost = self._run(self.makers.static, crystal, moves=False)
        if not reading.successful:
            raise LabelError(f"{self.makers.engine} did not converge", calls=reading.ionic_steps)
        return StaticResult(
            energy=reading.energy, forces=reading.forces, stress=reading.stress, **cost
        )

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        """See :meth:`ReferenceEngine.relax`."""
        reading, cost = self._run(self.makers.relax(fmax, max_steps), crystal, moves=True)
        cost["settings"] = {**cost["settings"], "fmax": fmax, "max_steps": max_steps}
        largest = np.linalg.norm(reading.forces, axis=1).max()
        return RelaxResult(
            energy=reading.energy,
            forces=reading.forces,
            stress=reading.stress,
            crystal=reading.crystal,
            converged=reading.successful and bool(largest <= FMAX_TOLERANCE * fmax),
            **cost,
        )

    def _run(self, maker: Any, crystal: Crystal, *, moves: bool) -> tuple[Reading, dict[str, Any]]:
        started = time.perf_counter()
        try:
            with quietly(self.directory):
                document, calls = self.makers.run(maker, crystal.to_structure())
        except PyriteError:
            raise
        except Exception as error:
            raise LabelError(f"{self.makers.engine} failed: {one_line(error)}") from error
        reading = read(document, crystal, moves=moves)
        return reading, {
            "calls": reading.ionic_steps if calls is None else calls,
            "seconds": time.perf_counter() - started,
            "engine": self.makers.engine,
            "engine_version": getattr(document, "program_version", self.makers.engine_version),
            "settings": self.makers.settings,
            "scf_cycles": reading.scf_cycles,
        }
