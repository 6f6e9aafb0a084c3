"""What VASP is asked: input sets that measure the same in every label of a search."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyrite.errors import EngineError
from pyrite.models.text import hint
from pyrite.reference_config import VaspConfig

# Tags that decide what is measured. Whatever repairs a calculation must leave them alone.
MEASURED = (
    *("ENCUT", "ENAUG", "PREC", "KSPACING", "KGAMMA", "ISMEAR", "SIGMA", "LREAL", "LASPH"),
    *("ADDGRID", "ISPIN", "MAGMOM", "NUPDOWN", "NELECT", "GGA", "METAGGA", "IVDW", "LUSE_VDW"),
    *("LHFCALC", "HFSCREEN", "AEXX", "LDAU", "LDAUTYPE", "LDAUU", "LDAUJ", "LDAUL"),
    *("LSORBIT", "LNONCOLLINEAR", "PSTRESS"),
)
# What a label has no use for.
_NOT_WRITTEN = {"LAECHG": False, "LCHARG": False, "LWAVE": False, "LORBIT": None, "LVTOT": None}
# Set by the task, for a label or for a relaxation.
_TASKS_OWN = ("NSW", "IBRION", "ISIF", "EDIFFG")


def static_incar(config: VaspConfig) -> dict[str, Any]:
    """INCAR tags of a single point; None removes a tag that the input set would write."""
    return {
        **_NOT_WRITTEN,
        "ALGO": config.algo,
        "EDIFF": config.ediff,
        "ENCUT": config.encut,
        "GGA": config.gga,
        "ISIF": 2,
        "ISMEAR": config.ismear,
        "ISPIN": 2 if config.spin else 1,
        "ISYM": config.isym,
        "KSPACING": config.kspacing,
        "LREAL": config.lreal,
        "NELM": config.nelm,
        "SIGMA": config.sigma,
        **({} if config.spin else {"MAGMOM": None}),
        **config.incar,
    }


def relaxation_incar(config: VaspConfig, fmax: float, max_steps: int) -> dict[str, Any]:
    """INCAR tags of a relaxation of cell and atoms; ``fmax`` in eV/Å."""
    return {
        **static_incar(config),
        "EDIFFG": -fmax,
        "IBRION": 2,
        "ISIF": 3,
        "NSW": max_steps,
    }


def safer_incar(config: VaspConfig) -> dict[str, Any]:
    """Tags for a second attempt: slower, with the same answer.

    Electrons of a random cell slosh; small steps of the density end that. ALGO All, which
    custodian has tried by then, mixes no density.
    """
    return {
        "ALGO": "Normal",
        "AMIX": 0.1,
        "BMIX": 0.0001,
        "AMIN": 0.01,
        "NELM": max(400, 2 * config.nelm),
    }


def check_incar(incar: Mapping[str, Any]) -> None:
    """Refuse tags that VASP does not have, or that the task sets.

    Raises
    ------
    EngineError
        Naming the tag and the nearest one there is.
    """
    from pymatgen.io.vasp import inputs

    with (Path(inputs.__file__).parent / "incar_parameters.json").open(encoding="utf-8") as file:
        known = json.load(file)
    for tag in incar:
        if tag in _TASKS_OWN:
            raise EngineError(
                f"reference.vasp.incar: {tag} is set by the task (labels stand still, validations "
                "relax cell and atoms as in the section validation); leave it out"
            )
        if tag not in known:
            raise EngineError(f"reference.vasp.incar: VASP has no tag {tag}{hint(tag, known)}")


def input_set(config: VaspConfig, incar: Mapping[str, Any]) -> Any:
    """Pymatgen's MatPES set with these tags."""
    from pymatgen.io.vasp.sets import MatPESStaticSet

    return MatPESStaticSet(
        user_incar_settings=dict(incar),
        user_potcar_functional=config.potcar_functional,
        user_potcar_settings=dict(config.potcars),
    )


def changed(asked: Mapping[str, Any], used: Mapping[str, Any]) -> list[str]:
    """Measured tags that differ, each as ``TAG (asked -> used)``."""
    return [
        f"{tag} ({asked.get(tag, 'unset')} -> {used.get(tag, 'unset')})"
        for tag in MEASURED
        if asked.get(tag) != used.get(tag)
    ]
