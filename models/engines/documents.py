"""As much of a task document as Pyrite reads, for engines whose own says something else."""

from pydantic import BaseModel
from pymatgen.core import Structure


class Output(BaseModel):
    """What was calculated: eV, eV/Å, and kbar with compression positive."""

    energy: float
    forces: list[list[float]]
    stress: list[list[float]]
    n_steps: int
    scf_cycles: int | None = None


class Document(BaseModel):
    """What :func:`pyrite.models.taskdocs.read` reads."""

    structure: Structure
    state: str
    output: Output
    program_version: str
