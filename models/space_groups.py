"""Random crystals with the symmetry of random space groups, from PyXtal's tables.

PyXtal gives the groups, their Wyckoff positions and lattices that suit them;
distances are checked here, over all periodic images.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from ase.spacegroup import Spacegroup
from pymatgen.core import Lattice
from pyxtal.lattice import Lattice as PyxtalLattice
from pyxtal.msg import VolumeError
from pyxtal.symmetry import Group, Wyckoff_position, choose_wyckoff

from pyrite.documents import Crystal
from pyrite.errors import GenerationError
from pyrite.models.composition import formula
from pyrite.models.distances import Pair, closest_violation
from pyrite.models.quiet import quietly
from pyrite.models.recipe import Array, Recipe

Site = tuple[str, Wyckoff_position]

_TRIALS_PER_GROUP = 4
_TRIALS_PER_SITE = 20
_RATTLES = 20
_SAME_ATOM = 1e-3  # Å
# Reasons that are no pair of elements.
_NO_LATTICE = "lattice"
_NO_SITES = "sites"
_RATTLE = "rattle"


def symmetric_crystal(how: Recipe, rng: np.random.Generator) -> Crystal:
    """A crystal of a random space group, its atoms slightly displaced.

    Space groups 2 to 230 take turns in random order until one gives a crystal
    that obeys all distances, also once it is rattled by ``pool.rattle``
    (normal, Å). The cell is LLL-reduced.

    Raises
    ------
    GenerationError
        No space group holds the content, or ``pool.max_attempts`` were in vain.
    """
    failures: Counter[Pair | str] = Counter()
    for group, is_primitive in _groups(rng):
        drawn = _draw(how, group, is_primitive, rng, failures)
        if drawn is not None:
            positions, cell = drawn
            for _ in range(_RATTLES):
                rattled = positions + rng.normal(0.0, how.pool.rattle, positions.shape)
                if closest_violation(how.symbols, rattled, cell, how.distances) is None:
                    return how.crystal(rattled, cell)
                failures[_RATTLE] += 1
        if failures.total() >= how.pool.max_attempts:
            break
    raise _explained(how, failures)


def _explained(how: Recipe, failures: Counter[Pair | str]) -> GenerationError:
    attempts = f"in {failures.total()} attempts"
    ((worst, _),) = failures.most_common(1)
    what = f"symmetric crystal of {formula(how.content)}"
    if failures[_RATTLE]:  # then crystals were found, and none outlived it
        return GenerationError(
            f"no {what} keeps its minimum distances once rattled by {how.pool.rattle:g} Å "
            f"{attempts}: lower {how.section}.rattle or {how.section}.minimum_distances"
        )
    if isinstance(worst, str):
        orbits, remedy = "", f"set {how.section}.symmetric_share to 0"
        if how.pool.max_orbits is not None:
            orbits = f" with at most {how.pool.max_orbits} orbits"
            remedy = f"raise {how.section}.max_orbits, or {remedy}"
        return GenerationError(
            f"no {what}{orbits} fits a space group other than P1 {attempts}: {remedy}"
        )
    return how.cannot_keep(worst, attempts, symmetric=True)


def _groups(rng: np.random.Generator) -> Iterator[tuple[Group, bool]]:
    """Round after round; centred groups take the content as conventional or primitive cell."""
    while True:
        for number in rng.permutation(np.arange(2, 231)).tolist():
            group = _group(number)
            yield group, group.cellsize() > 1 and rng.random() < 0.5


def _draw(
    how: Recipe,
    group: Group,
    is_primitive: bool,
    rng: np.random.Generator,
    failures: Counter[Pair | str],
) -> tuple[Array, Array] | None:
    """Cartesian positions (N, 3) ordered by element and a reduced cell (3, 3), Å."""
    copies = group.cellsize() if is_primitive else 1
    volume = rng.uniform(*how.volumes) * len(how.symbols) * copies
    try:
        with quietly():
            lattice = PyxtalLattice(
                group.lattice_type, volume, PBC=[1, 1, 1], unique_axis="c", random_state=rng
            )
    except (VolumeError, ValueError):
        failures[_NO_LATTICE] += 1
        return None
    conventional = Lattice(lattice.matrix)
    primitive = _primitive_cell(group.number) if is_primitive else np.eye(3)
    if (pair := how.short_translation(primitive @ conventional.matrix)) is not None:
        failures[pair] += 1
        return None
    found_sites = False
    for _ in range(_TRIALS_PER_GROUP):
        sites = _choose_sites(how, group, copies, rng)
        if sites is None:
            continue
        found_sites = True
        blocks = _place(how, conventional, sites, rng, failures)
        if blocks is not None:
            return _reduced(how, conventional, primitive, sites, blocks, failures)
    if not found_sites:
        failures[_NO_SITES] += 1
    return None


def _choose_sites(
    how: Recipe, group: Group, copies: int, rng: np.random.Generator
) -> list[Site] | None:
    """Wyckoff positions that hold all atoms, those without freedom first; None at a dead end
    or beyond ``pool.max_orbits``."""
    sites: list[Site] = []
    full: set[str] = set()  # positions without freedom hold one orbit only
    for element, amount in how.content.items():
        missing = amount * copies
        while missing:
            position = choose_wyckoff(group, missing, random_state=rng)
            if not position or position.letter in full:
                return None
            if _freedom(group.number, position.index) == 0:
                full.add(position.letter)
            sites.append((element, position))
            missing -= position.multiplicity
    if how.pool.max_orbits is not None and len(sites) > how.pool.max_orbits:
        return None
    # Fixed atoms cannot make way for others.
    return sorted(sites, key=lambda site: _freedom(group.number, site[1].index))


def _place(
    how: Recipe,
    lattice: Lattice,
    sites: list[Site],
    rng: np.random.Generator,
    failures: Counter[Pair | str],
) -> list[Array] | None:
    """Scaled coordinates of each site's orbit in the conventional cell."""
    blocks: list[Array] = []
    placed: list[str] = []
    for element, position in sites:
        pairs = [how.pair(element, other) for other in placed]
        pairs += [(element, element)] * (position.multiplicity - 1)
        needed = np.array([how.distances[pair] for pair in pairs])
        for _ in range(_TRIALS_PER_SITE if _freedom(position.number, position.index) else 1):
            orbit = position.apply_ops(rng.random(3)) % 1.0
            # All atoms of an orbit see the same crystal: its first one speaks for them.
            others = np.vstack([*blocks, orbit[1:]])
            distances = lattice.get_all_distances(orbit[:1], others)[0]
            overlap = needed - distances
            if not len(overlap) or overlap.max() <= 0:
                blocks.append(orbit)
                placed += [element] * len(orbit)
                break
            failures[pairs[overlap.argmax()]] += 1
        else:
            return None
    return blocks


def _reduced(
    how: Recipe,
    conventional: Lattice,
    primitive: Array,
    sites: list[Site],
    blocks: list[Array],
    failures: Counter[Pair | str],
) -> tuple[Array, Array] | None:
    cell = Lattice(primitive @ conventional.matrix)
    to_primitive = np.linalg.inv(primitive)
    distinct: list[Array] = []
    for wanted, amount in how.content.items():
        orbits = [
            block for (element, _), block in zip(sites, blocks, strict=True) if element == wanted
        ]
        scaled = np.vstack(orbits) @ to_primitive
        images = np.triu(cell.get_all_distances(scaled, scaled) < _SAME_ATOM, k=1).any(axis=0)
        if len(scaled) - images.sum() != amount:
            failures[wanted, wanted] += 1
            return None
        distinct.append(scaled[~images])
    reduced: Array = cell.get_lll_reduced_lattice().matrix
    scaled = np.vstack(distinct) @ cell.matrix @ np.linalg.inv(reduced)
    return (scaled % 1.0) @ reduced, reduced


@lru_cache(maxsize=230)
def _group(number: int) -> Group:
    with quietly():
        return Group(number)


@lru_cache(maxsize=4096)
def _freedom(number: int, index: int) -> int:
    """Free coordinates of a Wyckoff position."""
    return int(_group(number)[index].get_dof())


@lru_cache(maxsize=230)
def _primitive_cell(number: int) -> Array:
    """Rows are primitive vectors in units of the conventional ones."""
    return np.array(Spacegroup(number).scaled_primitive_cell)
