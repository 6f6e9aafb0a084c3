"""Published ground-state structures, to judge searches by. Lattice parameters in Å.

Sources: R. W. G. Wyckoff, Crystal Structures, 2nd ed., Interscience 1963, vol. 1 for
the cubic structures; for the others see beside each.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyrite.errors import ConfigError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure


def _cubic(formula: str, kind: str, a: float) -> Callable[[], "Atoms"]:
    def build() -> "Atoms":
        from ase.build import bulk

        return bulk(formula, kind, a=a, cubic=True)

    return build


def _wyckoff(
    symbols: list[str],
    basis: list[tuple[float, float, float]],
    group: int,
    cell: tuple[float, float, float],
    angles: tuple[float, float, float] = (90, 90, 90),
) -> Callable[[], "Atoms"]:
    def build() -> "Atoms":
        from ase.spacegroup import crystal

        return crystal(
            symbols, basis=basis, spacegroup=group, cellpar=[*cell, *angles], onduplicates="error"
        )

    return build


_KNOWN: dict[str, Callable[[], "Atoms"]] = {
    "si-diamond": _cubic("Si", "diamond", 5.431),
    "nacl-rocksalt": _cubic("NaCl", "rocksalt", 5.640),
    "mgo-rocksalt": _cubic("MgO", "rocksalt", 4.212),
    "gaas-zincblende": _cubic("GaAs", "zincblende", 5.653),
    "sic-zincblende": _cubic("SiC", "zincblende", 4.360),
    "zns-zincblende": _cubic("ZnS", "zincblende", 5.409),
    # Al 12c, O 18e. L. W. Finger, R. M. Hazen, J. Appl. Phys. 49, 5823 (1978).
    "al2o3-corundum": _wyckoff(
        ["Al", "O"],
        [(0, 0, 0.3522), (0.3063, 0, 0.25)],
        167,
        (4.7606, 4.7606, 12.994),
        (90, 90, 120),
    ),
    # Ti 2a, O 4f. S. C. Abrahams, J. L. Bernstein, J. Chem. Phys. 55, 3206 (1971).
    "tio2-rutile": _wyckoff(
        ["Ti", "O"], [(0, 0, 0), (0.3048, 0.3048, 0)], 136, (4.594, 4.594, 2.959)
    ),
    # Ti 4a, O 8e (origin choice 1). M. Horn et al., Z. Kristallogr. 136, 273 (1972).
    "tio2-anatase": _wyckoff(
        ["Ti", "O"], [(0, 0, 0), (0, 0, 0.2081)], 141, (3.7842, 3.7842, 9.5146)
    ),
}

KNOWN_STRUCTURES = tuple(_KNOWN)


def known_structure(name: str) -> "Structure":
    """The conventional cell of a published structure.

    Parameters
    ----------
    name : str
        One of ``KNOWN_STRUCTURES``, such as ``"si-diamond"``.

    Raises
    ------
    ConfigError
        When there is no structure of that name.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    if name not in _KNOWN:
        raise ConfigError(
            f"known structure {name!r} does not exist; choose from {', '.join(_KNOWN)}"
        )
    atoms = _KNOWN[name]()
    atoms.info.clear()
    return AseAtomsAdaptor.get_structure(atoms)
