"""CP2K by atomate2's input sets, as Makers for ``reference.engine: maker``.

PBE with Gaussian bases and GTH pseudopotentials, smeared, with k-points: the same settings for
metals and insulators. A worker needs ``PMG_CP2K_DATA_DIR``, which ``pmg config --cp2k`` fills.

atomate2's own Makers cannot be taken as they are (0.1.6): their documents leave forces in Ha/bohr
and stress in GPa or bar, whichever CP2K printed; the document cannot be made without spin; bases
are named in a table that calculations share and overwrite; an optimization that ran out of steps
counts as successful; and custodian's handlers for CP2K end every CP2K of the machine by name.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.units import Bohr, GPa, Hartree, kB
from atomate2.cp2k.files import write_cp2k_input_set
from atomate2.cp2k.run import run_cp2k
from atomate2.cp2k.sets.base import recursive_update
from atomate2.cp2k.sets.core import CellOptSetGenerator, StaticSetGenerator
from jobflow import Maker, job
from pymatgen.core import SETTINGS, Structure
from pymatgen.io.cp2k.outputs import Cp2kOutput
from pymatgen.io.vasp import Kpoints

from pyrite.errors import EngineError, LabelError
from pyrite.models.engines.adapters import Adapter, ProgramMaker, digest
from pyrite.models.engines.commands import words
from pyrite.models.engines.documents import Document, Output

_UNWANTED = ("dos", "pdos", "mo_cubes", "v_hartree", "e_density")
_TRUST_RADIUS = 0.25  # Bohr
_POLLING = 0.2  # s
_SCF = re.compile(r"SCF run (?:NOT )?converged")
_CYCLES = re.compile(r"(?:SCF run converged in|inner SCF loop after reaching)\s+(\d+) steps")
_KBAR_OF_GPA, _KBAR_OF_BAR = 10.0, 1e-3


class _Mesh:
    """k-points of one density for all cells."""

    kspacing: float

    def _get_kpoints(self, structure: Structure, _updates: Any = None) -> Kpoints:
        # Odd meshes hold Γ and have the crystal's symmetry. CP2K reduces none of them.
        lengths = np.array(structure.lattice.reciprocal_lattice.abc)
        divisions = np.ceil(lengths / self.kspacing).astype(int)
        return Kpoints(
            kpts=[[int(n) + 1 - int(n) % 2 for n in divisions]],
            style=Kpoints.supported_modes.Monkhorst,
        )


@dataclass
class _StaticSet(_Mesh, StaticSetGenerator):
    kspacing: float = 0.25


@dataclass
class _CellOptSet(_Mesh, CellOptSetGenerator):
    kspacing: float = 0.25


class Cp2k(Adapter):
    """Of the Makers here."""

    def check(self, field: str, maker: Any) -> None:
        """See :class:`Adapter`."""
        example = "mpirun -n 4 cp2k.psmp"
        command = words("reference.settings: command", maker.command, example) or [""]
        for program in (command[0], command[-1]):
            if shutil.which(program) is None:
                raise EngineError(
                    f"{field}: there is no program {program!r} here; install CP2K (Debian, "
                    "Ubuntu: apt-get install cp2k), or correct reference.settings.command"
                )
        if not self._files():
            raise EngineError(
                f"{field}: PMG_CP2K_DATA_DIR names no folder with bases and potentials; make one "
                "with `pmg config --cp2k` (docs/makers.md), and set it where the workers run"
            )
        for name in ("cutoff", "rel_cutoff", "kspacing", "width", "eps_scf", "mixing"):
            value = getattr(maker, name)
            if not isinstance(value, int | float) or not value > 0:
                raise EngineError(f"reference.settings: {name} must be above 0, and is {value!r}")

    def data(self, maker: Any) -> Mapping[str, Any]:
        """See :class:`Adapter`."""
        return {"cp2k_data": digest(self._files())}

    def _files(self) -> list[Path]:
        folder = SETTINGS.get("PMG_CP2K_DATA_DIR")
        return [one for one in Path(folder).glob("*") if one.is_file()] if folder else []

    def spent(self, folders: Iterable[Path]) -> tuple[int, int]:
        """See :class:`Adapter`."""
        text = "".join(
            path.read_text(encoding="utf-8", errors="replace")
            for folder in folders
            for path in folder.rglob("cp2k.out")
        )
        return max(1, len(_SCF.findall(text))), sum(map(int, _CYCLES.findall(text)))


@dataclass
class _Cp2kMaker(ProgramMaker, Maker):
    """What both Makers share.

    Parameters
    ----------
    command : str
        How CP2K is started.
    basis, potential : str
        CP2K's names, the same for all elements.
    functional : str
        PBE and its like.
    cutoff, rel_cutoff : float
        Of the grids, Ry. Forces need more than energies, and of them the net force.
    finer_xc_grid : bool
        Whether the functional has a finer grid, which the net force of semicore atoms needs.
    kspacing : float
        1/Å, with the factor 2π.
    width : float
        Of the Fermi-Dirac smearing, eV.
    eps_scf : float
        Convergence of the electrons.
    mixing : float
        Share of the new density.
    cp2k_input : dict
        Any other of atomate2's ``user_input_settings``; they win.
    """

    adapter: ClassVar[Adapter] = Cp2k()
    name: str = "cp2k"
    command: str = "cp2k.psmp"
    basis: str = "DZVP-MOLOPT-SR-GTH"
    potential: str = "GTH-PBE"
    functional: str = "PBE"
    cutoff: float = 1000
    rel_cutoff: float = 60
    finer_xc_grid: bool = True
    kspacing: float = 0.25
    width: float = 0.1
    eps_scf: float = 1e-6
    mixing: float = 0.4
    cp2k_input: dict[str, Any] = field(default_factory=dict)

    def _settings(self, **others: Any) -> dict[str, Any]:
        xc = {"XC_GRID": {"USE_FINER_GRID": self.finer_xc_grid}}
        settings: dict[str, Any] = {
            "xc_functionals": self.functional,
            "ot": False,
            "smearing": True,
            "elec_temp": self.width / kB,
            "spin_polarized": False,
            "cutoff": self.cutoff,
            "rel_cutoff": self.rel_cutoff,
            "eps_scf": self.eps_scf,
            "eps_default": 1e-10,
            "eps_pgf_orb": 1e-5,
            "alpha": self.mixing,
            "nbuffer": 8,
            "print_forces": True,
            **{f"print_{name}": False for name in _UNWANTED},
            "override_default_params": {"FORCE_EVAL": {"DFT": {"XC": xc}}},
        }
        for changes in (others, self.cp2k_input):
            settings = recursive_update(settings, changes)
        return settings

    def _run(
        self, kind: Any, settings: dict[str, Any], structure: Structure, kbar: float
    ) -> Document:
        """Run CP2K in the working directory; ``kbar`` is what its unit of stress is worth."""
        species = {"basis": self.basis, "potential": self.potential}
        elements = {element.symbol: dict(species) for element in structure.elements}
        generator = kind(
            kspacing=self.kspacing,
            user_input_settings=settings,
            config_dict={"KPOINTS": {}, "cp2k_input": {"basis_and_potential": elements}},
        )
        write_cp2k_input_set(structure, generator)
        run_cp2k(
            cp2k_cmd=self.command,
            handlers=[],
            validators=[],
            custodian_kwargs={"polling_time_step": _POLLING},
        )
        found = Cp2kOutput("cp2k.out", auto_load=True)  # type: ignore[no-untyped-call]
        converged = found.data["scf_converged"]
        if not converged:
            raise LabelError("CP2K ended before its electrons had converged once")
        if not converged[0]:  # the last one comes first
            raise LabelError("CP2K's electrons did not converge")
        calls, cycles = self.adapter.spent([Path.cwd()])
        last = found.ionic_steps[-1]
        return Document(
            structure=last["structure"],
            program_version=f"CP2K {found.cp2k_version}",
            state="failed" if found.data["geo_opt_not_converged"] else "successful",
            output=Output(
                energy=last["E"],
                forces=(np.array(last["forces"]) * Hartree / Bohr).tolist(),
                stress=(np.array(last["stress_tensor"]) * kbar).tolist(),
                n_steps=calls,
                scf_cycles=cycles,
            ),
        )


@dataclass
class StaticMaker(_Cp2kMaker):
    """Energy, forces and stress of one geometry."""

    name: str = "cp2k static"

    @job
    def make(self, structure: Structure, prev_dir: Any = None) -> Document:
        """Run CP2K."""
        return self._run(_StaticSet, self._settings(), structure, _KBAR_OF_GPA)


@dataclass
class RelaxMaker(_Cp2kMaker):
    """Relaxes cell and atoms.

    Parameters
    ----------
    relax_kwargs : dict
        ``fmax`` in eV/Å.
    steps : int
        At most.
    """

    name: str = "cp2k relax"
    relax_kwargs: dict[str, Any] = field(default_factory=dict)
    steps: int = 200

    @job
    def make(self, structure: Structure, prev_dir: Any = None) -> Document:
        """Run CP2K."""
        fmax = self.relax_kwargs.get("fmax", 0.05)
        gradient = fmax / np.sqrt(3) * Bohr / Hartree  # of each component
        motion = {
            "optimizer": "BFGS",
            "max_force": gradient,
            "rms_force": gradient,
            "max_drift": 0.1,
            "rms_drift": 0.1,
            "max_iter": self.steps,
            "trust_radius": _TRUST_RADIUS,
        }
        # As ASE's filters have it: stress times volume per atom is compared with fmax, in bar here.
        pressure = fmax * len(structure) / structure.volume / GPa * 1e4
        cell = {"EXTERNAL_PRESSURE": 0, "PRESSURE_TOLERANCE": pressure}
        settings = self._settings(
            activate_motion=motion, override_default_params={"MOTION": {"CELL_OPT": cell}}
        )
        return self._run(_CellOptSet, settings, _upright(structure), _KBAR_OF_BAR)


def _upright(structure: Structure) -> Structure:
    """Turned so that a lies along x and b in the xy plane, which CP2K's CELL_OPT presumes."""
    _, upper = np.linalg.qr(structure.lattice.matrix.T)
    cell = (upper * np.sign(np.diag(upper))[:, None]).T
    return Structure(cell, structure.species, structure.frac_coords)
