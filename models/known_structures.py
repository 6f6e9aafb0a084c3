"""Published structures, to judge searches by: ground states and their competitors.

Lattice parameters in Å. Sources: R. W. G. Wyckoff, Crystal Structures, 2nd ed., Interscience
1963, vol. 1 for cubic ground states; for the others see beside each.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyrite.config import SearchConfig
from pyrite.documents import Crystal
from pyrite.errors import ConfigError
from pyrite.models.text import hint

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
    # 4a, origin choice 1. J. C. Jamieson, Science 139, 762 (1963): under pressure.
    "si-beta-tin": _wyckoff(["Si"], [(0, 0, 0)], 141, (4.686, 4.686, 2.585)),
    # 4f. R. H. Wentorf, J. S. Kasper, Science 139, 338 (1963); z of ideal tetrahedra.
    "si-lonsdaleite": _wyckoff(
        ["Si"], [(1 / 3, 2 / 3, 1 / 16)], 194, (3.80, 3.80, 6.28), (90, 90, 120)
    ),
    # 6c, 16i, 24k: the host of clathrate-I Na8Si46. J. S. Kasper, P. Hagenmuller,
    # M. Pouchard, C. Cros, Science 150, 1713 (1965).
    "si-clathrate-i": _wyckoff(
        ["Si"] * 3,
        [(0.25, 0, 0.5), (0.1851, 0.1851, 0.1851), (0, 0.3077, 0.1174)],
        223,
        (10.19, 10.19, 10.19),
    ),
    "nacl-rocksalt": _cubic("NaCl", "rocksalt", 5.640),
    # Neighbours 3 % farther apart than in rocksalt, for eight instead of six of them:
    # V. M. Goldschmidt, Trans. Faraday Soc. 25, 253 (1929). The phase exists under pressure.
    "nacl-caesium-chloride": _cubic("NaCl", "cesiumchloride", 3.354),
    # The same distance as in rocksalt, 2.82.
    "nacl-zincblende": _cubic("NaCl", "zincblende", 6.513),
    "mgo-rocksalt": _cubic("MgO", "rocksalt", 4.212),
    "gaas-zincblende": _cubic("GaAs", "zincblende", 5.653),
    # 2b, 2b. M. I. McMahon, R. J. Nelmes, Phys. Rev. Lett. 95, 215505 (2005).
    "gaas-wurtzite": _wyckoff(
        ["Ga", "As"],
        [(1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, 0.374)],
        186,
        (3.989, 3.989, 6.564),
        (90, 90, 120),
    ),
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
    # All 4i. R.-S. Zhou, R. L. Snyder, Acta Cryst. B 47, 617 (1991); coordinates of its type,
    # beta-Ga2O3: J. Ahman, G. Svensson, J. Albertsson, Acta Cryst. C 52, 1336 (1996).
    "al2o3-theta": _wyckoff(
        ["Al", "Al", "O", "O", "O"],
        [
            (0.0905, 0, 0.7946),
            (0.3413, 0, 0.6860),
            (0.1645, 0, 0.1098),
            (0.4959, 0, 0.2566),
            (0.8267, 0, 0.4368),
        ],
        12,
        (11.854, 2.904, 5.622),
        (90, 103.83, 90),
    ),
    # Al 8b, 24d, O 48e: hypothetical. Coordinates of In2O3, M. Marezio, Acta Cryst. 20, 723
    # (1966); a gives Al the bonds of corundum.
    "al2o3-bixbyite": _wyckoff(
        ["Al", "Al", "O"],
        [(0.25, 0.25, 0.25), (0.4664, 0, 0.25), (0.3905, 0.1529, 0.3832)],
        206,
        (9.0, 9.0, 9.0),
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
            f"{hint(name, _KNOWN)}"
        )
    atoms = _KNOWN[name]()
    atoms.info.clear()
    return AseAtomsAdaptor.get_structure(atoms)


def sought(config: SearchConfig) -> Crystal | None:
    """The known structure that a search looks for, if it names one.

    Raises
    ------
    ConfigError
        When there is none of that name, or it is of another compound.
    """
    if config.target is None or config.target.structure is None:
        return None
    from pymatgen.core import Composition

    name = config.target.structure
    structure = known_structure(name)
    compound = structure.composition.reduced_formula
    if Composition(config.composition).reduced_formula != compound:
        raise ConfigError(
            f"target.structure: {name!r} is {compound}, and the search is for {config.composition}"
        )
    return Crystal.from_structure(structure.get_primitive_structure())
