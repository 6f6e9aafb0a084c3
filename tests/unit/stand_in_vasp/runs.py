"""Inputs for the stand-in for VASP, and runs of it."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT, parameters
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Incar, Poscar, Vasprun
from tests.stand_in_vasp import potcars, vasp_std
from tests.stand_in_vasp.calculation import run

QUIET = [
    pytest.mark.filterwarnings("ignore:POTCAR data with symbol"),
    pytest.mark.filterwarnings("ignore:.*is an unconverged VASP run"),
]
SCRIPT = Path(vasp_std.__file__)
KBAR = 1602.1766208  # per eV/Å³
STATIC = {
    "ALGO": "Normal",
    "EDIFF": 1e-5,
    "ISMEAR": 0,
    "ISPIN": 2,
    "KSPACING": 0.5,
    "LORBIT": 11,
    "LREAL": False,
    "NELM": 30,
    "NSW": 0,
    "SIGMA": 0.05,
}
RELAX = {**STATIC, "EDIFFG": -0.02, "IBRION": 2, "ISIF": 3, "NSW": 60}


def crystal(*, sort: bool = True) -> Atoms:
    """Cu2Au2, distorted, sheared, and compressed a little."""
    atoms = bulk("Cu", "fcc", 3.8, cubic=True)
    atoms.symbols[[1, 2] if not sort else [2, 3]] = "Au"
    atoms.set_cell(atoms.cell.array @ [[1, 0.05, 0], [0, 1.04, 0.02], [0, 0, 0.98]], True)
    atoms.rattle(0.1, seed=4)
    return atoms


def write_inputs(folder: Path, atoms: Atoms, incar: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    poscar = Poscar(AseAtomsAdaptor.get_structure(atoms))
    poscar.write_file(folder / "POSCAR", significant_figures=16)
    text = "".join(potcars.potcar(symbol) for symbol in poscar.site_symbols)
    (folder / "POTCAR").write_text(text)
    Incar(incar).write_file(folder / "INCAR")
    return folder


def run_here(folder: Path) -> int:
    """In this process, with custodian's names for the streams."""
    with (
        (folder / "vasp.out").open("w") as out,
        (folder / "std_err.txt").open("w") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        return run(folder)


def start(folder: Path, **environment: str) -> subprocess.Popen:
    """In a process of its own, as custodian starts it."""
    with (folder / "vasp.out").open("w") as out, (folder / "std_err.txt").open("w") as err:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            cwd=folder,
            stdout=out,
            stderr=err,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            start_new_session=True,
        )


def said(folder: Path) -> str:
    return " ".join((folder / "vasp.out").read_text().replace("|", " ").split())


def free_energy(folder: Path) -> float:
    return Vasprun(folder / "vasprun.xml").ionic_steps[-1]["e_fr_energy"]


def expected(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy from free atoms (eV), forces (eV/Å), stress (kB, compression positive)."""
    atoms = atoms.copy()
    atoms.calc = EMT()
    bulk_energy = sum(parameters[symbol][0] for symbol in atoms.get_chemical_symbols())
    stress = -KBAR * atoms.get_stress(voigt=False)
    return atoms.get_potential_energy() + bulk_energy, atoms.get_forces(), stress


def wait_for(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
