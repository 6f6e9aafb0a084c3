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
_TRIALS_PER_ATOM = 96
_FLAT = "flat"


def p1_crystal(how: Recipe, rng: np.random.Generator) -> Crystal:
    """A random cell with atoms at random places.

    Raises
    ------
    GenerationError
        Nothing obeyed the constraints within ``pool.max_attempts``.
    """
    attempts = how.pool.max_attempts
    found, failures = search_p1(how, rng, attempts)
    if found is not None:
        return found
    ((worst, _),) = failures.most_common(1)
    if isinstance(worst, str):
        raise GenerationError(
            f"no cell with angles of {span(how.pool.angles)} degrees is thick enough in "
            f"{attempts} attempts: bring {how.section}.angles nearer to 90"
        )
    raise how.cannot_keep(worst, f"in {attempts} attempts")


def search_p1(
    how: Recipe, rng: np.random.Generator, attempts: int
) -> tuple[Crystal | None, Counter[Pair | str]]:
    """Draw cells, and atoms within them, until one obeys all distances.

    Every cell and every trial position counts as one attempt. The counter says
    how often which constraint stood in the way.
    """
    failures: Counter[Pair | str] = Counter()
    symbols = how.symbols
    while attempts > 0:
        attempts -= 1
        cell = _random_cell(how, rng)
        if cell is None:
            failures[_FLAT] += 1
            continue
        pair = _short_translation(how, cell)
        if pair is not None:
            failures[pair] += 1
            continue
        positions, used = _place(how, cell, rng, attempts, failures)
        attempts -= used
        if positions is None:
            continue
        pair = closest_violation(symbols, positions, cell, how.distances)
        if pair is None:
            return how.crystal(positions, cell), failures
        failures[pair] += 1
    return None, failures


def _random_cell(how: Recipe, rng: np.random.Generator) -> Array | None:
    """Rows are lattice vectors in Å; None if the angles make it flat or impossible."""
    lengths = rng.uniform(*how.pool.length_ratio, size=3)
    angles = rng.uniform(*how.pool.angles, size=3)
    volume = rng.uniform(*how.volumes) * sum(how.content.values())
    a, b, c = np.cos(np.radians(angles))
    gram = 1 - a**2 - b**2 - c**2 + 2 * a * b * c
    if gram < FLATTEST_CELL**2:
        return None
    scale = (volume / (math.sqrt(gram) * lengths.prod())) ** (1 / 3)
    drawn: Array = Lattice.from_parameters(*(scale * lengths), *angles).matrix
    return drawn


def _short_translation(how: Recipe, cell: Array) -> Pair | None:
    """The element whose own periodic images come too close in this lattice."""
    widest = max(how.content, key=lambda element: how.distances[element, element])
    return closest_violation([widest], np.zeros((1, 3)), cell, how.distances)


def _place(
    how: Recipe,
    cell: Array,
    rng: np.random.Generator,
    attempts: int,
    failures: Counter[Pair | str],
) -> tuple[Array | None, int]:
    """Add atoms one by one at random places that keep their distance from all before.

    Returns Cartesian positions (N, 3) in Å, or None, and the attempts used.
    """
    symbols = how.symbols
    lattice = Lattice(cell)
    placed = np.empty((0, 3))
    used = 0
    for count, symbol in enumerate(symbols):
        pairs = [how.pair(symbol, other) for other in symbols[:count]]
        needed = np.array([how.distances[pair] for pair in pairs])
        for _ in range(_TRIALS_PER_ATOM // _TRIALS_AT_ONCE):
            if used >= attempts:
                return None, used
            trials = rng.random((_TRIALS_AT_ONCE, 3))
            if count == 0:
                placed, used = trials[:1], used + 1
                break
            # How far each trial is inside the forbidden sphere of each atom; negative is free.
            overlap = needed - lattice.get_all_distances(trials, placed)
            free = np.flatnonzero((overlap <= 0).all(axis=1))
            rejected = overlap[: free[0] if len(free) else None]
            failures.update(pairs[worst] for worst in rejected.argmax(axis=1))
            used += len(rejected)
            if len(free):
                placed, used = np.vstack([placed, trials[free[0]]]), used + 1
                break
        else:
            return None, used
    return placed @ cell, used
