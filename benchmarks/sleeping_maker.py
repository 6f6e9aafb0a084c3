"""A reference that takes as long as it is told to: a pair potential, and sleep."""

import os
import time
from dataclasses import dataclass
from typing import Any

from ase.calculators.morse import MorsePotential
from jobflow import Maker, job
from pydantic import BaseModel

SECONDS = "OVERHEAD_LABEL_SECONDS"
KBAR_PER_EV_A3 = 1602.1766208


class Output(BaseModel):
    """Energy (eV), forces (eV/Å) and stress (kbar, compression positive)."""

    energy: float
    forces: list[list[float]]
    stress: list[list[float]]
    n_steps: int = 1


class Document(BaseModel):
    """What Pyrite reads of a Maker's document."""

    structure: Any
    state: str = "successful"
    output: Output


def answered(structure: Any) -> Document:
    """What a Morse potential says of a structure."""
    atoms = structure.to_ase_atoms(msonable=False)
    atoms.calc = MorsePotential(epsilon=0.3, r0=2.8, rho0=4.0, rcut1=3.0, rcut2=4.0)
    stress = -KBAR_PER_EV_A3 * atoms.get_stress(voigt=False)
    output = Output(
        energy=float(atoms.get_potential_energy()),
        forces=atoms.get_forces().tolist(),
        stress=stress.tolist(),
    )
    return Document(structure=structure, output=output)


@dataclass
class SleepingMaker(Maker):
    """Answers after as many seconds as the environment says; relaxations go nowhere."""

    name: str = "sleeping"

    @job
    def make(self, structure: Any) -> Document:
        """Calculate, and wait for the rest of the time."""
        ends = time.perf_counter() + float(os.environ.get(SECONDS, "1"))
        document = answered(structure)
        time.sleep(max(0.0, ends - time.perf_counter()))
        return document
