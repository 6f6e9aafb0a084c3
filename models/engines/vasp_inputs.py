"""What VASP is asked: input sets that measure the same in every label of a search."""

from collections.abc import Mapping
from typing import Any

from pyrite.config import VaspConfig

# Tags that decide what is measured. Whatever repairs a calculation must leave them alone.
MEASURED = (
    *("ENCUT", "ENAUG", "PREC", "KSPACING", "KGAMMA", "ISMEAR", "SIGMA", "LREAL", "LASPH"),
    *("ADDGRID", "ISPIN", "MAGMOM", "NUPDOWN", "NELECT", "GGA", "METAGGA", "IVDW", "LUSE_VDW"),
    *("LHFCALC", "HFSCREEN", "AEXX", "LDAU", "LDAUTYPE", "LDAUU", "LDAUJ", "LDAUL"),
    *("LSORBIT", "LNONCOLLINEAR", "PSTRESS"),
)
# What a label has no use for.
_NOT_WRITTEN = {"LAECHG": False, "LCHARG": False, "LWAVE": False, "LORBIT": None, "LVTOT": None}
# Electrons of a random cell slosh; small steps of the density end it. Slower, the same answer.
SAFER = {"ALGO": "All", "NELM": 400, "AMIX": 0.1, "BMIX": 0.0001, "AMIN": 0.01}


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
