"""How large a random cell is and how close its atoms may come, from radii.

Ionic compounds are told apart by oxidation states: their anions and cations
are spheres of Shannon's crystal radii. Everything else takes the volumes of
the elements.
"""

import itertools
import math
import warnings
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from ase.data import atomic_numbers, covalent_radii, vdw_radii
from numpy.typing import NDArray
from pymatgen.core import Composition, Element
from vesin import NeighborList

from pyrite.errors import ConfigError
from pyrite.pool_config import PoolConfig

# Crystal radii (Shannon 1976) fill this share of NaCl, CsCl, LiF, MgO, Al2O3, TiO2, SrTiO3 and ZnS
# within a tenth.
IONIC_PACKING = 0.6
VOLUME_MARGINS = (0.9, 1.4)
# Sub-valent compounds are mostly metal, which cation radii underrate. No crystal of the list above,
# nor any metal, is denser than this in atomic spheres.
ATOMIC_PACKING = 1.2
# Random places run out when spheres of the minimum distances fill 0.38 of the volume; they shrink
# until they fill no more than this of the mean one.
ROOMY_PACKING = 0.3
# Like-charged anions never come nearer than this share of the sum of their effective ionic radii.
ANION_CONTACT = 0.6

_CRYSTAL_TO_EFFECTIVE = 0.14  # Å, Shannon's two scales differ by it: larger for anions
_CLOSE_PACKING = math.pi / math.sqrt(18)
# Å; a proton has no ionic radius of its own. Fits ice, hydroxides and saline hydrides.
_HYDROGEN_RADIUS = 1.0
_CARBON_VOLUME = 6.7  # Å³, between diamond and graphite; the tabulated one is graphite's
_GUESSABLE_ATOMS = 60  # oxidation states of longer formulas take too long to enumerate

Pair = tuple[str, str]


def volume_range(content: Mapping[str, int]) -> tuple[float, float]:
    """Default range of the initial volume: 0.9 to 1.4 of the expected one.

    Parameters
    ----------
    content : mapping of str to int
        Atoms per cell.

    Returns
    -------
    tuple of float
        Smallest and largest volume, Å³/atom.
    """
    anions = _anions(tuple(content.items()))
    atoms = sum(content.values())
    total = 0.0
    for element, amount in content.items():
        if anions:
            radius = _ionic_radius(element, is_anion=element in anions)
            total += amount * _sphere(radius) / IONIC_PACKING
        else:
            total += amount * _elemental_volume(element)
    if anions:
        total = max(total, _atomic_spheres(content) / ATOMIC_PACKING)
    low, high = VOLUME_MARGINS
    return low * total / atoms, high * total / atoms


def minimum_distances(
    content: Mapping[str, int], pool: PoolConfig, section: str = "pool"
) -> dict[Pair, float]:
    """Closest approach of every pair of elements over all periodic images.

    The default is ``pool.minimum_distance_scale`` times the sum of covalent
    radii, or of metallic radii where those are smaller, less in crowded cells
    (see ``ROOMY_PACKING``); but anions of a compound keep at least 0.6 of the sum
    of their ionic radii from each other (O-O 1.68 Å, Cl-Cl 2.17 Å).

    Parameters
    ----------
    content : mapping of str to int
        Atoms per cell.
    pool : PoolConfig
        Its ``minimum_distances`` override the default, pair by pair.
    section : str
        Of the search file in which they stand, for messages.

    Returns
    -------
    dict of (str, str) to float
        Å, one entry for each unordered pair, in the order of ``content``.

    Raises
    ------
    ConfigError
        A key of ``minimum_distances`` is no pair of the cell's elements.
    """
    given = _given_distances(content, pool, section)
    anions = _anions(tuple(content.items()))
    room = ROOMY_PACKING * sum(content.values()) * sum(volume_range(content)) / 2
    scale = min(pool.minimum_distance_scale, (room / _atomic_spheres(content)) ** (1 / 3))
    distances: dict[Pair, float] = {}
    for pair in itertools.combinations_with_replacement(content, 2):
        distance = scale * sum(map(_atomic_radius, pair))
        if anions.issuperset(pair):
            radii = (_ionic_radius(e, is_anion=True) + _CRYSTAL_TO_EFFECTIVE for e in pair)
            distance = max(distance, ANION_CONTACT * sum(radii))
        distances[pair] = given.get(frozenset(pair), distance)
    return distances


def too_dense(
    content: Mapping[str, int], distances: Mapping[Pair, float], volume: float
) -> Pair | None:
    """The pair whose distance no arrangement can keep, by the density of close packing.

    ``volume`` is that of the whole cell in Å³.
    """
    for element, amount in content.items():
        diameter = distances[element, element]
        if amount * _sphere(diameter / 2) > _CLOSE_PACKING * volume:
            return element, element
    return None


def closest_violation(
    symbols: list[str],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    distances: Mapping[Pair, float],
) -> Pair | None:
    """The pair that undercuts its minimum distance most, over all periodic images.

    Parameters
    ----------
    symbols : list of str, length N
    positions : array, (N, 3)
        Cartesian, Å.
    cell : array, (3, 3)
        Rows are lattice vectors, Å.
    distances : mapping of (str, str) to float
        As from :func:`minimum_distances`, Å.

    Returns
    -------
    tuple of str or None
        None if every pair keeps its distance, an atom's own images included.
    """
    cutoff = max(distances.values())
    if cutoff <= 0:
        return None
    neighbors = NeighborList(cutoff=cutoff, full_list=False)
    first, second, lengths = neighbors.compute(
        points=positions, box=cell, periodic=True, quantities="ijd"
    )
    worst: Pair | None = None
    lowest = 1.0
    for i, j, length in zip(first.tolist(), second.tolist(), lengths.tolist(), strict=True):
        pair = symbols[i], symbols[j]
        pair = pair if pair in distances else pair[::-1]
        if length < lowest * distances[pair]:
            worst, lowest = pair, length / distances[pair]
    return worst


def has_pair_within(
    cutoff: float, positions: NDArray[np.float64], cell: NDArray[np.float64]
) -> bool:
    """Whether any two atoms, periodic images included, are closer than ``cutoff`` Å."""
    neighbors = NeighborList(cutoff=cutoff, full_list=False)
    (lengths,) = neighbors.compute(points=positions, box=cell, periodic=True, quantities="d")
    return len(lengths) > 0


def _given_distances(
    content: Mapping[str, int], pool: PoolConfig, section: str
) -> dict[frozenset[str], float]:
    given: dict[frozenset[str], float] = {}
    for key, distance in pool.minimum_distances.items():
        elements = [part.strip() for part in key.split("-")]
        if len(elements) != 2 or not set(elements) <= set(content):
            raise ConfigError(
                f"{section}.minimum_distances has the key {key!r}: "
                f"write two of the elements {', '.join(content)} joined by a hyphen"
            )
        pair = frozenset(elements)
        if given.setdefault(pair, distance) != distance:
            raise ConfigError(
                f"{section}.minimum_distances gives {key!r} twice, as {given[pair]:g} and "
                f"{distance:g} Å: keep one"
            )
    return given


@lru_cache(maxsize=256)
def _anions(content: tuple[tuple[str, int], ...]) -> frozenset[str]:
    """Elements that carry negative charge; empty where the ionic picture does not hold."""
    reduced = Composition(dict(content)).reduced_composition
    negative: set[str] = set()
    if len(reduced) > 1:
        guesses = reduced.oxi_state_guesses() if reduced.num_atoms <= _GUESSABLE_ATOMS else ()
        if guesses:
            negative = {element for element, state in guesses[0].items() if state < 0}
        else:
            negative = _electronegative(reduced)
    if all(_ionic_radius(element, is_anion=True) > 0 for element in negative):
        return frozenset(negative)
    return frozenset()


def _electronegative(composition: Composition) -> set[str]:
    """Elements that pull electrons from another one, where no charges add up to zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noble gases have no electronegativity
        scale = {str(element): element.X for element in composition}
    most_positive = min((x for x in scale.values() if not math.isnan(x)), default=math.nan)
    return {element for element, x in scale.items() if x >= 2.5 and x - most_positive >= 0.9}


def _ionic_radius(symbol: str, *, is_anion: bool) -> float:
    """Mean crystal radius in Å; 0 where none is tabulated."""
    if symbol == "H":
        return _HYDROGEN_RADIUS
    element = Element(symbol)
    return float(element.average_anionic_radius if is_anion else element.average_cationic_radius)


def _covalent_radius(symbol: str) -> float:
    return float(covalent_radii[atomic_numbers[symbol]])


def _atomic_radius(symbol: str) -> float:
    """Covalent or metallic radius in Å, whichever is smaller."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns of each missing datum
        metallic = Element(symbol).metallic_radius
    return min(_covalent_radius(symbol), float(metallic or math.inf))


def _atomic_spheres(content: Mapping[str, int]) -> float:
    """Volume of all atoms in Å³; they overlap in real crystals."""
    return sum(amount * _sphere(_atomic_radius(element)) for element, amount in content.items())


def _elemental_volume(symbol: str) -> float:
    """Å³ per atom in the element's own crystal."""
    if symbol == "C":
        return _CARBON_VOLUME
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns of each missing datum
        molar = Element(symbol).molar_volume
    if molar is not None:
        return float(molar) / 0.602214076  # cm³/mol to Å³
    # A few short-lived elements have no measured density.
    van_der_waals = float(vdw_radii[atomic_numbers[symbol]])
    covalent = _covalent_radius(symbol)
    return _sphere(covalent if math.isnan(van_der_waals) else (covalent + van_der_waals) / 2)


def _sphere(radius: float) -> float:
    return 4 / 3 * math.pi * radius**3
