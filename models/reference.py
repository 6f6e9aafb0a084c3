"""Reference calculations: energy, forces and stress that are finite and complete, or refused.

A calculation that gives no usable answer raises :class:`pyrite.errors.LabelError` with the
reason; an engine that cannot run at all raises :class:`pyrite.errors.EngineError` before any
calculation. `pyrite.models.engines` has the engines.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyrite.documents import Crystal, Matrix, Provenance, Vector
from pyrite.errors import LabelError
from pyrite.reference_config import ReferenceConfig


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
    details : Mapping
        What may differ between calculations that can be compared, such as repairs.
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
    details: Mapping[str, Any] = field(default_factory=dict)

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
    interrupted : bool
        Whether a time limit ended it: it can go on from ``crystal``.
    """

    crystal: Crystal
    converged: bool
    interrupted: bool = False


class ReferenceEngine(Protocol):
    """What labels and validates."""

    def static(self, crystal: Crystal) -> StaticResult:
        """Energy, forces and stress of ``crystal``; raises LabelError if it has none."""
        ...

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        """Relax cell and atoms, symmetry free, until all forces are below ``fmax`` (eV/Å)."""
        ...


def provenance(result: StaticResult) -> Provenance:
    """Which method made ``result``, and what it cost."""
    return Provenance(
        engine=result.engine,
        engine_version=result.engine_version,
        settings=dict(result.settings),
        seconds=result.seconds,
        reference_calls=result.calls,
        scf_cycles=result.scf_cycles,
        details=dict(result.details),
    )


def provenance_of_failure(config: ReferenceConfig, started: float, error: LabelError) -> Provenance:
    """The same for a calculation without a result; ``started`` on the performance counter."""
    return Provenance(
        engine=config.engine,
        engine_version="",
        seconds=time.perf_counter() - started,
        reference_calls=error.calls,
        scf_cycles=error.details.get("scf_cycles"),
        details=error.details,
    )
