"""The course of the loop: what an iteration begins with, and why the loop ends.

Where larger cells are looked for, the small cell has the first iterations to itself.
Its lowest minimum is confirmed by the reference before larger cells join, like that of any search.
"""

from collections.abc import Sequence

from pyrite.config import SearchConfig
from pyrite.documents import Candidate, Convergence, EndedBy, Iteration, Role
from pyrite.models.selection import first_picks


def first_iteration(
    config: SearchConfig, search_id: str, candidates: Sequence[Candidate]
) -> Iteration:
    """The record that a search starts from."""
    return Iteration(
        search_id=search_id,
        iteration=0,
        picks=first_picks(candidates, config),
        larger_cells=config.larger_cells_join(0),
    )


def role_ranked(config: SearchConfig, iteration: Iteration) -> Role:
    """Whose minima an iteration is about: those of the small cell, or of larger ones."""
    return Role.TARGET if config.larger and iteration.larger_cells else Role.TRAIN


def ended_by(config: SearchConfig, iteration: Iteration, verdict: Convergence) -> EndedBy | None:
    """Why there is validation after this iteration, or None if the loop goes on without.

    While larger cells have not been relaxed the loop goes on in any case, with validation if the
    small cell has converged.
    """
    if iteration.iteration + 1 >= config.convergence.max_iterations:
        return EndedBy.CONVERGENCE if verdict.converged else EndedBy.MAX_ITERATIONS
    if verdict.converged and (iteration.larger_cells or config.convergence.confirm):
        return EndedBy.CONVERGENCE
    if not iteration.larger_cells or iteration.next_picks:
        return None
    return EndedBy.NOTHING_TO_LABEL


def next_iteration(config: SearchConfig, iteration: Iteration) -> Iteration:
    """The record that the following iteration starts from.

    Larger cells that have waited join when the small cell has converged (and the reference has
    confirmed it, see `pyrite.models.validation.reopen`), or has nothing left to label, or when
    hardly any iteration is left. Whether they have converged is counted anew.
    """
    verdict, k = iteration.convergence, iteration.iteration + 1
    joining = not iteration.larger_cells and (
        config.larger_cells_join(k)
        or not iteration.next_picks
        or (verdict is not None and verdict.converged)
    )
    return Iteration(
        search_id=iteration.search_id,
        iteration=k,
        picks=iteration.next_picks,
        unchanged_before=0 if verdict is None or joining else verdict.unchanged,
        larger_cells=iteration.larger_cells or joining,
    )
