"""A pair potential as a reference that can be put out of order."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow import Maker, job
from pydantic import BaseModel

KBAR_PER_EV_A3 = 1602.1766208


class Output(BaseModel):
    energy: float
    forces: list[list[float]]
    stress: list[list[float]]
    n_steps: int = 1


class Document(BaseModel):
    structure: Any
    state: str = "successful"
    output: Output


@dataclass
class WeakMaker(Maker):
    """Every energy is NaN until the file ``gate`` exists; relaxations go nowhere."""

    name: str = "weak"
    gate: str = "gate"

    @job
    def make(self, structure: Any) -> Document:
        from ase.calculators.morse import MorsePotential

        atoms = structure.to_ase_atoms(msonable=False)
        atoms.calc = MorsePotential(epsilon=0.3, r0=2.8, rho0=4.0, rcut1=3.0, rcut2=4.0)
        in_order = Path(self.gate).exists()
        stress = -KBAR_PER_EV_A3 * atoms.get_stress(voigt=False)
        return Document(
            structure=structure,
            output=Output(
                energy=float(atoms.get_potential_energy()) if in_order else math.nan,
                forces=atoms.get_forces().tolist(),
                stress=stress.tolist(),
            ),
        )
