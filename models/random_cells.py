"""Random crystals without symmetry."""

import math
from collections import Counter

import numpy as np
from pymatgen.core import Lattice

from pyrite.documents import Crystal
from pyrite.errors import GenerationError
from pyrite.models.distances import Pair, closest_violation
from pyrite.models.recipe import Array, Recipe, span

# Volume of the cell over the product of its lengths; 0.71 is the fcc primitive cell.
FLATTEST_CELL = 0.3

_TRIALS_AT_ONCE = 32
_BATCHES_PER_ATOM = 3
_FLAT = "flat"


def p1_crystal(how: Recipe, rng: np.random.Generator) -> Crystal:
    """A random cell with atoms at random places.

    Cells, and atoms within them, are drawn until all distances are kept.

    Raises
    ------
    GenerationError
        ``pool.max_attempts`` cells and trial positions failed.
    """
    failures: Counter[Pair | str] = Counter()
    while failures.total() < how.pool.max_attempts:
        cell = _random_cell(how, rng)
        if cell is None:
            failures[_FLAT] += 1
            continue
        pair = how.short_translation(cell)
        if pair is not None:
            failures[pair] += 1
            continue
        positions = _place(how, cell, rng, failures)
        if positions is None:
            continue
        pair = closest_violation(how.symbols, positions, cell, how.distances)
        if pair is None:
            return how.crystal(positions, cell)
        failures[pair] += 1
    attempts = f"in {failures.total()} attempts"
    ((worst, _),) = failures.most_common(1)
    if isinstance(worst, str):
        raise GenerationError(
            f"no cell with angles of {span(how.pool.angles)} degrees is thick enough {attempts}: "
            f"bring {how.section}.angles nearer to 90"
        )
    raise how.cannot_keep(worst, attempts)


def _random_cell(how: Recipe, rng: np.random.Generator) -> Array | None:
    """Rows are lattice vectors in Å; None if the angles make it flat or impossible."""
    lengths = rng.uniform(*how.pool.length_ratio, size=3)
    angles = rng.uniform(*how.pool.angles, size=3)
    volume = rng.uniform(*how.volumes) * len(how.symbols)
    a, b, c = np.cos(np.radians(angles))
    gram = 1 - a**2 - b**2 - c**2 + 2 * a * b * c
    if gram < FLATTEST_CELL**2:
        return None
    scale = (volume / (math.sqrt(gram) * lengths.prod())) ** (1 / 3)
    cell: Array = Lattice.from_parameters(*(scale * lengths), *angles).matrix
    return cell


def _place(
    how: Recipe, cell: Array, rng: np.random.Generator, failures: Counter[Pair | str]
) -> Array | None:
    """Add atoms one by one at random places that keep their distance from all before.

    Returns Cartesian positions (N, 3) in Å, or None if an atom found no room.
    """
    symbols = how.symbols
    lattice = Lattice(cell)
    placed = rng.random((1, 3))
    for count, symbol in enumerate(symbols[1:], start=1):
        pairs = [how.pair(symbol, other) for other in symbols[:count]]
        needed = np.array([how.distances[pair] for pair in pairs])
        for _ in range(_BATCHES_PER_ATOM):
            trials = rng.random((_TRIALS_AT_ONCE, 3))
            # How deep each trial is inside the forbidden sphere of each atom; negative is outside.
            overlap = needed - lattice.get_all_distances(trials, placed)
            free = np.flatnonzero((overlap <= 0).all(axis=1))
            rejected = overlap[: free[0] if len(free) else None]
            failures.update(pairs[worst] for worst in rejected.argmax(axis=1))
            if len(free):
                placed = np.vstack([placed, trials[free[0]]])
                break
        else:
            return None
    positions: Array = placed @ cell
    return positions
