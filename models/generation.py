"""The pool of random crystals: P1 cells, PyXtal space groups, and files.

Every candidate draws from a stream of its own, keyed by role and index, so a
pool can be made in any order, in parts, or in parallel.
"""

import math
from collections.abc import Container, Iterator, Sequence

from pyrite.config import SearchConfig
from pyrite.documents import Candidate, Crystal, Origin, Role
from pyrite.models.distances import minimum_distances, volume_range
from pyrite.models.names import candidate_name
from pyrite.models.random_cells import p1_crystal
from pyrite.models.recipe import Recipe, recipe
from pyrite.models.seeds import stream
from pyrite.models.start_structures import arranged, read_structures

__all__ = [
    "draw_pool",
    "generate_pool",
    "minimum_distances",
    "random_candidate",
    "read_structures",
    "volume_range",
]


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
    return list(draw_pool(config, start_structures, target_structures))


def draw_pool(
    config: SearchConfig,
    start_structures: Sequence[Crystal] = (),
    target_structures: Sequence[Crystal] = (),
    there: Container[str] = frozenset(),
) -> Iterator[Candidate]:
    """Candidates one after another, but for those that are ``there`` already; see
    :func:`generate_pool`."""
    yield from _role_pool(config, Role.TRAIN, start_structures, there)
    if config.larger is not None:
        yield from _role_pool(config, Role.TARGET, target_structures, there)


def random_candidate(config: SearchConfig, role: Role, index: int) -> Candidate:
    """Candidate ``index`` of a pool, whatever its size; see :func:`generate_pool`."""
    return _draw(config, recipe(config, role), role, index)


def _role_pool(
    config: SearchConfig, role: Role, start_structures: Sequence[Crystal], there: Container[str]
) -> Iterator[Candidate]:
    how = recipe(config, role)
    # Before the draws: a wrong file should not cost the time of a whole pool.
    files = [arranged(crystal, how.content, how.section) for crystal in start_structures]
    for index in range(how.pool.size):
        if _name(role, index) not in there:
            yield _draw(config, how, role, index)
    for index, crystal in enumerate(files, start=how.pool.size):
        if _name(role, index) not in there:
            yield _candidate(config, role, index, Origin.FILE, crystal)


def _draw(config: SearchConfig, how: Recipe, role: Role, index: int) -> Candidate:
    rng = stream(config.seed, "pool", role.value, index)
    if _is_symmetric(index, how.pool.symmetric_share):
        from pyrite.models.space_groups import symmetric_crystal  # PyXtal: a second to import

        return _candidate(config, role, index, Origin.SYMMETRIC, symmetric_crystal(how, rng))
    return _candidate(config, role, index, Origin.P1, p1_crystal(how, rng))


def _candidate(
    config: SearchConfig, role: Role, index: int, origin: Origin, crystal: Crystal
) -> Candidate:
    return Candidate(
        search_id=config.name or "search",
        candidate_id=_name(role, index),
        role=role,
        origin=origin,
        crystal=crystal,
    )


def _name(role: Role, index: int) -> str:
    return candidate_name(role, index)


def _is_symmetric(index: int, share: float) -> bool:
    """Spread the share evenly, so that it holds for the first candidates of any pool."""
    slack = 1e-9  # 0.1 · 30 must count as 3
    return math.floor((index + 1) * share + slack) > math.floor(index * share + slack)
