"""The end of a search: what the reference relaxes, and what is made of it."""

import time
from collections.abc import Sequence

from pyrite.config import SearchConfig
from pyrite.documents import (
    Choice,
    EndedBy,
    Iteration,
    Label,
    LabelStatus,
    Pick,
    Role,
    ShardCost,
    TopCluster,
    TrainedMember,
    Validation,
)
from pyrite.errors import LabelError, SearchFailed, TooManyFailedLabels
from pyrite.models import course, selection
from pyrite.models.known_structures import sought
from pyrite.models.labels import absurdity
from pyrite.models.matching import find_same
from pyrite.models.ranking import find_target, ledger, of_role, rank
from pyrite.models.reference import ReferenceEngine, provenance, provenance_of_failure
from pyrite.results import Result

# A finalist as it was labelled, beside the crystal that the ensemble made of it.
_AS_LABELLED = "-label"


def finalists(
    config: SearchConfig,
    iteration: Iteration,
    labels: Sequence[Label],
    validations: Sequence[Validation] = (),
) -> tuple[TopCluster, ...]:
    """What the reference relaxes once the loop has ended or the small cell has converged: the
    best of each top cluster, and the best labelled geometry, unless larger cells are ranked, if
    it is none of them; but nothing twice.

    The ensemble may have relaxed that geometry into one of the top clusters, which
    then bears its name already: as it was labelled it needs a name of its own.
    """
    top = list(iteration.top[: config.validation.top_k])
    role = course.role_ranked(config, iteration)
    if role is Role.TRAIN:
        for anchor in selection.anchors(labels, config)[:1]:
            if find_same(anchor.crystal, [one.crystal for one in top]) is None:
                top.append(
                    TopCluster(
                        candidate_id=anchor.candidate_id + _AS_LABELLED,
                        energy=min(
                            selection.label_energy(one)
                            for one in labels
                            if one.status is LabelStatus.OK
                        ),
                        size=1,
                        crystal=anchor.crystal,
                    )
                )
    ends = [one.crystal for one in of_role(role, validations) if one.crystal is not None]
    return tuple(one for one in top if find_same(one.crystal, ends) is None)


def reopen(
    config: SearchConfig,
    iteration: Iteration,
    labels: Sequence[Label],
    validations: Sequence[Validation],
) -> tuple[Iteration, Iteration | None]:
    """Whether the loop goes on after all, once its finalists have been validated.

    A loop that converged did so on minima of its ensemble. If what the reference
    ranks first is none of them, or lies below what the ensemble said of it by more
    than ``convergence.energy_tolerance``, then the ensemble was wrong where it
    matters: the ends of the reference relaxations become labels, and the loop goes
    on. A crystal does this once, for after that the ensemble has been shown it.

    If it was the small cell that converged while larger ones wait, the loop goes on in any
    case: with the larger cells, unless the ensemble was wrong. Larger cells are never labels,
    so once they are ranked nothing reopens the loop.

    Parameters
    ----------
    iteration : the one that ended the loop
    labels, validations : all up to this iteration

    Returns
    -------
    judged, following : the iteration with its verdict, and the next one or None

    Raises
    ------
    TooManyFailedLabels
        If larger cells wait, and the reference could relax none of the finalists.
    """
    role = course.role_ranked(config, iteration)
    ok = [
        one
        for one in of_role(role, validations)
        if one.crystal is not None and one.energy is not None
    ]
    if not ok and not iteration.larger_cells:
        raise _nothing_validated(iteration, validations)
    best = min(ok, key=lambda one: (one.energy, one.candidate_id), default=None)
    confirmed = best is None or _knew(config, iteration, labels, best)
    judged = iteration.model_copy(update={"confirmed": confirmed})
    following = iteration.iteration + 1
    if confirmed and not iteration.larger_cells:
        return judged, course.next_iteration(config, judged)
    if (
        confirmed
        or not config.convergence.confirm
        or role is Role.TARGET
        or iteration.ended_by is not EndedBy.CONVERGENCE
        or following >= config.convergence.max_iterations
    ):
        return judged, None
    ends = [
        Pick(
            candidate_id=f"v{iteration.iteration:02d}.{n}-{_root(one.candidate_id)}",
            choice=Choice.VALIDATED,
            crystal=one.crystal,
        )
        for n, one in enumerate(sorted(ok, key=lambda one: one.candidate_id))
        if one.crystal is not None and one.iteration == iteration.iteration
    ]
    # The order of labels shapes the last digits of a training; the store sorts by name.
    picks = sorted([*ends, *iteration.next_picks], key=lambda one: one.candidate_id)
    return judged, Iteration(
        search_id=iteration.search_id,
        iteration=following,
        picks=tuple(picks),
        larger_cells=iteration.larger_cells or config.larger_cells_join(following),
    )


def _nothing_validated(
    iteration: Iteration, validations: Sequence[Validation]
) -> TooManyFailedLabels:
    reason = validations[0].reason if validations else "there was none"
    return TooManyFailedLabels(
        f"the reference could relax none of the {len(iteration.finalists)} finalists "
        f"(the first: {reason}); mend the cause and resume"
    )


def _knew(
    config: SearchConfig, iteration: Iteration, labels: Sequence[Label], best: Validation
) -> bool:
    if best.crystal is None or best.energy is None:
        return True
    shown = [one.crystal for one in labels if one.choice is Choice.VALIDATED]
    if find_same(best.crystal, shown) is not None:
        return True
    believed = [*iteration.top, *iteration.finalists]
    same = find_same(best.crystal, [one.crystal for one in believed])
    lowest = best.energy + config.convergence.energy_tolerance
    return same is not None and believed[same].energy <= lowest


def _root(candidate_id: str) -> str:
    return selection.root(candidate_id.removesuffix(_AS_LABELLED))


def validate(
    config: SearchConfig,
    iteration: Iteration,
    engine: ReferenceEngine,
    finalist: TopCluster,
    begun: Validation | None = None,
) -> Validation:
    """Relax one finalist of an iteration with the reference.

    Parameters
    ----------
    begun : the same as a time limit has left it; its geometry and its costs count
    """
    common = {
        "search_id": iteration.search_id,
        "iteration": iteration.iteration,
        "candidate_id": finalist.candidate_id,
    }
    crystal = finalist.crystal if begun is None or begun.crystal is None else begun.crystal
    spent = None if begun is None else begun.provenance
    started = time.perf_counter()
    settings = config.validation
    steps = settings.max_steps - (0 if spent is None else spent.reference_calls)
    try:
        result = engine.relax(crystal, fmax=settings.fmax, max_steps=max(steps, 1))
        reason = absurdity(config.reference, result)
    except LabelError as error:
        failure = provenance_of_failure(config.reference, started, error)
        return Validation(
            **common,
            status=LabelStatus.FAILED,
            reason=str(error),
            provenance=failure.after(spent),
        )
    made = provenance(result).after(spent)
    if reason is not None:
        return Validation(**common, status=LabelStatus.ABSURD, reason=reason, provenance=made)
    return Validation(
        **common,
        status=LabelStatus.OK,
        converged=result.converged,
        interrupted=result.interrupted and made.reference_calls < settings.max_steps,
        energy=result.energy / len(crystal.numbers),
        fmax=result.fmax,
        stress=result.stress_as_tuples(),
        crystal=result.crystal,
        provenance=made,
    )


def conclude_search(
    config: SearchConfig,
    iterations: Sequence[Iteration],
    labels: Sequence[Label],
    members: Sequence[TrainedMember],
    shards: Sequence[ShardCost],
    validations: Sequence[Validation],
) -> Result:
    """The final ranking and what it cost.

    Parameters
    ----------
    iterations : all, in order
    labels, members, shards, validations : all of the search, in any order

    Raises
    ------
    SearchFailed
        If the loop has not ended.
    TooManyFailedLabels
        If the reference could relax none of the finalists.
    """
    last = iterations[-1]
    if last.ended_by is None:
        raise SearchFailed(
            f"search {last.search_id} cannot be ranked before its loop has ended; report this"
        )
    role = course.role_ranked(config, last)
    ranking = rank(validations, iterations, config.validation.symprec, labels, role=role)
    if not ranking:
        raise _nothing_validated(last, of_role(role, validations))
    known, target = sought(config), None
    if known is not None and config.target is not None:
        target = find_target(str(config.target.structure), known, ranking, labels, validations)
    return Result(
        search_id=last.search_id,
        iterations=len(iterations),
        ended_by=last.ended_by,
        ranking=ranking,
        ledger=ledger(labels, members, shards, validations, ranking, target),
    )
