"""Reference calculations: energy, forces and stress that are finite and complete, or refused.

Every engine is a pair of atomate2 Makers, run in this process. A calculation that gives
no usable answer raises :class:`pyrite.errors.LabelError` with the reason; an engine that
cannot run at all raises :class:`pyrite.errors.EngineError` before any calculation.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyrite.config import ReferenceConfig
from pyrite.documents import Crystal, Matrix, Provenance, Vector
from pyrite.errors import LabelError, PyriteError
from pyrite.models.engines import Makers, check_engine, load_makers, one_line
from pyrite.models.quiet import quietly
from pyrite.models.taskdocs import Reading, read

__all__ = [
    "MakerEngine",
    "ReferenceEngine",
    "RelaxResult",
    "StaticResult",
    "check_engine",
    "make_engine",
    "provenance",
    "provenance_of_failure",
]

# Optimizers compare fmax with generalised forces of a cell filter, not with those on atoms.
FMAX_TOLERANCE = 1.1


@dataclass(frozen=True, kw_only=True, eq=False)
class StaticResult:
    """A reference calculation of one geometry.

    Attributes
    ----------
    energy : float
        Whole cell, eV.
    forces : numpy.ndarray
        Shape (N, 3), eV/Å, in the order of the crystal that was asked about.
    stress : numpy.ndarray
        Shape (3, 3), eV/Å³, tension positive.
    calls : int
        Energy-and-force evaluations.
    seconds : float
        Wall time.
    engine, engine_version : str
        The method: its name in the search, or the dotted path of its Maker.
    settings : Mapping
        What else determines the numbers.
    scf_cycles : int, optional
        Electronic steps, where the method has any.
    """

    energy: float
    forces: npt.NDArray[np.float64]
    stress: npt.NDArray[np.float64]
    calls: int
    seconds: float
    engine: str
    engine_version: str
    settings: Mapping[str, Any]
    scf_cycles: int | None = None

    @property
    def fmax(self) -> float:
        """Largest force on an atom, eV/Å."""
        return float(np.linalg.norm(self.forces, axis=1).max())

    def forces_as_tuples(self) -> tuple[Vector, ...]:
        """Forces as records keep them, eV/Å."""
        return tuple((float(x), float(y), float(z)) for x, y, z in self.forces)

    def stress_as_tuples(self) -> Matrix:
        """Stress as records keep it, eV/Å³."""
        a, b, c = ((float(x), float(y), float(z)) for x, y, z in self.stress)
        return a, b, c


@dataclass(frozen=True, kw_only=True, eq=False)
class RelaxResult(StaticResult):
    """A relaxation: the numbers of its last geometry, and the cost of all of them.

    Attributes
    ----------
    crystal : Crystal
        The last geometry, atoms in the order of the crystal that was asked about.
    converged : bool
        Whether the engine ended by itself with all forces below fmax.
    """

    crystal: Crystal
    converged: bool


class ReferenceEngine(Protocol):
    """What labels and validates."""

    def static(self, crystal: Crystal) -> StaticResult:
        """Energy, forces and stress of ``crystal``; raises LabelError if it has none."""
        ...

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        """Relax cell and atoms, symmetry free, until all forces are below ``fmax`` (eV/Å)."""
        ...


def make_engine(config: ReferenceConfig, directory: Path) -> ReferenceEngine:
    """The engine that ``config`` names; its calculations run inside ``directory``.

    Raises
    ------
    EngineError
        When the engine is unknown, not installed, or does not take its settings.
    """
    return MakerEngine(makers=load_makers(config), directory=directory.resolve())


def provenance(result: StaticResult) -> Provenance:
    """Which method made ``result``, and what it cost."""
    return Provenance(
        engine=result.engine,
        engine_version=result.engine_version,
        settings=dict(result.settings),
        seconds=result.seconds,
        reference_calls=result.calls,
        scf_cycles=result.scf_cycles,
    )


def provenance_of_failure(config: ReferenceConfig, started: float, calls: int) -> Provenance:
    """The same for a calculation without a result; ``started`` on the performance counter."""
    return Provenance(
        engine=config.engine,
        engine_version="",
        seconds=time.perf_counter() - started,
        reference_calls=calls,
    )


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
            "engine_version": self.makers.engine_version,
            "settings": self.makers.settings,
            "scf_cycles": reading.scf_cycles,
        }
