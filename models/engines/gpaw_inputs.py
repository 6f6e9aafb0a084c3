"""What GPAW is asked: the same in every label of a search."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from pyrite.documents import Crystal
from pyrite.errors import EngineError
from pyrite.reference_config import GpawConfig

# Shifted by half a step, odd meshes too: those with Γ are much coarser than their neighbours, so
# that cells of one crystal would differ (docs/gpaw.md).
_OFF_GAMMA = {"gamma": False}
# Each element's smallest cutoff, eV, with which the stress of atoms as near as covalent bonds is
# right to 1 GPa and energy differences to 10 meV/atom (benchmarks/gpaw_cutoffs.py). N, O and F
# do not reach that: their stress is wrong by 9, 4 and 2 GPa at 700 eV.
_CUTOFFS: Mapping[float, Sequence[str]] = {
    700.0: ("N", "O", "F"),
    600.0: ("H", "C"),
    500.0: ("B", "Mg", "Fe", "Cu", "Zn"),
    400.0: ("Na", "Al", "Si", "P", "S", "Cl", "K", "Ti", "Ga", "As"),
}
_OTHERS = 600.0  # not measured
# Parameters that have a setting of their own, or that the task sets.
_NOT_PARAMETERS = {
    "convergence": "energy_convergence or density_convergence",
    "kpts": "kspacing",
    "maxiter": "max_scf_cycles",
    "mode": "cutoff",
    "occupations": "width",
    "spinpol": "spin",
    "xc": "xc",
}
_TASKS_OWN = ("communicator", "filename", "object_hooks", "parallel", "symmetry", "txt")
# Another program, or a system whose energies cannot be compared with those of other labels.
_UNFIT = ("background_charge", "external", "legacy_gpaw")
# Smaller steps of the density, and more of them: electrons of a random cell slosh. Pulay's mixing
# takes its steps as told; GPAW's default (MSR1) has a trust radius of its own.
_SAFER = {"mixer": {"name": "pulay", "beta": 0.02, "nmaxold": 8, "weight": 100.0}}


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that have a setting of their own, or that the task sets.

    Raises
    ------
    EngineError
        Naming the parameter and what to do with it.
    """
    for name in parameters:
        if name in _UNFIT:
            raise EngineError(
                f"reference.gpaw.parameters: {name} is not for crystals in a search; leave it out"
            )
        if name in _NOT_PARAMETERS or name in _TASKS_OWN:
            other = _NOT_PARAMETERS.get(name)
            remedy = f"use reference.gpaw.{other}" if other else "leave it out"
            raise EngineError(f"reference.gpaw.parameters: {name} is set by the task; {remedy}")


def check_setups(parameters: Mapping[str, Any], crystal: Crystal) -> None:
    """Refuse setups of elements that the crystal has not: GPAW would take no notice.

    Raises
    ------
    EngineError
        Naming the elements.
    """
    setups = parameters.get("setups")
    if not isinstance(setups, Mapping):
        return
    present = {chemical_symbols[number] for number in crystal.numbers}
    if strangers := sorted(set(map(str, setups)) - present - {"default"}):
        raise EngineError(
            f"reference.gpaw.parameters: setups names {', '.join(strangers)}, and the crystals "
            f"consist of {', '.join(sorted(present))}; correct or remove it"
        )


def cutoff(config: GpawConfig, crystal: Crystal) -> float:
    """Of the plane waves, eV."""
    if config.cutoff is not None:
        return config.cutoff
    by_element = {symbol: value for value, symbols in _CUTOFFS.items() for symbol in symbols}
    return max(by_element.get(chemical_symbols[n], _OTHERS) for n in crystal.numbers)


def mesh(config: GpawConfig, crystal: Crystal) -> list[int]:
    """Divisions of the three reciprocal vectors, none wider than ``kspacing``."""
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(np.array(crystal.cell)), axis=0)
    return [int(one) for one in np.ceil(lengths / config.kspacing - 1e-9).clip(1)]


def measured(config: GpawConfig, crystal: Crystal) -> dict[str, Any]:
    """What decides the numbers, whatever the cell."""
    return {
        "xc": config.xc,
        "cutoff": cutoff(config, crystal),
        "kspacing": config.kspacing,
        "kpts": _OFF_GAMMA,
        "width": config.width,
        "spin": config.spin,
        "parameters": dict(config.parameters),
    }


def parameters(config: GpawConfig, crystal: Crystal, *, safer: bool = False) -> dict[str, Any]:
    """Keyword arguments of GPAW, as JSON has them."""
    check_setups(config.parameters, crystal)
    return {
        "mode": {"name": "pw", "ecut": cutoff(config, crystal)},
        "xc": config.xc,
        "kpts": {"size": mesh(config, crystal), **_OFF_GAMMA},
        "occupations": {"name": "fermi-dirac", "width": config.width},
        "spinpol": config.spin,
        # Symmetry met by chance must not change the k-points.
        "symmetry": {"point_group": False},
        "convergence": {
            "energy": config.energy_convergence,
            "density": config.density_convergence,
        },
        "maxiter": max(400, 2 * config.max_scf_cycles) if safer else config.max_scf_cycles,
        **config.parameters,
        **(_SAFER if safer else {}),
    }
