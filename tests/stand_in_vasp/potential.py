"""The potential behind the stand-in: ASE's effective medium theory.

ASE counts energies from the bulk metals, which leaves those of most crystals
positive. The stand-in counts them from free atoms, as VASP roughly does: that
adds a constant for each atom of an element, and changes no force and no stress.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.calculators.emt import EMT, parameters

Floats = npt.NDArray[np.float64]

BULK_ENERGY: dict[str, float] = {symbol: float(row[0]) for symbol, row in parameters.items()}
"""Energy of the bulk counted from free atoms, eV/atom."""

ELEMENTS = frozenset(BULK_ENERGY)
METALS = ELEMENTS - {"H", "C", "N", "O"}

SIGMA_TO_ZERO = 0.01
"""How much energy(sigma->0) lies above the free energy, eV/atom.

The forces are the gradient of the free energy. A reader that takes the other
one is off by this much.
"""


@dataclass(frozen=True, eq=False)
class IonicStep:
    """One geometry and its answer.

    Attributes
    ----------
    number : int
        From 1.
    cell : numpy.ndarray
        Shape (3, 3), Å.
    scaled : numpy.ndarray
        Shape (N, 3), fractional coordinates.
    energy : float
        Free energy of the cell, eV, whose gradient the forces are.
    forces : numpy.ndarray
        Shape (N, 3), eV/Å.
    stress : numpy.ndarray
        Shape (3, 3), eV/Å³, tension positive.
    """

    number: int
    cell: Floats
    scaled: Floats
    energy: float
    forces: Floats
    stress: Floats

    @property
    def without_entropy(self) -> float:
        """Energy without the entropy term, eV."""
        return self.energy + 2 * SIGMA_TO_ZERO * len(self.forces)

    @property
    def sigma_to_zero(self) -> float:
        """Energy extrapolated to no smearing, eV."""
        return self.energy + SIGMA_TO_ZERO * len(self.forces)

    def reversed(self) -> "IonicStep":
        """The same, last ion first."""
        return replace(self, scaled=self.scaled[::-1], forces=self.forces[::-1])


def crystal(symbols: Sequence[str], cell: Floats, scaled: Floats) -> Any:
    """The ase.Atoms of a crystal (cell in Å), with the potential."""
    return Atoms(symbols, cell=cell, scaled_positions=scaled, pbc=True, calculator=EMT())  # type: ignore[no-untyped-call]


def evaluate(atoms: Any, number: int) -> IonicStep:
    """Energy, forces and stress of what :func:`crystal` made."""
    bulk = sum(BULK_ENERGY[symbol] for symbol in atoms.get_chemical_symbols())
    return IonicStep(
        number=number,
        cell=np.array(atoms.cell.array),
        scaled=atoms.get_scaled_positions(wrap=False),
        energy=float(atoms.get_potential_energy()) + bulk,
        forces=np.array(atoms.get_forces()),
        stress=np.array(atoms.get_stress(voigt=False)),
    )
