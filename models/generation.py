"""The pool of random crystals: P1 cells, PyXtal space groups, and files.

Every candidate draws from a stream of its own, keyed by role and index, so a
pool can be made in any order, in parts, or in parallel.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pyrite.config import SearchConfig
from pyrite.documents import Candidate, Crystal, Origin, Role
from pyrite.errors import GenerationError
from pyrite.models.composition import formula
from pyrite.models.distances import Pair, closest_violation, minimum_distances, volume_range
from pyrite.models.random_cells import p1_crystal, search_p1
from pyrite.models.recipe import Recipe, recipe
from pyrite.models.seeds import stream
from pyrite.models.start_structures import arranged, read_structures

__all__ = [
    "generate_pool",
    "minimum_distances",
    "random_candidate",
    "read_structures",
    "volume_range",
]

_RATTLES = 20
# A space group that finds no room costs PyXtal about as long as this many P1 attempts.
_ATTEMPTS_PER_SPACE_GROUP = 250
_PREFIX = {Role.TRAIN: "c", Role.TARGET: "t"}


def generate_pool(
    config: SearchConfig,
    start_structures: Sequence[Crystal] = (),
    target_structures: Sequence[Crystal] = (),
) -> list[Candidate]:
    """All candidates of a search.

    Parameters
    ----------
    config : SearchConfig
    start_structures : sequence of Crystal
        As read from ``config.pool.files`` by :func:`read_structures`; they come
        on top of the random candidates.
    target_structures : sequence of Crystal
        The same for ``config.target.pool.files``.

    Returns
    -------
    list of Candidate
        ``c00000`` … for training and ``t00000`` … for the target; files last
        within each. Atoms are ordered by element as in :func:`cell_content`.

    Raises
    ------
    ConfigError
        Wrong composition or distances, or a start structure of other content.
    GenerationError
        No crystal met the constraints within ``pool.max_attempts``.
    """
    pool = _role_pool(config, Role.TRAIN, start_structures)
    if config.target is not None:
        pool += _role_pool(config, Role.TARGET, target_structures)
    return pool


def random_candidate(config: SearchConfig, role: Role, index: int) -> Candidate:
    """Candidate ``index`` of a pool, whatever its size; see :func:`generate_pool`."""
    return _draw(config, recipe(config, role), role, index)


def _role_pool(
    config: SearchConfig, role: Role, start_structures: Sequence[Crystal]
) -> list[Candidate]:
    how = recipe(config, role)
    # Before the draws: a wrong file should not cost the time of a whole pool.
    files = [arranged(crystal, how.content) for crystal in start_structures]
    drawn = [_draw(config, how, role, index) for index in range(how.pool.size)]
    read = [
        _candidate(config, role, index, Origin.FILE, crystal)
        for index, crystal in enumerate(files, start=how.pool.size)
    ]
    return drawn + read


def _draw(config: SearchConfig, how: Recipe, role: Role, index: int) -> Candidate:
    rng = stream(config.seed, "pool", role.value, index)
    if _is_symmetric(index, how.pool.symmetric_share):
        return _candidate(config, role, index, Origin.SYMMETRIC, _symmetric_crystal(how, rng))
    return _candidate(config, role, index, Origin.P1, p1_crystal(how, rng))


def _candidate(
    config: SearchConfig, role: Role, index: int, origin: Origin, crystal: Crystal
) -> Candidate:
    return Candidate(
        search_id=config.name or "search",
        candidate_id=f"{_PREFIX[role]}{index:05d}",
        role=role,
        origin=origin,
        crystal=crystal,
    )


def _is_symmetric(index: int, share: float) -> bool:
    """Spread the share evenly, so that it holds for the first candidates of any pool."""
    slack = 1e-9  # 0.1 · 30 must count as 3
    return math.floor((index + 1) * share + slack) > math.floor(index * share + slack)


def _symmetric_crystal(how: Recipe, rng: np.random.Generator) -> Crystal:
    """Try space groups in random order until one gives a crystal that survives its rattle."""
    from pyrite.models.space_groups import SpaceGroupDraws  # PyXtal takes a second to import

    draws = SpaceGroupDraws(how.content, how.volumes, how.distances, rng)
    rattle_failures: Counter[Pair] = Counter()
    tries = math.ceil(how.pool.max_attempts / _ATTEMPTS_PER_SPACE_GROUP)
    for _ in range(tries):
        drawn = draws.draw()
        if drawn is None:
            continue
        positions, cell = drawn
        for _ in range(_RATTLES):
            rattled = positions + rng.normal(0.0, how.pool.rattle, positions.shape)
            pair = closest_violation(how.symbols, rattled, cell, how.distances)
            if pair is None:
                return how.crystal(rattled, cell)
            rattle_failures[pair] += 1
    if rattle_failures:
        ((worst, _),) = rattle_failures.most_common(1)
        raise GenerationError(
            f"no symmetric crystal of {formula(dict(how.content))} keeps {'-'.join(worst)} above "
            f"{how.distances[worst]:.2f} Å once rattled by {how.pool.rattle:g} Å, in {tries} space "
            f"groups: lower {how.section}.rattle or {how.section}.minimum_distances"
        )
    # PyXtal does not say what stood in the way; random cells under the same constraints do.
    _, failures = search_p1(how, rng, how.pool.max_attempts)
    pairs = Counter({key: n for key, n in failures.items() if not isinstance(key, str)})
    worst = max(pairs or how.distances, key=lambda pair: (pairs[pair], how.distances[pair]))
    raise how.cannot_keep(worst, f"in {tries} space groups", kind="symmetric crystal")
