"""Invented bands: enough for readers that look for a gap."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tests.stand_in_vasp.inputs import Inputs
from tests.stand_in_vasp.potential import METALS

GAP = 2.0
"""Of a crystal with H, C, N or O, at each k-point, eV."""

_LOWEST, _SPACING, _WIDTH = -8.0, 0.5, 0.3  # eV


@dataclass(frozen=True, eq=False)
class Bands:
    """Band energies.

    Attributes
    ----------
    energies : numpy.ndarray
        Shape (K, B), eV, the same for each spin.
    occupied : int
        Bands that are filled, the same at each k-point.
    fermi : float
        Fermi energy, eV.
    spins : int
        1 or 2.
    """

    energies: npt.NDArray[np.float64]
    occupied: int
    fermi: float
    spins: int


def invent_bands(inputs: Inputs) -> Bands:
    """Parallel bands; those of a crystal of metals touch at the Fermi energy."""
    metal = set(inputs.poscar.symbols) <= METALS
    level = _LOWEST + _SPACING * np.arange(inputs.bands, dtype=float)
    level[inputs.occupied :] += -_SPACING if metal else GAP - _SPACING
    waves = _WIDTH * np.cos(2 * np.pi * inputs.kpoints.points).mean(axis=1)
    energies = level[None, :] + waves[:, None]
    top = energies[:, inputs.occupied - 1].max()
    empty = energies[:, inputs.occupied :]
    bottom = empty.min() if empty.size else top
    return Bands(energies, inputs.occupied, float((top + bottom) / 2), inputs.settings.ispin)
