"""Energies of the same crystals by several programs: do they see the same physics?

    python -m benchmarks.phases --program gpaw --compound Si
    python -m benchmarks.phases --program abinit --compound Si --kspacing 0.18

Single points of fixed geometries with PBE and a Fermi-Dirac smearing of 0.1 eV, energies above that
of the first. Every energy is written when it is known.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from benchmarks import stored
from pyrite.documents import Crystal
from pyrite.models.engines import make_engine
from pyrite.models.engines.gpaw_inputs import mesh
from pyrite.reference_config import GpawConfig, ReferenceConfig

RESULTS = Path(__file__).parent / "results" / "phases.json"
PSEUDOS = Path("/usr/share/abinit/psp/Pseudodojo_nc_sr_04_pbe_standard_psp8")
_TIN = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) * [4.81, 4.81, 2.65] / 2

PHASES = {
    "Si": {
        "diamond": bulk("Si", "diamond", a=5.47),
        "beta-tin": Atoms("Si2", cell=_TIN, scaled_positions=[(0, 0, 0), (0.75, 0.25, 0.5)]),
        "simple cubic": bulk("Si", "sc", a=2.53),
        "hcp": bulk("Si", "hcp", a=2.70, c=4.40),
    },
    "NaCl": {
        "rocksalt": bulk("NaCl", "rocksalt", a=5.70),
        "CsCl type": bulk("NaCl", "cesiumchloride", a=3.48),
        "zinc blende": bulk("NaCl", "zincblende", a=6.15),
    },
}


def reference(program: str, atoms: Atoms, kspacing: float) -> ReferenceConfig:
    """The same method by one program: no symmetry is assumed beyond the program's own."""
    if program == "gpaw":
        return ReferenceConfig(engine="gpaw", gpaw={"cutoff": 400, "kspacing": kspacing})
    if program == "cp2k":
        makers = "pyrite.models.engines.cp2k"
        cutoff = 400 if "Si" in atoms.symbols else 1000
        settings: dict[str, Any] = {"kspacing": kspacing, "cutoff": cutoff, "finer_xc_grid": False}
    else:
        makers = "atomate2.abinit.jobs.core"
        settings = {"input_set_generator": _abinit(atoms, kspacing)}
    return ReferenceConfig(
        engine="maker",
        static_maker=f"{makers}.StaticMaker",
        relax_maker=f"{makers}.RelaxMaker",
        settings=settings,
    )


def _abinit(atoms: Atoms, kspacing: float) -> dict[str, Any]:
    return {
        "pseudos": [str(PSEUDOS / f"{symbol}.psp8") for symbol in sorted(set(atoms.symbols))],
        "factory_kwargs": {
            "ecut": 20,
            "kppa": 1,
            "shift_mode": "Gamma",
            "spin_mode": "unpolarized",
            "smearing": "fermi_dirac:0.1 eV",
        },
        "user_abinit_settings": {
            # GPAW's, so that programs are compared and not meshes.
            "ngkpt": mesh(GpawConfig(kspacing=kspacing), Crystal.from_atoms(atoms)),
            "nshiftk": 1,
            "shiftk": [0.5, 0.5, 0.5],
            "kptopt": 2,  # time reversal only: the shifted mesh has not all the symmetry
            "chksymtnons": 0,
            "tolvrs": 1e-8,
            "paral_kgb": 0,
            "prtwf": 0,
        },
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", choices=("gpaw", "abinit", "cp2k"), required=True)
    parser.add_argument("--compound", choices=PHASES, default="Si")
    parser.add_argument("--kspacing", type=float, default=0.25, help="1/Å")
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args(argv)
    key = f"{given.compound}-{given.program}-{given.kspacing}"
    run: dict[str, Any] = {"phases": {}}
    with tempfile.TemporaryDirectory() as scratch:
        lowest = None
        for name, atoms in PHASES[given.compound].items():
            engine = make_engine(reference(given.program, atoms, given.kspacing), Path(scratch))
            started = time.perf_counter()
            found = engine.static(Crystal.from_atoms(atoms))
            energy = found.energy / len(atoms)
            lowest = energy if lowest is None else lowest
            run["version"] = found.engine_version
            run["phases"][name] = {
                "above_first_mev_per_atom": round(1000 * (energy - lowest), 1),
                "seconds": round(time.perf_counter() - started, 1),
            }
            stored.update(given.json, partial(_with, key, run))
            print(key, name, run["phases"][name], flush=True)


def _with(key: str, run: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return document | {key: run}


if __name__ == "__main__":
    main()
